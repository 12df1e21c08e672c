//! What this backend promises beyond what every one does.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use groundrun_core::{
    port::{Action, AttemptSpec, Backend},
    record::{Cause, Ending, Exit},
};
use groundrun_host::{HostConfig, Network, WritableLayer};
use testkit::conformance::{Place, Witness, attempt, bounded};

use crate::place::HostPlace;

/// A sentence about this backend, and its proof.
pub(crate) type Scenario = (&'static str, fn(&mut HostPlace));

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a cgroup that no monitor watches over is swept at the start", sweep),
    ("the parent cgroup goes with the last attempt and stays with a running one", parent),
    ("a parent cgroup that somebody removed is made again", parent_removed),
    ("a writable layer on disk is gone with what is forgotten", writable_on_disk),
    ("without a network there is a loopback alone", no_network),
    ("on the host's network its resolvers are there", host_network),
];

fn run(place: &mut HostPlace, spec: &AttemptSpec) -> (Box<dyn Backend>, Ending) {
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Start(Box::new(spec.clone())));
    let ending = witness.ended(spec.id);
    (backend, ending)
}

#[track_caller]
pub(crate) fn assert_good(ending: &Ending) {
    match ending {
        Ending::Exited { exit: Exit::Code(0), cause: Cause::OnItsOwn, .. } => {}
        other => panic!("{other:?}"),
    }
}

fn sweep(place: &mut HostPlace) {
    let id = attempt(place, &[]).id;
    let mut stranger =
        Command::new("sleep").arg("300").stdin(Stdio::null()).spawn().expect("it runs");
    for group in place.cgroups.attempt(id, Default::default()).groups {
        fs::create_dir(&group.path).expect("it is made");
        let procs = OpenOptions::new().write(true).open(group.path.join("cgroup.procs"));
        let written = procs.and_then(|mut file| write!(file, "{}", stranger.id()));
        written.expect("it is moved");
    }
    let backend = place.open(Witness::new());
    assert!(!stranger.wait().expect("our child").success());
    bounded(|| match place.cgroups.present() {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    drop(backend);
}

fn parent(place: &mut HostPlace) {
    let spec = attempt(place, &["sleep", "300"]);
    let groups = place.cgroups.attempt(spec.id, Default::default()).groups;
    let parents: Vec<PathBuf> =
        groups.iter().filter_map(|group| Some(group.path.parent()?.to_owned())).collect();
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Start(Box::new(spec.clone())));
    witness.started(spec.id);
    drop(backend);
    assert!(parents.iter().all(|parent| parent.exists()));
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Stop { id: spec.id, grace: Duration::ZERO });
    let _: Ending = witness.ended(spec.id);
    backend.apply(Action::Forget(spec.id));
    bounded(|| match place.leftovers(spec.id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    drop(backend);
    assert!(!parents.iter().any(|parent| parent.exists()));
}

fn parent_removed(place: &mut HostPlace) {
    let spec = attempt(place, &["exit", "0"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    for group in place.cgroups.attempt(spec.id, Default::default()).groups {
        fs::remove_dir(group.path.parent().expect("it has a parent")).expect("it is empty");
    }
    backend.apply(Action::Start(Box::new(spec.clone())));
    assert_good(&witness.ended(spec.id));
    backend.apply(Action::Forget(spec.id));
    bounded(|| match place.leftovers(spec.id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
}

fn writable_on_disk(place: &mut HostPlace) {
    place.configure = |config: &mut HostConfig| config.writable_layer = WritableLayer::Disk;
    // More than its memory.
    let mut spec = attempt(place, &["write-file", "/big", "48"]);
    spec.containers[0].limits.memory_bytes = 32 << 20;
    let (backend, ending) = run(place, &spec);
    assert_good(&ending);
    backend.apply(Action::Forget(spec.id));
    bounded(|| match place.leftovers(spec.id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
}

fn no_network(place: &mut HostPlace) {
    place.configure = |config: &mut HostConfig| config.network = Network::None;
    let spec = attempt(place, &["cat", "/proc/net/dev"]);
    let (_, ending) = run(place, &spec);
    assert_good(&ending);
    let lines = place.lines(spec.id);
    let devices: Vec<&str> =
        lines.iter().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    assert_eq!(devices, ["lo"]);
}

fn host_network(place: &mut HostPlace) {
    let spec = attempt(place, &["cat", "/etc/resolv.conf"]);
    let (_, ending) = run(place, &spec);
    assert_good(&ending);
    let expected = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(place.lines(spec.id), expected.lines().collect::<Vec<_>>());
}
