//! Annotations with a grammar of their own.

use serde_json::{Value, json};

use crate::samples::{admitted, faults, least, with};

const FIELD: &str = "spec.template.metadata.annotations";

/// The least job with these template annotations of `run.googleapis.com/`.
fn annotated(annotations: &[(&str, &str)]) -> Value {
    annotations.iter().fold(least(), |document, (name, value)| {
        let pointer = format!("/spec/template/metadata/annotations/run.googleapis.com~1{name}");
        with(document, &pointer, json!(value))
    })
}

/// Has this fault of form.
#[track_caller]
fn bad(annotations: &[(&str, &str)], expected: &str) {
    let found = faults(annotated(annotations));
    assert!(found.contains(&format!("{FIELD}: {expected}")), "{annotations:?}: {found:#?}");
}

#[track_caller]
fn accepted(annotations: &[(&str, &str)]) {
    let kept = admitted(annotated(annotations)).spec;
    let kept = kept.template.as_ref().and_then(|template| template.metadata.as_ref());
    let kept = &kept.expect("a template has metadata").annotations;
    for (name, value) in annotations {
        let kept = kept.get(&format!("run.googleapis.com/{name}"));
        assert_eq!(kept.map(String::as_str), Some(*value), "{name}");
    }
}

/// Has nothing but the refusals of the table.
#[track_caller]
fn well_formed(annotations: &[(&str, &str)]) {
    let found = faults(annotated(annotations));
    let refusal = |fault: &String| fault.starts_with(&format!("{FIELD}[\"run.googleapis.com/"));
    assert!(found.len() == annotations.len() && found.iter().all(refusal), "{found:#?}");
}

#[test]
fn encryption_keys() {
    well_formed(&[("encryption-key", "projects/p/locations/l/keyRings/r/cryptoKeys/k")]);
    for key in
        ["k", "projects/p/locations/l/keyRings/r", "projects//locations/l/keyRings/r/cryptoKeys/k"]
    {
        bad(
            &[("encryption-key", key)],
            "encryption_key: must conform to projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}",
        );
    }
}

#[test]
fn connectors_and_interfaces() {
    accepted(&[("vpc-access-connector", "conn"), ("vpc-access-egress", "all-traffic")]);
    accepted(&[("vpc-access-connector", "projects/p/locations/l/connectors/c")]);
    accepted(&[(
        "network-interfaces",
        r#"[{"network": "default", "subnetwork": "s", "tags": ["t"]}]"#,
    )]);
    bad(
        &[("vpc-access-connector", "a/b")],
        "connector: must be in form projects/{project}/locations/{location}/connectors/{connector}",
    );
    bad(
        &[("vpc-access-connector", "c"), ("network-interfaces", r#"[{"network": "n"}]"#)],
        "vpc_access: one and only one of connector and network_interfaces must be set",
    );
    bad(
        &[("network-interfaces", r#"[{"network": "a"}, {"network": "b"}]"#)],
        "network_interfaces: only 1 network interface is allowed",
    );
    bad(
        &[("network-interfaces", r#"[{"tags": ["t"]}]"#)],
        "network_interfaces: at least one of network or subnetwork should not be empty",
    );
    bad(
        &[("network-interfaces", "default")],
        "network-interfaces: must be a JSON list of {network, subnetwork, tags}",
    );
    bad(
        &[("vpc-access-egress", "all-traffic")],
        "vpc-access-egress needs a vpc-access-connector or network-interfaces",
    );
    bad(
        &[("vpc-access-connector", "c"), ("vpc-access-egress", "some")],
        "vpc-access-egress 'some': must be private-ranges-only or all-traffic",
    );
}
