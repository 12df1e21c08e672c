//! The backend on this machine: cgroups, attempt directories, talking to shims, reading logs.
//!
//! It starts, adopts, stops and forgets attempts and says what became of them. It decides no retries, records nothing in a
//! journal, and is not needed by what already runs: each attempt has a shim of its own that outlives the server.

mod abandoned;
mod attempts;
mod backend;
mod book;
mod capacity;
pub mod cgroup;
pub mod check;
mod config;
pub mod instances;
mod launch;
mod logs;
pub mod network;
mod orphans;
mod program;
mod removal;
mod secrets;
mod settle;
mod shared_files;
mod volumes;
mod watch;
mod work;

pub use abandoned::{ClearError, clear_abandoned};
pub use backend::{HostBackend, OpenError};
pub use capacity::{Share, capacity};
pub use config::{
    HostConfig, Mountable, Mounts, MountsError, Network, PrivateNetwork, WritableLayer,
    default_cgroup, default_id_base,
};
pub use logs::{Grown, HostLogs, Listening, LogsError};
pub use secrets::NoSecrets;
pub use shared_files::{BucketHome, ByKernel, FilesFault, SharedFiles};
