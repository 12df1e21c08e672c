//! `jobs.replaceJob`.

use serde_json::{Value, json};

use crate::{
    admit::{Replacement, replacement},
    record::{Job, Revision},
    render,
    samples::{by_gcloud, context, decode, job, with},
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
    assert_eq!(new, Replacement { labels, annotations, spec, generation: 1 });
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

#[test]
fn a_stale_version_is_a_conflict_and_none_is_not() {
    let mut old = job(by_gcloud());
    let before = shown(&old);
    old.revision = Revision(old.revision.0 + 1);
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
