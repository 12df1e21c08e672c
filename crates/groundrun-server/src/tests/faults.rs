//! All faults of a body in one answer, from every part of it.

use groundrun_api::FieldViolation;
use serde_json::{Value, json};

use super::fixture::{Fixture, JOBS};

/// Something is wrong in each part of it that has a check of its own.
fn document() -> Value {
    json!({
        "kind": "Service",
        "metadata": {"name": "Nightly", "annotations": {"run.googleapis.com/launch-stage": "SOON"}, "labels": {"a b": "x"}},
        "spec": {
            "startExecutionToken": "T",
            "template": {
                "metadata": {
                    "name": "x",
                    "annotations": {
                        "run.googleapis.com/cloudsql-instances": "db",
                        "run.googleapis.com/container-dependencies": r#"{"gone": []}"#,
                        "run.googleapis.com/vpc-access-egress": "some",
                    },
                },
                "spec": {"taskCount": 10_001, "template": {"spec": {
                    "maxRetries": 11,
                    "timeoutSeconds": "604801",
                    "serviceAccountName": "a b",
                    "containers": [{
                        "env": [{"name": "PORT"}, {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "?"}}}],
                        "livenessProbe": {"tcpSocket": {}},
                        "startupProbe": {"tcpSocket": {}, "periodSeconds": 241},
                        "resources": {"limits": {"cpu": "3"}},
                        "volumeMounts": [{"name": "gone", "mountPath": "x"}],
                    }],
                    "volumes": [{"name": "b", "csi": {"driver": "gcsfuse.run.googleapis.com"}}],
                }}},
            },
        },
    })
}

#[tokio::test]
async fn the_faults_of_every_part_of_a_document_come_in_one_answer() {
    let fixture = Fixture::new();
    let answer = fixture.post(JOBS, document()).await;
    let error = &answer.json()["error"];
    let found: Vec<FieldViolation> =
        serde_json::from_value(error["details"][0]["fieldViolations"].clone()).expect("violations");
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    job.metadata.name: only lowercase, digits, and hyphens; must begin with letter, and may not end with hyphen; must be less than 64 characters.
    kind: must be 'Job', not 'Service'.
    spec.template.metadata.name: Template name must be unspecified.
    spec.template.spec.template.spec.containers[0].livenessProbe: Cloud Run job does not support liveness probe.
    metadata.labels: Label 'a b' with value 'x': the name must have 1 to 63 characters: letters, digits, '-', '_' and '.', beginning and ending with a letter or digit.
    metadata.annotations: Annotation 'run.googleapis.com/launch-stage' with value 'SOON' is not supported: only ALPHA, BETA, GA, or unspecified are supported.
    job.spec.start_execution_token: only lowercase, digits, and hyphens; may not end with hyphen; the sum of job name and token length must be fewer than 63 characters.
    spec.template.spec.task_count: must be a number between 0 and 10000
    spec.template.spec.task_spec.max_retries: must be a number between 0 and 10
    spec.template.spec.task_spec.timeout: must be between 0 and 604800 seconds (168 hours), inclusive.
    spec.template.spec.task_spec.service_account: Unsupported service account 'a b'.
    job.spec.template.spec.containers[0].image: must provide an image name to deploy
    spec.template.spec.containers[0].env: The following reserved env names were provided: PORT. These values are automatically set by the system.
    spec.template.spec.task_spec.containers[0].env[1].value_from.secret_key_ref.version: should have only alphanumeric characters, hyphens and underscores
    spec.template.spec.task_spec.containers[0].startup_probe: period_seconds must be a number between 0 and 240
    spec.template.spec.task_spec.containers[0].resources.limits.cpu: Invalid value specified for container cpu. Must be equal to one of [.08-1], 1, 2, 4, 6, 8
    spec.template.spec.task_spec.volumes[0].gcs.bucket: Bucket name must be specified
    spec.template.spec.task_spec.containers[0].volume_mounts: has names which were not found in volumes list: gone
    spec.template.spec.task_spec.containers[0].volume_mounts[0].mount_path: must be a valid unix absolute path
    spec.template.metadata.annotations: vpc-access-egress needs a vpc-access-connector or network-interfaces
    spec.template.metadata.annotations: vpc-access-egress 'some': must be private-ranges-only or all-traffic
    spec.template.metadata.annotations: container-dependencies: container 'gone' does not exist
    spec.template.metadata.annotations: Cloud SQL instance 'db' must be in the format project:location:instance
    "#);
    assert_eq!(error["message"], lines.join("\n"));
    assert_eq!((answer.status.as_u16(), &error["status"]), (400, &json!("INVALID_ARGUMENT")));
    assert!(fixture.get(JOBS).await.ok().get("items").is_none(), "nothing is stored");
}
