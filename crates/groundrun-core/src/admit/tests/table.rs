//! Section 2 of the reference, row by row: what is out of range, and Google's words for it with the field's path.

use serde_json::{Value, json};

use crate::samples::{CONTAINER, faults, least, with};

const TASK: &str = "/spec/template/spec/template/spec";
const VOLUME: &str = "/spec/template/spec/template/spec/volumes/0";
const NOTES: &str = "/spec/template/metadata/annotations/run.googleapis.com~1";
/// The internal path of the task, and of its container.
const T: &str = "spec.template.spec.task_spec";

/// What the row is about, where, what stands there, and the fault.
struct Row(&'static str, String, Value, String);

fn row(
    name: &'static str,
    pointer: impl Into<String>,
    value: Value,
    fault: impl Into<String>,
) -> Row {
    Row(name, pointer.into(), value, fault.into())
}

/// 2.2: the execution and the task.
fn tasks() -> Vec<Row> {
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
            "token",
            "/spec/runExecutionToken",
            json!("A"),
            "job.spec.run_execution_token: only lowercase, digits, and hyphens; may not end with hyphen; the sum of job \
             name and token length must be fewer than 63 characters.",
        ),
    ]
}

/// 2.3: the container.
fn containers() -> Vec<Row> {
    let at = |field: &str| format!("{CONTAINER}/{field}");
    let c = format!("{T}.containers[0]");
    let env = "spec.template.spec.containers[0].env";
    let limits = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    vec![
        row(
            "image: absent",
            at("image"),
            json!(""),
            "job.spec.template.spec.containers[0].image: must provide an image name to deploy",
        ),
        row(
            "image: malformed",
            at("image"),
            json!("A B"),
            "job.spec.template.spec.containers[0].image: 'A B' must be a container image path",
        ),
        row(
            "args",
            at("args"),
            json!(vec!["x"; 1001]),
            format!("{T}.containers: exceeds the limit on args across all containers, 1000"),
        ),
        row(
            "env: too many",
            at("env"),
            json!(vec![json!({"name": "A"}); 1001]),
            format!("{T}.containers: exceeds the limit on EnvVars across all containers, 1000"),
        ),
        row(
            "env: value",
            at("env"),
            json!([{"name": "A", "value": "x".repeat(32_769)}]),
            format!("{env}[0].value: length cannot exceed 32768"),
        ),
        row(
            "env: reserved",
            at("env"),
            json!([{"name": "CLOUD_RUN_JOB"}, {"name": "PORT"}]),
            format!(
                "{env}: The following reserved env names were provided: CLOUD_RUN_JOB, PORT. These values are \
                     automatically set by the system."
            ),
        ),
        row(
            "ports: two",
            at("ports"),
            json!([{"containerPort": 1}, {"containerPort": 2}]),
            format!("{c}.ports: ports should contain 0 or 1 port"),
        ),
        row(
            "ports: name",
            at("ports"),
            json!([{"name": "x"}]),
            format!("{c}.ports[0].name: must be one of empty, 'http1' or 'h2c'"),
        ),
        row(
            "livenessProbe",
            at("livenessProbe"),
            json!({"tcpSocket": {"port": 1}}),
            "spec.template.spec.template.spec.containers[0].livenessProbe: Cloud Run job does not support liveness probe.",
        ),
        row(
            "startupProbe: no action",
            at("startupProbe"),
            json!({"periodSeconds": 3}),
            format!("{c}.startup_probe: Exactly one probe action must be set"),
        ),
        row(
            "startupProbe: period",
            at("startupProbe"),
            json!({"tcpSocket": {}, "periodSeconds": 241}),
            format!("{c}.startup_probe: period_seconds must be a number between 0 and 240"),
        ),
        row(
            "startupProbe: port",
            at("startupProbe"),
            json!({"tcpSocket": {"port": 65_536}}),
            format!("{c}.startup_probe.tcp_socket.port: if specified, must be between 1 and 65535"),
        ),
        row(
            "dependencies: unknown",
            format!("{NOTES}container-dependencies"),
            json!("{\"a\": []}"),
            "spec.template.metadata.annotations: container-dependencies: container 'a' does not exist",
        ),
        row(
            "name",
            at("name"),
            json!("A_b"),
            format!("{c}.name: must conform to RFC 1123 and be at most 63 characters"),
        ),
        row(
            "limits: key",
            at("resources/limits"),
            json!({"disk": "1"}),
            format!(
                "{c}.resources.limits[\"disk\"]: only cpu, memory and nvidia.com/gpu limits are supported"
            ),
        ),
        row(
            "limits: cpu",
            at("resources/limits"),
            limits("x", "1Gi"),
            format!("{c}.resources.limits.cpu: Could not parse Quantity 'x'"),
        ),
        row(
            "limits: memory",
            at("resources/limits"),
            limits("1", "x"),
            format!("{c}.resources.limits.memory: Could not parse Quantity 'x'"),
        ),
        row(
            "cpu 3",
            at("resources/limits"),
            limits("3", "4Gi"),
            format!(
                "{c}.resources.limits.cpu: Invalid value specified for container cpu. Must be equal to one of [.08-1], \
                     1, 2, 4, 6, 8"
            ),
        ),
        row(
            "memory of 8 cpu",
            at("resources/limits"),
            limits("8", "1Gi"),
            format!(
                "{c}.resources.limits.memory: Invalid value specified for container memory. For 8.0 CPU, memory must be \
                     between 4Gi and 32Gi inclusive."
            ),
        ),
        row(
            "total memory",
            at("resources/limits"),
            limits("1", "256Mi"),
            format!(
                "{c}.resources.limits.memory: Invalid value specified for memory. Total memory < 512 Mi is not supported \
                     with gen2 execution environment with cpu always allocated."
            ),
        ),
        row(
            "total cpu",
            at("resources/limits"),
            limits("500m", "512Mi"),
            format!(
                "{c}.resources.limits.cpu: Total cpu < 1 is not supported with gen2 execution environment with cpu \
                     always allocated (unthrottled)."
            ),
        ),
        row(
            "gpu",
            at("resources/limits"),
            json!({"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"}),
            format!("{c}.resources.limits[\"nvidia.com/gpu\"]: GPU can only be set to 1"),
        ),
    ]
}

/// 2.4: volumes, mounts and networks.
fn volumes() -> Vec<Row> {
    let v = format!("{T}.volumes[0]");
    let mounts = format!("{T}.containers[0].volume_mounts");
    let mount = |name: &str, path: &str| json!([{"name": name, "mountPath": path}]);
    let notes = "spec.template.metadata.annotations";
    vec![
        row(
            "secret: mode",
            VOLUME,
            json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 512}}),
            format!("{v}.secret.default_mode: if present, must be a supported unix chmod bitmask"),
        ),
        row(
            "secret: version",
            VOLUME,
            json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "a.b", "path": "p"}]}}),
            format!(
                "{v}.secret.items[0].version: should have only alphanumeric characters, hyphens and underscores"
            ),
        ),
        row(
            "emptyDir: size",
            VOLUME,
            json!({"name": "v", "emptyDir": {"sizeLimit": "x"}}),
            format!("{v}.empty_dir.size_limit: size_limit: Could not parse Quantity 'x'"),
        ),
        row(
            "csi: bucket",
            VOLUME,
            json!({"name": "v", "csi": {"driver": "gcsfuse.run.googleapis.com"}}),
            format!("{v}.gcs.bucket: Bucket name must be specified"),
        ),
        row(
            "mount: no volume",
            format!("{CONTAINER}/volumeMounts"),
            mount("v", "/x"),
            format!("{mounts}: has names which were not found in volumes list: v"),
        ),
        row(
            "mount: relative",
            format!("{CONTAINER}/volumeMounts"),
            mount("v", "x"),
            format!("{mounts}[0].mount_path: must be a valid unix absolute path"),
        ),
        row(
            "mount: system",
            format!("{CONTAINER}/volumeMounts"),
            mount("v", "/x/../proc/a"),
            format!("{mounts}: mount paths /x/../proc/a are in one of disallowed mount points"),
        ),
        row(
            "volumes: twice",
            format!("{TASK}/volumes"),
            json!([{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]),
            format!("{T}.volumes: Duplicate volume name 'v'"),
        ),
        row(
            "cloudsql-instances",
            format!("{NOTES}cloudsql-instances"),
            json!("x"),
            format!(
                "{notes}: Cloud SQL instance 'x' must be in the format project:location:instance"
            ),
        ),
        row(
            "vpc: two interfaces",
            format!("{NOTES}network-interfaces"),
            json!("[{\"network\":\"a\"},{\"network\":\"b\"}]"),
            format!("{notes}: network_interfaces: only 1 network interface is allowed"),
        ),
        row(
            "vpc: no network",
            format!("{NOTES}network-interfaces"),
            json!("[{}]"),
            format!(
                "{notes}: network_interfaces: at least one of network or subnetwork should not be empty"
            ),
        ),
        row(
            "vpc: connector",
            format!("{NOTES}vpc-access-connector"),
            json!("a/b"),
            format!(
                "{notes}: connector: must be in form projects/{{project}}/locations/{{location}}/connectors/{{connector}}"
            ),
        ),
    ]
}

#[test]
fn every_row_of_the_reference_is_refused_with_its_words_and_its_path() {
    for Row(name, pointer, value, fault) in tasks().into_iter().chain(containers()).chain(volumes())
    {
        let found = faults(with(least(), &pointer, value));
        assert!(found.contains(&fault), "{name}: not told:\n  {fault}\nbut:\n  {found:#?}");
    }
}

/// Rows that can stand in one document beside each other.
#[test]
fn the_rows_of_a_document_are_told_all_at_once() {
    let together = [
        "taskCount",
        "parallelism",
        "maxRetries",
        "timeoutSeconds",
        "serviceAccountName",
        "template name",
        "execution-environment",
        "launch-stage",
        "token",
        "image: absent",
        "env: reserved",
        "ports: two",
        "livenessProbe",
        "startupProbe: no action",
        "name",
        "cpu 3",
        "emptyDir: size",
        "mount: relative",
        "cloudsql-instances",
        "vpc: connector",
    ];
    let rows: Vec<Row> = tasks().into_iter().chain(containers()).chain(volumes()).collect();
    let rows = rows.into_iter().filter(|Row(name, ..)| together.contains(name));
    let (mut document, mut expected) = (least(), Vec::new());
    for Row(_, pointer, value, fault) in rows {
        document = with(document, &pointer, value);
        expected.push(fault);
    }
    assert_eq!(expected.len(), together.len());
    let found = faults(document);
    for fault in &expected {
        assert!(found.contains(fault), "not told: {fault}\nbut: {found:#?}");
    }
}
