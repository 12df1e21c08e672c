//! The spawner, and the shim: the monitor of one attempt.
//!
//! `main()` forks the [`Spawner`] before any thread exists. For each [`protocol::Launch`] it forks one shim, which makes
//! the containers, keeps their log, holds its deadline, and records its end in the attempt's [`dir`]. A shim needs no server:
//! it outlives it, and a new one finds it by its directory ([`dir::standing`], [`Connection::open`]).
//!
//! Every unsafe line and every system call that rustix lacks is in the module `sys`.

mod aside;
mod clock;
mod connection;
pub mod dir;
pub mod enter;
pub mod log;
mod mounter;
pub mod protocol;
mod relay;
mod sandbox;
mod sealed;
mod seccomp;
mod shim;
mod spawner;
mod sys;

pub use sandbox::nfs::mounts_nfs;

pub use connection::{Connection, ConnectionError, Received};
pub use spawner::{LaunchError, LayerMounts, Spawner, SpawnerConfig, SpawnerError, SpawnerHandle};
