//! The private network of tasks: a namespace for each, taken from a pool, behind one bridge and one table of nftables.
//!
//! ```text
//!  task's namespace                     the machine's
//!  lo   127.0.0.1, 169.254.169.254      bridge gr…  .1 the way out (translated to the machine's address)
//!  eth0 192.168.x.y ─────────────────── port gr…-…  .2 stands for the host's loopback
//! ```
//!
//! A task whose job names a network of this machine has a second interface there (`attach`).
//!
//! No task reaches another by its first, the machine's other addresses, or the server's API. No program is run per task, and nothing
//! about who has which address is kept anywhere but in the kernel: a namespace and its links live as long as a process or
//! socket of it, and a server that comes later reads which are taken.

mod attach;
mod ground;
mod left;
mod links;
mod mapped;
mod namespace;
mod netlink;
mod nft;
mod pasta;
mod pool;
mod redirect;
mod rules;
mod subnet;
mod sys;
#[cfg(test)]
mod tests;

use groundrun_core::id::AttemptId;
use groundrun_shim::protocol::SOCKETS_MAX;

pub use attach::{Apart, AttachError, Networks};
pub use ground::NetworkError;
pub(crate) use ground::Wanted;
pub use left::{clear_left_of, left_of};
pub(crate) use links::SERVICES;
pub use mapped::{Ipv4Range, MappedLink, MappedNetwork, RangeFault, private_ranges};
pub(crate) use namespace::Namespace;
pub use namespace::TaskSockets;
pub(crate) use nft::chains;
pub use pasta::Router;
pub(crate) use pool::{Leave, TakeError, TaskNetwork};

/// Ports of the host's loopback that can be named: each is a socket of every task, kept by its shim beside three others.
pub const HOST_PORTS_MAX: usize = SOCKETS_MAX - 3;

/// Who answers a task's questions about itself and about names.
pub trait TaskServices: Send + Sync {
    /// Answers on these from now on, in place of earlier ones of that attempt. Returns at once. Called when the attempt
    /// has started, and when a new server found it running.
    fn attend(&self, id: AttemptId, sockets: TaskSockets);

    /// The attempt is over, or will be found again later: nobody asks on its sockets any more. Harmless for an attempt
    /// that was never attended.
    fn leave(&self, id: AttemptId);
}
