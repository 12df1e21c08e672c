//! `jobs.replaceJob`.

use serde_json::{Value, json};

use crate::{
    admit::{Replacement, replacement},
    record::{Job, LatestExecution, Revision},
    render,
    samples::{accepted, by_gcloud, context, decode, job, with},
};

fn replaced(old: &Job, document: Value) -> Result<Replacement, String> {
    replacement(old, decode(document), &context())
        .map_err(|error| format!("{} {:?}: {error}", error.status.http(), error.status))
}

fn shown(job: &Job) -> Value {
    serde_json::to_value(render::job(job, None, &context())).expect("JSON")
}

#[test]
fn what_get_gave_changes_nothing() {
    let old = job(by_gcloud());
    let new = replaced(&old, shown(&old)).expect("it is admitted");
    let Job { labels, annotations, spec, .. } = old;
    let nothing_new = Replacement { labels, annotations, spec, generation: 1, execution: None };
    assert_eq!(new, nothing_new);
}

#[test]
fn only_a_change_of_the_spec_raises_the_generation() {
    let old = job(by_gcloud());
    let generation = |pointer: &str, value| {
        replaced(&old, with(shown(&old), pointer, value)).expect("it is admitted").generation
    };
    assert_eq!(generation("/metadata/labels/team", json!("x")), 1);
    assert_eq!(
        generation("/metadata/annotations/run.googleapis.com~1launch-stage", json!("BETA")),
        1
    );
    assert_eq!(generation("/metadata/generation", json!(99)), 1);
    assert_eq!(generation("/status", json!({})), 1);
    assert_eq!(generation("/spec/template/metadata/labels/team", json!("x")), 2);
    assert_eq!(generation("/spec/template/spec/taskCount", json!(2)), 2);
}

#[test]
fn another_policy_is_another_generation() {
    let old = job(by_gcloud());
    let place = "/metadata/annotations/run.googleapis.com~1binary-authorization";
    let new = replaced(&old, with(shown(&old), place, json!("default"))).expect("it is admitted");
    assert_eq!(new.generation, 2, "its images are to be looked at");
    assert_eq!(new.spec, old.spec);
}

#[test]
fn a_whole_document_replaces_labels_and_annotations() {
    let labelled = with(by_gcloud(), "/metadata/labels/team", json!("x"));
    let staged =
        with(labelled, "/metadata/annotations/run.googleapis.com~1launch-stage", json!("BETA"));
    let old = job(staged);
    let kept = replaced(&old, shown(&old)).expect("it is admitted");
    assert_eq!(kept.labels["team"], "x");
    assert_eq!(kept.annotations["run.googleapis.com/launch-stage"], "BETA");
    let cleared = replaced(&old, by_gcloud()).expect("it is admitted");
    assert!(cleared.labels.is_empty());
    assert!(!cleared.annotations.contains_key("run.googleapis.com/launch-stage"));
}

/// A job whose last execution is called so.
fn last_ran(mut job: Job, name: &str) -> Job {
    let execution = accepted(1);
    let (uid, created) = (execution.uid, execution.created);
    job.latest_execution = Some(LatestExecution { uid, name: name.to_owned(), created });
    job
}

#[test]
fn a_new_token_makes_an_execution_and_the_same_one_none() {
    let with_token = |token: &str| with(by_gcloud(), "/spec/startExecutionToken", json!(token));
    let made = |old: &Job, document| {
        let new = replaced(old, document).expect("it is admitted");
        (new.execution, new.generation)
    };
    let name = |name: &str| Some(name.to_owned());
    let old = last_ran(job(with_token("t1")), "sieve-t1");
    assert_eq!(made(&old, shown(&old)), (None, 1), "the round trip of a client");
    assert_eq!(made(&old, with_token("t2")), (name("sieve-t2"), 2));
    assert_eq!(made(&old, by_gcloud()), (None, 2), "it is left out");
    let other = with(by_gcloud(), "/spec/runExecutionToken", json!("t1"));
    assert_eq!(made(&old, other), (None, 2), "the same execution, waited for otherwise");

    let ran = last_ran(job(with_token("t1")), "sieve-bcdfg");
    assert_eq!(made(&ran, shown(&ran)), (None, 1), "it is not shown, and nobody sends it");
    assert_eq!(made(&ran, with_token("t1")), (name("sieve-t1"), 2), "which is there already");
    assert_eq!(made(&job(by_gcloud()), with_token("t1")), (name("sieve-t1"), 2));
}

#[test]
fn a_version_is_stale_once_a_client_changed_the_job_and_not_by_its_executions() {
    let mut old = job(by_gcloud());
    let version = |offset| json!(render::resource_version(Revision(old.written.0 + offset)));
    let documents = [-1, 0, 1, 2, 3]
        .map(|offset| with(by_gcloud(), "/metadata/resourceVersion", version(offset)));
    old.revision = Revision(old.written.0 + 2);
    let admitted = documents.map(|document| replaced(&old, document).is_ok());
    assert_eq!(admitted, [false, true, true, true, false]);
    let garbage = with(by_gcloud(), "/metadata/resourceVersion", json!("7"));
    assert!(replaced(&old, garbage).is_err_and(|fault| fault.starts_with("409 ")));
}

#[test]
fn a_stale_version_is_a_conflict_and_none_is_not() {
    let mut old = job(by_gcloud());
    let before = shown(&old);
    old.revision = Revision(old.revision.0 + 1);
    old.written = old.revision;
    let versions = [
        before["metadata"]["resourceVersion"].clone(),
        shown(&old)["metadata"]["resourceVersion"].clone(),
    ];
    let [given, current] = versions.map(|value| value.as_str().expect("text").to_owned());
    let text = format!(
        "409 Aborted: Conflict for resource 'sieve': version '{given}' was specified but current version is '{current}'."
    );
    assert_eq!(replaced(&old, before), Err(text));
    assert!(replaced(&old, by_gcloud()).is_ok());
    assert!(replaced(&old, with(by_gcloud(), "/metadata/resourceVersion", json!(""))).is_ok());
}

#[test]
fn name_namespace_and_kind_cannot_change() {
    let old = job(by_gcloud());
    let fault =
        |pointer, value| replaced(&old, with(by_gcloud(), pointer, value)).expect_err("refused");
    assert_eq!(
        fault("/metadata/name", json!("other")),
        "400 InvalidArgument: metadata.name: cannot be changed from 'sieve' to 'other'."
    );
    assert_eq!(
        fault("/metadata/namespace", json!("other")),
        "400 InvalidArgument: metadata.namespace: must be the project of the request, 'acme' or '420000000042', not \
         'other'."
    );
    assert_eq!(
        fault("/kind", json!("Service")),
        "400 InvalidArgument: kind: must be 'Job', not 'Service'."
    );
    assert!(replaced(&old, with(by_gcloud(), "/metadata/name", json!(""))).is_ok());
}
