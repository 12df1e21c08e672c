//! 2.3: the container.

use serde_json::{Value, json};

use super::{J, NOTES, Row, T, TASK, row};
use crate::samples::CONTAINER;

pub(super) fn rows() -> Vec<Row> {
    let at = |field: &str| format!("{CONTAINER}/{field}");
    let c = format!("{T}.containers[0]");
    let j = format!("{J}.containers[0]");
    let env = "spec.template.spec.containers[0].env";
    let limits = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    let secret = |name: &str, secret: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}});
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
            "env: no name",
            at("env"),
            json!([{"value": "x"}]),
            format!("{env}[0].name: must be set, without '=' and NUL characters"),
        ),
        row(
            "env: = in a name",
            at("env"),
            json!([{"name": "A"}, {"name": "A=B"}]),
            format!("{env}[1].name: must be set, without '=' and NUL characters"),
        ),
        row(
            "secretKeyRef: secret",
            at("env"),
            json!([secret("A", "wrong/path", "1")]),
            format!(
                "{c}.env[0].value_from.secret_key_ref.secret: may only be letters, digits, hyphens and underscores, at \
                 most 255 characters"
            ),
        ),
        row(
            "secretKeyRef: version",
            at("env"),
            json!([secret("A", "s", "?")]),
            format!(
                "{c}.env[0].value_from.secret_key_ref.version: should have only alphanumeric characters, hyphens and \
                 underscores"
            ),
        ),
        row(
            "secretKeyRef: twice",
            at("env"),
            json!([secret("A", "s", "1"), secret("A", "s", "2")]),
            format!("{c}.env: names that reference a secret must be unique in a container: A"),
        ),
        row(
            "secretKeyRef: beside a value",
            at("env"),
            json!([{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "1"}}}]),
            format!("{c}.env[0]: may not have both value and value_from"),
        ),
        row(
            "configMapKeyRef",
            at("env"),
            json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]),
            format!("{j}.env[0].valueFrom.configMapKeyRef: is not supported by Cloud Run."),
        ),
        row(
            "envFrom",
            at("envFrom"),
            json!([{"prefix": "A"}]),
            format!("{j}.envFrom: is not supported by Cloud Run."),
        ),
        row(
            "securityContext",
            at("securityContext"),
            json!({"runAsUser": 1}),
            format!(
                "{j}.securityContext: is not supported by Cloud Run: set the user in the image."
            ),
        ),
        row(
            "sandboxLauncher",
            at("sandboxLauncher"),
            json!(true),
            format!("{j}.sandboxLauncher: sandboxes are not supported."),
        ),
        row(
            "ports: two",
            at("ports"),
            json!([{"containerPort": 1}, {"containerPort": 2}]),
            format!("{c}.ports: ports should contain 0 or 1 port"),
        ),
        row(
            "ports: number",
            at("ports"),
            json!([{"containerPort": 65_536}]),
            format!("{c}.ports[0].container_port: must be 0 or a number between 1 and 65535"),
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
            "readinessProbe",
            at("readinessProbe"),
            json!({"tcpSocket": {"port": 1}}),
            "spec.template.spec.template.spec.containers[0].readinessProbe: Cloud Run job does not support readiness probe.",
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
            "startupProbe: timeout",
            at("startupProbe"),
            json!({"tcpSocket": {}, "periodSeconds": 240, "timeoutSeconds": 241}),
            format!("{c}.startup_probe: timeout_seconds must be a number between 0 and 240"),
        ),
        row(
            "startupProbe: timeout above the period",
            at("startupProbe"),
            json!({"tcpSocket": {}, "timeoutSeconds": 11}),
            format!("{c}.startup_probe.timeout_seconds: must be less than period_seconds"),
        ),
        row(
            "startupProbe: initial delay",
            at("startupProbe"),
            json!({"tcpSocket": {}, "initialDelaySeconds": 241}),
            format!("{c}.startup_probe: initial_delay_seconds must be a number between 0 and 240"),
        ),
        row(
            "startupProbe: failures",
            at("startupProbe"),
            json!({"tcpSocket": {}, "failureThreshold": -1}),
            format!("{c}.startup_probe.failure_threshold: Must be a positive number if set"),
        ),
        row(
            "startupProbe: header",
            at("startupProbe"),
            json!({"httpGet": {"httpHeaders": [{"name": "X Probe"}]}}),
            format!(
                "{c}.startup_probe.http_get.http_headers[0].name: a valid HTTP header must consist of alphanumeric \
                 characters or '-' (e.g. 'X-Header-Name')"
            ),
        ),
        row(
            "startupProbe: two actions",
            at("startupProbe"),
            json!({"tcpSocket": {}, "grpc": {}}),
            format!("{c}.startup_probe: Exactly one probe action must be set"),
        ),
        row(
            "startupProbe: exec",
            at("startupProbe"),
            json!({"exec": {"command": ["true"]}}),
            format!("{j}.startupProbe.exec: is not supported by Cloud Run."),
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
            "dependencies: no container",
            "/spec/template",
            chain(json!({"a": ["b", "gone"]})),
            "spec.template.spec.containers[0].depends_on: Dependent container 'gone' does not exist",
        ),
        row(
            "dependencies: no probe",
            "/spec/template",
            chain(json!({"b": ["a"]})),
            "spec.template.spec.containers[1].depends_on: Dependent container 'a' must have startup probe specified",
        ),
        row(
            "dependencies: cycle",
            "/spec/template",
            chain(json!({"a": ["b"], "b": ["a"]})),
            "spec.template.metadata.annotations: container-dependencies: dependency cycle detected",
        ),
        row(
            "name: twice",
            format!("{TASK}/containers"),
            json!([{"image": "a", "name": "x"}, {"image": "b", "name": "x"}]),
            format!("{T}.containers: duplicate container names: x"),
        ),
        row(
            "terminationMessagePath",
            at("terminationMessagePath"),
            json!("/tmp/last"),
            format!("{j}.terminationMessagePath: only /dev/termination-log is supported yet."),
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
            "requests: more than the limit",
            at("resources/requests"),
            json!({"cpu": "2"}),
            format!("{c}.resources.requests.cpu: must not exceed the cpu limit"),
        ),
        row(
            "memory of 1 cpu",
            at("resources/limits"),
            limits("1", "8Gi"),
            format!(
                "{c}.resources.limits.memory: Invalid value specified for container memory. For 1.0 CPU, memory must be \
                 between 128Mi and 4Gi inclusive."
            ),
        ),
        row(
            "gpu: little",
            at("resources/limits"),
            json!({"cpu": "1", "memory": "4Gi", "nvidia.com/gpu": "1"}),
            format!(
                "{c}.resources.limits: Invalid value specified for GPU: CPU must be at least 4; memory must be at least \
                 16Gi"
            ),
        ),
        row(
            "gpu: in two containers",
            format!("{TASK}/containers"),
            json!(vec![json!({"image": "a", "resources": {"limits": {"nvidia.com/gpu": "1"}}}); 2]),
            format!("{T}.containers: GPU can only be set on one container"),
        ),
        row(
            "gpu: at all",
            at("resources/limits"),
            json!({"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}),
            format!("{j}.resources.limits[\"nvidia.com/gpu\"]: GPUs are not supported yet."),
        ),
        row(
            "gpu",
            at("resources/limits"),
            json!({"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"}),
            format!("{c}.resources.limits[\"nvidia.com/gpu\"]: GPU can only be set to 1"),
        ),
    ]
}

/// A template of the containers `a` and `b`, of which `b` has a probe, with these dependencies.
fn chain(dependencies: Value) -> Value {
    let containers = json!([
        {"image": "a", "name": "a"},
        {"image": "b", "name": "b", "startupProbe": {"tcpSocket": {}}},
    ]);
    json!({
        "metadata": {"annotations": {"run.googleapis.com/container-dependencies": dependencies.to_string()}},
        "spec": {"template": {"spec": {"containers": containers}}},
    })
}
