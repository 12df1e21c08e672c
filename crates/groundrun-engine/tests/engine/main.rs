//! The engine on a real store, with a backend and images that are a few lines here.

mod world;

use std::time::Duration;

use groundrun_core::{
    port::Action,
    record::{Cause, Counters, Ending, Exit, Outcome, ReadinessState},
};
use groundrun_engine::RETAINED_PER_JOB;
use testkit::sample::Shape;
use world::{Answer, World};

fn shape(tasks: i32, max_retries: i32) -> Shape {
    Shape { tasks, max_retries, ..Shape::default() }
}

fn exited(code: u8) -> Ending {
    let (exit, cause) = (Exit::Code(code), Cause::OnItsOwn);
    Ending::Exited { exit, cause, memory_peak: None, message: None, container: None }
}

#[test]
fn an_execution_of_many_tasks_completes_and_every_start_was_intended_before() {
    let world = World::new(Answer::EndsAtOnce(exited(0)));
    let engine = world.start_engine();
    let execution = world.run(&shape(300, 0));
    let state = world.wait_completed(execution);
    assert_eq!(state.completed.expect("it is completed").outcome, Outcome::Succeeded);
    assert_eq!(state.counters, Counters { succeeded: 300, ..Counters::default() });
    assert_eq!(world.backend.starts(), 300);
    assert_eq!(world.backend.starts_without_intent(), 0);
    assert!(engine.is_running());
    engine.stop();
}

#[test]
fn a_task_that_always_fails_is_tried_as_often_as_it_may_be() {
    let world = World::new(Answer::EndsAtOnce(exited(3)));
    let engine = world.start_engine();
    let execution = world.run(&shape(2, 3));
    let state = world.wait_completed(execution);
    let counters = Counters { failed: 2, retried: 2, ..Counters::default() };
    assert_eq!(state.counters, counters);
    assert_eq!(world.backend.starts(), 8);
    engine.stop();
}

#[test]
fn what_runs_is_adopted_by_the_next_engine_and_what_was_only_intended_is_begun_by_it() {
    let world = World::new(Answer::StartsOnly { tasks: 1 });
    let engine = world.start_engine();
    let execution = world.run(&shape(2, 0));
    world.wait(|| world.backend.starts() == 2 && world.state(execution).counters.running == 1);
    engine.stop();

    world.backend.answer(Answer::EndsAtOnce(exited(0)));
    world.backend.take_actions();
    let engine = world.start_engine();
    let state = world.wait_completed(execution);
    assert_eq!(state.counters, Counters { succeeded: 2, ..Counters::default() });
    let actions = world.backend.take_actions();
    let asked = |task: u32| {
        actions.iter().find_map(|action| match action {
            Action::Adopt(id) if id.task == task => Some("adopt"),
            Action::Start(spec) if spec.id.task == task => Some("start"),
            _ => None,
        })
    };
    assert_eq!((asked(0), asked(1)), (Some("adopt"), Some("start")));
    engine.stop();
}

#[test]
fn another_boot_makes_what_ran_lost() {
    let world = World::new(Answer::StartsOnly { tasks: 2 });
    let engine = world.start_engine();
    let execution = world.run(&shape(2, 0));
    world.wait(|| world.state(execution).counters.running == 2);
    engine.stop();

    let engine = world.reboot().start_engine();
    let state = world.wait_completed(execution);
    assert_eq!(state.counters, Counters { failed: 2, ..Counters::default() });
    engine.stop();
}

#[test]
fn a_cancel_stops_what_runs() {
    let world = World::new(Answer::StartsOnly { tasks: 2 });
    let engine = world.start_engine();
    let execution = world.run(&shape(5, 0));
    world.wait(|| world.state(execution).counters.running == 2);
    world.cancel(execution);
    let state = world.wait_completed(execution);
    assert_eq!(state.completed.expect("it is completed").outcome, Outcome::Cancelled);
    assert_eq!(state.counters, Counters { cancelled: 5, ..Counters::default() });
    assert_eq!(state.observed_generation, 2);
    engine.stop();
}

#[test]
fn what_is_cancelled_before_the_engine_sees_it_starts_nothing() {
    let world = World::new(Answer::EndsAtOnce(exited(0)));
    let execution = world.run(&shape(3, 2));
    world.cancel(execution);
    let engine = world.start_engine();
    let state = world.wait_completed(execution);
    assert_eq!(state.completed.expect("it is completed").outcome, Outcome::Cancelled);
    assert_eq!(state.counters, Counters { cancelled: 3, ..Counters::default() });
    assert_eq!(world.backend.starts(), 0);
    engine.stop();
}

#[test]
fn a_deleted_execution_is_stopped_discarded_and_reaped() {
    let world = World::new(Answer::StartsOnly { tasks: 2 });
    let engine = world.start_engine();
    let execution = world.run(&shape(2, 0));
    world.wait(|| world.state(execution).counters.running == 2);
    world.delete(execution);
    world.wait(|| world.is_reaped(execution));
    assert!(world.backend.take_actions().contains(&Action::Discard(execution)));
    engine.stop();
}

#[test]
fn a_new_job_is_checked_and_its_answer_written() {
    let world = World::new(Answer::EndsAtOnce(exited(0)));
    let engine = world.start_engine();
    world.wait(|| world.job().readiness.state == ReadinessState::Ready);
    assert_eq!(world.job().readiness.generation, 1);
    engine.stop();
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let world = World::new(Answer::EndsAtOnce(exited(0)));
    let engine = world.start_engine();
    world.wait(|| world.job().readiness.state == ReadinessState::Ready);
    world.set_clock_back(Duration::from_secs(3600));
    let execution = world.run(&shape(3, 0));
    let state = world.wait_completed(execution);
    assert_eq!(state.counters, Counters { succeeded: 3, ..Counters::default() });
    engine.stop();
}

#[test]
fn lost_news_is_asked_for_again() {
    let world = World::new(Answer::Nothing).resync_every(Duration::from_millis(50));
    let engine = world.start_engine();
    let execution = world.run(&shape(3, 0));
    world.wait(|| world.backend.starts() >= 3);
    world.backend.answer(Answer::EndsAtOnce(exited(0)));
    let state = world.wait_completed(execution);
    assert_eq!(state.counters, Counters { succeeded: 3, ..Counters::default() });
    engine.stop();
}

#[test]
fn of_thousands_of_executions_the_last_to_end_are_kept_and_none_that_runs_is_touched() {
    let world = World::new(Answer::StartsOnly { tasks: 1 });
    let kept = u128::from(RETAINED_PER_JOB);
    let engine = world.start_engine();
    let oldest = [1, 2, 3].map(|number| world.run_as(number, &shape(1, 0)));
    world.wait(|| oldest.iter().all(|uid| world.state(*uid).counters.running == 1));
    world.have_run(100..3100);
    // The one that completes makes the engine look.
    let last = world.run_as(9000, &shape(1, 0));
    world.wait(|| world.state(last).counters.running == 1);
    world.cancel(last);
    let rest = kept + oldest.len() as u128;
    world.wait(|| world.numbers().len() as u128 == rest && world.to_reap() == 0);
    let expected = [1, 2, 3].into_iter().chain(3101 - kept..3100).chain([9000]).collect();
    assert_eq!(world.numbers(), expected);
    assert!(oldest.iter().all(|uid| world.state(*uid).counters.running == 1));
    let discarded = world.backend.take_actions().into_iter();
    let discarded = discarded.filter(|action| matches!(action, Action::Discard(_)));
    assert_eq!(discarded.count() as u128, 3001 - kept, "their logs and files go, too");
    engine.stop();
}

#[test]
fn a_job_that_is_deleted_with_thousands_of_tasks_is_removed_also_over_a_restart() {
    let world = World::new(Answer::StartsOnly { tasks: 10_000 });
    let engine = world.start_engine();
    let small = Shape { memory: "1Mi".to_owned(), cpu: "1m".to_owned(), ..shape(2000, 0) };
    let executions = [1, 2, 3].map(|number| world.run_as(number, &small));
    world.wait(|| executions.iter().all(|uid| world.state(*uid).counters.running == 2000));
    world.delete_job();
    assert!(world.numbers().is_empty(), "they are gone at once");
    // In the middle of it the server goes away.
    engine.stop();
    let engine = world.start_engine();
    world.wait(|| executions.iter().all(|uid| world.is_reaped(*uid)));
    let actions = world.backend.take_actions();
    let stopped = actions.iter().filter(|action| matches!(action, Action::Stop { .. })).count();
    assert!(stopped >= 6000, "each is stopped: {stopped}");
    for uid in executions {
        assert!(actions.contains(&Action::Discard(uid)));
    }
    engine.stop();
}
