//! What one server has on the machine: a bridge, a table, and two or three sysctls. Made, found again, taken away.
//!
//! The kernel keeps all of its state: which addresses are in use is the names of the bridge's ports, and that forwarding
//! was off before servers came stands in a note on their bridges.

use std::{
    collections::BTreeSet,
    fs, io,
    net::Ipv4Addr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{
    attach::Networks,
    links::{self, Link},
    namespace::{Maker, own_namespace, set},
    netlink::Netlink,
    nft,
    pasta::{self, Home, Router},
    rules::{Rules, ToHost},
    subnet::{Range, Subnet},
};

/// How long servers wait for each other. Holding the lock takes a run of `nft`.
const OTHERS_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks where the kernel offers nothing to wait for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long the kernel may take to take the last links away, after their namespaces are closed.
const LINKS_GONE_WITHIN: Duration = Duration::from_secs(3);

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// On the bridge of every server that runs where a server switched forwarding on.
const SWITCHED_ON: &str = "groundrun: forwarding was off";

/// On all other bridges.
const WAS_ON: &str = "groundrun";

/// What is asked of a network of tasks.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// A number that no other server's data directory gives.
    pub(crate) hash: u64,
    /// Whether tasks may reach services on the host's loopback, by the address that stands for it.
    pub(crate) host_access: bool,
    /// Port of the server's own API, which they may not.
    pub(crate) api_port: Option<u16>,
    /// Ports of the host's loopback that are relayed where no other way leads there.
    pub(crate) host_ports: BTreeSet<u16>,
    /// Other networks that tasks are attached to.
    pub(crate) networks: Arc<Networks>,
    /// Where the bridge is to be, for an ordinary user.
    pub(crate) router: Option<Arc<Router>>,
}

/// Tasks cannot have a network of their own here.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct NetworkError {
    what: &'static str,
    source: io::Error,
}

impl NetworkError {
    pub(super) fn thread(source: io::Error) -> Self {
        Self { what: "start the thread of the network", source }
    }
}

/// The names of what a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) bridge: String,
    pub(super) table: String,
}

impl Names {
    pub(super) fn of(hash: u64) -> Self {
        // Folded: a link's name has 15 letters at most, and a port's adds four to the bridge's.
        let short = (hash >> 32) ^ (hash & 0xffff_ffff);
        Self { bridge: format!("gr{short:08x}"), table: format!("groundrun-{short:08x}") }
    }
}

/// What an ordinary user's router has to do with the machine.
struct Beyond {
    /// A thread that stays in its network namespace.
    home: Home,
    /// What the machine uses itself.
    used: Vec<Range>,
    of_host: Vec<Ipv4Addr>,
}

/// What the machine says that a table depends on.
struct Found {
    bridge: u32,
    subnet: Subnet,
    /// Links between which nothing was forwarded before servers came.
    apart: Vec<String>,
    switch_on: bool,
}

/// Makes all of it in the network namespace of the calling thread, or in the router, which the thread enters for good; or
/// finds it and brings it up to date. Gives the address that stands for the host's loopback.
pub(super) fn open(wanted: &Wanted) -> Result<(Maker, Option<Ipv4Addr>), NetworkError> {
    let names = Names::of(wanted.hash);
    let asking = "ask the kernel for links";
    let beyond = match &wanted.router {
        None => None,
        Some(router) => {
            let mut netlink = Netlink::open().map_err(doing(asking))?;
            let used = links::used(&mut netlink).map_err(doing(asking))?;
            let of_host = links::own_addresses(&mut netlink).map_err(doing(asking))?;
            let home = Home::here().map_err(doing("start a thread"))?;
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(router.namespace.as_fd(), kind)
                .map_err(|err| doing("enter the network namespace of the router")(err.into()))?;
            Some(Beyond { home, used, of_host })
        }
    };
    let _lock = lock()?;
    let mut netlink = Netlink::open().map_err(doing(asking))?;
    let mut elsewhere = wanted.networks.subnets();
    elsewhere.extend(beyond.iter().flat_map(|beyond| &beyond.used));
    let found = find_or_make(&mut netlink, &names, wanted.hash, &elsewhere)?;
    let (to_host, of_host) = match (&wanted.router, beyond) {
        (Some(router), Some(beyond)) => way_out(router, wanted, &mut netlink, found.subnet, beyond),
        _ if wanted.host_access => (ToHost::Loopback, Vec::new()),
        _ => (ToHost::No, Vec::new()),
    };
    let of_bridge = |what: &str| format!("/proc/sys/net/{what}").replace('*', &names.bridge);
    set(&of_bridge("ipv6/conf/*/disable_ipv6"), "1").map_err(doing("set up the bridge"))?;
    let rules = Rules {
        table: &names.table,
        bridge: &names.bridge,
        subnet: found.subnet,
        to_host,
        of_host: &of_host,
        api_port: wanted.api_port,
        attached: &wanted.networks.ranges(),
        apart: &found.apart,
    };
    nft::load(&rules.script()).map_err(doing("load the table of nftables"))?;
    // After the table that bounds what they open.
    let loopback = if to_host == ToHost::Loopback { "1" } else { "0" };
    set(&of_bridge("ipv4/conf/*/route_localnet"), loopback).map_err(doing("set up the bridge"))?;
    if found.switch_on {
        set(FORWARDING, "1").map_err(doing("switch forwarding on"))?;
    }
    let relayed = match to_host {
        ToHost::Relayed => wanted.host_ports.iter().copied().collect(),
        ToHost::No | ToHost::Loopback | ToHost::Beyond(_) => Vec::new(),
    };
    let is_reached = match to_host {
        ToHost::No => false,
        ToHost::Loopback | ToHost::Beyond(_) => true,
        ToHost::Relayed => !relayed.is_empty(),
    };
    let host = is_reached.then(|| found.subnet.host());
    let maker = Maker::new(netlink, found.bridge, names.bridge, found.subnet, relayed)
        .map_err(doing("open the network namespace"))?;
    Ok((maker, host))
}

/// Sees to it that the router leads on to the machine, and says how its loopback and its addresses are met with. Without it
/// tasks have each their services and what is relayed, and no more, which is said.
fn way_out(
    router: &Router,
    wanted: &Wanted,
    netlink: &mut Netlink,
    subnet: Subnet,
    beyond: Beyond,
) -> (ToHost, Vec<Ipv4Addr>) {
    let Beyond { home, mut used, mut of_host } = beyond;
    used.push(subnet.range());
    let present = pasta::present(netlink).ok().flatten();
    let none_free = || io::Error::other("no range of private addresses is free");
    let between = present.or_else(|| Subnet::choose(wanted.hash, &used)).ok_or_else(none_free);
    let led_on = between.and_then(|between| {
        pasta::start(router, home, netlink, between).map(|()| between.gateway())
    });
    let gateway = match led_on {
        Ok(gateway) => gateway,
        Err(err) => {
            tracing::warn!("{}", without_outside(&err, &wanted.host_ports));
            return (ToHost::Relayed, of_host);
        }
    };
    of_host.push(gateway);
    match wanted.host_access {
        true => (ToHost::Beyond(gateway), of_host),
        false => (ToHost::No, of_host),
    }
}

/// What tasks do not have, why, what they have, and what mends it; for a person.
fn without_outside(why: &io::Error, host_ports: &BTreeSet<u16>) -> String {
    let this_machine = if host_ports.is_empty() {
        "nothing of this machine (name its ports with --host-port)".to_owned()
    } else {
        let ports: Vec<String> = host_ports.iter().map(u16::to_string).collect();
        format!("of this machine host.docker.internal:{}", ports.join(","))
    };
    let mends = match why.kind() {
        io::ErrorKind::NotFound => "; for the rest: sudo apt install passt",
        _ => "",
    };
    format!(
        "tasks do not reach the outside: {why}. They have their loopback, names, metadata, and {this_machine}{mends}"
    )
}

/// `elsewhere` is used beyond what this namespace knows.
fn find_or_make(
    netlink: &mut Netlink,
    names: &Names,
    hash: u64,
    elsewhere: &[Range],
) -> Result<Found, NetworkError> {
    let listing = "list the machine's links";
    let links = links::list(netlink).map_err(doing(listing))?;
    let own = links.iter().find(|link| link.name == names.bridge);
    let old = match own {
        Some(own) => links::subnet_of(netlink, own.index)
            .map_err(doing(listing))?
            .map(|subnet| (own.index, subnet)),
        None => None,
    };
    let making = "make the bridge";
    let (bridge, subnet) = match (own, old) {
        (_, Some(old)) => old,
        (half_made, None) => {
            if let Some(half_made) = half_made {
                links::remove(netlink, half_made.index).map_err(doing(making))?;
            }
            let mut used = links::used(netlink).map_err(doing("list the machine's addresses"))?;
            used.extend_from_slice(elsewhere);
            let none = || io::Error::other("no range of private addresses is free");
            let subnet = Subnet::choose(hash, &used).ok_or_else(none).map_err(doing(making))?;
            let made = links::add_bridge(netlink, &names.bridge, hardware(hash), subnet);
            (made.map_err(doing(making))?, subnet)
        }
    };
    let forwards =
        fs::read_to_string(FORWARDING).map_err(doing("read whether IPv4 is forwarded"))?;
    let switch_on = forwards.trim() == "0";
    let was_off =
        switch_on || links.iter().any(|link| is_of_a_server(link) && link.note == SWITCHED_ON);
    let note = if was_off { SWITCHED_ON } else { WAS_ON };
    links::write_note(netlink, bridge, note).map_err(doing(making))?;
    let apart = match was_off {
        true => links.into_iter().filter(is_uplink).map(|link| link.name).collect(),
        false => Vec::new(),
    };
    Ok(Found { bridge, subnet, apart, switch_on })
}

/// As [`close`], for a server that was killed; nothing where it left nothing.
pub(super) fn clear(hash: u64) -> Result<(), NetworkError> {
    let listing = "list the machine's links";
    let names = Names::of(hash);
    let mut netlink = Netlink::open().map_err(doing("ask the kernel for links"))?;
    let links = links::list(&mut netlink).map_err(doing(listing))?;
    if let Some(bridge) = links.iter().find(|link| link.name == names.bridge) {
        // Whether it had its range by then makes no difference.
        let unset = Subnet::of(Ipv4Addr::UNSPECIFIED);
        let maker = Maker::new(netlink, bridge.index, names.bridge, unset, Vec::new())
            .map_err(doing("open the network namespace"))?;
        return close(maker, hash);
    }
    // Half of it, where it was killed between the two.
    let table = names.table;
    nft::load(&format!("add table inet {table}\ndelete table inet {table}\n"))
        .map_err(doing("remove the table of nftables"))
}

/// Takes all of it away. The last server of several gives forwarding back as it was found.
pub(super) fn close(mut maker: Maker, hash: u64) -> Result<(), NetworkError> {
    let names = Names::of(hash);
    let begun = Instant::now();
    let listing = "list the machine's links";
    loop {
        match maker.ports().map_err(doing(listing))? {
            0 => break,
            _ if begun.elapsed() < LINKS_GONE_WITHIN => thread::park_timeout(LOOK_EVERY),
            left => {
                let left = io::Error::other(format!("{left} ports are in use"));
                return Err(doing("remove the bridge")(left));
            }
        }
    }
    let _lock = lock()?;
    let (mut netlink, bridge) = maker.into_netlink();
    let links = links::list(&mut netlink).map_err(doing(listing))?;
    let mut of_servers = links.iter().filter(|link| is_of_a_server(link));
    let was_off = links.iter().any(|link| link.index == bridge && link.note == SWITCHED_ON);
    let is_last = of_servers.all(|link| link.index == bridge);
    if was_off && is_last {
        set(FORWARDING, "0").map_err(doing("switch forwarding off"))?;
    }
    links::remove(&mut netlink, bridge).map_err(doing("remove the bridge"))?;
    let table = names.table;
    nft::load(&format!("add table inet {table}\ndelete table inet {table}\n"))
        .map_err(doing("remove the table of nftables"))
}

/// Held by one server at a time, of all that have the same network namespace: it lies on that itself, and so leaves
/// nothing behind.
fn lock() -> Result<OwnedFd, NetworkError> {
    let what = "wait for another server's start";
    let namespace = own_namespace().map_err(doing(what))?;
    let begun = Instant::now();
    loop {
        match flock(namespace.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(namespace),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)
                if begun.elapsed() < OTHERS_WITHIN =>
            {
                thread::park_timeout(LOOK_EVERY);
            }
            Err(err) => return Err(doing(what)(err.into())),
        }
    }
}

/// Local and for one machine, as its second bit says; the rest follows from the server.
fn hardware(hash: u64) -> [u8; 6] {
    let [_, _, _, a, b, c, d, e] = hash.to_be_bytes();
    [0x02, a, b, c, d, e]
}

/// `gr` and eight digits.
fn is_of_a_server(link: &Link) -> bool {
    let digits = link.name.strip_prefix("gr").unwrap_or_default();
    link.kind.as_deref() == Some("bridge")
        && digits.len() == 8
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A way to other machines, between which a machine that forwards nothing lets nothing pass. Bridges and what is plugged
/// into them are other programs' matter.
fn is_uplink(link: &Link) -> bool {
    link.name != "lo" && !matches!(link.kind.as_deref(), Some("bridge" | "veth"))
}

fn doing(what: &'static str) -> impl Fn(io::Error) -> NetworkError {
    move |source| NetworkError { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, kind: Option<&str>) -> Link {
        let kind = kind.map(str::to_owned);
        Link { index: 1, name: name.to_owned(), kind, ..Link::default() }
    }

    #[test]
    fn names_fit_the_kernel_and_follow_from_the_server_alone() {
        let names = Names::of(0xcbf2_9ce4_8422_2325);
        assert_eq!(names.table, "groundrun-4fd0bfc1");
        assert_eq!(names.bridge, "gr4fd0bfc1");
        assert!(format!("{}-3fb", names.bridge).len() <= 15);
        assert!(is_of_a_server(&link(&names.bridge, Some("bridge"))));
    }

    #[test]
    fn only_bridges_of_servers_are_taken_for_such() {
        for other in ["grpc0", "gre0", "gr4fd0bfc1-000", "br-4fd0bfc1"] {
            assert!(!is_of_a_server(&link(other, Some("bridge"))), "{other}");
        }
        assert!(!is_of_a_server(&link("gr4fd0bfc1", Some("veth"))));
    }

    #[test]
    fn ways_to_other_machines_are_told_from_bridges() {
        assert!(is_uplink(&link("eth0", None)));
        assert!(is_uplink(&link("wg0", Some("wireguard"))));
        for (name, kind) in [("lo", None), ("docker0", Some("bridge")), ("veth1", Some("veth"))] {
            assert!(!is_uplink(&link(name, kind)), "{name}");
        }
    }

    #[test]
    fn what_tasks_have_without_pasta_is_said_in_one_line() {
        let missing = io::Error::new(io::ErrorKind::NotFound, "pasta is not installed");
        let said = without_outside(&missing, &BTreeSet::from([6379, 5432]));
        for part in ["pasta is not", "metadata", "host.docker.internal:5432,6379", "install passt"]
        {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains('\n'), "{said}");
        let said = without_outside(&io::Error::other("no /dev/net/tun"), &BTreeSet::new());
        assert!(said.contains("--host-port") && !said.contains("apt"), "{said}");
    }

    #[test]
    fn hardware_addresses_are_local_ones() {
        assert_eq!(hardware(u64::MAX)[0] & 0b11, 0b10);
    }
}
