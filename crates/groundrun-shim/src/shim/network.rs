//! The network of an attempt: the shim enters it before it makes containers, which so have it in common.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags},
    net::{AddressFamily, SocketFlags, SocketType},
    thread::LinkNameSpaceType,
};

use crate::{
    protocol::Network,
    sandbox::{Failure, Step},
    sys,
};

/// Enters the network of the launch. `namespace` came with it, if it is given.
pub(super) fn enter(network: Network, namespace: Option<OwnedFd>) -> Result<(), Failure> {
    match network {
        Network::Host => Ok(()),
        Network::None => {
            sys::process::new_network_namespace().ours("make a network namespace")?;
            set_up_loopback()
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
/// over this namespace, which is the machine's).
const SYSCTLS: [(&str, &str); 2] = [
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
];

fn set_up_loopback() -> Result<(), Failure> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)
        .ours("make a socket")?;
    sys::net::loopback_up(socket.as_fd()).ours("set the loopback up")?;
    for (path, value) in SYSCTLS {
        let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .ours(format_args!("open {path}"))?;
        rustix::io::write(file, value.as_bytes()).ours(format_args!("write {path}"))?;
    }
    Ok(())
}
