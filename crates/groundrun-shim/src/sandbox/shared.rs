//! What the containers of one attempt have in common beside the network, which the shim has entered before: host name, IPC
//! objects and volumes. The shim enters namespaces of these before the first start, and every init begins in them.
//!
//! An attempt of one container without volumes has none of it: its init makes them with its others, which is faster.

use super::{Step, init::name_host, volumes};
use crate::{
    enter::Ids, mounter::NotMounted, protocol::Launch, relay::Relay, sealed::Sealed, shim::Ear, sys,
};

/// Those of an attempt, without the network and those that each container has of its own.
pub(super) const NAMESPACES: libc::c_int = libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// Whether the shim is to [`prepare`].
pub(crate) fn is_needed(launch: &Launch) -> bool {
    launch.containers.len() > 1 || !launch.volumes.is_empty()
}

/// Makes it, around this process. `relay` has the volume of sockets, `sealed` what secrets hold. Answers lines for the log, unless
/// `ear` hears that the attempt is to stop.
pub(crate) fn prepare(
    launch: &Launch,
    ids: Ids,
    relay: Option<&mut Relay>,
    sealed: &Sealed,
    ear: &mut Ear<'_>,
) -> Result<Vec<String>, NotMounted> {
    sys::process::unshare(NAMESPACES).ours("make the shared namespaces")?;
    name_host(&launch.hostname)?;
    match launch.volumes.is_empty() {
        true => Ok(Vec::new()),
        false => volumes::make(launch, ids, sealed, relay.and_then(Relay::take_mount), ear),
    }
}
