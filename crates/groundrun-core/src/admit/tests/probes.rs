//! Startup probes, and the probes that jobs do not have.

use serde_json::{Value, json};

use super::{check, fine};
use crate::samples::{CONTAINER, admitted, least, with};

const PATH: &str = "spec.template.spec.task_spec.containers[0].startup_probe";

fn at(field: &str) -> String {
    format!("{CONTAINER}/{field}")
}

#[test]
fn jobs_have_no_liveness_and_no_readiness_probes() {
    let path = "spec.template.spec.template.spec.containers[0]";
    for kind in ["liveness", "readiness"] {
        let fault = format!("{path}.{kind}Probe: Cloud Run job does not support {kind} probe.");
        check(&at(&format!("{kind}Probe")), json!({"tcpSocket": {"port": 1}}), &[&fault]);
    }
}

#[test]
fn a_startup_probe_has_one_action_within_its_ranges() {
    for good in [
        json!({"tcpSocket": {"port": 1}}),
        json!({"tcpSocket": {}, "periodSeconds": 240, "timeoutSeconds": 240}),
        json!({"httpGet": {"path": "/ready?now=1", "port": 65535, "httpHeaders": [{"name": "X-A", "value": "b"}]}}),
        json!({"grpc": {"port": 50051, "service": "db"}, "initialDelaySeconds": 240}),
        json!({"tcpSocket": {}, "failureThreshold": 0, "periodSeconds": 0, "timeoutSeconds": 0, "successThreshold": 1}),
    ] {
        fine(&at("startupProbe"), good);
    }
    for (probe, fault) in [
        (json!({"periodSeconds": 1}), ": Exactly one probe action must be set"),
        (json!({"tcpSocket": {}, "grpc": {}}), ": Exactly one probe action must be set"),
        (
            json!({"grpc": {}, "periodSeconds": 241}),
            ": period_seconds must be a number between 0 and 240",
        ),
        (
            json!({"grpc": {}, "initialDelaySeconds": -1}),
            ": initial_delay_seconds must be a number between 0 and 240",
        ),
        (
            json!({"grpc": {}, "timeoutSeconds": 11}),
            ".timeout_seconds: must be less than period_seconds",
        ),
        (
            json!({"grpc": {}, "timeoutSeconds": 3, "periodSeconds": 2}),
            ".timeout_seconds: must be less than period_seconds",
        ),
        (
            json!({"grpc": {}, "failureThreshold": -1}),
            ".failure_threshold: Must be a positive number if set",
        ),
        (json!({"grpc": {}, "successThreshold": 2}), ": success_threshold must be 1"),
        (
            json!({"httpGet": {"port": 65536}}),
            ".http_get.port: if specified, must be between 1 and 65535",
        ),
        (
            json!({"tcpSocket": {"port": -1}}),
            ".tcp_socket.port: if specified, must be between 1 and 65535",
        ),
        (
            json!({"httpGet": {"path": "/a HTTP/1.1\r\nX: y"}}),
            ".http_get.path: must begin with '/' and have printable ASCII characters other than blanks only",
        ),
        (
            json!({"httpGet": {"httpHeaders": [{"name": "A_B", "value": "x"}]}}),
            ".http_get.http_headers[0].name: a valid HTTP header must consist of alphanumeric characters or '-' (e.g. \
             'X-Header-Name')",
        ),
        (
            json!({"httpGet": {"httpHeaders": [{"name": "A", "value": "x\r\nB: y"}]}}),
            ".http_get.http_headers[0].value: must not contain control characters",
        ),
        (json!({"grpc": {"service": "\0"}}), ".grpc.service: must not contain control characters"),
    ] {
        check(&at("startupProbe"), probe, &[&format!("{PATH}{fault}")]);
    }
}

#[test]
fn every_fault_of_a_probe_is_told_at_once() {
    check(
        &at("startupProbe"),
        json!({"httpGet": {"port": -1}, "grpc": {}, "timeoutSeconds": 241, "successThreshold": 2}),
        &[
            &format!("{PATH}: Exactly one probe action must be set"),
            &format!("{PATH}.http_get.port: if specified, must be between 1 and 65535"),
            &format!("{PATH}: timeout_seconds must be a number between 0 and 240"),
            &format!("{PATH}.timeout_seconds: must be less than period_seconds"),
            &format!("{PATH}: success_threshold must be 1"),
        ],
    );
}

#[test]
fn commands_hosts_and_schemes_are_refused() {
    let path = "spec.template.spec.template.spec.containers[0].startupProbe";
    let refused = |field: &str| format!("{path}.{field}: is not supported by Cloud Run.");
    check(
        &at("startupProbe"),
        json!({"exec": {"command": ["true"]}}),
        &[&refused("exec"), &format!("{PATH}.exec: exec probes are not supported")],
    );
    check(
        &at("startupProbe"),
        json!({"httpGet": {"host": "h", "scheme": "HTTPS"}}),
        &[&refused("httpGet.host"), &refused("httpGet.scheme")],
    );
    check(&at("startupProbe"), json!({"tcpSocket": {"host": "h"}}), &[&refused("tcpSocket.host")]);
}

/// The probe as the job shows it, of a container with these ports.
fn shown(probe: Value, ports: Value) -> Value {
    let document = with(with(least(), &at("startupProbe"), probe), &at("ports"), ports);
    let spec = serde_json::to_value(&*admitted(document).spec).expect("JSON");
    let pointer = "/template/spec/template/spec/containers/0/startupProbe";
    spec.pointer(pointer).expect("a probe").clone()
}

#[test]
fn googles_defaults_are_written_into_the_spec() {
    assert_eq!(
        shown(json!({"tcpSocket": {}}), json!([])),
        json!({"tcpSocket": {"port": 8080}, "failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 1})
    );
    assert_eq!(
        shown(json!({"httpGet": {}, "periodSeconds": 2}), json!([{"containerPort": 5000}])),
        json!({"httpGet": {"path": "/", "port": 5000}, "failureThreshold": 3, "periodSeconds": 2, "timeoutSeconds": 1})
    );
    assert_eq!(
        shown(
            json!({"grpc": {"port": 9}, "failureThreshold": 7}),
            json!([{"containerPort": 5000}])
        ),
        json!({"grpc": {"port": 9}, "failureThreshold": 7, "periodSeconds": 10, "timeoutSeconds": 1})
    );
}
