//! The order of containers.

use serde_json::{Value, json};

use crate::samples::{faults, least, with};

const FIELD: &str = "spec.template.metadata.annotations: container-dependencies:";

/// A job of three containers, of which `bare` has no probe, with `dependencies` as its annotation.
fn document(dependencies: &str) -> Value {
    let containers = json!([
        {"image": "a", "name": "main"},
        {"image": "b", "name": "side", "startupProbe": {"tcpSocket": {}}},
        {"image": "c", "name": "bare"},
    ]);
    let document = with(least(), "/spec/template/spec/template/spec/containers", containers);
    let pointer = "/spec/template/metadata/annotations/run.googleapis.com~1container-dependencies";
    with(document, pointer, json!(dependencies))
}

#[test]
fn containers_wait_for_those_that_have_a_probe() {
    for good in [
        "",
        "{}",
        r#"{"main": ["side"]}"#,
        r#"{"main": ["side", "side"], "bare": ["side"]}"#,
        r#"{"main": []}"#,
    ] {
        assert_eq!(faults(document(good)), [""; 0], "{good}");
    }
    let fault = |n: usize, text: &str| {
        format!("spec.template.spec.containers[{n}].depends_on: Dependent container {text}")
    };
    for (bad, expected) in [
        (r#"{"main": ["gone"]}"#, fault(0, "'gone' does not exist")),
        (r#"{"side": ["bare"]}"#, fault(1, "'bare' must have startup probe specified")),
        (r#"{"gone": ["side"]}"#, format!("{FIELD} container 'gone' does not exist")),
        (r#"{"side": ["side"]}"#, format!("{FIELD} dependency cycle detected")),
    ] {
        assert_eq!(faults(document(bad)), [expected], "{bad}");
    }
    for bad in ["main", "[]", r#"{"main": "side"}"#, r#"{"main": [1]}"#] {
        let expected = format!("{FIELD} must be a JSON map from names to lists of names");
        assert_eq!(faults(document(bad)), [expected], "{bad}");
    }
}

#[test]
fn every_fault_of_the_order_is_told_at_once() {
    assert_eq!(
        faults(document(r#"{"bare": ["main", "nobody"], "ghost": ["side"], "main": ["bare"]}"#)),
        [
            "spec.template.spec.containers[2].depends_on: Dependent container 'main' must have startup probe specified",
            "spec.template.spec.containers[2].depends_on: Dependent container 'nobody' does not exist",
            "spec.template.metadata.annotations: container-dependencies: container 'ghost' does not exist",
            "spec.template.spec.containers[0].depends_on: Dependent container 'bare' must have startup probe specified",
            "spec.template.metadata.annotations: container-dependencies: dependency cycle detected",
        ]
    );
}

#[test]
fn a_container_without_a_name_cannot_be_meant() {
    let pointer = "/spec/template/metadata/annotations/run.googleapis.com~1container-dependencies";
    let document = with(least(), "/spec/template/spec/template/spec/containers/0/name", json!(""));
    let faults = faults(with(document, pointer, json!(r#"{"": []}"#)));
    assert_eq!(faults, [format!("{FIELD} container '' does not exist")]);
}
