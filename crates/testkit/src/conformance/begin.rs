//! Starting: what runs, with what, and that it runs once.

use std::{sync::Arc, time::Duration};

use groundrun_core::{
    port::{Action, AttemptSpec, Backend, Observation},
    record::{Cause, Ending, Exit, Fault},
};

use super::{Place, Scenario, Witness, attempt, bounded};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a start is told and then its end", start_and_end),
    ("output arrives in the log by lines", output),
    ("environment, arguments and working directory arrive", process),
    ("another attempt of a task finds nothing of the one before", fresh),
    ("a start that is asked twice happens once", twice),
    ("a start after the end tells the end again", again_after_end),
    ("a program that is not there is the image's fault", no_such_program),
    ("an image that is not there is ours", no_such_image),
    ("what is asked of a dead spawner begins with the next server", dead_spawner),
];

pub(super) fn start(backend: &dyn Backend, spec: &AttemptSpec) {
    backend.apply(Action::Start(Box::new(spec.clone())));
}

/// The end of an attempt that was let run.
pub(super) fn run(place: &mut dyn Place, spec: &AttemptSpec) -> Ending {
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, spec);
    witness.ended(spec.id)
}

#[track_caller]
pub(super) fn assert_exited(ending: &Ending, expected: (Exit, Cause)) {
    match ending {
        Ending::Exited { exit, cause, .. } => assert_eq!((*exit, *cause), expected),
        other => panic!("{other:?}"),
    }
}

fn start_and_end(place: &mut dyn Place) {
    let spec = attempt(place, &["exit", "0"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    assert_exited(&witness.ended(spec.id), (Exit::Code(0), Cause::OnItsOwn));
    match witness.of(spec.id).as_slice() {
        [Observation::Started { at: start }, Observation::Ended { at: end, .. }] => {
            assert!(start <= end, "{start} {end}");
        }
        other => panic!("{other:?}"),
    }
}

fn output(place: &mut dyn Place) {
    let spec = attempt(place, &["args", "one", "two words"]);
    assert_exited(&run(place, &spec), (Exit::Code(0), Cause::OnItsOwn));
    let lines = place.lines(spec.id).join("\n");
    assert!(lines.contains("one") && lines.contains("two words"), "{lines}");
}

fn process(place: &mut dyn Place) {
    let mut spec = attempt(place, &["env"]);
    spec.containers[0].env.push(("GREETING".to_owned(), "hello = world".into()));
    assert_exited(&run(place, &spec), (Exit::Code(0), Cause::OnItsOwn));
    let lines = place.lines(spec.id);
    for expected in ["GREETING=hello = world", "CLOUD_RUN_TASK_INDEX=0"] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:?}");
    }
}

fn fresh(place: &mut dyn Place) {
    let mut spec = attempt(place, &["write-file", "/made", "1"]);
    assert_exited(&run(place, &spec), (Exit::Code(0), Cause::OnItsOwn));
    spec.id.attempt = 1;
    spec.containers[0].args = ["ls", "/"].map(str::to_owned).to_vec();
    assert_exited(&run(place, &spec), (Exit::Code(0), Cause::OnItsOwn));
    let lines = place.lines(spec.id);
    assert!(!lines.is_empty() && !lines.contains(&"made".to_owned()), "{lines:?}");
}

fn twice(place: &mut dyn Place) {
    let spec = attempt(place, &["args", "once"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    for _ in 0..10 {
        start(&*backend, &spec);
    }
    let _: Ending = witness.ended(spec.id);
    let once = place.lines(spec.id);
    for _ in 0..10 {
        start(&*backend, &spec);
    }
    witness.told(spec.id, 3);
    drop(backend);
    assert_eq!(place.lines(spec.id), once);
}

fn again_after_end(place: &mut dyn Place) {
    let spec = attempt(place, &["exit", "4"]);
    let first = run(place, &spec);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    assert_eq!(witness.ended(spec.id), first);
    backend.apply(Action::Adopt(spec.id));
    witness.told(spec.id, 2);
}

fn no_such_program(place: &mut dyn Place) {
    let mut spec = attempt(place, &[]);
    spec.containers[0].command = vec!["/no/such/program".to_owned()];
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    match witness.ended(spec.id) {
        Ending::StartFailed { whose: Fault::Theirs, why, .. } => {
            assert!(why.contains("/no/such/program"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    backend.apply(Action::Forget(spec.id));
    bounded(|| match place.leftovers(spec.id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
}

fn no_such_image(place: &mut dyn Place) {
    let mut spec = attempt(place, &["exit", "0"]);
    spec.containers[0].image = format!("sha256:{}", "0".repeat(64));
    match run(place, &spec) {
        Ending::StartFailed { whose: Fault::Ours, why, .. } => assert!(!why.is_empty()),
        other => panic!("{other:?}"),
    }
}

fn dead_spawner(place: &mut dyn Place) {
    let running = attempt(place, &["sleep", "300"]);
    let waiting = attempt(place, &["exit", "0"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &running);
    witness.started(running.id);
    place.kill_spawner();
    start(&*backend, &waiting);
    // What ran before goes on, and can be stopped.
    backend.apply(Action::Stop { id: running.id, grace: Duration::ZERO });
    assert_exited(&witness.ended(running.id), (Exit::Signal(9), Cause::Asked));
    assert_eq!(witness.of(waiting.id), []);
    drop(backend);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &waiting);
    assert_exited(&witness.ended(waiting.id), (Exit::Code(0), Cause::OnItsOwn));
}
