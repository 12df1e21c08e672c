//! The network of an attempt: the shim enters it before it makes containers, which so have it in common.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags},
    net::{AddressFamily, SocketFlags, SocketType},
    thread::LinkNameSpaceType,
};

use crate::{
    enter::Ids,
    protocol::Network,
    sandbox::{Failure, Step},
    sys,
};

/// Enters the network of the launch. `namespace` came with it, if it is given.
pub(super) fn enter(network: Network, namespace: Option<OwnedFd>, ids: Ids) -> Result<(), Failure> {
    match network {
        Network::Host => Ok(()),
        Network::None => {
            sys::process::new_network_namespace().ours("make a network namespace")?;
            set_up_loopback(ids)
        }
        Network::Given => {
            let namespace = namespace
                .ok_or_else(|| Failure::ours("no network namespace came with the launch"))?;
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
                .ours("enter the network namespace")
        }
    }
}

/// Sysctls of a new network namespace: as in Docker, low ports and pings need no right there (and a container has none
/// over this namespace, which is the machine's). The kernel takes groups that this process has.
fn sysctls(ids: Ids) -> [(&'static str, String); 2] {
    [
        ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0".to_owned()),
        ("/proc/sys/net/ipv4/ping_group_range", format!("0 {}", ids.last())),
    ]
}

fn set_up_loopback(ids: Ids) -> Result<(), Failure> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)
        .ours("make a socket")?;
    sys::net::loopback_up(socket.as_fd()).ours("set the loopback up")?;
    for (path, value) in sysctls(ids) {
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .ours(format_args!("open {path}"))?;
        rustix::io::write(file, value.as_bytes()).ours(format_args!("write {path}"))?;
    }
    Ok(())
}
