//! The HTTP front: decode, admit, commit, encode; and the query of logs.
//!
//! A request goes `serve` → `guard` → `router` → a handler and ends when its row is on disk. The engine sees it there:
//! **the front never calls the engine or a backend.** `router` lists every route; each method has a file of its own
//! below `jobs`, `executions`, `tasks`, `iam`, `logs`, `secrets`, `platform`.
//!
//! ```text
//! Server::bind(ServerConfig, Store, Arc<dyn Logs>, Arc<Sealer>, World) -> Result<BoundServer, BindError>
//! bound.local_addr() · bound.publish(Arc<dyn PublicKeys>) · bound.serve(stop)
//! ```

mod app;
mod call;
mod config;
mod error;
mod executions;
mod fields;
mod guard;
mod health;
mod iam;
mod jobs;
mod keys;
mod list;
mod logs;
mod place;
mod platform;
mod query;
mod reply;
mod router;
mod secrets;
mod serve;
mod tasks;
mod update_mask;
mod watch;

#[cfg(test)]
mod tests;

pub use app::{Clock, Random, World};
pub use config::{ConfigError, PROXY_NAME, ServerConfig, Token};
pub use keys::PublicKeys;
pub use logs::{Grown, Logs};
pub use place::Projects;
pub use serve::{BindError, BoundServer, Server};
