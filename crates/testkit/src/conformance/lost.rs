//! Crashes: of the backend, of a monitor; and what is never said too early.

use std::{sync::Arc, time::Duration};

use groundrun_core::{
    port::Action,
    record::{Cause, Ending, Exit},
};

use super::{
    Place, Scenario, Witness, attempt, attempts,
    begin::{assert_exited, start},
    bounded, patient,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("what ran before a crash of the backend is found again", adopted),
    ("what ended while no backend was there is told", ended_meanwhile),
    ("a deadline holds while no backend is there", deadline_meanwhile),
    ("what is found again can be stopped", adopted_and_stopped),
    ("an attempt whose monitor was killed is lost, and nothing of it is left", monitor_killed),
    ("a monitor killed while no backend is there is noticed by the next", monitor_killed_meanwhile),
    ("an attempt without a trace is lost and never runs", no_trace),
];

fn adopted(place: &mut dyn Place) {
    let specs = attempts(place, 5, &["sleep", "2"]);
    let before = Witness::new();
    let backend = place.open(Arc::clone(&before) as _);
    for spec in &specs {
        start(&*backend, spec);
    }
    specs.iter().for_each(|spec| before.started(spec.id));
    drop(backend);
    let after = Witness::new();
    let backend = place.open(Arc::clone(&after) as _);
    for (index, spec) in specs.iter().enumerate() {
        // Both must do: the engine may or may not have heard that it started.
        if index % 2 == 0 { start(&*backend, spec) } else { backend.apply(Action::Adopt(spec.id)) }
    }
    for spec in &specs {
        after.started(spec.id);
        assert_exited(&after.ended(spec.id), (Exit::Code(0), Cause::OnItsOwn));
    }
}

fn ended_meanwhile(place: &mut dyn Place) {
    let spec = attempt(place, &["exit", "9"]);
    let before = Witness::new();
    let backend = place.open(Arc::clone(&before) as _);
    start(&*backend, &spec);
    before.started(spec.id);
    drop(backend);
    let after = Witness::new();
    let backend = place.open(Arc::clone(&after) as _);
    backend.apply(Action::Adopt(spec.id));
    assert_exited(&after.ended(spec.id), (Exit::Code(9), Cause::OnItsOwn));
}

fn deadline_meanwhile(place: &mut dyn Place) {
    let mut spec = attempt(place, &["wait-term", "3"]);
    spec.timeout = patient(Duration::from_secs(1));
    let before = Witness::new();
    let backend = place.open(Arc::clone(&before) as _);
    start(&*backend, &spec);
    before.started(spec.id);
    drop(backend);
    // Nobody but its monitor is there to end it; only then is a backend made again.
    bounded(|| match place.leftovers(spec.id.execution) {
        left if left.iter().any(|name| name.starts_with("process ")) => Err(left),
        _ => Ok(()),
    });
    let after = Witness::new();
    let backend = place.open(Arc::clone(&after) as _);
    backend.apply(Action::Adopt(spec.id));
    assert_exited(&after.ended(spec.id), (Exit::Code(3), Cause::Deadline));
}

fn adopted_and_stopped(place: &mut dyn Place) {
    let spec = attempt(place, &["sleep", "300"]);
    let before = Witness::new();
    let backend = place.open(Arc::clone(&before) as _);
    start(&*backend, &spec);
    before.started(spec.id);
    drop(backend);
    let after = Witness::new();
    let backend = place.open(Arc::clone(&after) as _);
    backend.apply(Action::Stop { id: spec.id, grace: Duration::ZERO });
    assert_exited(&after.ended(spec.id), (Exit::Signal(9), Cause::Asked));
}

#[track_caller]
fn assert_lost_and_gone(place: &dyn Place, ending: &Ending, id: groundrun_core::id::AttemptId) {
    assert!(matches!(ending, Ending::Lost { .. }), "{ending:?}");
    // Lost means seen empty: it must hold now, without waiting.
    let left: Vec<String> = place
        .leftovers(id.execution)
        .into_iter()
        .filter(|name| name.starts_with("process ") || name.starts_with("cgroup "))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

fn monitor_killed(place: &mut dyn Place) {
    let spec = attempt(place, &["sleep", "300"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    start(&*backend, &spec);
    witness.started(spec.id);
    place.kill_monitor(spec.id);
    let ending = witness.ended(spec.id);
    assert_lost_and_gone(place, &ending, spec.id);
    start(&*backend, &spec);
    witness.told(spec.id, 3);
    assert_eq!(witness.ended(spec.id), ending);
}

fn monitor_killed_meanwhile(place: &mut dyn Place) {
    let spec = attempt(place, &["sleep", "300"]);
    let before = Witness::new();
    let backend = place.open(Arc::clone(&before) as _);
    start(&*backend, &spec);
    before.started(spec.id);
    drop(backend);
    place.kill_monitor(spec.id);
    let after = Witness::new();
    let backend = place.open(Arc::clone(&after) as _);
    start(&*backend, &spec);
    let ending = after.ended(spec.id);
    assert_lost_and_gone(place, &ending, spec.id);
}

fn no_trace(place: &mut dyn Place) {
    let spec = attempt(place, &["args", "never"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Adopt(spec.id));
    assert!(matches!(witness.ended(spec.id), Ending::Lost { .. }));
    drop(backend);
    let after = Witness::new();
    let backend = place.open(Arc::clone(&after) as _);
    start(&*backend, &spec);
    assert!(matches!(after.ended(spec.id), Ending::Lost { .. }));
    assert!(place.lines(spec.id).is_empty());
}
