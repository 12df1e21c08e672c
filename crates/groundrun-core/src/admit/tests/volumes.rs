//! Volumes, mounts and secrets.

use serde_json::{Value, json};

use super::has;
use crate::samples::CONTAINER;

const VOLUMES: &str = "/spec/template/spec/template/spec/volumes";
const PATH: &str = "spec.template.spec.task_spec";

#[track_caller]
fn volume(value: Value, expected: &str) {
    has(VOLUMES, json!([value]), &format!("{PATH}.volumes[0]{expected}"));
}

#[test]
fn volumes_and_mounts_are_refused_for_now() {
    let text = "volumes are not supported yet: the container's own files are writable, in memory.";
    has(
        VOLUMES,
        json!([{"name": "v", "emptyDir": {}}]),
        &format!("spec.template.spec.template.spec.volumes: {text}"),
    );
    has(
        &format!("{CONTAINER}/volumeMounts"),
        json!([{"name": "v", "mountPath": "/v"}]),
        &format!("spec.template.spec.template.spec.containers[0].volumeMounts: {text}"),
    );
}

#[test]
fn every_source_has_its_form() {
    volume(json!({"name": "v"}), ": Exactly one volume source must be set");
    volume(json!({"configMap": {"name": "x"}}), ".config_map: is not supported by Cloud Run.");
    volume(
        json!({"secret": {"secretName": "s", "defaultMode": 0o1000}}),
        ".secret.default_mode: if present, must be a supported unix chmod bitmask",
    );
    volume(
        json!({"secret": {"secretName": "s", "items": [{"key": "1", "path": "p", "mode": -1}]}}),
        ".secret.items[0].mode: if present, must be a supported unix chmod bitmask",
    );
    volume(
        json!({"secret": {"secretName": "s", "items": [{"key": "a/b", "path": "p"}]}}),
        ".secret.items[0].version: should have only alphanumeric characters, hyphens and underscores",
    );
    volume(
        json!({"secret": {"secretName": "s", "items": [{"key": "1"}]}}),
        ".secret.items[0].path: must be set",
    );
    volume(json!({"secret": {}}), ".secret.secret: must be set");
    volume(
        json!({"emptyDir": {"sizeLimit": "big"}}),
        ".empty_dir.size_limit: size_limit: Could not parse Quantity 'big'",
    );
    volume(
        json!({"emptyDir": {"medium": "Tape"}}),
        ".empty_dir.medium: must be one of empty, 'Memory' or 'Disk'",
    );
    volume(
        json!({"csi": {"driver": "gcsfuse.run.googleapis.com"}}),
        ".gcs.bucket: Bucket name must be specified",
    );
    volume(
        json!({"csi": {"driver": "x"}}),
        ".csi.driver: only gcsfuse.run.googleapis.com is supported",
    );
    volume(json!({"nfs": {"path": "/x"}}), ".nfs.server: must be set");
    volume(
        json!({"nfs": {"server": "h", "path": "x"}}),
        ".nfs.path: must be a valid unix absolute path",
    );
}

#[test]
fn volume_names_differ() {
    has(
        VOLUMES,
        json!([{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]),
        &format!("{PATH}.volumes: Duplicate volume name 'v'"),
    );
}

#[test]
fn mounts_are_absolute_known_and_outside_the_system() {
    let mounts = format!("{CONTAINER}/volumeMounts");
    let path = format!("{PATH}.containers[0].volume_mounts");
    has(
        &mounts,
        json!([{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b"}]),
        &format!("{path}: has names which were not found in volumes list: a, b"),
    );
    for bad in ["a", "", "/a:b"] {
        has(
            &mounts,
            json!([{"name": "a", "mountPath": bad}]),
            &format!("{path}[0].mount_path: must be a valid unix absolute path"),
        );
    }
    for bad in ["/dev", "/proc/x", "/sys/", "//dev", "/a/../proc", "/./sys"] {
        has(
            &mounts,
            json!([{"name": "a", "mountPath": bad}]),
            &format!("{path}: mount paths {bad} are in one of disallowed mount points"),
        );
    }
    has(
        &mounts,
        json!([{"name": "a", "mountPath": "/a", "subPath": "x"}]),
        &format!("{path}[0]: cannot have sub_path set"),
    );
}

#[test]
fn secrets_in_variables_have_their_form_and_are_refused_for_now() {
    let env = format!("{CONTAINER}/env");
    let path = format!("{PATH}.containers[0].env[0]");
    let secret = |name: &str, key: &str| json!({"secretKeyRef": {"name": name, "key": key}});
    has(
        &env,
        json!([{"name": "A", "valueFrom": secret("s", "latest")}]),
        "spec.template.spec.template.spec.containers[0].env[0].valueFrom: environment variables from secrets are not \
         supported yet: give the value itself with `value`.",
    );
    has(
        &env,
        json!([{"name": "A", "valueFrom": secret("a/b", "latest")}]),
        &format!(
            "{path}.value_from.secret_key_ref.secret: may only be letters, digits, hyphens and underscores, at most \
             255 characters"
        ),
    );
    has(
        &env,
        json!([{"name": "A", "valueFrom": secret("s", "v 1")}]),
        &format!(
            "{path}.value_from.secret_key_ref.version: should have only alphanumeric characters, hyphens and \
             underscores"
        ),
    );
    has(
        &env,
        json!([{"name": "A", "value": "x", "valueFrom": secret("s", "1")}]),
        &format!("{path}: may not have both value and value_from"),
    );
    has(
        &env,
        json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]),
        &format!("{path}.value_from.config_map_key_ref: is not supported by Cloud Run."),
    );
}
