//! Jobs: readiness and the latest execution.

use groundrun_api::v1;
use insta::assert_json_snapshot;

use crate::{
    record::{Execution, Failure, Job, LatestExecution, Outcome, ReadinessState},
    render,
    samples::{accepted, at, begun, by_gcloud, context, ended, failure, job, running, with},
};

fn shown(job: &Job, latest: Option<&Execution>) -> v1::Job {
    render::job(job, latest, &context())
}

fn status(job: &Job, latest: Option<&Execution>) -> v1::JobStatus {
    shown(job, latest).status.expect("always there")
}

fn ready(job: &Job) -> (Option<String>, Option<i32>) {
    let status = status(job, None);
    (status.conditions[0].status.clone(), status.observed_generation)
}

#[test]
fn a_new_job() {
    assert_json_snapshot!(shown(&job(by_gcloud()), None));
}

#[test]
fn template_metadata_is_always_there() {
    let shown = shown(&job(crate::samples::least()), None);
    assert!(
        shown
            .spec
            .and_then(|spec| spec.template)
            .is_some_and(|template| template.metadata.is_some())
    );
}

#[test]
fn readiness_of_an_earlier_generation_does_not_count() {
    let mut job = job(by_gcloud());
    job.generation = 2;
    assert_eq!(ready(&job), (Some("Unknown".into()), Some(1)));
    job.readiness.generation = 2;
    assert_eq!(ready(&job), (Some("True".into()), Some(2)));
    job.readiness.state = ReadinessState::Checking;
    assert_eq!(ready(&job), (Some("Unknown".into()), Some(2)));
}

#[test]
fn a_job_that_cannot_run_says_why() {
    let mut job = job(by_gcloud());
    job.readiness.state = ReadinessState::Failed(Failure {
        reason: Some("ContainerMissing".to_owned()),
        message: "Image 'registry.example/sieve:1' not found.".to_owned(),
    });
    assert_json_snapshot!(status(&job, None));
}

#[test]
fn the_latest_execution_is_followed_and_outlives_its_row() {
    let mut job = job(by_gcloud());
    job.execution_count = 3;
    let execution = accepted(2);
    job.latest_execution = Some(LatestExecution {
        uid: execution.uid,
        name: execution.name.clone(),
        created: execution.created,
    });
    let words = |execution: &Execution| {
        let latest = status(&job, Some(execution)).latest_created_execution.expect("there is one");
        (latest.completion_status.expect("known"), latest.completion_timestamp.is_some())
    };
    assert_eq!(words(&execution), ("EXECUTION_PENDING".into(), false));
    assert_eq!(words(&begun(2)), ("EXECUTION_RUNNING".into(), false));
    let end = |outcome| ended(running(2), 200.0, outcome);
    assert_eq!(words(&end(Outcome::Succeeded)), ("EXECUTION_SUCCEEDED".into(), true));
    assert_eq!(words(&end(failure(None, "x"))), ("EXECUTION_FAILED".into(), true));
    assert_eq!(words(&end(Outcome::Cancelled)), ("EXECUTION_CANCELLED".into(), true));
    let mut deleted = end(Outcome::Cancelled);
    deleted.wishes.delete = Some(at(300.0));
    assert_json_snapshot!(status(&job, Some(&deleted)));
    assert_json_snapshot!(status(&job, None));
}

/// What Ready says of a job with `t1` in `field` whose last execution is this one.
fn awaited(field: &str, execution: &Execution) -> String {
    let mut job = job(with(by_gcloud(), &format!("/spec/{field}"), "t1".into()));
    job.latest_execution = Some(LatestExecution {
        uid: execution.uid,
        name: "sieve-t1".to_owned(),
        created: execution.created,
    });
    let execution = Execution { name: "sieve-t1".to_owned(), ..execution.clone() };
    let ready = status(&job, Some(&execution)).conditions.remove(0);
    let told = [ready.status, ready.reason, ready.message].into_iter().flatten();
    told.collect::<Vec<_>>().join("; ")
}

#[test]
fn a_job_is_ready_when_the_execution_of_its_token_has_started_or_succeeded() {
    let started = |execution: &Execution| awaited("startExecutionToken", execution);
    let ran = |execution: &Execution| awaited("runExecutionToken", execution);
    assert_eq!(started(&accepted(1)), "Unknown; Waiting for execution 'sieve-t1' to start.");
    assert_eq!(ran(&accepted(1)), "Unknown; Waiting for execution 'sieve-t1' to complete.");
    assert_eq!(started(&running(1)), "True");
    assert_eq!(ran(&running(1)), "Unknown; Waiting for execution 'sieve-t1' to complete.");
    let succeeded = ended(running(1), 200.0, Outcome::Succeeded);
    assert_eq!((started(&succeeded), ran(&succeeded)), ("True".into(), "True".into()));
    let failed = ended(running(1), 200.0, failure(Some("NonZeroExitCode"), "Task x failed."));
    assert_eq!(started(&failed), "True");
    assert_eq!(ran(&failed), "False; NonZeroExitCode; Execution 'sieve-t1' failed: Task x failed.");
    let stopped = ended(begun(1), 200.0, Outcome::Cancelled);
    assert_eq!(
        started(&stopped),
        "False; Cancelled; Execution 'sieve-t1' failed: Cancelled by user."
    );
}

#[test]
fn a_deleted_execution_of_a_token_leaves_the_job_as_it_is_without_it() {
    let mut deleted = ended(running(1), 200.0, failure(None, "x"));
    deleted.wishes.delete = Some(at(300.0));
    assert_eq!(awaited("runExecutionToken", &deleted), "True");
}

#[test]
fn a_token_does_not_make_a_job_ready_that_cannot_run() {
    let mut job = job(with(by_gcloud(), "/spec/startExecutionToken", "t1".into()));
    let execution = Execution { name: "sieve-t1".to_owned(), ..running(1) };
    let (uid, created) = (execution.uid, execution.created);
    job.latest_execution = Some(LatestExecution { uid, name: execution.name.clone(), created });
    job.readiness.state =
        ReadinessState::Failed(Failure { reason: None, message: "no image".to_owned() });
    let ready = status(&job, Some(&execution)).conditions.remove(0);
    assert_eq!(ready.message.as_deref(), Some("no image"));
}
