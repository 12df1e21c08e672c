//! What is true: one SQLite file, one writer, one revision counter, a watch. It knows no policy and reads no clock.
//!
//! ```text
//! Store::open(&dir) -> Result<Store, OpenError>                  flock on the directory, migrations, Clone
//! store.write(now, |tx| …) -> Result<T, WriteError<E>>           blocks; back when it is durable
//! store.write_then(now, |tx| …, |result| …)                      the same, for those who may not block
//! store.read(|view| …) -> Result<T, E: From<StoreError>>         one consistent snapshot, own connection
//! store.watch() -> Watcher                                       wait(timeout), poll(), on_change(callback)
//! store.recall(since, until, |changed| …)                        the changes between two revisions, while they are kept
//! store.disk() -> Disk · store.figures() -> Figures
//! ```
//! The closure of a write gets a [`Tx`]: a [`View`] (all reads, seeing its own writes) that also writes. It refuses
//! with `Err(WriteError::Refused(why))`; then nothing of it is kept. Errors of the store pass through with `?`.
//! Every write has one [`Revision`](groundrun_core::record::Revision), set into each record that it touches.
//!
//! Many writes share one COMMIT, and one COMMIT is one fsync: in WAL mode with `synchronous=FULL` SQLite appends the
//! changed pages to the log and syncs the log once; the database file itself is synced by checkpoints only, which run
//! after a commit that leaves 1,000 pages or more in the log, and when nothing waits. A result, also a refusal, is
//! handed out after the COMMIT that it could depend on.
//!
//! Times are kept in microseconds, as the API shows them; what is finer is cut off.
//!
//! | of | reads (on `View`) | writes (on `Tx`) |
//! |---|---|---|
//! | jobs | `job` `job_by_uid` `jobs` `job_count` `jobs_to_check` | `insert_job` `update_job` `delete_job` `set_readiness` |
//! | executions | `execution` `execution_by_uid` `executions` `execution_count` `running_count` `unfinished` `to_delete` `beyond_retention` | `insert_execution` `update_wishes` `set_execution_state` `delete_execution` `reap_execution` |
//! | attempts | `attempts` `attempts_of_task` `latest_attempts` | `insert_attempts` `update_attempts` |
//! | secrets | `secret` `secrets` `secret_count` `secret_projects` `secret_version` `secret_versions` `live_version_count` `sealed_value` `secret_key` `secret_policy` | `insert_secret` `update_secret` `delete_secret` `insert_secret_version` `set_version_state` `set_secret_policy` |
//! | the rest | `policy` `invocation` `revision` | `set_policy` `remember_invocation` |

mod data_dir;
mod disk;
mod error;
mod list;
mod open;
mod readers;
mod rows;
mod schema;
mod store;
mod tx;
mod view;
mod watch;
mod writer;

pub use disk::Disk;
pub use error::{OpenError, StoreError, WriteError};
pub use list::{Continue, ListQuery, NotAToken, Page};
pub use store::{Figures, Store};
pub use tx::{Applied, Reaped, Sealed, Tx};
pub use view::{Fingerprint, Policy, View};
pub use watch::{Attempts, Changed, Fate, Forgotten, Gone, Seen, Steps, Subject, Trace, Watcher};
