//! One task's network namespace, made ready: links, addresses, sysctls, and the sockets bound in it.
//!
//! It is used once, and closes with the last process, socket or descriptor of it; the kernel then takes its links away.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{
    links::{self, Port},
    netlink::Netlink,
    redirect::{ARRIVES, DNS_PORT, METADATA_PORT, Redirect},
    subnet::{Subnet, TASKS_MAX},
    sys,
};

/// Sockets bound in a task's network namespace, none of which waits when it is asked for more than there is.
#[derive(Debug)]
pub struct TaskSockets {
    /// Hears what is sent to TCP 169.254.169.254:80.
    pub metadata: OwnedFd,
    /// Hears what is sent to UDP 169.254.169.254:53.
    pub dns_udp: OwnedFd,
    /// Hears what is sent to TCP 169.254.169.254:53.
    pub dns_tcp: OwnedFd,
    /// Listen on the TCP ports of the host's address that are to be relayed to the host's loopback; at most
    /// [`HOST_PORTS_MAX`](super::HOST_PORTS_MAX).
    pub host_ports: Vec<OwnedFd>,
}

/// A namespace that no task has yet.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Keeps it, and is what a task joins.
    pub(crate) namespace: OwnedFd,
    /// That of its link to outside.
    pub(crate) address: Ipv4Addr,
    /// Name of the port of that link.
    pub(super) port: String,
    /// To change what is in it.
    pub(super) inside: Netlink,
    pub(crate) sockets: TaskSockets,
}

/// Makes namespaces, in a thread of its own that enters and leaves them.
pub(super) struct Maker {
    /// Where the bridge is, and the thread belongs.
    home: OwnedFd,
    netlink: Netlink,
    bridge: u32,
    /// What the names of ports begin with.
    prefix: String,
    subnet: Subnet,
    /// Ports of the host's address that each namespace has itself.
    relayed: Vec<u16>,
    redirect: Redirect,
    /// Next address to try; addresses come round as late as they can, so that nobody's late packets reach another.
    next: u32,
}

/// Why there is no namespace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamespaceError {
    /// All addresses are taken.
    #[error("{TASKS_MAX} tasks run, and a server's network has no more addresses")]
    Full,
    /// The kernel refused.
    #[error("{what}")]
    Kernel {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// The thread is in a task's namespace and cannot leave.
    #[error("return from a task's network namespace")]
    Astray(#[source] io::Error),
}

/// Connections that wait to be taken while a server is restarted: more than one program of a task asks at once.
const BACKLOG: i32 = 128;

/// In a new namespace, before it has links. As in Docker, low ports and pings need no right there (and the container has
/// none over this namespace, which is not its user namespace's); its links have no IPv6, the loopback keeps it; and who is on
/// one of its links reaches nothing that is on another by way of it.
const SYSCTLS: [(&str, &str); 3] = [
    ("/proc/sys/net/ipv4/ip_forward", "0"),
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
];

/// Who may ping: all groups there are, which are fewer in an ordinary user's namespace. The first that the kernel takes.
const PING_GROUPS: [&str; 3] = ["0 2147483647", "0 65536", "0 0"];

impl Maker {
    /// For the thread that calls, and the bridge of its namespace.
    pub(super) fn new(
        netlink: Netlink,
        bridge: u32,
        prefix: String,
        subnet: Subnet,
        relayed: Vec<u16>,
    ) -> io::Result<Self> {
        let (home, redirect) = (own_namespace()?, Redirect::new());
        Ok(Self { home, netlink, bridge, prefix, subnet, relayed, redirect, next: 0 })
    }

    pub(super) fn make(&mut self) -> Result<Namespace, NamespaceError> {
        sys::enter_new_namespace().map_err(kernel("make a network namespace"))?;
        let made = self.furnish();
        // Before anything else: this thread's next file or socket would be the task's.
        move_into_link_name_space(self.home.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|err| NamespaceError::Astray(err.into()))?;
        made
    }

    fn furnish(&mut self) -> Result<Namespace, NamespaceError> {
        let namespace = own_namespace().map_err(kernel("open a network namespace"))?;
        for (path, value) in SYSCTLS {
            set(path, value).map_err(kernel("set up a network namespace"))?;
        }
        let pings = |groups: &&str| set("/proc/sys/net/ipv4/ping_group_range", groups).is_ok();
        // Without it only pings are missing.
        let _ = PING_GROUPS.iter().find(|groups| pings(groups));
        let (address, port) = self.add_port(&namespace)?;
        let host = self.subnet.host();
        let here = (!self.relayed.is_empty()).then_some(host);
        let setting_up = "set up a task's links";
        let mut inside = Netlink::open().map_err(kernel(setting_up))?;
        links::set_up_inside(&mut inside, self.subnet, address, here)
            .map_err(kernel(setting_up))?;
        self.redirect.set_up().map_err(kernel("lead to the services of a task"))?;
        let sockets =
            TaskSockets::bind(host, &self.relayed).map_err(kernel("bind a task's sockets"))?;
        Ok(Namespace { namespace, address, port, inside, sockets })
    }

    /// The port's name says the address: what is in use is in the kernel's list of links, whoever made it.
    fn add_port(&mut self, namespace: &OwnedFd) -> Result<(Ipv4Addr, String), NamespaceError> {
        for _ in 0..TASKS_MAX {
            let index = self.next;
            self.next = (self.next + 1) % TASKS_MAX;
            let name = format!("{}-{index:03x}", self.prefix);
            let made = links::add_port(&mut self.netlink, self.bridge, &name, namespace.as_fd());
            match made.map_err(kernel("add a port to the bridge"))? {
                Port::Made => return Ok((self.subnet.task(index), name)),
                Port::Taken => {}
            }
        }
        Err(NamespaceError::Full)
    }

    /// Ports that the bridge still has: tasks of this or an earlier server, or what is left of them for a moment.
    pub(super) fn ports(&mut self) -> io::Result<usize> {
        let bridge = Some(self.bridge);
        Ok(links::list(&mut self.netlink)?
            .iter()
            .filter(|link| {
                link.bridge == bridge || link.name.starts_with(&format!("{}_", self.prefix))
            })
            .count())
    }

    pub(super) fn into_netlink(self) -> (Netlink, u32) {
        (self.netlink, self.bridge)
    }
}

impl TaskSockets {
    /// As they travel with a launch, and come back from a shim.
    pub(crate) fn into_list(self) -> Vec<OwnedFd> {
        let mut list = vec![self.metadata, self.dns_udp, self.dns_tcp];
        list.extend(self.host_ports);
        list
    }

    /// `None` where a shim keeps none. Those of ports are as many as there were when the task started.
    pub(crate) fn from_list(list: Vec<OwnedFd>) -> Option<Self> {
        let mut list = list.into_iter();
        let (metadata, dns_udp, dns_tcp) = (list.next()?, list.next()?, list.next()?);
        Some(Self { metadata, dns_udp, dns_tcp, host_ports: list.collect() })
    }

    /// In the network namespace of the calling thread.
    fn bind(host: Ipv4Addr, host_ports: &[u16]) -> io::Result<Self> {
        let bound = |kind, address, port| -> io::Result<OwnedFd> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
            bind(&socket, &SocketAddrV4::new(address, port))?;
            if kind == SocketType::STREAM {
                listen(&socket, BACKLOG)?;
            }
            Ok(socket)
        };
        Ok(Self {
            metadata: bound(SocketType::STREAM, ARRIVES, METADATA_PORT)?,
            dns_udp: bound(SocketType::DGRAM, ARRIVES, DNS_PORT)?,
            dns_tcp: bound(SocketType::STREAM, ARRIVES, DNS_PORT)?,
            host_ports: host_ports
                .iter()
                .map(|port| bound(SocketType::STREAM, host, *port))
                .collect::<io::Result<_>>()?,
        })
    }
}

/// That of the calling thread.
pub(super) fn own_namespace() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// A machine may lack IPv6 altogether.
pub(super) fn set(path: &str, value: &str) -> io::Result<()> {
    let file = match rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) if path.starts_with("/proc/sys/net/ipv6/") => return Ok(()),
        file => file?,
    };
    rustix::io::write(file, value.as_bytes())?;
    Ok(())
}

fn kernel(what: &'static str) -> impl FnOnce(io::Error) -> NamespaceError {
    move |source| NamespaceError::Kernel { what, source }
}
