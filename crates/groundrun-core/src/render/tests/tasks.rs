//! Tasks in every state.

use groundrun_api::v1;
use insta::{assert_json_snapshot, assert_snapshot};

use super::lines;
use crate::{
    record::{Attempt, Cause, Ending, Execution, Exit, Fault, Outcome},
    render::{self, RunningState, running_state},
    samples::{accepted, at, attempt, context, ended, exited, failure, imported, running},
};

fn shown(execution: &Execution, attempts: &[Attempt]) -> v1::Task {
    render::task(execution, 3, attempts, &context())
}

fn status(execution: &Execution, attempts: &[Attempt]) -> v1::TaskStatus {
    shown(execution, attempts).status.expect("always there")
}

fn success() -> Ending {
    exited(Exit::Code(0), Cause::OnItsOwn)
}

fn error() -> Ending {
    exited(Exit::Code(7), Cause::OnItsOwn)
}

fn cancelled(mut execution: Execution) -> Execution {
    execution.wishes.cancel = Some(at(150.0));
    execution
}

#[test]
fn a_pending_task_has_no_attempts_and_says_what_it_waits_for() {
    assert_json_snapshot!(shown(&accepted(4), &[]));
    let mut waiting = imported(4);
    waiting.state.waiting_for = Some("cpu: a task needs 2, 1.5 of 4 are free".to_owned());
    assert_snapshot!(lines(&status(&waiting, &[]).conditions));
}

#[test]
fn a_running_task() {
    assert_json_snapshot!(shown(&running(4), &[attempt(0, None)]));
}

#[test]
fn a_task_that_succeeded_after_a_retry() {
    assert_json_snapshot!(status(
        &running(4),
        &[attempt(0, Some(error())), attempt(1, Some(success()))]
    ));
}

#[test]
fn a_task_between_two_attempts_runs() {
    assert_json_snapshot!(status(&running(4), &[attempt(0, Some(error()))]));
}

#[test]
fn a_task_that_failed_for_good() {
    let attempts: Vec<_> = (0..4).map(|number| attempt(number, Some(error()))).collect();
    assert_json_snapshot!(shown(&running(4), &attempts));
}

#[test]
fn a_task_that_never_had_a_process() {
    let why = "exec /bin/nothing: no such file".to_owned();
    let failed =
        || Some(Ending::StartFailed { whose: Fault::Theirs, why: why.clone(), container: None });
    let attempts: Vec<_> = (0..4).map(|number| attempt(number, failed())).collect();
    assert_json_snapshot!(status(&running(4), &attempts));
}

#[test]
fn a_task_that_was_stopped() {
    let stopped = exited(Exit::Signal(15), Cause::Asked);
    assert_json_snapshot!(status(&cancelled(running(4)), &[attempt(0, Some(stopped))]));
}

#[test]
fn a_task_that_never_started_says_why() {
    let over = ended(cancelled(running(4)), 160.0, Outcome::Cancelled);
    assert_json_snapshot!(shown(&over, &[]));
    let missing = failure(Some("ContainerMissing"), "Image 'registry.example/sieve:1' not found.");
    assert_snapshot!(lines(&status(&ended(accepted(4), 61.0, missing), &[]).conditions));
}

#[test]
fn results_of_attempts_always_have_a_status() {
    let result = |ending: Ending| {
        serde_json::to_string(&status(&running(4), &[attempt(0, Some(ending))]).last_attempt_result)
            .expect("JSON")
    };
    let all = [
        success(),
        error(),
        exited(Exit::Signal(11), Cause::OnItsOwn),
        exited(Exit::Signal(15), Cause::Deadline),
        exited(Exit::Signal(9), Cause::OutOfMemory),
        exited(Exit::Signal(15), Cause::Asked),
        Ending::StartFailed { whose: Fault::Ours, why: "no memory".to_owned(), container: None },
        Ending::Lost { why: "reboot".to_owned() },
    ];
    assert_snapshot!(all.map(result).join("\n"));
}

#[test]
fn running_states() {
    let state = |execution: &Execution, attempts: &[Attempt]| running_state(execution, attempts);
    let over = ended(cancelled(running(4)), 160.0, Outcome::Cancelled);
    assert_eq!(state(&accepted(4), &[]), RunningState::Pending);
    assert_eq!(state(&cancelled(accepted(4)), &[]), RunningState::Pending);
    assert_eq!(state(&over, &[]), RunningState::Abandoned);
    assert_eq!(state(&running(4), &[attempt(0, None)]), RunningState::Running);
    assert_eq!(state(&running(4), &[attempt(0, Some(error()))]), RunningState::Running);
    assert_eq!(state(&running(4), &[attempt(0, Some(success()))]), RunningState::Succeeded);
    assert_eq!(state(&running(4), &[attempt(3, Some(error()))]), RunningState::Failed);
    assert_eq!(state(&over, &[attempt(0, Some(error()))]), RunningState::Cancelled);
    assert_eq!(state(&over, &[attempt(0, Some(success()))]), RunningState::Succeeded);
}
