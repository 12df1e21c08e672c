//! A server that is killed between any two steps goes on as if it had not been.

use groundrun_core::{
    allot::Demand,
    observe::Heard,
    port::Observation,
    record::{Cause, Ending, ExecutionState, Exit, Fault},
};
use jiff::SignedDuration;
use proptest::prelude::*;
use testkit::sample::Shape;

use crate::driver::{Driver, exited};

/// What happens in a step. Numbers choose among what is live, or name what may not be there at all.
#[derive(Clone, Debug)]
enum Step {
    Started(usize),
    Ended(usize, Ending),
    Stale { task: u32, attempt: u32, ending: Ending },
    Wait(i64),
    Cancel,
    Resync,
}

fn ending() -> impl Strategy<Value = Ending> {
    let exited_by = |exit, cause| Ending::Exited {
        exit,
        cause,
        memory_peak: None,
        message: None,
        container: None,
    };
    prop_oneof![
        4 => Just(exited(0)),
        3 => (1..=255u8).prop_map(exited),
        1 => Just(exited_by(Exit::Signal(9), Cause::OutOfMemory)),
        1 => Just(exited_by(Exit::Code(0), Cause::Deadline)),
        1 => Just(exited_by(Exit::Code(0), Cause::Asked)),
        2 => Just(Ending::StartFailed { whose: Fault::Ours, why: "no memory".to_owned(), container: None }),
        1 => Just(Ending::StartFailed { whose: Fault::Theirs, why: "no program".to_owned(), container: None }),
        1 => Just(Ending::Lost { why: "no trace".to_owned() }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<usize>().prop_map(Step::Started),
        8 => (any::<usize>(), ending()).prop_map(|(which, ending)| Step::Ended(which, ending)),
        2 => (0..8u32, 0..4u32, ending())
            .prop_map(|(task, attempt, ending)| Step::Stale { task, attempt, ending }),
        3 => (0..5000i64).prop_map(Step::Wait),
        1 => Just(Step::Cancel),
        1 => Just(Step::Resync),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    (1..7i32, 0..4i32, 0..4i32).prop_map(|(tasks, parallelism, max_retries)| Shape {
        tasks,
        parallelism,
        max_retries,
        ..Shape::default()
    })
}

fn take(driver: &mut Driver, step: Step) {
    let at = driver.now;
    match step {
        Step::Started(which) => {
            let live = driver.live();
            if let Some(id) = live.get(which % live.len().max(1)) {
                let _ = driver.hear(*id, Observation::Started { at });
            }
        }
        Step::Ended(which, ending) => {
            // Nobody is asked to stop before a cancel.
            let asked = matches!(ending, Ending::Exited { cause: Cause::Asked, .. });
            let cancelled = driver.execution.wishes.cancel.is_some();
            let ending = if asked && !cancelled { exited(0) } else { ending };
            let live = driver.live();
            if let Some(id) = live.get(which % live.len().max(1)) {
                let heard = driver.hear(*id, Observation::Ended { at, ending });
                assert_eq!(heard, Heard::News, "the end of a live attempt is news");
            }
        }
        Step::Stale { task, attempt, ending } => {
            let id = driver.id(task, attempt);
            if !driver.live().contains(&id) {
                let heard = driver.hear(id, Observation::Ended { at, ending });
                assert_ne!(heard, Heard::News, "{id} is not live");
            }
        }
        Step::Wait(millis) => driver.now += SignedDuration::from_millis(millis),
        Step::Cancel => driver.cancel(),
        Step::Resync => driver.run.resync(),
    }
}

/// What a run will do next, as far as it depends on its tasks.
fn outlook(run: &mut groundrun_core::progress::Run, driver: &Driver) -> (Demand, ExecutionState) {
    (run.demand(driver.now), run.execution().state.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_restart_between_any_two_steps_changes_nothing(
        shape in shape(),
        room in 1..5u64,
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut driver = Driver::new(&shape, room);
        for step in steps {
            let _ = driver.tick();
            if driver.execution.state.completed.is_some() {
                break;
            }
            let mut restored = driver.restored();
            let expected = (driver.run.demand(driver.now), driver.run.execution().state.clone());
            let mut found = outlook(&mut restored, &driver);
            // Who was stopped so far is counted when it ends, the rest when all is over.
            found.1.counters.cancelled = expected.1.counters.cancelled;
            prop_assert_eq!(found, expected);
            take(&mut driver, step);
        }
    }
}
