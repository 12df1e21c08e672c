//! What a mapped network is on this machine now: its link, and what of its addresses follows from that.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{
    super::{
        links::{self, Link},
        mapped::{Ipv4Range, MappedLink, MappedNetwork},
        netlink::Netlink,
        subnet::Range,
    },
    docker::{self, DockerNetwork},
};

/// A network that tasks can be attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ground {
    pub(super) kind: Kind,
    /// Index of the link.
    pub(super) index: u32,
    /// Bytes of a packet on it.
    pub(super) mtu: u32,
    pub(super) subnet: Range,
    pub(super) gateway: Option<Ipv4Addr>,
    /// Addresses that are no task's.
    pub(super) others: Vec<Ipv4Addr>,
    pub(super) private_ranges: Vec<Range>,
}

/// How tasks are attached to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By a port.
    Bridge,
    /// By a macvlan.
    Interface,
}

/// Looks for it.
///
/// # Errors
/// Why it is not there, for a person.
pub(super) fn find(
    netlink: &mut Netlink,
    docker: &mut BTreeMap<String, DockerNetwork>,
    mapped: &MappedNetwork,
) -> Result<Ground, String> {
    let (kind, link, said) = match &mapped.link {
        MappedLink::Bridge(name) => (Kind::Bridge, look(netlink, name)?, None),
        MappedLink::Interface(name) => (Kind::Interface, look(netlink, name)?, None),
        MappedLink::Docker(network) => {
            let (link, said) = of_docker(netlink, docker, network)?;
            (Kind::Bridge, link, Some(said))
        }
    };
    match (kind, link.kind.as_deref()) {
        (Kind::Bridge, Some("bridge")) => {}
        (Kind::Bridge, _) => {
            return Err(format!("{0} is no bridge; say interface = \"{0}\"", link.name));
        }
        (Kind::Interface, Some("bridge")) => {
            return Err(format!("{0} is a bridge; say bridge = \"{0}\"", link.name));
        }
        (Kind::Interface, _) => {}
    }
    let asked = |err| format!("the kernel does not tell its addresses: {err}");
    let of_link = links::ranges_of(netlink, link.index).map_err(asked)?;
    let holds_range = |subnet: &Range| subnet.contains(mapped.range.0);
    let given = mapped.subnet.map(|subnet| subnet.0);
    let said_subnet = said.as_ref().and_then(|said| said.subnet).map(|subnet| subnet.0);
    let known = given.or(said_subnet).or_else(|| of_link.iter().copied().find(holds_range));
    let subnet = known.map(Range::whole).filter(holds_range).ok_or_else(|| {
        let has: Vec<String> =
            said_subnet.iter().chain(&of_link).map(|range| Ipv4Range(range.whole()).to_string()).collect();
        let has = if has.is_empty() { "has no address".to_owned() } else { format!("has {}", has.join(", ")) };
        format!(
            "{} {has}, and none of that holds the range {} for tasks; say subnet = \"…\" if that is right",
            link.name, mapped.range
        )
    })?;
    let own = of_link.iter().map(|range| range.address).find(|address| holds(subnet, *address));
    let mut of_machine = || links::gateway_by(netlink, link.index).ok().flatten();
    let gateway = mapped
        .gateway
        .or_else(|| said.and_then(|said| said.gateway))
        .or_else(|| of_machine().filter(|gateway| holds(subnet, *gateway)))
        // Nobody reaches the machine itself by a macvlan of its interface.
        .or(own.filter(|_| kind == Kind::Bridge));
    let first = subnet.first();
    let ends = [first, first.wrapping_add(subnet.size().wrapping_sub(1))].map(Ipv4Addr::from_bits);
    let others = ends.into_iter().chain(gateway).chain(of_link.iter().map(|range| range.address));
    Ok(Ground {
        kind,
        index: link.index,
        mtu: link.mtu,
        subnet,
        gateway,
        others: others.collect(),
        private_ranges: mapped.private_ranges.iter().map(|range| range.0).collect(),
    })
}

fn holds(subnet: Range, address: Ipv4Addr) -> bool {
    subnet.contains(Range { address, prefix: 32 })
}

fn look(netlink: &mut Netlink, name: &str) -> Result<Link, String> {
    links::named(netlink, name)
        .map_err(|err| format!("the kernel does not tell its links: {err}"))?
        .ok_or_else(|| {
            format!("there is no link {name} here now (`ip -br link` shows those that are)")
        })
}

/// Docker is asked once, and again when the bridge is gone: it may have made the network anew.
fn of_docker(
    netlink: &mut Netlink,
    known: &mut BTreeMap<String, DockerNetwork>,
    network: &str,
) -> Result<(Link, DockerNetwork), String> {
    if let Some(said) = known.get(network)
        && let Ok(link) = look(netlink, &said.bridge)
    {
        return Ok((link, said.clone()));
    }
    let said = docker::find(network)?;
    let link = look(netlink, &said.bridge)?;
    known.insert(network.to_owned(), said.clone());
    Ok((link, said))
}
