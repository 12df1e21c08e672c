//! What Cloud Run accepts although it looks wrong (fact: semantics 2.2 to 2.4).

use serde_json::{Value, json};

use super::{NOTES, TASK};
use crate::samples::{CONTAINER, faults, least, with};

fn accepted() -> Vec<(&'static str, String, Value)> {
    let at = |field: &str| format!("{CONTAINER}/{field}");
    let limits = |cpu: &str| json!({"limits": {"cpu": cpu, "memory": "512Mi"}});
    vec![
        ("parallelism above the tasks", "/spec/template/spec/parallelism".to_owned(), json!(5)),
        ("no tasks: the default", "/spec/template/spec/taskCount".to_owned(), json!(0)),
        ("a name of Google's for a variable", at("env"), json!([{"name": "X_GOOGLE_TOKEN"}])),
        ("a variable twice", at("env"), json!([{"name": "A", "value": "1"}, {"name": "A"}])),
        ("a port", at("ports"), json!([{"containerPort": 8080, "name": "http1"}])),
        (
            "the slowest probe",
            at("startupProbe"),
            json!({"httpGet": {}, "initialDelaySeconds": 240, "periodSeconds": 240, "timeoutSeconds": 240}),
        ),
        (
            "zeros of a probe: the defaults",
            at("startupProbe"),
            json!({"tcpSocket": {"port": 8080}, "periodSeconds": 0, "failureThreshold": 0}),
        ),
        (
            "a sidecar of half a CPU",
            format!("{TASK}/containers"),
            json!([
                {"image": "a", "name": "a", "resources": limits("1")},
                {"image": "b", "name": "b", "resources": limits("0.5")},
            ]),
        ),
        (
            "uneven parts of a CPU",
            format!("{TASK}/containers"),
            json!([
                {"image": "a", "name": "a", "resources": limits("1")},
                {"image": "b", "name": "b", "resources": limits("0.0801")},
            ]),
        ),
        (
            "several without a name",
            format!("{TASK}/containers"),
            json!([{"image": "a", "name": "a"}, {"image": "b"}, {"image": "c"}]),
        ),
        ("dots in a name", at("name"), json!("app.v2")),
        (
            "dots in a secret's file",
            format!("{TASK}/volumes"),
            json!([{"name": "v", "secret": {"secretName": "s", "items": [{"key": "latest", "path": "a..b"}]}}]),
        ),
        ("a pull policy", at("imagePullPolicy"), json!("Always")),
        ("an empty annotation of a network", format!("{NOTES}vpc-access-connector"), json!("")),
    ]
}

#[test]
fn what_the_reference_accepts_is_accepted() {
    for (name, pointer, value) in accepted() {
        assert_eq!(faults(with(least(), &pointer, value)), [""; 0], "{name}");
    }
}
