//! Identity, labels and annotations.

use serde_json::json;

use super::{check, fine};
use crate::samples::{admitted, by_gcloud, faults, least, with};

#[test]
fn api_version_and_kind_are_absent_or_ours() {
    fine("/apiVersion", json!("run.googleapis.com/v1"));
    fine("/kind", json!("Job"));
    check("/apiVersion", json!("v1"), &["apiVersion: must be 'run.googleapis.com/v1', not 'v1'."]);
    check("/kind", json!("Service"), &["kind: must be 'Job', not 'Service'."]);
}

#[test]
fn the_namespace_is_the_project_by_id_or_number() {
    fine("/metadata/namespace", json!("acme"));
    fine("/metadata/namespace", json!("420000000042"));
    check(
        "/metadata/namespace",
        json!("other"),
        &[
            "metadata.namespace: must be the project of the request, 'acme' or '420000000042', not 'other'.",
        ],
    );
}

#[test]
fn a_template_has_no_name() {
    check(
        "/spec/template/metadata/name",
        json!("x"),
        &["spec.template.metadata.name: Template name must be unspecified."],
    );
}

#[test]
fn gen2_is_the_only_execution_environment() {
    let pointer = "/spec/template/metadata/annotations/run.googleapis.com~1execution-environment";
    fine(pointer, json!("gen2"));
    check(
        pointer,
        json!("gen1"),
        &[
            "spec.template.metadata.annotations: Annotation 'run.googleapis.com/execution-environment' with value \
           'gen1' is not supported on resources of kind Execution.",
        ],
    );
}

#[test]
fn the_launch_stage_is_alpha_beta_or_ga() {
    let pointer = "/metadata/annotations/run.googleapis.com~1launch-stage";
    for stage in ["ALPHA", "BETA", "GA"] {
        fine(pointer, json!(stage));
    }
    check(
        pointer,
        json!("PRELAUNCH"),
        &[
            "metadata.annotations: Annotation 'run.googleapis.com/launch-stage' with value 'PRELAUNCH' is not \
           supported: only ALPHA, BETA, GA, or unspecified are supported.",
        ],
    );
}

#[test]
fn unknown_keys_of_googles_namespaces_are_refused_where_they_stand() {
    check(
        "/metadata/annotations/run.googleapis.com~1execution-environment",
        json!("gen2"),
        &[
            "metadata.annotations: Annotation 'run.googleapis.com/execution-environment' is not supported on resources \
           of kind Job.",
        ],
    );
    check(
        "/spec/template/metadata/annotations/autoscaling.knative.dev~1maxScale",
        json!("3"),
        &[
            "spec.template.metadata.annotations: Annotation 'autoscaling.knative.dev/maxScale' is not supported on \
           resources of kind Execution.",
        ],
    );
    check(
        "/spec/template/metadata/labels/run.googleapis.com~1job",
        json!("x"),
        &[
            "spec.template.metadata.labels: Label 'run.googleapis.com/job' is reserved for the system.",
        ],
    );
    fine("/metadata/annotations/client.knative.dev~1user-image", json!("busybox"));
    fine("/metadata/annotations/acme.example~1owner", json!("ada"));
    fine("/metadata/labels/team", json!("x"));
}

#[test]
fn labels_are_those_that_selectors_can_name() {
    check(
        "/metadata/labels/a b",
        json!("x"),
        &[
            "metadata.labels: Label 'a b' with value 'x': the name must have 1 to 63 characters: letters, digits, '-', \
           '_' and '.', beginning and ending with a letter or digit.",
        ],
    );
    check(
        "/spec/template/metadata/labels/a",
        json!("-"),
        &[
            "spec.template.metadata.labels: Label 'a' with value '-': the value must have at most 63 characters: \
           letters, digits, '-', '_' and '.', beginning and ending with a letter or digit.",
        ],
    );
}

#[test]
fn the_servers_own_keys_come_back_and_are_dropped() {
    let mut document = by_gcloud();
    for (pointer, value) in [
        ("/metadata/annotations/run.googleapis.com~1creator", "mallory@acme.example"),
        ("/metadata/annotations/run.googleapis.com~1lastModifier", "mallory@acme.example"),
        ("/metadata/annotations/run.googleapis.com~1operation-id", "stale"),
        ("/metadata/labels/cloud.googleapis.com~1location", "mars-east1"),
        ("/metadata/labels/run.googleapis.com~1lastUpdatedTime", "stale"),
        ("/spec/template/metadata/labels/cloud.googleapis.com~1location", "mars-east1"),
    ] {
        document = with(document, pointer, json!(value));
    }
    assert_eq!(admitted(document), admitted(by_gcloud()));
}

#[test]
fn a_token_is_the_end_of_the_name_of_an_execution() {
    let rule = "only lowercase, digits, and hyphens; may not end with hyphen; the sum of job name and token length must be \
                fewer than 63 characters.";
    // The job is called `sieve`.
    for token in ["t1", "-", &"a".repeat(58)] {
        for (field, place) in [
            ("start_execution_token", "startExecutionToken"),
            ("run_execution_token", "runExecutionToken"),
        ] {
            let fault = format!("job.spec.{field}: {rule}");
            let pointer = format!("/spec/{place}");
            match token {
                "t1" => fine(&pointer, json!(token)),
                _ => check(&pointer, json!(token), &[&fault]),
            }
        }
    }
    let kept = |token: &str| {
        let spec = admitted(with(least(), "/spec/runExecutionToken", json!(token))).spec;
        spec.run_execution_token.clone()
    };
    assert_eq!((kept("t1").as_deref(), kept("")), (Some("t1"), None), "an empty one is none");
}

#[test]
fn all_faults_of_a_document_are_found_at_once() {
    let mut document = least();
    for (pointer, value) in [
        ("/kind", json!("Service")),
        ("/metadata/name", json!("No_Name")),
        ("/spec/template/metadata/name", json!("x")),
        ("/spec/template/spec/taskCount", json!(-1)),
        ("/spec/template/spec/template/spec/maxRetries", json!(11)),
        ("/spec/template/spec/template/spec/containers/0/image", json!("")),
        ("/spec/template/spec/template/spec/containers/0/env", json!([{"name": "PORT"}])),
        ("/spec/template/spec/template/spec/containers/0/volumeMounts", json!([{"name": "v"}])),
    ] {
        document = with(document, pointer, value);
    }
    insta::assert_snapshot!(faults(document).join("\n"));
}

#[test]
fn a_glass_is_broken_where_there_is_a_policy() {
    let annotated = |name: &str, document| {
        with(document, &format!("/metadata/annotations/run.googleapis.com~1{name}"), json!("x"))
    };
    let alone = annotated("binary-authorization-breakglass", least());
    assert_eq!(
        faults(alone.clone()),
        [
            "metadata.annotations: Annotation 'run.googleapis.com/binary-authorization-breakglass' needs a policy to break."
        ]
    );
    admitted(annotated("binary-authorization", alone));
}
