//! Of any task of several containers: what is accepted can be started as it is, and what is not is told whole.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    id::AttemptId,
    port::{AttemptSpec, ContainerSpec},
    samples::{execution_of, faults, least, with},
    template::TaskTemplate,
};

const TASK: &str = "/spec/template/spec/template/spec";
const ANNOTATION: &str =
    "/spec/template/metadata/annotations/run.googleapis.com~1container-dependencies";

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "c", "db"])
}

fn container() -> impl Strategy<Value = Value> {
    let probe = prop::sample::select(vec![
        Value::Null,
        json!({"tcpSocket": {}}),
        json!({"httpGet": {"port": 80}, "initialDelaySeconds": 2}),
        json!({"grpc": {"service": "s"}, "failureThreshold": 9}),
    ]);
    let mount = (name(), prop::sample::select(vec!["/v", "/w/../x", "/v/"]))
        .prop_map(|(name, path)| json!({"name": name, "mountPath": path}));
    (name(), probe, prop::collection::vec(mount, 0..3)).prop_map(|(name, probe, mounts)| {
        json!({"image": "a", "name": name, "startupProbe": probe, "volumeMounts": mounts})
    })
}

/// Some make sense, and some do not.
fn document() -> impl Strategy<Value = Value> {
    let waits = prop::collection::btree_map(name(), prop::collection::vec(name(), 0..3), 0..4);
    let volumes =
        prop::collection::vec((name(), prop::sample::select(vec!["", "Memory", "Disk"])), 0..3);
    (prop::collection::vec(container(), 1..5), waits, volumes).prop_map(
        |(containers, waits, volumes)| {
            let volumes: Vec<_> = volumes
                .into_iter()
                .map(|(name, medium)| json!({"name": name, "emptyDir": {"medium": medium}}))
                .collect();
            let document = with(least(), &format!("{TASK}/containers"), json!(containers));
            let document = with(document, &format!("{TASK}/volumes"), json!(volumes));
            with(document, ANNOTATION, json!(json!(waits).to_string()))
        },
    )
}

/// What the first task's first attempt is started with.
fn attempt(document: Value) -> AttemptSpec {
    let execution = execution_of(document);
    let template = TaskTemplate::of(&execution).expect("what is admitted is complete");
    let digests = vec!["sha256:0".to_owned(); template.images().len()];
    template.attempt(AttemptId { execution: execution.uid, task: 0, attempt: 0 }, &digests)
}

/// Whether everybody can start, one after the other.
fn all_start(containers: &[ContainerSpec]) -> bool {
    let mut started = BTreeSet::new();
    for _ in containers {
        for one in containers {
            if one.depends_on.iter().all(|name| started.contains(name)) {
                started.insert(one.name.clone());
            }
        }
    }
    started.len() == containers.len()
}

proptest! {
    #[test]
    fn what_is_accepted_can_be_started(document in document()) {
        if faults(document.clone()).is_empty() {
            let AttemptSpec { containers, volumes, .. } = attempt(document);
            prop_assert!(containers.iter().all(|one| !one.name.is_empty()));
            prop_assert!(all_start(&containers), "{:?}", containers);
            let probes: BTreeMap<_, _> =
                containers.iter().map(|one| (&one.name, &one.startup_probe)).collect();
            for needed in containers.iter().flat_map(|one| &one.depends_on) {
                prop_assert!(probes[needed].is_some(), "{needed}");
            }
            for mount in containers.iter().flat_map(|one| &one.mounts) {
                prop_assert!(volumes.iter().any(|volume| volume.name == mount.volume));
                prop_assert!(mount.path.starts_with('/') && !mount.path.contains(".."));
            }
        }
    }

    #[test]
    fn every_fault_of_a_task_is_told(chosen in prop::sample::subsequence(mistakes(), 1..=9)) {
        let mut document = sound();
        for (pointer, value, _) in &chosen {
            document = with(document, pointer, value.clone());
        }
        let found = faults(document);
        for (_, _, expected) in &chosen {
            let told = found.iter().any(|fault| fault.contains(expected));
            prop_assert!(told, "{expected} is not among {found:#?}");
        }
    }
}

/// A task without a fault.
fn sound() -> Value {
    let containers = json!([
        {"image": "a", "name": "main"},
        {"image": "b", "name": "db", "startupProbe": {"tcpSocket": {"port": 1}}},
    ]);
    let document = with(least(), &format!("{TASK}/containers"), containers);
    let document =
        with(document, &format!("{TASK}/volumes"), json!([{"name": "v", "emptyDir": {}}]));
    let document = with(document, ANNOTATION, json!(r#"{"main": ["db"]}"#));
    assert_eq!(faults(document.clone()), [""; 0]);
    document
}

/// Mistakes that leave room for each other: where, what, and a part of its fault.
fn mistakes() -> Vec<(String, Value, &'static str)> {
    let at = |field: &str| format!("{TASK}/{field}");
    vec![
        (ANNOTATION.to_owned(), json!(r#"{"main": ["main"]}"#), "dependency cycle detected"),
        (at("containers/0/image"), json!(""), "must provide an image name to deploy"),
        (
            at("containers/0/livenessProbe/periodSeconds"),
            json!(1),
            "does not support liveness probe",
        ),
        (
            at("containers/1/startupProbe/grpc/port"),
            json!(1),
            "Exactly one probe action must be set",
        ),
        (
            at("containers/1/startupProbe/timeoutSeconds"),
            json!(99),
            "must be less than period_seconds",
        ),
        (
            at("containers/0/volumeMounts/0"),
            json!({"name": "gone", "mountPath": "x"}),
            "which were not found in volumes list: gone",
        ),
        (at("containers/1/volumeMounts/0/subPath"), json!("x"), "cannot have sub_path set"),
        (
            at("volumes/0/emptyDir/sizeLimit"),
            json!("big"),
            "size_limit: Could not parse Quantity 'big'",
        ),
        (at("volumes/1"), json!({"name": "v", "emptyDir": {}}), "Duplicate volume name 'v'"),
    ]
}
