//! The second interface itself: messages to the kernel.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd},
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{
        InfoData, InfoKind, InfoMacVlan, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
        MacVlanMode,
    },
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};
use rustix::io::Errno;

use super::{
    super::{
        links,
        namespace::Namespace,
        netlink::{Change, Netlink},
    },
    ground::{Ground, Kind},
    route::{By, Way},
};

/// By which the task knows it.
const SECOND: &str = "eth1";

/// Makes it, one end in the namespace.
pub(super) fn add(
    netlink: &mut Netlink,
    ground: &Ground,
    namespace: &Namespace,
    address: Ipv4Addr,
) -> io::Result<()> {
    match ground.kind {
        Kind::Bridge => add_port(netlink, ground, namespace, address),
        Kind::Interface => add_macvlan(netlink, ground, namespace, address),
    }
}

/// The other end is a port of the bridge, up.
fn add_port(
    netlink: &mut Netlink,
    ground: &Ground,
    namespace: &Namespace,
    address: Ipv4Addr,
) -> io::Result<()> {
    let name = namespace.port.replace('-', "_");
    let mut port = LinkMessage::default();
    port.attributes = vec![
        LinkAttribute::IfName(name.clone()),
        LinkAttribute::Mtu(ground.mtu),
        LinkAttribute::Controller(ground.index),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside(ground, namespace, address)))),
        ]),
    ];
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    let made = netlink.change_one(RouteNetlinkMessage::NewLink(port.clone()), flags);
    if made.as_ref().is_err_and(|err| Errno::from_io_error(err) == Some(Errno::EXIST)) {
        // The first port of that number is new: this one is left of a namespace that is being closed.
        if let Some(left) = links::named(netlink, &name)? {
            // It may be gone by now.
            let _ = links::remove(netlink, left.index);
        }
        netlink.change_one(RouteNetlinkMessage::NewLink(port), flags)?;
    } else {
        made?;
    }
    links::set_port_up(netlink, &name)
}

/// A neighbour of the machine's interface, which other such neighbours reach too.
fn add_macvlan(
    netlink: &mut Netlink,
    ground: &Ground,
    namespace: &Namespace,
    address: Ipv4Addr,
) -> io::Result<()> {
    let mut link = inside(ground, namespace, address);
    link.attributes.extend([
        LinkAttribute::Link(ground.index),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)])),
        ]),
    ]);
    let made = netlink.change_one(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL);
    made.map_err(|err| match Errno::from_io_error(&err) {
        Some(Errno::OPNOTSUPP) => io::Error::other("the kernel has no macvlan (modprobe macvlan)"),
        _ => err,
    })
}

/// The end that the task has. Its hardware address follows from the other: who knew an earlier task there by that finds the
/// later one.
fn inside(ground: &Ground, namespace: &Namespace, address: Ipv4Addr) -> LinkMessage {
    let [a, b, c, d] = address.octets();
    let mut inside = LinkMessage::default();
    inside.attributes = vec![
        LinkAttribute::IfName(SECOND.to_owned()),
        LinkAttribute::Mtu(ground.mtu),
        LinkAttribute::Address(vec![0x02, 0x67, a, b, c, d]),
        LinkAttribute::NetNsFd(namespace.namespace.as_fd().as_raw_fd()),
    ];
    inside
}

/// Sets it up, through a socket of the namespace.
pub(super) fn set_up(
    inside: &mut Netlink,
    ground: &Ground,
    address: Ipv4Addr,
    ways: &[Way],
) -> io::Result<()> {
    let index = links::index_of(inside, SECOND)?;
    let mut changes =
        vec![links::added_address(index, address, ground.subnet.prefix), links::up(index)];
    changes.extend(ways.iter().map(|way| change(*way, index)));
    inside.change(changes).map_err(|refused| refused.why)
}

/// In place of a way there that is led elsewhere: the default one.
fn change(way: Way, index: u32) -> Change {
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Boot;
    route.header.destination_prefix_length = way.to.prefix;
    (route.header.kind, route.header.scope) = match way.by {
        By::Nobody => (RouteType::Unreachable, RouteScope::Universe),
        By::Gateway(_) => (RouteType::Unicast, RouteScope::Universe),
        By::Neighbours => (RouteType::Unicast, RouteScope::Link),
    };
    if way.to.prefix > 0 {
        route.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(way.to.address)));
    }
    if let By::Gateway(gateway) = way.by {
        route.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    }
    if way.by != By::Nobody {
        route.attributes.push(RouteAttribute::Oif(index));
    }
    let message = RouteNetlinkMessage::NewRoute(route);
    Change { message, flags: NLM_F_CREATE | NLM_F_REPLACE }
}
