//! Jobs: readiness and the latest execution.

use groundrun_api::v1;
use insta::assert_json_snapshot;

use crate::{
    record::{Execution, Failure, Job, LatestExecution, Outcome, ReadinessState},
    render,
    samples::{accepted, at, begun, by_gcloud, context, ended, failure, job, running},
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
