//! What tasks reach by a second interface, tried in namespaces that stand for a machine, its networks and what is behind them.
//!
//! ```text
//!  task ── br0 10.8.0.0/24 ── neighbour 10.8.0.2, which leads to 10.77.0.5
//!    └── the server's bridge ── machine 198.51.100.1 ── outside 198.51.100.2, 203.0.113.9
//! ```
//!
//! Needs root and `nft`. Nothing of it touches the network of the machine that it runs on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use groundrun_core::needs::{Connection, Egress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
};

use super::{
    super::{
        MappedLink, MappedNetwork, Wanted, left, links,
        namespace::Namespace,
        netlink::Netlink,
        pool::{Leave, TakeError, TaskNetwork},
        private_ranges,
        tests::{Machine, OWN, ask, assert_refused, new_namespace, serve, wanted, within},
    },
    AttachError, Networks,
};

const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 2);
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const PORT: u16 = 7000;

/// A machine with the bridge `br0`, whose other end has a neighbour.
struct Town {
    machine: Machine,
    neighbour: OwnedFd,
}

impl Town {
    fn new() -> Self {
        let (machine, neighbour) = (Machine::new(), new_namespace());
        within(&machine.namespace, || {
            let mut netlink = Netlink::open().expect("a socket");
            add(&mut netlink, "br0", InfoKind::Bridge, None, &[]);
            let peer = (&neighbour, "eth0");
            let bridge = links::index_of(&mut netlink, "br0").expect("it is there");
            let port = [LinkAttribute::Controller(bridge)];
            add(&mut netlink, "toward", InfoKind::Veth, Some(peer), &port);
            for link in ["br0", "toward"] {
                let index = links::index_of(&mut netlink, link).expect("it is there");
                netlink.change(vec![links::up(index)]).expect("it is up");
            }
            links::give_default_route(&mut netlink, Ipv4Addr::new(198, 51, 100, 2)).expect("given");
        });
        within(&neighbour, || {
            let mut netlink = Netlink::open().expect("a socket");
            links::give_address(&mut netlink, "eth0", NEIGHBOUR, 24).expect("given");
            links::give_address(&mut netlink, "lo", BEHIND, 32).expect("given");
        });
        within(&machine.outside, || {
            let mut netlink = Netlink::open().expect("a socket");
            links::give_address(&mut netlink, "lo", PUBLIC, 32).expect("given");
            links::give_default_route(&mut netlink, OWN).expect("given");
        });
        serve(&neighbour, (Ipv4Addr::UNSPECIFIED, PORT));
        serve(&machine.outside, (PUBLIC, PORT));
        Self { machine, neighbour }
    }

    /// A server with this network of the name `blue`.
    fn server(&self, blue: MappedNetwork) -> (TaskNetwork, Arc<Networks>) {
        let networks = Arc::new(Networks::new([("blue".to_owned(), blue)].into(), None));
        let wanted = Wanted { networks: Arc::clone(&networks), ..wanted(1) };
        (self.machine.open(wanted), networks)
    }

    fn attached(
        &self,
        server: &(TaskNetwork, Arc<Networks>),
        egress: Egress,
    ) -> Result<(Namespace, Ipv4Addr), AttachError> {
        let mut task = server.0.take().expect("it is made");
        let connection = Connection { names: vec!["blue".to_owned()], egress };
        let address = within(&self.machine.namespace, || server.1.attach(&connection, &mut task))?;
        Ok((task, address))
    }
}

/// A link of this kind; the other end of a pair in another namespace.
fn add(
    netlink: &mut Netlink,
    name: &str,
    kind: InfoKind,
    peer: Option<(&OwnedFd, &str)>,
    further: &[LinkAttribute],
) {
    let mut infos = vec![LinkInfo::Kind(kind)];
    if let Some((namespace, name)) = peer {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        infos.push(LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))));
    }
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::LinkInfo(infos)];
    link.attributes.extend_from_slice(further);
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    netlink.change_one(RouteNetlinkMessage::NewLink(link), flags).expect("it is made");
}

/// `br0`, where the neighbour leads on.
fn bridge() -> MappedNetwork {
    MappedNetwork {
        link: MappedLink::Bridge("br0".to_owned()),
        range: "10.8.0.64/29".parse().expect("a range"),
        subnet: "10.8.0.0/24".parse().ok(),
        gateway: Some(NEIGHBOUR),
        private_ranges: private_ranges(),
    }
}

#[test]
fn a_private_range_is_reached_by_the_connection_alone_and_the_rest_as_before() {
    let town = Town::new();
    let server = town.server(bridge());
    let plain = server.0.take().expect("it is made");
    for address in [NEIGHBOUR, BEHIND] {
        assert_refused(&plain, (address, PORT));
    }
    let (task, address) = town.attached(&server, Egress::PrivateRanges).expect("it is attached");
    for there in [NEIGHBOUR, BEHIND] {
        assert_eq!(ask(&task, (there, PORT)).expect("it answers"), address.to_string());
    }
    assert_eq!(ask(&task, (PUBLIC, PORT)).expect("it answers"), OWN.to_string());
    let host = server.0.host().expect("it has an address");
    serve(&town.machine.namespace, (Ipv4Addr::LOCALHOST, 5432));
    assert_eq!(ask(&task, (host, 5432)).expect("the machine is reached"), "127.0.0.1");
    server.0.close(Leave::Standing);
}

#[test]
fn under_all_traffic_nothing_goes_the_other_way_and_the_machine_is_still_reached() {
    let town = Town::new();
    let server = town.server(bridge());
    let (task, address) = town.attached(&server, Egress::All).expect("it is attached");
    assert_eq!(ask(&task, (BEHIND, PORT)).expect("it answers"), address.to_string());
    assert_refused(&task, (PUBLIC, PORT));
    let host = server.0.host().expect("it has an address");
    serve(&town.machine.namespace, (Ipv4Addr::LOCALHOST, 5432));
    assert_eq!(ask(&task, (host, 5432)).expect("the machine is reached"), "127.0.0.1");
    server.0.close(Leave::Standing);
}

#[test]
fn without_a_gateway_only_neighbours_are_reached() {
    let town = Town::new();
    let server = town.server(MappedNetwork { gateway: None, ..bridge() });
    let (task, address) = town.attached(&server, Egress::All).expect("it is attached");
    assert_eq!(ask(&task, (NEIGHBOUR, PORT)).expect("it answers"), address.to_string());
    assert_refused(&task, (PUBLIC, PORT));
    server.0.close(Leave::Standing);
}

#[test]
fn tasks_reach_each_other_by_a_network_that_they_share_and_by_no_other() {
    let town = Town::new();
    let server = town.server(bridge());
    let (one, _) = town.attached(&server, Egress::PrivateRanges).expect("it is attached");
    let (two, address) = town.attached(&server, Egress::PrivateRanges).expect("it is attached");
    let alone = server.0.take().expect("it is made");
    for task in [&one, &two, &alone] {
        serve(&task.namespace, (Ipv4Addr::UNSPECIFIED, PORT));
    }
    assert!(ask(&one, (address, PORT)).is_ok(), "they share it");
    assert_refused(&one, (alone.address, PORT));
    assert_refused(&one, (two.address, PORT));
    assert_refused(&alone, (address, PORT));
    server.0.close(Leave::Standing);
}

#[test]
fn who_is_in_the_other_network_reaches_no_task_by_way_of_another() {
    let town = Town::new();
    let server = town.server(bridge());
    let (_task, address) = town.attached(&server, Egress::PrivateRanges).expect("it is attached");
    let alone = server.0.take().expect("it is made");
    serve(&alone.namespace, (Ipv4Addr::UNSPECIFIED, PORT));
    let answer = within(&town.neighbour, || {
        links::give_default_route(&mut Netlink::open().expect("a socket"), address).expect("given");
        std::net::TcpStream::connect_timeout(
            &(alone.address, PORT).into(),
            std::time::Duration::from_secs(1),
        )
    });
    assert!(answer.is_err(), "{answer:?}");
    server.0.close(Leave::Standing);
}

#[test]
fn the_api_is_not_reached_by_the_machines_address_in_the_other_network() {
    let town = Town::new();
    let machine = Ipv4Addr::new(10, 8, 0, 1);
    within(&town.machine.namespace, || {
        let mut netlink = Netlink::open().expect("a socket");
        links::give_address(&mut netlink, "br0", machine, 24).expect("given");
    });
    for port in [8080, PORT] {
        serve(&town.machine.namespace, (Ipv4Addr::UNSPECIFIED, port));
    }
    // What is not said of the network, the bridge says.
    let server = town.server(MappedNetwork { subnet: None, gateway: None, ..bridge() });
    let (task, address) = town.attached(&server, Egress::PrivateRanges).expect("it is attached");
    assert_eq!(ask(&task, (machine, PORT)).expect("it answers"), address.to_string());
    assert_refused(&task, (machine, 8080));
    server.0.close(Leave::Standing);
}

#[test]
fn an_interface_is_shared_with_its_neighbours() {
    let town = Town::new();
    within(&town.machine.namespace, || {
        let mut netlink = Netlink::open().expect("a socket");
        let index = links::index_of(&mut netlink, "toward").expect("it is there");
        links::remove(&mut netlink, index).expect("removed");
        add(&mut netlink, "eth5", InfoKind::Veth, Some((&town.neighbour, "eth0")), &[]);
        let index = links::index_of(&mut netlink, "eth5").expect("it is there");
        netlink.change(vec![links::up(index)]).expect("it is up");
    });
    within(&town.neighbour, || {
        let mut netlink = Netlink::open().expect("a socket");
        links::give_address(&mut netlink, "eth0", NEIGHBOUR, 24).expect("given");
    });
    let link = MappedLink::Interface("eth5".to_owned());
    let server = town.server(MappedNetwork { link, ..bridge() });
    let (task, address) = town.attached(&server, Egress::PrivateRanges).expect("it is attached");
    for there in [NEIGHBOUR, BEHIND] {
        assert_eq!(ask(&task, (there, PORT)).expect("it answers"), address.to_string());
    }
    server.0.close(Leave::Standing);
}

#[test]
fn addresses_are_given_once_also_by_a_later_server_and_again_when_they_are_free() {
    let town = Town::new();
    let server = town.server(bridge());
    let attached = |server| town.attached(server, Egress::PrivateRanges).expect("it is attached");
    let mut tasks: Vec<_> = (0..5).map(|_| attached(&server)).collect();
    server.0.close(Leave::Standing);
    let next = town.server(bridge());
    tasks.extend((0..3).map(|_| attached(&next)));
    let all: BTreeSet<Ipv4Addr> = tasks.iter().map(|(_, address)| *address).collect();
    assert_eq!(all.len(), 8, "all that the range has");
    let full = town.attached(&next, Egress::PrivateRanges).expect_err("none is left");
    assert!(matches!(TakeError::from(full), TakeError::Full(why) if why.contains("10.8.0.64/29")));
    let (gone, free) = tasks.remove(3);
    drop(gone);
    let again = (0..200).find_map(|_| {
        // The kernel takes the links of a namespace away a moment after it is closed.
        std::thread::park_timeout(std::time::Duration::from_millis(10));
        town.attached(&next, Egress::PrivateRanges).ok()
    });
    let (_again, address) = again.expect("it is free again");
    assert_eq!(address, free);
    next.0.close(Leave::Standing);
}

#[test]
fn nothing_of_a_connection_is_left() {
    let town = Town::new();
    let before = town.machine.state();
    let server = town.server(bridge());
    let (task, _) = town.attached(&server, Egress::All).expect("it is attached");
    let left = || within(&town.machine.namespace, || left::of(1)).expect("it is said");
    assert!(left().iter().any(|name| name.contains('_')), "its second port is told: {:?}", left());
    drop(task);
    server.0.close(Leave::Nothing);
    let after = town.machine.state();
    assert_eq!((after.0, after.2), (before.0, before.2), "links and forwarding");
}

#[test]
fn what_is_not_there_is_said_with_what_it_is_mapped_to() {
    let town = Town::new();
    let said = |link: MappedLink, change: fn(&mut MappedNetwork)| {
        let mut network = MappedNetwork { link, ..bridge() };
        change(&mut network);
        let networks = Networks::new([("blue".to_owned(), network)].into(), None);
        let connection =
            Connection { names: vec!["blue".to_owned()], egress: Egress::PrivateRanges };
        let checked = within(&town.machine.namespace, || networks.check(&connection));
        checked.expect_err("it is not there").to_string()
    };
    let bridge = |name: &str| MappedLink::Bridge(name.to_owned());
    let missing = said(bridge("br7"), |_| {});
    assert_eq!(
        missing,
        "VPC network 'blue' is mapped to bridge br7 of this machine: there is no link br7 here now \
         (`ip -br link` shows those that are)"
    );
    assert!(said(bridge("up0"), |_| {}).contains("say interface = \"up0\""));
    assert!(said(MappedLink::Interface("br0".to_owned()), |_| {}).contains("say bridge = \"br0\""));
    let elsewhere = said(bridge("br0"), |network| network.subnet = None);
    assert!(
        elsewhere.contains("has no address") && elsewhere.contains("10.8.0.64/29"),
        "{elsewhere}"
    );
    let other = Networks::new(BTreeMap::new(), None);
    let connection = Connection { names: vec!["a/b/red".to_owned()], egress: Egress::All };
    let said = other.check(&connection).expect_err("it is not mapped").to_string();
    assert_eq!(said, "VPC network 'red' is mapped to no network of this machine");
}

/// For people: `cargo test --release -p groundrun-host attach -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_a_second_interface_takes() {
    let town = Town::new();
    let range = "10.8.0.0/24".parse().expect("a range");
    let server = town.server(MappedNetwork { range, ..bridge() });
    let mut took = std::time::Duration::ZERO;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let mut task = server.0.take().expect("it is made");
            let connection = Connection { names: vec!["blue".to_owned()], egress: Egress::All };
            within(&town.machine.namespace, || {
                let begun = std::time::Instant::now();
                server.1.attach(&connection, &mut task).expect("it is attached");
                took += begun.elapsed();
            });
            task
        })
        .collect();
    println!("{:?} each", took / 100);
    drop(tasks);
    server.0.close(Leave::Nothing);
}
