//! Links, addresses and routes, as messages to the kernel.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsRawFd, BorrowedFd},
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoData, InfoKind,
        InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    },
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};
use rustix::io::Errno;

use super::{
    netlink::{Change, Netlink, Refused},
    subnet::{PREFIX, Range, Subnet},
};

/// The loopback's index, in every network namespace.
const LOOPBACK: u32 = 1;

/// The one other link of a task, by its name there.
const INSIDE: &str = "eth0";

/// Where metadata and names are answered in every task's namespace.
pub(crate) const SERVICES: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// A link as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// `bridge`, `veth` and so on; none for hardware.
    pub(super) kind: Option<String>,
    /// What somebody wrote on it.
    pub(super) note: String,
    /// Index of the bridge that it is a port of.
    pub(super) bridge: Option<u32>,
    /// Bytes of a packet.
    pub(super) mtu: u32,
}

/// All links of the namespace.
pub(super) fn list(netlink: &mut Netlink) -> io::Result<Vec<Link>> {
    let found = netlink.list(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    Ok(found.into_iter().filter_map(link).collect())
}

fn link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link { index: message.header.index, ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(note) => link.note = note,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(bridge) => link.bridge = Some(bridge),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(link)
}

/// The link of this name; none where there is none.
pub(super) fn named(netlink: &mut Netlink, name: &str) -> io::Result<Option<Link>> {
    let mut wanted = LinkMessage::default();
    wanted.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    match netlink.ask(RouteNetlinkMessage::GetLink(wanted)) {
        Ok(found) => Ok(link(found)),
        // A name that is too long for a link is that of none.
        Err(err) if is(&err, Errno::NODEV) || is(&err, Errno::RANGE) => Ok(None),
        Err(err) => Err(err),
    }
}

/// A new bridge, up, with the gateway's and the host's address of `subnet`. It speaks IPv4 only.
pub(super) fn add_bridge(
    netlink: &mut Netlink,
    name: &str,
    hardware: [u8; 6],
    subnet: Subnet,
) -> io::Result<u32> {
    let mut bridge = LinkMessage::default();
    bridge.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        // Without an address of its own it takes one of its ports', and another when that goes: tasks would look for it.
        LinkAttribute::Address(hardware.to_vec()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    netlink.change_one(RouteNetlinkMessage::NewLink(bridge), NLM_F_CREATE | NLM_F_EXCL)?;
    let index = index_of(netlink, name)?;
    without_ipv6(netlink.change(vec![no_ipv6(name)]), 0)?;
    let addresses = vec![
        added_address(index, subnet.gateway(), PREFIX),
        added_address(index, subnet.host(), 32),
        up(index),
    ];
    netlink.change(addresses).map_err(|refused| refused.why)?;
    Ok(index)
}

/// Writes a note on a link, for people and for other servers.
pub(super) fn write_note(netlink: &mut Netlink, index: u32, note: &str) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = vec![LinkAttribute::IfAlias(note.to_owned())];
    netlink.change_one(RouteNetlinkMessage::SetLink(link), 0)
}

/// The same on the link of this name.
pub(super) fn write_note_of(netlink: &mut Netlink, name: &str, note: &str) -> io::Result<()> {
    let index = index_of(netlink, name)?;
    write_note(netlink, index, note)
}

/// What is written on the link of this name; none where there is no such link.
pub(super) fn note_of(netlink: &mut Netlink, name: &str) -> Option<String> {
    named(netlink, name).ok().flatten().map(|link| link.note)
}

/// Sets a port of somebody's bridge up, which speaks IPv4 only.
pub(super) fn set_port_up(netlink: &mut Netlink, name: &str) -> io::Result<()> {
    let index = index_of(netlink, name)?;
    without_ipv6(netlink.change(vec![no_ipv6(name), up(index)]), 0)
}

/// Removes a link.
pub(super) fn remove(netlink: &mut Netlink, index: u32) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    netlink.change_one(RouteNetlinkMessage::DelLink(link), 0)
}

/// Whether a new port could take a name.
#[must_use]
pub(super) enum Port {
    Made,
    /// Somebody has it.
    Taken,
}

/// A new pair of links: a port of the bridge here, and [`INSIDE`] in `namespace`. The port reaches the bridge alone, no other
/// port.
pub(super) fn add_port(
    netlink: &mut Netlink,
    bridge: u32,
    name: &str,
    namespace: BorrowedFd<'_>,
) -> io::Result<Port> {
    let mut inside = LinkMessage::default();
    inside.attributes = vec![
        LinkAttribute::IfName(INSIDE.to_owned()),
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
    ];
    let mut port = LinkMessage::default();
    port.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Controller(bridge),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside))),
        ]),
    ];
    // The kernel reads what is meant for the bridge only of a port that is there.
    let mut isolated = LinkMessage::default();
    isolated.header.flags = LinkFlags::Up;
    isolated.header.change_mask = LinkFlags::Up;
    isolated.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::Isolated(true)])),
        ]),
    ];
    let made = netlink.change(vec![
        Change { message: RouteNetlinkMessage::NewLink(port), flags: NLM_F_CREATE | NLM_F_EXCL },
        Change { message: RouteNetlinkMessage::NewLink(isolated), flags: 0 },
        no_ipv6(name),
    ]);
    match made {
        Err(refused) if refused.at == 0 && is(&refused.why, Errno::EXIST) => Ok(Port::Taken),
        made => without_ipv6(made, 2).map(|()| Port::Made),
    }
}

/// Sets up the links of a task's namespace, through a socket of it; with the address of the host on its loopback, if that is
/// given, where sockets of its own stand for the host.
pub(super) fn set_up_inside(
    netlink: &mut Netlink,
    subnet: Subnet,
    address: Ipv4Addr,
    host: Option<Ipv4Addr>,
) -> io::Result<()> {
    set_up_loopback(netlink)?;
    let index = index_of(netlink, INSIDE)?;
    let mut way_out =
        vec![added_address(index, address, PREFIX), up(index), default_route(subnet.gateway())];
    way_out.extend(host.map(|host| added_address(LOOPBACK, host, 32)));
    netlink.change(way_out).map_err(|refused| refused.why)
}

/// Sets up the loopback of a task's namespace, with the address of the services.
pub(super) fn set_up_loopback(netlink: &mut Netlink) -> io::Result<()> {
    let changes = vec![added_address(LOOPBACK, SERVICES, 32), up(LOOPBACK)];
    netlink.change(changes).map_err(|refused| refused.why)
}

/// Every address that the machine has, and every range that it knows a way to.
pub(super) fn used(netlink: &mut Netlink) -> io::Result<Vec<Range>> {
    let mut used = Vec::new();
    for found in addresses(netlink)? {
        let prefix = found.header.prefix_len;
        used.extend(address_of(&found).map(|address| Range { address, prefix }));
    }
    let mut routes = RouteMessage::default();
    routes.header.address_family = AddressFamily::Inet;
    for found in netlink.list(RouteNetlinkMessage::GetRoute(routes))? {
        let RouteNetlinkMessage::NewRoute(found) = found else { continue };
        let prefix = found.header.destination_prefix_length;
        used.extend(found.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                Some(Range { address: *address, prefix })
            }
            _ => None,
        }));
    }
    Ok(used)
}

/// The machine's addresses that others can reach.
pub(super) fn own_addresses(netlink: &mut Netlink) -> io::Result<Vec<Ipv4Addr>> {
    let found = addresses(netlink)?;
    Ok(found.iter().filter_map(address_of).filter(|address| !address.is_loopback()).collect())
}

/// The range that a bridge of an earlier server has.
pub(super) fn subnet_of(netlink: &mut Netlink, bridge: u32) -> io::Result<Option<Subnet>> {
    let found = addresses(netlink)?;
    let mut of_bridge = found
        .iter()
        .filter(|found| found.header.index == bridge && found.header.prefix_len == PREFIX);
    Ok(of_bridge.find_map(address_of).map(Subnet::of))
}

/// The addresses of a link, each with the prefix of its range.
pub(super) fn ranges_of(netlink: &mut Netlink, index: u32) -> io::Result<Vec<Range>> {
    let found = addresses(netlink)?;
    let of_link = found.iter().filter(|found| found.header.index == index);
    Ok(of_link
        .filter_map(|found| {
            address_of(found).map(|address| Range { address, prefix: found.header.prefix_len })
        })
        .collect())
}

/// Whom the machine itself asks to lead on by this link: the neighbour of its broadest such way.
pub(super) fn gateway_by(netlink: &mut Netlink, index: u32) -> io::Result<Option<Ipv4Addr>> {
    let mut routes = RouteMessage::default();
    routes.header.address_family = AddressFamily::Inet;
    let mut found = Vec::new();
    for route in netlink.list(RouteNetlinkMessage::GetRoute(routes))? {
        let RouteNetlinkMessage::NewRoute(route) = route else { continue };
        let is_by = route.attributes.contains(&RouteAttribute::Oif(index));
        let gateway = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(*gateway),
            _ => None,
        });
        let prefix = route.header.destination_prefix_length;
        found.extend(gateway.filter(|_| is_by).map(|gateway| (prefix, gateway)));
    }
    Ok(found.into_iter().min().map(|(_, gateway)| gateway))
}

fn addresses(netlink: &mut Netlink) -> io::Result<Vec<AddressMessage>> {
    let mut all = AddressMessage::default();
    all.header.family = AddressFamily::Inet;
    let found = netlink.list(RouteNetlinkMessage::GetAddress(all))?;
    Ok(found
        .into_iter()
        .filter_map(|found| match found {
            RouteNetlinkMessage::NewAddress(found) => Some(found),
            _ => None,
        })
        .collect())
}

fn address_of(message: &AddressMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })
}

pub(super) fn index_of(netlink: &mut Netlink, name: &str) -> io::Result<u32> {
    let mut wanted = LinkMessage::default();
    wanted.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    match netlink.ask(RouteNetlinkMessage::GetLink(wanted))? {
        RouteNetlinkMessage::NewLink(found) => Ok(found.header.index),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

pub(super) fn added_address(index: u32, address: Ipv4Addr, prefix: u8) -> Change {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.attributes =
        vec![AddressAttribute::Local(address.into()), AddressAttribute::Address(address.into())];
    Change { message: RouteNetlinkMessage::NewAddress(message), flags: NLM_F_CREATE | NLM_F_EXCL }
}

pub(super) fn up(index: u32) -> Change {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    Change { message: RouteNetlinkMessage::SetLink(link), flags: 0 }
}

fn default_route(gateway: Ipv4Addr) -> Change {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Boot;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway))];
    Change { message: RouteNetlinkMessage::NewRoute(route), flags: NLM_F_CREATE | NLM_F_EXCL }
}

/// A link makes no IPv6 address by itself, and so has none.
fn no_ipv6(name: &str) -> Change {
    let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![none])]),
    ];
    Change { message: RouteNetlinkMessage::NewLink(link), flags: 0 }
}

/// A kernel without IPv6 refuses to switch it off, as the change at this place asks.
fn without_ipv6(changed: Result<(), Refused>, at: usize) -> io::Result<()> {
    match changed {
        Err(refused) if refused.at == at && is(&refused.why, Errno::AFNOSUPPORT) => Ok(()),
        changed => changed.map_err(|refused| refused.why),
    }
}

/// For namespaces that tests make: an address for a link that is there, and the link up.
#[cfg(test)]
pub(super) fn give_address(
    netlink: &mut Netlink,
    name: &str,
    address: Ipv4Addr,
    prefix: u8,
) -> io::Result<()> {
    let index = index_of(netlink, name)?;
    let changes = vec![added_address(index, address, prefix), up(index)];
    netlink.change(changes).map_err(|refused| refused.why)
}

/// Likewise: a way to everywhere.
#[cfg(test)]
pub(super) fn give_default_route(netlink: &mut Netlink, gateway: Ipv4Addr) -> io::Result<()> {
    netlink.change(vec![default_route(gateway)]).map_err(|refused| refused.why)
}

fn is(err: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(err) == Some(errno)
}
