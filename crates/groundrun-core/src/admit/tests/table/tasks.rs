//! 2.2: the execution and the task.

use serde_json::{Value, json};

use super::{J, NOTES, Row, T, TASK, row};

pub(super) fn rows() -> Vec<Row> {
    let spec = "/spec/template/spec";
    vec![
        row(
            "taskCount",
            format!("{spec}/taskCount"),
            json!(10_001),
            "spec.template.spec.task_count: must be a number between 0 and 10000",
        ),
        row(
            "parallelism",
            format!("{spec}/parallelism"),
            json!(-1),
            "spec.template.spec.parallelism: must not be negative",
        ),
        row(
            "maxRetries",
            format!("{TASK}/maxRetries"),
            json!(11),
            format!("{T}.max_retries: must be a number between 0 and 10"),
        ),
        row(
            "timeoutSeconds",
            format!("{TASK}/timeoutSeconds"),
            json!("604801"),
            format!("{T}.timeout: must be between 0 and 604800 seconds (168 hours), inclusive."),
        ),
        row(
            "serviceAccountName",
            format!("{TASK}/serviceAccountName"),
            json!("a b"),
            format!("{T}.service_account: Unsupported service account 'a b'."),
        ),
        row(
            "containers: none",
            format!("{TASK}/containers"),
            json!([]),
            format!("{T}.containers: must contain at least one container"),
        ),
        row(
            "containers: eleven",
            format!("{TASK}/containers"),
            json!(vec![json!({"image": "a"}); 11]),
            format!("{T}.containers: must contain at most 10 containers"),
        ),
        row(
            "template",
            format!("{spec}/template"),
            Value::Null,
            "spec.template.spec.template: The execution has no task template.",
        ),
        row(
            "template name",
            "/spec/template/metadata/name",
            json!("x"),
            "spec.template.metadata.name: Template name must be unspecified.",
        ),
        row(
            "execution-environment",
            format!("{NOTES}execution-environment"),
            json!("gen1"),
            "spec.template.metadata.annotations: Annotation 'run.googleapis.com/execution-environment' with value 'gen1' is \
             not supported on resources of kind Execution.",
        ),
        row(
            "launch-stage",
            "/metadata/annotations/run.googleapis.com~1launch-stage",
            json!("X"),
            "metadata.annotations: Annotation 'run.googleapis.com/launch-stage' with value 'X' is not supported: only \
             ALPHA, BETA, GA, or unspecified are supported.",
        ),
        row(
            "encryption-key",
            format!("{NOTES}encryption-key"),
            json!("x"),
            "spec.template.metadata.annotations: encryption_key: must conform to \
             projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}",
        ),
        row(
            "annotation of no execution",
            format!("{NOTES}post-key-revocation-action-type"),
            json!("shut-down"),
            "spec.template.metadata.annotations: Annotation 'run.googleapis.com/post-key-revocation-action-type' is not \
             supported on resources of kind Execution.",
        ),
        row(
            "annotation of no job",
            "/metadata/annotations/serving.knative.dev~1x",
            json!("x"),
            "metadata.annotations: Annotation 'serving.knative.dev/x' is not supported on resources of kind Job.",
        ),
        row(
            "job name",
            "/metadata/name",
            json!("a_b"),
            "job.metadata.name: only lowercase, digits, and hyphens; must begin with letter, and may not end with hyphen; \
             must be less than 64 characters.",
        ),
        row(
            "timeoutSeconds: with a GPU",
            TASK,
            json!({
                "timeoutSeconds": 3601,
                "containers": [{"image": "a", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
            }),
            format!(
                "{T}.timeout: must be between 0 and 3600 seconds (1 hour), inclusive, when using GPU."
            ),
        ),
        row(
            "timeoutSeconds: delayed",
            spec,
            json!({
                "delayExecution": true,
                "template": {"spec": {"timeoutSeconds": 43_201, "containers": [{"image": "a"}]}},
            }),
            format!(
                "{T}.timeout: must be between 0 and 43200 seconds (12 hours), inclusive, for a delayed execution."
            ),
        ),
        row(
            "nodeSelector",
            format!("{TASK}/nodeSelector"),
            json!({"run.googleapis.com/accelerator": "nvidia-l4"}),
            format!(
                "{J}.nodeSelector: accelerators are not supported yet: there is one machine, and nothing to select on it."
            ),
        ),
        row(
            "sandboxes",
            format!("{TASK}/sandboxes"),
            json!({"templates": [{}]}),
            format!("{J}.sandboxes: sandboxes are not supported."),
        ),
        row(
            "token",
            "/spec/runExecutionToken",
            json!("A"),
            "job.spec.run_execution_token: only lowercase, digits, and hyphens; may not end with hyphen; the sum of job \
             name and token length must be fewer than 63 characters.",
        ),
    ]
}
