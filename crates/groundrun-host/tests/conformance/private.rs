//! What this backend promises about private networks. What they let through is tested beside their code.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use groundrun_core::{
    id::AttemptId,
    port::{Action, Backend},
    record::Ending,
};
use groundrun_host::{
    HostConfig, Network, PrivateNetwork,
    network::{TaskServices, TaskSockets},
};
use testkit::conformance::{Place, Witness, attempt, bounded};

use crate::{
    here::{Scenario, assert_good},
    place::HostPlace,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("in a private network there are a loopback and one way out", links),
    ("the services have a task's sockets from its start to its end", attended),
    ("a restarted server has the sockets of a task that still runs", adopted),
    ("a killed task leaves no link and no table", killed),
];

/// Who attends to which task, in order.
static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());

struct Recorder;

enum Seen {
    Attended(AttemptId, TaskSockets),
    Left(AttemptId),
}

impl TaskServices for Recorder {
    fn attend(&self, id: AttemptId, sockets: TaskSockets) {
        SEEN.lock().expect("nobody panicked").push(Seen::Attended(id, sockets));
    }

    fn leave(&self, id: AttemptId) {
        let mut seen = SEEN.lock().expect("nobody panicked");
        // A server closes them.
        seen.retain(|one| !matches!(one, Seen::Attended(known, _) if *known == id));
        seen.push(Seen::Left(id));
    }
}

fn private(config: &mut HostConfig) {
    config.network = Network::Private(PrivateNetwork {
        host_access: true,
        api_port: None,
        host_ports: BTreeSet::new(),
        services: Arc::new(Recorder),
    });
}

/// The sockets that the services have of a task.
fn sockets_of(id: AttemptId) -> TaskSockets {
    bounded(|| {
        let mut seen = SEEN.lock().expect("nobody panicked");
        let at =
            seen.iter().position(|one| matches!(one, Seen::Attended(known, _) if *known == id));
        match at.map(|at| seen.remove(at)) {
            Some(Seen::Attended(_, sockets)) => Ok(sockets),
            _ => Err("nobody attends to it"),
        }
    })
}

fn is_left(id: AttemptId) -> bool {
    let seen = SEEN.lock().expect("nobody panicked");
    seen.iter().any(|one| matches!(one, Seen::Left(known) if *known == id))
}

/// The devices that `/proc/net/dev` names.
fn devices(table: &str) -> Vec<&str> {
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect()
}

fn tables() -> String {
    let output = Command::new("nft").args(["list", "tables"]).output().expect("nft runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Drops the backend, and fails when it leaves a link or a table.
fn assert_nothing_left(place: &mut HostPlace, id: AttemptId, backend: Box<dyn Backend>) {
    backend.apply(Action::Forget(id));
    bounded(|| match place.leftovers(id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    drop(backend);
    let table = fs::read_to_string("/proc/self/net/dev").expect("it is read");
    assert_eq!(devices(&table), ["lo"]);
    assert_eq!(tables(), "");
}

fn links(place: &mut HostPlace) {
    place.configure = private;
    let spec = attempt(place, &["cat", "/proc/net/dev"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    assert!(tables().starts_with("table inet groundrun-"));
    backend.apply(Action::Start(Box::new(spec.clone())));
    assert_good(&witness.ended(spec.id));
    assert_eq!(devices(&place.lines(spec.id).join("\n")), ["lo", "eth0"]);
    assert_nothing_left(place, spec.id, backend);
}

/// On ports that programs do not use, so that port 80 and 53 are the task's own.
fn assert_bound(sockets: TaskSockets) {
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let metadata = TcpListener::from(sockets.metadata);
    assert_eq!(metadata.local_addr().expect("it is bound"), at(61_680));
    assert_eq!(UdpSocket::from(sockets.dns_udp).local_addr().expect("it is bound"), at(61_653));
    assert_eq!(TcpListener::from(sockets.dns_tcp).local_addr().expect("it is bound"), at(61_653));
}

/// An attempt that runs in a private network, whom its news is told, and where it was started.
fn sleeping(place: &mut HostPlace) -> (AttemptId, Arc<Witness>, Box<dyn Backend>) {
    place.configure = private;
    let spec = attempt(place, &["sleep", "300"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    let id = spec.id;
    backend.apply(Action::Start(Box::new(spec)));
    witness.started(id);
    (id, witness, backend)
}

fn attended(place: &mut HostPlace) {
    let (id, witness, backend) = sleeping(place);
    assert_bound(sockets_of(id));
    assert!(!is_left(id));
    backend.apply(Action::Stop { id, grace: Duration::ZERO });
    let _: Ending = witness.ended(id);
    assert!(is_left(id));
    assert_nothing_left(place, id, backend);
}

fn adopted(place: &mut HostPlace) {
    let (id, _, backend) = sleeping(place);
    drop(sockets_of(id));
    drop(backend);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Adopt(id));
    witness.started(id);
    assert_bound(sockets_of(id));
    backend.apply(Action::Stop { id, grace: Duration::ZERO });
    let _: Ending = witness.ended(id);
    assert_nothing_left(place, id, backend);
}

fn killed(place: &mut HostPlace) {
    let (id, witness, backend) = sleeping(place);
    place.kill_monitor(id);
    assert!(matches!(witness.ended(id), Ending::Lost { .. }));
    assert!(is_left(id));
    assert_nothing_left(place, id, backend);
}
