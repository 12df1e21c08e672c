//! What tasks reach and what they do not, tried in namespaces that stand for a machine, its surroundings and tasks.
//!
//! Needs root and `nft`. Nothing of it touches the network of the machine that it runs on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{
    Networks, Wanted, ground, left, links,
    namespace::{Namespace, own_namespace},
    netlink::Netlink,
    nft,
    pasta::Router,
    pool::{Leave, TaskNetwork},
    subnet::Range,
    sys,
};

/// Longer than any answer takes, shorter than anybody waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// A network namespace that stands for a machine; with an address of its own at 198.51.100.1, and another machine at
/// 198.51.100.2.
pub(super) struct Machine {
    pub(super) namespace: OwnedFd,
    pub(super) outside: OwnedFd,
}

pub(super) const OWN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

pub(super) fn new_namespace() -> OwnedFd {
    let made = thread::spawn(|| {
        sys::enter_new_namespace().expect("these tests need root");
        links::set_up_loopback(&mut Netlink::open().expect("a socket")).expect("it is up");
        own_namespace().expect("it is there")
    });
    made.join().expect("a namespace")
}

/// In a thread of its own, which is in the namespace.
pub(super) fn within<T: Send>(namespace: &OwnedFd, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).expect("it can be entered");
            act()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Machine {
    pub(super) fn new() -> Self {
        let (namespace, outside) = (new_namespace(), new_namespace());
        within(&namespace, || {
            let mut netlink = Netlink::open().expect("a socket");
            let mut peer = LinkMessage::default();
            peer.attributes = vec![
                LinkAttribute::IfName("eth0".to_owned()),
                LinkAttribute::NetNsFd(std::os::fd::AsRawFd::as_raw_fd(&outside)),
            ];
            let mut link = LinkMessage::default();
            link.attributes = vec![
                LinkAttribute::IfName("up0".to_owned()),
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::Kind(InfoKind::Veth),
                    LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
                ]),
            ];
            let flags = NLM_F_CREATE | NLM_F_EXCL;
            netlink.change_one(RouteNetlinkMessage::NewLink(link), flags).expect("made");
            links::give_address(&mut netlink, "up0", OWN, 24).expect("given");
        });
        within(&outside, || {
            let mut netlink = Netlink::open().expect("a socket");
            links::give_address(&mut netlink, "eth0", OTHER, 24).expect("given");
        });
        Self { namespace, outside }
    }

    pub(super) fn open(&self, wanted: Wanted) -> TaskNetwork {
        within(&self.namespace, || TaskNetwork::open(wanted)).expect("the network opens")
    }

    /// Its links, tables and the switch for forwarding.
    pub(super) fn state(&self) -> (BTreeSet<String>, String, String) {
        within(&self.namespace, || {
            let links = links::list(&mut Netlink::open().expect("a socket")).expect("listed");
            let names = links.into_iter().map(|link| link.name).collect();
            let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward");
            (names, nft::ruleset().expect("listed"), forwarding.expect("it is read"))
        })
    }
}

pub(super) fn wanted(hash: u64) -> Wanted {
    let networks = Arc::new(Networks::new(BTreeMap::new(), None));
    Wanted {
        hash,
        host_access: true,
        api_port: Some(8080),
        host_ports: BTreeSet::new(),
        networks,
        router: None,
    }
}

/// Answers each connection with the address that it comes from, as long as the test lives.
pub(super) fn serve(namespace: &OwnedFd, at: (Ipv4Addr, u16)) {
    let listener = within(namespace, || TcpListener::bind(at)).expect("it listens");
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let from = connection.peer_addr().expect("it has one").ip().to_string();
            connection.write_all(from.as_bytes()).ok();
        }
    });
}

/// What a task is told there.
pub(super) fn ask(task: &Namespace, at: (Ipv4Addr, u16)) -> io::Result<String> {
    within(&task.namespace, || {
        let mut connection = TcpStream::connect_timeout(&SocketAddr::from(at), PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut said = String::new();
        connection.read_to_string(&mut said)?;
        Ok(said)
    })
}

#[track_caller]
pub(super) fn assert_refused(task: &Namespace, at: (Ipv4Addr, u16)) {
    let asked = ask(task, at);
    assert!(asked.is_err(), "{at:?} said {asked:?}");
}

#[test]
fn a_task_reaches_the_outside_under_the_machines_address() {
    let machine = Machine::new();
    let network = machine.open(wanted(1));
    serve(&machine.outside, (Ipv4Addr::UNSPECIFIED, 7000));
    let task = network.take().expect("it is made");
    assert_eq!(ask(&task, (OTHER, 7000)).expect("it answers"), OWN.to_string());
    network.close(Leave::Standing);
}

#[test]
fn the_hosts_loopback_is_reached_by_its_address_alone_and_the_api_is_not() {
    let machine = Machine::new();
    for (address, port) in [(Ipv4Addr::LOCALHOST, 5432), (Ipv4Addr::UNSPECIFIED, 8080)] {
        serve(&machine.namespace, (address, port));
    }
    let network = machine.open(wanted(1));
    let task = network.take().expect("it is made");
    let host = network.host().expect("it has an address");
    assert_eq!(ask(&task, (host, 5432)).expect("it answers"), "127.0.0.1");
    let gateway = Ipv4Addr::from_bits(host.to_bits() - 1);
    for address in [host, gateway, OWN, Ipv4Addr::LOCALHOST] {
        assert_refused(&task, (address, 8080));
    }
    for address in [gateway, OWN, Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)] {
        assert_refused(&task, (address, 5432));
    }
    network.close(Leave::Standing);
}

#[test]
fn datagrams_reach_the_hosts_loopback_and_are_answered() {
    let machine = Machine::new();
    let service = within(&machine.namespace, || UdpSocket::bind("127.0.0.1:5353")).expect("bound");
    service.set_read_timeout(Some(PATIENCE)).expect("set");
    let network = machine.open(wanted(1));
    let task = network.take().expect("it is made");
    let host = network.host().expect("it has an address");
    let client = within(&task.namespace, || UdpSocket::bind("0.0.0.0:0")).expect("bound");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    client.send_to(b"a question", (host, 5353)).expect("sent");
    let (length, from) = service.recv_from(&mut [0; 64]).expect("it arrives");
    assert_eq!((length, from.ip()), (10, Ipv4Addr::LOCALHOST.into()));
    service.send_to(b"an answer", from).expect("sent");
    let (length, from) = client.recv_from(&mut [0; 64]).expect("it arrives");
    assert_eq!((length, from), (9, (host, 5353).into()));
    network.close(Leave::Standing);
}

#[test]
fn without_host_access_no_address_leads_to_the_hosts_loopback() {
    let machine = Machine::new();
    serve(&machine.namespace, (Ipv4Addr::LOCALHOST, 5432));
    let with = machine.open(wanted(1));
    let host = with.host().expect("it has an address");
    let task = with.take().expect("it is made");
    with.close(Leave::Standing);
    // The next server on that data directory, with the same bridge and a task that still runs.
    let without = machine.open(Wanted { host_access: false, ..wanted(1) });
    assert_eq!(without.host(), None);
    assert_refused(&task, (host, 5432));
    assert_refused(&without.take().expect("it is made"), (host, 5432));
    without.close(Leave::Standing);
}

#[test]
fn no_task_reaches_another_of_its_own_or_of_another_server() {
    let machine = Machine::new();
    let (one, two) = (machine.open(wanted(1)), machine.open(wanted(2)));
    let (task, neighbour) = (one.take().expect("made"), one.take().expect("made"));
    let stranger = two.take().expect("made");
    for other in [&neighbour, &stranger] {
        serve(&other.namespace, (Ipv4Addr::UNSPECIFIED, 7000));
        assert_refused(&task, (other.address, 7000));
        assert_eq!(ask(other, (other.address, 7000)).expect("itself"), other.address.to_string());
    }
    one.close(Leave::Standing);
    two.close(Leave::Standing);
}

#[test]
fn nobody_outside_is_let_through_to_a_task() {
    let machine = Machine::new();
    let network = machine.open(wanted(1));
    let task = network.take().expect("it is made");
    serve(&task.namespace, (Ipv4Addr::UNSPECIFIED, 7000));
    let answer = within(&machine.outside, || {
        let mut netlink = Netlink::open().expect("a socket");
        links::give_default_route(&mut netlink, OWN).expect("it has a way");
        TcpStream::connect_timeout(&(task.address, 7000).into(), PATIENCE)
    });
    assert!(answer.is_err());
    network.close(Leave::Standing);
}

#[test]
fn no_task_of_any_server_reaches_the_api_of_another() {
    let machine = Machine::new();
    serve(&machine.namespace, (Ipv4Addr::LOCALHOST, 9090));
    let one = machine.open(wanted(1));
    let task = one.take().expect("it is made");
    let api = (one.host().expect("it has an address"), 9090);
    assert!(ask(&task, api).is_ok(), "nobody's API yet");
    let two = machine.open(Wanted { api_port: Some(9090), ..wanted(2) });
    assert_refused(&task, api);
    one.close(Leave::Standing);
    two.close(Leave::Standing);
}

#[test]
fn the_sockets_of_the_services_are_in_the_tasks_namespace() {
    let machine = Machine::new();
    let network = machine.open(wanted(1));
    let task = network.take().expect("it is made");
    let (metadata, dns) = ((links::SERVICES, 80), (links::SERVICES, 53));
    let question = within(&task.namespace, || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        socket.send_to(b"who", dns).expect("sent");
        let connect = |at: (Ipv4Addr, u16)| TcpStream::connect_timeout(&at.into(), PATIENCE);
        (socket, connect(metadata).expect("it listens"), connect(dns).expect("it listens"))
    });
    let dns_udp = UdpSocket::from(task.sockets.dns_udp);
    assert_eq!(dns_udp.recv_from(&mut [0; 16]).expect("it waits there").0, 3);
    for listener in [task.sockets.metadata, task.sockets.dns_tcp] {
        TcpListener::from(listener).accept().expect("it waits there");
    }
    drop(question);
    network.close(Leave::Standing);
}

#[test]
fn a_task_may_listen_on_the_ports_of_the_services() {
    let machine = Machine::new();
    let network = machine.open(wanted(1));
    let task = network.take().expect("it is made");
    within(&task.namespace, || {
        for port in [80, 53] {
            TcpListener::bind(("0.0.0.0", port)).expect("nobody listens there");
            UdpSocket::bind(("0.0.0.0", port)).expect("nobody is bound there");
        }
    });
    network.close(Leave::Standing);
}

#[test]
fn an_address_is_not_given_again_while_anybody_has_it() {
    let machine = Machine::new();
    let network = machine.open(wanted(1));
    let tasks: Vec<Namespace> = (0..12).map(|_| network.take().expect("made")).collect();
    network.close(Leave::Standing);
    let next = machine.open(wanted(1));
    let more: Vec<Namespace> = (0..12).map(|_| next.take().expect("made")).collect();
    let all: BTreeSet<Ipv4Addr> = tasks.iter().chain(&more).map(|task| task.address).collect();
    assert_eq!(all.len(), 24);
    next.close(Leave::Standing);
}

#[test]
fn nothing_is_left_and_a_firewall_is_as_it_was() {
    let machine = Machine::new();
    within(&machine.namespace, || {
        nft::load("add table inet mine\nadd chain inet mine input { type filter hook input priority 0; }\nadd rule inet mine input ip saddr 192.0.2.9 drop\n")
    })
    .expect("loaded");
    let before = machine.state();
    let (one, two) = (machine.open(wanted(1)), machine.open(wanted(2)));
    let (task, other) = (one.take().expect("made"), two.take().expect("made"));
    assert_eq!(machine.state().2.trim(), "1");
    drop(task);
    one.close(Leave::Nothing);
    assert_eq!(machine.state().2.trim(), "1", "another server still needs it");
    drop(other);
    two.close(Leave::Nothing);
    let after = machine.state();
    assert_eq!((&after.0, &after.2), (&before.0, &before.2));
    assert_eq!(without_handles(&after.1), without_handles(&before.1));
}

#[test]
fn what_a_killed_server_left_is_found_and_cleared() {
    let machine = Machine::new();
    let before = machine.state();
    let network = machine.open(wanted(1));
    let task = network.take().expect("it is made");
    network.close(Leave::Standing);
    let left = || within(&machine.namespace, || left::of(1)).expect("it is said");
    let names = left();
    assert!(names.len() >= 3, "a bridge, a port and a table: {names:?}");
    assert!(left::of(1).expect("it is said").is_empty(), "of another machine");
    drop(task);
    within(&machine.namespace, || ground::clear(1)).expect("it is cleared");
    assert_eq!(left(), [""; 0]);
    let after = machine.state();
    assert_eq!((after.0, after.2), (before.0, before.2), "its links and forwarding");
    within(&machine.namespace, || ground::clear(1)).expect("nothing is no fault");
}

/// The kernel numbers rules on.
fn without_handles(ruleset: &str) -> String {
    ruleset
        .split("\"handle\"")
        .map(|part| part.trim_start_matches(|c: char| !c.is_alphabetic()))
        .collect()
}

#[test]
fn servers_that_start_at_once_choose_different_addresses() {
    let machine = Machine::new();
    let hosts = thread::scope(|scope| {
        // All would choose the same first.
        let threads: Vec<_> = (0..4u64)
            .map(|n| {
                scope.spawn({
                    let machine = &machine;
                    move || machine.open(wanted(n << 40))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it opens")).collect::<Vec<_>>()
    });
    let addresses: BTreeSet<_> = hosts.iter().map(|network| network.host()).collect();
    assert_eq!(addresses.len(), 4);
    hosts.into_iter().for_each(|network| network.close(Leave::Nothing));
}

#[test]
fn addresses_and_routes_of_the_machine_are_passed_over() {
    let machine = Machine::new();
    let used = within(&machine.namespace, || {
        links::used(&mut Netlink::open().expect("a socket")).expect("listed")
    });
    assert!(used.contains(&Range { address: OWN, prefix: 24 }), "{used:?}");
}

/// Set in the process that plays an ordinary user's server.
const USER: &str = "GROUNDRUN_TEST_OF_A_USER";

#[test]
fn an_ordinary_users_tasks_reach_the_same_by_way_of_pasta() {
    if std::env::var_os(USER).is_some() {
        return as_a_user();
    }
    let machine = Machine::new();
    serve(&machine.outside, (Ipv4Addr::UNSPECIFIED, 7000));
    for port in [5432, 8080] {
        serve(&machine.namespace, (Ipv4Addr::UNSPECIFIED, port));
    }
    let (succeeded, said) = within(&machine.namespace, || {
        links::give_default_route(&mut Netlink::open().expect("a socket"), OTHER).expect("given");
        again_as_a_user("an_ordinary_users_tasks_reach_the_same_by_way_of_pasta", None)
    });
    assert!(succeeded, "{said:?}");
}

/// Runs one test again in a user namespace, with `programs` before the others; whether it passed, and what it said.
fn again_as_a_user(test: &str, programs: Option<&Path>) -> (bool, [String; 2]) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = programs.map(Path::to_path_buf).into_iter();
    let path = std::env::join_paths(first.chain(std::env::split_paths(&path))).expect("a path");
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(std::env::current_exe().expect("it is there"))
        .args(["--exact", "--nocapture"])
        .arg(format!("network::tests::{test}"))
        .env(USER, "1")
        .env("PATH", path)
        .output()
        .expect("unshare runs");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said)
}

/// A network namespace of the user's own, and the pipe that holds it and pasta.
fn router() -> (Arc<Router>, OwnedFd) {
    let namespace = thread::spawn(|| {
        sys::enter_new_namespace().expect("the user namespace owns it");
        own_namespace().expect("it is there")
    });
    let namespace = namespace.join().expect("a namespace");
    let (end, hold) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    (Arc::new(Router { namespace, hold }), end)
}

#[test]
fn a_pasta_that_cannot_begin_is_not_waited_for() {
    if std::env::var_os(USER).is_some() {
        let (router, _end) = router();
        let begun = Instant::now();
        let network = TaskNetwork::open(Wanted { router: Some(router), ..wanted(1) });
        let network = network.expect("tasks have their services all the same");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert_eq!(network.host(), None);
        return network.close(Leave::Nothing);
    }
    let programs = tempfile::tempdir().expect("a directory");
    let pasta = programs.path().join("pasta");
    fs::write(&pasta, "#!/bin/sh\necho no tun >&2\nexit 1\n").expect("written");
    fs::set_permissions(&pasta, fs::Permissions::from_mode(0o755)).expect("it may be executed");
    let (succeeded, said) =
        again_as_a_user("a_pasta_that_cannot_begin_is_not_waited_for", Some(programs.path()));
    assert!(succeeded, "{said:?}");
}

/// In a user namespace, and in the machine's network.
fn as_a_user() {
    let (router, end) = router();
    let wanted = Wanted { router: Some(Arc::clone(&router)), ..wanted(1) };
    let network = TaskNetwork::open(wanted.clone()).expect("the network opens");
    let host = network.host().expect("it has an address");
    let task = network.take().expect("it is made");
    assert_eq!(ask(&task, (OTHER, 7000)).expect("it answers"), OWN.to_string());
    assert_eq!(ask(&task, (host, 5432)).expect("it answers"), "127.0.0.1");
    for at in [(host, 8080), (OWN, 5432), (OWN, 8080), (Ipv4Addr::LOCALHOST, 5432)] {
        assert_refused(&task, at);
    }
    network.close(Leave::Standing);
    // The next server on that data directory, while a task runs.
    let next = TaskNetwork::open(wanted).expect("the network opens");
    assert_eq!(next.host(), Some(host));
    let other = next.take().expect("it is made");
    assert_eq!(ask(&other, (OTHER, 7000)).expect("it answers"), OWN.to_string());
    drop((task, other));
    next.close(Leave::Nothing);
    let links = || {
        within(&router.namespace, || {
            links::list(&mut Netlink::open().expect("a socket")).expect("listed").len()
        })
    };
    assert_eq!(links(), 2, "the loopback, and pasta's");
    drop(end);
}

/// Says with `--nocapture` how long one takes.
#[test]
fn two_hundred_namespaces_come_with_addresses_of_their_own_and_go() {
    let machine = Machine::new();
    let before = machine.state();
    let network = machine.open(wanted(1));
    let begun = Instant::now();
    let tasks: Vec<Namespace> = (0..200).map(|_| network.take().expect("made")).collect();
    println!("{:?} each", begun.elapsed() / 200);
    let addresses: BTreeSet<Ipv4Addr> = tasks.iter().map(|task| task.address).collect();
    assert_eq!(addresses.len(), 200);
    let begun = Instant::now();
    drop(tasks);
    network.close(Leave::Nothing);
    println!("{:?} for 200 to go", begun.elapsed());
    assert_eq!(machine.state(), before);
}
