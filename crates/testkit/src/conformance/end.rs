//! Ending: on its own, by a limit, by request; and what is kept after it.

use std::{sync::Arc, time::Duration};

use groundrun_core::{
    port::{Action, Limits, Observation},
    record::{Cause, Ending, Exit},
};

use super::{
    Place, Scenario, Witness, attempt, attempts,
    begin::{assert_exited, run, start},
    bounded, patient,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("an exit code is told", exit_code),
    ("a kill by somebody else is told as such", killed),
    ("running out of memory is told from a kill", out_of_memory),
    ("running out of memory in a child ends the container", out_of_memory_in_a_child),
    ("cpu is held to its limit", cpu_limit),
    ("processes are bounded", processes_limit),
    ("a timeout ends what heeds SIGTERM", timeout_heeded),
    ("a timeout ends what ignores SIGTERM", timeout_ignored),
    ("a stop is SIGTERM first", stop_heeded),
    ("a stop without grace kills at once", stop_at_once),
    ("a stop of what still waits means that it never runs", stop_of_queued),
    ("a stop of what was never asked for means that it never runs", stop_of_unknown),
    ("forgetting keeps the log and never runs it again", forget),
    ("discarding an execution leaves nothing", discard),
];

fn exit_code(place: &mut dyn Place) {
    let spec = attempt(place, &["exit", "7"]);
    assert_exited(&run(place, &spec), (Exit::Code(7), Cause::OnItsOwn));
}

/// The kernel lets only a SIGKILL from outside end a container's first process that handles nothing.
fn killed(place: &mut dyn Place) {
    let spec = attempt(place, &["sleep", "300"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    witness.started(spec.id);
    place.kill_main(spec.id);
    assert_exited(&witness.ended(spec.id), (Exit::Signal(9), Cause::OnItsOwn));
}

fn out_of_memory(place: &mut dyn Place) {
    let mut spec = attempt(place, &["eat", "200"]);
    spec.containers[0].limits = Limits { cpu_millis: 1000, memory_bytes: 64 << 20 };
    let ending = run(place, &spec);
    assert_exited(&ending, (Exit::Signal(9), Cause::OutOfMemory));
    let Ending::Exited { memory_peak: Some(peak), .. } = ending else {
        panic!("no peak: {ending:?}")
    };
    assert!((32 << 20..=64 << 20).contains(&peak), "{peak}");
}

/// Its program would go on.
fn out_of_memory_in_a_child(place: &mut dyn Place) {
    let mut spec = attempt(place, &["fork-eat", "200", "300"]);
    spec.containers[0].limits = Limits { cpu_millis: 1000, memory_bytes: 64 << 20 };
    assert_exited(&run(place, &spec), (Exit::Signal(9), Cause::OutOfMemory));
}

/// As a program inside sees it, on either version of cgroups.
fn processes_limit(place: &mut dyn Place) {
    let bound =
        ["/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"].iter().find_map(|path| {
            let spec = attempt(place, &["cat", path]);
            run(place, &spec);
            place.lines(spec.id).first()?.parse::<u64>().ok()
        });
    assert!(matches!(bound, Some(1..=32_768)), "{bound:?}");
}

/// About a second of work, at a twentieth of a processor: a busy machine only makes it take longer.
fn cpu_limit(place: &mut dyn Place) {
    let mut spec = attempt(place, &[]);
    spec.containers[0].env.push(("PRIMES_LIMIT".to_owned(), "6000000".into()));
    spec.containers[0].limits.cpu_millis = 50;
    spec.timeout = patient(Duration::from_secs(4));
    spec.grace = Duration::ZERO;
    assert_exited(&run(place, &spec), (Exit::Signal(9), Cause::Deadline));
}

fn timeout_heeded(place: &mut dyn Place) {
    let mut spec = attempt(place, &["wait-term", "3"]);
    spec.timeout = patient(Duration::from_millis(500));
    assert_exited(&run(place, &spec), (Exit::Code(3), Cause::Deadline));
}

fn timeout_ignored(place: &mut dyn Place) {
    let mut spec = attempt(place, &["sleep", "300"]);
    spec.timeout = Duration::from_millis(300);
    spec.grace = Duration::from_millis(300);
    assert_exited(&run(place, &spec), (Exit::Signal(9), Cause::Deadline));
}

fn stop_heeded(place: &mut dyn Place) {
    let spec = attempt(place, &["wait-term", "5"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    witness.started(spec.id);
    bounded(|| match place.lines(spec.id) {
        lines if lines.is_empty() => Err("it does not wait yet"),
        _ => Ok(()),
    });
    backend.apply(Action::Stop { id: spec.id, grace: Duration::from_secs(60) });
    assert_exited(&witness.ended(spec.id), (Exit::Code(5), Cause::Asked));
}

fn stop_at_once(place: &mut dyn Place) {
    let spec = attempt(place, &["sleep", "300"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    witness.started(spec.id);
    backend.apply(Action::Stop { id: spec.id, grace: Duration::ZERO });
    assert_exited(&witness.ended(spec.id), (Exit::Signal(9), Cause::Asked));
}

/// Stopped right behind its start, in a queue of others: most never begin, and every one of them ends as asked.
fn stop_of_queued(place: &mut dyn Place) {
    let specs = attempts(place, 40, &["wait-term", "0"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    specs.iter().for_each(|spec| start(&*backend, spec));
    for spec in specs.iter().rev() {
        backend.apply(Action::Stop { id: spec.id, grace: Duration::from_secs(1) });
    }
    let mut unbegun = 0;
    for spec in &specs {
        match witness.ended(spec.id) {
            Ending::Exited { cause: Cause::Asked, .. } => {}
            other => panic!("{other:?}"),
        }
        if !witness.of(spec.id).iter().any(|seen| matches!(seen, Observation::Started { .. })) {
            unbegun += 1;
            start(&*backend, spec);
            witness.told(spec.id, 2);
            assert!(place.lines(spec.id).is_empty());
        }
    }
    assert!(unbegun > 0, "all of them had begun");
}

fn stop_of_unknown(place: &mut dyn Place) {
    let spec = attempt(place, &["exit", "0"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Stop { id: spec.id, grace: Duration::from_secs(1) });
    let ending = witness.ended(spec.id);
    assert_exited(&ending, (Exit::Signal(15), Cause::Asked));
    start(&*backend, &spec);
    witness.told(spec.id, 2);
    assert_eq!(witness.ended(spec.id), ending);
    assert!(place.lines(spec.id).is_empty());
}

fn forget(place: &mut dyn Place) {
    let spec = attempt(place, &["args", "kept"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    let _: Ending = witness.ended(spec.id);
    let lines = place.lines(spec.id);
    assert!(!lines.is_empty());
    backend.apply(Action::Forget(spec.id));
    bounded(|| match place.leftovers(spec.id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    start(&*backend, &spec);
    witness.told(spec.id, 3);
    match witness.of(spec.id).last() {
        Some(Observation::Ended { ending: Ending::Lost { .. }, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(place.lines(spec.id), lines);
}

fn discard(place: &mut dyn Place) {
    let specs = attempts(place, 3, &["args", "gone"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    specs.iter().for_each(|spec| start(&*backend, spec));
    for spec in &specs {
        let _: Ending = witness.ended(spec.id);
        backend.apply(Action::Forget(spec.id));
    }
    let execution = specs[0].id.execution;
    assert!(!place.files(execution).is_empty());
    backend.apply(Action::Discard(execution));
    bounded(|| match place.files(execution) {
        files if files.is_empty() => Ok(()),
        files => Err(files),
    });
    assert_eq!(place.leftovers(execution), Vec::<String>::new());
}
