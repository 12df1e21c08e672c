//! Several containers in one attempt: their order, what they share, and how one ends all.

use std::{net::TcpListener, sync::Arc, time::Duration};

use groundrun_core::{
    port::{Action, AttemptSpec, Medium, MountSpec, Probe, ProbeCheck, VolumeKind, VolumeSpec},
    record::{Cause, Ending, Exit},
};

use super::{
    Place, Scenario, Witness, attempt,
    begin::{run, start},
    bounded,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a container starts when what it depends on answers, and they meet on localhost", order),
    ("a container that fails ends the others and is named", one_fails),
    ("a sidecar ends with the last of the others", sidecar),
    ("a startup probe that fails too often is told with its container", probe_fails),
    ("each container has its own limit of memory", own_limits),
    ("a volume is shared by containers and held to its size", volumes),
    ("a volume on disk is held to its size, or refused", bounded_on_disk),
    ("a stop ends all containers and nothing is left of them", stop),
    ("when the monitor of several containers is killed nothing is left of them", monitor_killed),
];

/// One container for each name, with its arguments.
fn several(place: &dyn Place, containers: &[(&str, &[&str])]) -> AttemptSpec {
    let mut spec = attempt(place, &[]);
    let one = spec.containers.remove(0);
    for (name, arguments) in containers {
        let mut container = one.clone();
        container.name = (*name).to_owned();
        container.args = arguments.iter().map(|word| (*word).to_owned()).collect();
        spec.containers.push(container);
    }
    spec
}

#[track_caller]
fn assert_ended(ending: &Ending, name: &str, expected: (Exit, Cause)) {
    match ending {
        Ending::Exited { exit, cause, container, .. } => {
            assert_eq!((*exit, *cause), expected, "{ending:?}");
            assert_eq!(container.as_deref(), Some(name));
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_good(ending: &Ending) {
    let good = matches!(ending, Ending::Exited { exit: Exit::Code(0), cause: Cause::OnItsOwn, .. });
    assert!(good, "{ending:?}");
}

fn tcp(port: u16) -> Option<Probe> {
    Some(Probe {
        check: ProbeCheck::TcpSocket { port },
        initial_delay: Duration::ZERO,
        timeout: Duration::from_secs(1),
        period: Duration::from_millis(100),
        failure_threshold: 200,
    })
}

/// One that nobody listens on, in case containers are on this process's network.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// `main` depends on `server`, which is probed.
fn behind_server(place: &dyn Place, main: &[&str], port: u16, more: &[&str]) -> AttemptSpec {
    let port_text = port.to_string();
    let serve = [&["serve", port_text.as_str(), "hello\n"][..], more].concat();
    let mut spec = several(place, &[("main", main), ("server", &serve)]);
    spec.containers[0].depends_on = vec!["server".to_owned()];
    spec.containers[1].startup_probe = tcp(port);
    spec
}

fn order(place: &mut dyn Place) {
    let port = free_port();
    let spec = behind_server(place, &["fetch", &port.to_string()], port, &["0.5"]);
    assert_ended(&run(place, &spec), "main", (Exit::Code(0), Cause::OnItsOwn));
    assert_eq!(place.lines(spec.id), ["listening", "hello"]);
}

fn one_fails(place: &mut dyn Place) {
    let containers: [(&str, &[&str]); 3] =
        [("a", &["wait-term", "0"]), ("b", &["exit", "7"]), ("c", &["sleep", "300"])];
    let mut spec = several(place, &containers);
    spec.grace = Duration::from_millis(500);
    assert_ended(&run(place, &spec), "b", (Exit::Code(7), Cause::OnItsOwn));
}

fn sidecar(place: &mut dyn Place) {
    let mut spec = several(place, &[("main", &["sleep", "0.3"]), ("sidecar", &["wait-term", "9"])]);
    spec.containers[0].depends_on = vec!["sidecar".to_owned()];
    assert_ended(&run(place, &spec), "main", (Exit::Code(0), Cause::OnItsOwn));
}

fn probe_fails(place: &mut dyn Place) {
    let mut spec = behind_server(place, &["args", "never"], free_port(), &["300"]);
    let probe = spec.containers[1].startup_probe.as_mut().expect("it has one");
    probe.failure_threshold = 3;
    match run(place, &spec) {
        Ending::ProbeFailed { container, why } => {
            assert_eq!(container, "server");
            assert!(why.contains("refused"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert!(place.lines(spec.id).is_empty());
}

fn own_limits(place: &mut dyn Place) {
    let mut spec = several(place, &[("a", &["eat", "48"]), ("b", &["eat", "48"])]);
    spec.containers.iter_mut().for_each(|container| container.limits.memory_bytes = 64 << 20);
    assert_good(&run(place, &spec));
    let mut spec = several(place, &[("a", &["wait-term", "0"]), ("b", &["eat", "200"])]);
    spec.containers[1].limits.memory_bytes = 64 << 20;
    assert_ended(&run(place, &spec), "b", (Exit::Signal(9), Cause::OutOfMemory));
}

fn with_volume(mut spec: AttemptSpec, medium: Medium, size_limit: Option<u64>) -> AttemptSpec {
    let kind = VolumeKind::EmptyDir { medium, size_limit };
    spec.volumes = vec![VolumeSpec { name: "shared".to_owned(), kind }];
    for container in &mut spec.containers {
        let path = format!("/{}/data", container.name);
        let volume = "shared".to_owned();
        container.mounts = vec![MountSpec { volume, path, read_only: false }];
    }
    spec
}

fn volumes(place: &mut dyn Place) {
    for medium in [Medium::Memory, Medium::Disk] {
        let port = free_port();
        let spec = behind_server(place, &["ls", "/main/data"], port, &["0", "/server/data/made"]);
        let spec = with_volume(spec, medium, None);
        let witness = Witness::new();
        let backend = place.open(Arc::clone(&witness) as _);
        start(&*backend, &spec);
        assert_ended(&witness.ended(spec.id), "main", (Exit::Code(0), Cause::OnItsOwn));
        let lines = place.lines(spec.id);
        assert!(lines.contains(&"made".to_owned()), "{medium:?}: {lines:?}");
        backend.apply(Action::Forget(spec.id));
        nothing_left(place, &spec);
    }
    let spec = several(place, &[("a", &["write-file", "/a/data/x", "3"]), ("b", &["true"])]);
    let spec = with_volume(spec, Medium::Memory, Some(2 << 20));
    assert_ended(&run(place, &spec), "a", (Exit::Code(1), Cause::OnItsOwn));
}

/// Held to it, or refused where the machine cannot, as it cannot for an ordinary user.
fn bounded_on_disk(place: &mut dyn Place) {
    let outcome = |place: &mut dyn Place, mib: &str| {
        let spec = several(place, &[("a", &["write-file", "/a/data/x", mib]), ("b", &["true"])]);
        run(place, &with_volume(spec, Medium::Disk, Some(20 << 20)))
    };
    match outcome(place, "30") {
        Ending::StartFailed { why, .. } => assert!(why.contains("size limit"), "{why}"),
        ending => {
            assert_ended(&ending, "a", (Exit::Code(1), Cause::OnItsOwn));
            assert_good(&outcome(place, "10"));
        }
    }
}

fn nothing_left(place: &dyn Place, spec: &AttemptSpec) {
    bounded(|| match place.leftovers(spec.id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
}

fn stop(place: &mut dyn Place) {
    let spec = several(place, &[("a", &["wait-term", "5"]), ("b", &["sleep", "300"])]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    bounded(|| match place.lines(spec.id) {
        lines if lines.is_empty() => Err("it does not wait yet"),
        _ => Ok(()),
    });
    backend.apply(Action::Stop { id: spec.id, grace: Duration::from_millis(500) });
    assert_ended(&witness.ended(spec.id), "a", (Exit::Code(5), Cause::Asked));
    backend.apply(Action::Forget(spec.id));
    nothing_left(place, &spec);
}

fn monitor_killed(place: &mut dyn Place) {
    let spec = several(place, &[("a", &["wait-term", "0"]), ("b", &["wait-term", "0"])]);
    let spec = with_volume(spec, Medium::Memory, None);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    bounded(|| match place.lines(spec.id) {
        lines if lines.len() == 2 => Ok(()),
        lines => Err(lines),
    });
    place.kill_monitor(spec.id);
    let ending = witness.ended(spec.id);
    assert!(matches!(ending, Ending::Lost { .. }), "{ending:?}");
    backend.apply(Action::Forget(spec.id));
    nothing_left(place, &spec);
}
