//! Makes a container and starts the program in it.
//!
//! The container's init is cloned with a mount and a pid namespace of its own. Network, host name and IPC are its attempt's,
//! the cgroup namespace comes after it joined its cgroups, and the user namespace is joined last, so that everything before
//! is done by the machine's root.

mod acl;
mod directory;
mod failure;
mod identity;
mod init;
mod inside;
mod kernel;
pub(crate) mod nfs;
mod program;
mod root;
mod secret;
pub(crate) mod shared;
mod start;
mod user;
mod user_namespace;
mod volumes;

pub(crate) use failure::{Failure, Step, words};
pub(crate) use inside::{Owner, read as read_inside};
pub(crate) use root::{
    Layers, ReadyLayer, file_system, layer_mount, open_ready, takes_ready_layers,
};
pub(crate) use start::{OomScore, Output, Running, Tools, start};
pub(crate) use user_namespace::user_namespace;
pub(crate) use volumes::PLACE as VOLUMES;

use start::Plan;
