//! Executions at every phase.

use std::sync::Arc;

use groundrun_api::v1;
use insta::{assert_json_snapshot, assert_snapshot};

use super::lines;
use crate::{
    record::{Execution, ImagesState, Outcome},
    render,
    samples::{accepted, at, begun, context, ended, execution, failure, imported, running},
};

fn shown(execution: &Execution) -> v1::Execution {
    render::execution(execution, &context())
}

fn conditions(execution: &Execution) -> String {
    lines(&shown(execution).status.expect("always there").conditions)
}

fn cancelled(mut execution: Execution) -> Execution {
    execution.wishes.cancel = Some(at(130.0));
    execution.generation = 2;
    execution
}

#[test]
fn the_first_reply_has_a_completed_condition_and_no_observed_generation() {
    assert_json_snapshot!(shown(&execution(4)));
}

#[test]
fn accepted_imports_its_images() {
    assert_snapshot!(conditions(&accepted(4)));
}

#[test]
fn imported_waits_for_room() {
    assert_snapshot!(conditions(&imported(4)));
    let mut waiting = imported(4);
    waiting.state.waiting_for = Some("cpu: a task needs 2, 1.5 of 4 are free".to_owned());
    assert_snapshot!(conditions(&waiting));
}

#[test]
fn an_earlier_digest_is_a_warning() {
    let mut stale = imported(4);
    stale.state.images = ImagesState::Imported {
        at: at(60.5),
        digests: vec!["sha256:0".to_owned()],
        stale: Some("connection refused".to_owned()),
    };
    assert_snapshot!(conditions(&stale));
}

#[test]
fn an_import_that_is_tried_again_says_when_and_why() {
    let mut retrying = accepted(4);
    retrying.state.images = ImagesState::Retrying {
        failures: 2,
        next: at(67.05),
        message: "Image 'registry.example/sieve:1' could not be fetched: timed out".to_owned(),
    };
    assert_snapshot!(conditions(&retrying));
}

#[test]
fn provisioned_waits_for_its_start() {
    assert_snapshot!(conditions(&begun(4)));
}

#[test]
fn running_shows_counters() {
    let mut execution = running(4);
    execution.state.counters.succeeded = 1;
    execution.state.counters.running = 2;
    execution.state.counters.retried = 1;
    execution.state.waiting_for =
        Some("memory: a task needs 1 GiB, 0 GiB of 4 GiB are free".to_owned());
    assert_json_snapshot!(shown(&execution).status);
}

#[test]
fn success() {
    let mut execution = ended(running(4), 834.13, Outcome::Succeeded);
    execution.state.counters.succeeded = 4;
    assert_json_snapshot!(shown(&execution).status);
}

#[test]
fn failure_of_a_task() {
    let outcome = failure(
        Some("NonZeroExitCode"),
        "Task sieve-k7m2x-task3 failed with exit code: 1 and message: The container exited with an error.",
    );
    let mut execution = ended(running(4), 201.5, outcome);
    execution.state.counters.succeeded = 3;
    execution.state.counters.failed = 1;
    execution.state.counters.retried = 1;
    assert_json_snapshot!(shown(&execution).status);
}

#[test]
fn timeout_has_no_reason() {
    let text = "Task sieve-k7m2x-task0 failed with exit code: 0 and message: The configured timeout was reached.";
    assert_snapshot!(conditions(&ended(running(1), 201.5, failure(None, text))));
}

#[test]
fn an_end_before_the_start_says_so_in_started() {
    let missing = failure(Some("ContainerMissing"), "Image 'registry.example/sieve:1' not found.");
    assert_snapshot!(conditions(&ended(accepted(4), 61.0, missing)));

    let text = "Image 'registry.example/sieve:1' could not be fetched: timed out";
    let mut given_up = accepted(4);
    given_up.state.images =
        ImagesState::Retrying { failures: 9, next: at(600.0), message: "timed out".to_owned() };
    assert_snapshot!(conditions(&ended(given_up, 600.0, failure(None, text))));

    let text =
        "A task needs 2 GiB of memory, more than the 1 GiB that this machine gives to all tasks.";
    assert_snapshot!(conditions(&ended(accepted(4), 60.1, failure(None, text))));
    assert_snapshot!(conditions(&ended(imported(4), 105.0, failure(None, text))));

    let text = "Task sieve-k7m2x-task0 failed with exit code: 0 and message: Application failed to start: no such file";
    assert_snapshot!(conditions(&ended(begun(4), 107.0, failure(None, text))));
}

#[test]
fn cancelling_and_cancelled() {
    let mut cancelling = cancelled(running(4));
    cancelling.state.observed_generation = 2;
    assert_json_snapshot!(shown(&cancelling));
    let mut done = ended(cancelling, 141.0, Outcome::Cancelled);
    done.state.counters.cancelled = 4;
    assert_json_snapshot!(shown(&done).status);
}

#[test]
fn cancelled_before_its_start() {
    let mut done = ended(cancelled(accepted(4)), 130.1, Outcome::Cancelled);
    done.state.observed_generation = 2;
    done.state.counters.cancelled = 4;
    assert_json_snapshot!(shown(&done).status);
}

/// What gcloud waits for (fact: gcloud-wire C.2): it stops at `Started`, or with `--wait` at `Completed`, once that is
/// no longer Unknown.
#[test]
fn gcloud_comes_to_an_end_in_every_outcome() {
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Cancelled,
        failure(None, "x"),
        failure(Some("ContainerMissing"), "x"),
    ];
    for before in [execution(2), accepted(2), imported(2), begun(2), running(2)] {
        for outcome in &outcomes {
            let mut done = ended(before.clone(), 150.0, outcome.clone());
            // The engine accepts what it ends.
            done.state.accepted.get_or_insert(at(60.05));
            let started = done.state.started.is_some();
            if *outcome == Outcome::Succeeded && !started {
                continue;
            }
            let conditions = shown(&done).status.expect("always there").conditions;
            let status = |kind: &str| {
                let one = conditions.iter().find(|one| one.r#type.as_deref() == Some(kind));
                one.and_then(|one| one.status.clone()).unwrap_or_default()
            };
            let succeeded = *outcome == Outcome::Succeeded;
            assert_eq!(status("Completed"), if succeeded { "True" } else { "False" });
            assert_eq!(status("Started"), if started { "True" } else { "False" });
            assert_eq!(status("Retry"), "");
        }
    }
}

#[test]
fn only_retry_and_a_stale_image_have_a_severity() {
    for execution in [accepted(1), imported(1), begun(1), running(1)] {
        for one in shown(&execution).status.expect("always there").conditions {
            assert_eq!(one.severity.is_some(), one.r#type.as_deref() == Some("Retry"));
        }
    }
}

#[test]
fn a_delayed_execution_that_has_not_begun_says_so() {
    let delayed = |execution: Execution| {
        let spec = v1::ExecutionSpec { delay_execution: Some(true), ..(*execution.spec).clone() };
        let execution = Execution { spec: Arc::new(spec), ..execution };
        let completed = shown(&execution).status.expect("always there").conditions.remove(0);
        (completed.status, completed.reason, completed.message)
    };
    let told = |text: &str| Some(text.to_owned());
    let waiting = (
        told("Unknown"),
        told("DelayedStartPending"),
        told("A delayed execution is waiting for a start time."),
    );
    assert_eq!(delayed(accepted(1)), waiting);
    assert_eq!(delayed(begun(1)), (told("Unknown"), None, None));
    let failure = crate::outcome::out_of_time(None);
    assert_eq!(
        delayed(ended(accepted(1), 43_200.0, Outcome::Failed(failure))),
        (
            told("False"),
            told("DelayedExecutionExceedingDurationLimit"),
            told("The delayed execution could not start within 12 hours of its creation."),
        )
    );
}
