//! The cost of a step is that of what changed, also in an execution of 10,000 tasks.

use groundrun_core::{
    observe::Heard,
    port::Observation,
    record::{Counters, Outcome},
};
use testkit::sample::Shape;

use crate::driver::{Driver, exited};

const TASKS: u32 = 10_000;

/// Entries of tasks that one piece of news and its tick may look at: the one that ended, the one that begins, and the
/// rows of both on their way to the journal.
const VISITS_PER_NEWS_MAX: u64 = 8;

fn many() -> Driver {
    let tasks = i32::try_from(TASKS).expect("it is small");
    Driver::new(&Shape { tasks, max_retries: 1, ..Shape::default() }, 300)
}

#[test]
fn a_step_looks_at_what_changed_only() {
    let mut driver = many();
    // Room for 300, and so many are granted at once: two ticks.
    let begun = driver.tick().begun.len() + driver.tick().begun.len();
    assert_eq!(begun, 300, "10,000 tasks do not start at once");
    let mut waiting = driver.live();
    let mut most = 0;
    while let Some(id) = waiting.pop() {
        let before = driver.run.visits();
        let at = driver.now;
        assert_eq!(driver.hear(id, Observation::Started { at }), Heard::News);
        let failed = u8::from(id.attempt == 0 && id.task % 10 == 0);
        let ended = Observation::Ended { at, ending: exited(failed) };
        assert_eq!(driver.hear(id, ended), Heard::News);
        let plan = driver.tick();
        assert!(plan.begun.len() <= 1, "one ended, so one may begin: {plan:?}");
        waiting.extend(plan.begun.iter().map(|attempt| attempt.id));
        most = most.max(driver.run.visits() - before);
    }
    assert!(most <= VISITS_PER_NEWS_MAX, "a step looked at {most} entries");
    let state = &driver.execution.state;
    let counters = Counters { succeeded: TASKS, retried: TASKS / 10, ..Counters::default() };
    assert_eq!(state.counters, counters);
    assert_eq!(state.completed.as_ref().map(|it| &it.outcome), Some(&Outcome::Succeeded));
}

#[test]
fn a_tick_in_which_nothing_happened_looks_at_nothing() {
    let mut driver = many();
    let _ = (driver.tick(), driver.tick());
    let waits = driver.tick().state.and_then(|state| state.waiting_for);
    assert!(waits.is_some(), "what does not fit says so, once");
    let before = driver.run.visits();
    for _ in 0..100 {
        let plan = driver.tick();
        assert!(plan.begun.is_empty() && plan.state.is_none());
    }
    assert_eq!(driver.run.visits(), before);
}

#[test]
fn a_cancel_looks_at_what_is_live_once() {
    let mut driver = many();
    let _ = (driver.tick(), driver.tick());
    let before = driver.run.visits();
    driver.cancel();
    assert_eq!(driver.tick().actions.len(), 300);
    assert!(driver.run.visits() - before <= 300);
    let before = driver.run.visits();
    let _ = driver.tick();
    assert_eq!(driver.run.visits(), before);
}
