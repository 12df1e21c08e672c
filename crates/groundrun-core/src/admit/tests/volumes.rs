//! Volumes and mounts.

use serde_json::{Value, json};

use super::{fine, has};
use crate::samples::{CONTAINER, faults, least, with};

const VOLUMES: &str = "/spec/template/spec/template/spec/volumes";
const PATH: &str = "spec.template.spec.task_spec";

#[track_caller]
fn volume(value: Value, expected: &str) {
    has(VOLUMES, json!([value]), &format!("{PATH}.volumes[0]{expected}"));
}

#[test]
fn an_empty_dir_is_in_memory_or_on_disk() {
    for source in [
        json!({}),
        json!({"medium": ""}),
        json!({"medium": "Memory", "sizeLimit": "64Mi"}),
        json!({"medium": "Disk", "sizeLimit": "1.5Gi"}),
    ] {
        fine(VOLUMES, json!([{"name": "v", "emptyDir": source}]));
    }
}

#[test]
fn other_volumes_are_refused_by_name_for_now() {
    let path = "spec.template.spec.template.spec.volumes[0]";
    let kind =
        "this kind of volume is not supported yet: use an emptyDir volume, or files of the image.";
    for (source, field, text) in [
        (json!({"csi": {"driver": "gcsfuse.run.googleapis.com"}}), "csi", kind),
        (json!({"nfs": {"server": "h", "path": "/x"}}), "nfs", kind),
        (json!({"filestore": {"volume": "x"}}), "filestore", kind),
        (json!({"configMap": {"name": "x"}}), "configMap", "is not supported by Cloud Run."),
    ] {
        has(VOLUMES, json!([source]), &format!("{path}.{field}: {text}"));
    }
}

#[test]
fn every_source_has_its_form() {
    volume(json!({"name": "v"}), ": Exactly one volume source must be set");
    volume(json!({"configMap": {"name": "x"}}), ".config_map: is not supported by Cloud Run.");
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
    volume(json!({"filestore": {}}), ".filestore.volume: must be set");
    volume(json!({"nfs": {"path": "/x"}}), ".nfs.server: must be set");
    volume(
        json!({"nfs": {"server": "h", "path": "x"}}),
        ".nfs.path: must be a valid unix absolute path",
    );
}

#[test]
fn volume_names_are_labels_and_differ() {
    for bad in ["", "../up", "A", &"a".repeat(64)] {
        volume(
            json!({"name": bad, "emptyDir": {}}),
            ".name: must conform to RFC 1123 and be at most 63 characters",
        );
    }
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
    for bad in ["a", "", "/a:b", "/\0", &"/a".repeat(2048)] {
        has(
            &mounts,
            json!([{"name": "a", "mountPath": bad}]),
            &format!("{path}[0].mount_path: must be a valid unix absolute path"),
        );
    }
    for bad in ["/dev", "/proc/x", "/sys/", "//dev", "/a/../proc", "/./sys", "/", "/a/.."] {
        has(
            &mounts,
            json!([{"name": "a", "mountPath": bad}]),
            &format!("{path}: mount paths {bad} are in one of disallowed mount points"),
        );
    }
    has(
        &mounts,
        json!([{"name": "a", "mountPath": "/a", "subPath": "x"}]),
        "spec.template.spec.template.spec.containers[0].volumeMounts[0].subPath: cannot have sub_path set.",
    );
}

#[test]
fn a_mount_of_a_volume_is_accepted_where_it_stands_outside_the_system() {
    let mounts: Vec<_> = ["/v", "/devices", "/v/../proc2", "/v"]
        .map(|path| json!({"name": "v", "mountPath": path, "readOnly": true, "subPath": ""}))
        .into();
    let document = with(least(), VOLUMES, json!([{"name": "v", "emptyDir": {}}]));
    let document = with(document, &format!("{CONTAINER}/volumeMounts"), json!(mounts));
    assert_eq!(faults(document), [""; 0]);
}

#[test]
fn the_numbers_of_volumes_and_mounts_are_bounded() {
    let volumes: Vec<_> =
        (0..101).map(|n| json!({"name": format!("v{n}"), "emptyDir": {}})).collect();
    fine(VOLUMES, json!(volumes[..100]));
    has(VOLUMES, json!(volumes), &format!("{PATH}.volumes: must be at most 100 volumes"));
    let mounts = vec![json!({"name": "v", "mountPath": "/v"}); 101];
    has(
        &format!("{CONTAINER}/volumeMounts"),
        json!(mounts),
        &format!("{PATH}.containers[0].volume_mounts: must be at most 100 mounts"),
    );
}
