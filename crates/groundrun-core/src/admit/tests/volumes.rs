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
    let kind = "Filestore volumes are not supported: use an nfs volume with the address and the path of the instance's share.";
    for (source, field, text) in [
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
}

fn bucket(attributes: Value) -> Value {
    json!({
        "name": "b",
        "csi": {"driver": "gcsfuse.run.googleapis.com", "volumeAttributes": attributes},
    })
}

#[test]
fn a_bucket_has_a_name_and_options() {
    for attributes in [
        json!({"bucketName": "my-bucket"}),
        json!({"bucketName": "a.b.c", "mountOptions": ""}),
        json!({"bucketName": "abc", "mountOptions": "implicit-dirs,uid=1000,only-dir=a/b"}),
    ] {
        fine(VOLUMES, json!([bucket(attributes)]));
    }
    for bad in ["..", "../up", "a/b", "UP", "_"] {
        volume(
            bucket(json!({"bucketName": bad})),
            &format!(
                ".gcs.bucket: '{bad}' is no name of a bucket: 3 to 63 (with dots 222) lowercase letters, digits, '-', \
                 '_' and '.', beginning and ending with a letter or a digit"
            ),
        );
    }
    // Whether a directory or gcsfuse stands for it is not known here.
    fine(VOLUMES, json!([bucket(json!({"bucketName": "abc", "mountOptions": "file-mode=600"}))]));
    for (option, why) in [
        ("key-file=/x", "is not known here, or names something of the machine's: remove it"),
        ("uid=x", "is not an id from 0 to 65535"),
        ("only-dir=../up", "is not a directory of the bucket, such as only-dir=a/b"),
    ] {
        volume(
            bucket(json!({"bucketName": "abc", "mountOptions": format!("ro,{option}")})),
            &format!(".gcs.mount_options[1]: '{option}' {why}"),
        );
    }
    volume(
        bucket(json!({"bucketName": "abc", "mountOptions": "ro,--uid=1"})),
        ".gcs.mount_options[1]: '--uid=1' must be a flag of gcsfuse without its dashes",
    );
    volume(
        bucket(json!({"bucketName": "abc", "path": "x"})),
        ".csi.volume_attributes[\"path\"]: only bucketName and mountOptions are supported",
    );
}

#[test]
fn an_nfs_directory_has_a_server_and_a_path() {
    let nfs =
        |server: &str, path: &str| json!({"name": "n", "nfs": {"server": server, "path": path}});
    for (server, path) in [("10.0.0.1", "/"), ("nas.lan", "/a b"), ("fd00::1", "/x")] {
        fine(VOLUMES, json!([nfs(server, path)]));
    }
    volume(nfs("", "/x"), ".nfs.server: must be set");
    for bad in ["a b", "a/b", "a,b", "-o"] {
        volume(nfs(bad, "/x"), ".nfs.server: must be a host name or an IP address");
    }
    for bad in ["", "x", "/a\nb"] {
        volume(nfs("h", bad), ".nfs.path: must be a valid unix absolute path");
    }
}

#[test]
fn of_two_mounts_at_one_path_the_second_is_refused_unless_both_are_secrets() {
    let job = |second: Value, paths: [&str; 2]| {
        let volumes = json!([{"name": "a", "secret": {"secretName": "s"}}, second]);
        let mounts = json!([
            {"name": "a", "mountPath": paths[0]},
            {"name": second["name"], "mountPath": paths[1]},
        ]);
        let document = with(least(), VOLUMES, volumes);
        let found = faults(with(document, &format!("{CONTAINER}/volumeMounts"), mounts));
        found.into_iter().filter(|fault| fault.contains("must be unique")).collect::<Vec<_>>()
    };
    let bucket = bucket(json!({"bucketName": "abc"}));
    assert_eq!(
        job(bucket.clone(), ["/v", "/x/../v/"]),
        [format!(
            "{PATH}.containers[0].volume_mounts[1].mount_path: must be unique: another volume is mounted at /x/../v/ too"
        )]
    );
    assert_eq!(job(bucket, ["/v", "/v/w"]), [""; 0]);
    let secret = json!({"name": "t", "secret": {"secretName": "t"}});
    assert_eq!(job(secret, ["/v", "/v"]), [""; 0]);
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
    let mounts: Vec<_> = ["/v", "/devices", "/v/../proc2"]
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
