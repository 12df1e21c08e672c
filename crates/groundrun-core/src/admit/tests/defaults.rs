//! What the server adds.

use serde_json::json;

use crate::samples::{CONTAINER, admitted, by_gcloud, least, with};

#[test]
fn what_gcloud_sends_is_filled_with_the_servers_defaults() {
    let job = admitted(by_gcloud());
    assert_eq!(job.name, "sieve");
    assert!(job.labels.is_empty());
    insta::assert_json_snapshot!(*job.spec);
}

#[test]
fn the_least_job_has_the_same_defaults_and_template_metadata() {
    let spec = admitted(least()).spec;
    let metadata = spec.template.as_ref().and_then(|template| template.metadata.clone());
    let environment = metadata.expect("always there").annotations;
    assert_eq!(environment["run.googleapis.com/execution-environment"], "gen2");
    let of = |spec: &groundrun_api::v1::JobSpec| {
        spec.template.as_ref().and_then(|template| template.spec.clone())
    };
    assert_eq!(of(&spec), of(&admitted(by_gcloud()).spec));
}

#[test]
fn what_is_given_stays_as_it_is() {
    let mut document = by_gcloud();
    for (pointer, value) in [
        ("/spec/template/spec/taskCount", json!(5)),
        ("/spec/template/spec/parallelism", json!(0)),
        ("/spec/template/spec/delayExecution", json!(false)),
        ("/spec/template/spec/template/spec/maxRetries", json!(0)),
        ("/spec/template/spec/template/spec/timeoutSeconds", json!("3600")),
        (&format!("{CONTAINER}/command"), json!(["/bin/sh", "-c"])),
        (&format!("{CONTAINER}/args"), json!(["echo hi"])),
        (
            &format!("{CONTAINER}/env"),
            json!([{"name": "A", "value": "1"}, {"name": "A", "value": ""}]),
        ),
        (&format!("{CONTAINER}/resources"), json!({"limits": {"memory": "1Gi"}, "requests": {}})),
        (&format!("{CONTAINER}/sandboxLauncher"), json!(false)),
    ] {
        document = with(document, pointer, value);
    }
    insta::assert_json_snapshot!(*admitted(document).spec);
}
