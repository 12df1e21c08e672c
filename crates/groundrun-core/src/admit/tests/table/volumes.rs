//! 2.4: volumes, mounts and networks.

use serde_json::json;

use super::{J, NOTES, Row, T, TASK, row};
use crate::samples::CONTAINER;

const VOLUME: &str = "/spec/template/spec/template/spec/volumes/0";

pub(super) fn rows() -> Vec<Row> {
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
            "secret: name",
            VOLUME,
            json!({"name": "v", "secret": {"secretName": "a/b"}}),
            format!(
                "{v}.secret.secret: may only be letters, digits, hyphens and underscores, at most 255 characters"
            ),
        ),
        row(
            "secret: version of an item",
            VOLUME,
            json!({"name": "v", "secret": {"secretName": "s", "items": [{"path": "p"}]}}),
            format!(
                "{v}.secret.items[0].version: should have only alphanumeric characters, hyphens and underscores"
            ),
        ),
        row(
            "secret: mode of an item",
            VOLUME,
            json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "1", "path": "p", "mode": 512}]}}),
            format!("{v}.secret.items[0].mode: if present, must be a supported unix chmod bitmask"),
        ),
        row(
            "secret: path of an item",
            VOLUME,
            json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "1", "path": "../p"}]}}),
            format!(
                "{v}.secret.items[0].path: must be a relative path, must not contain the element '..' and must not start \
                 with '..'"
            ),
        ),
        row(
            "secrets of other projects",
            format!("{NOTES}secrets"),
            json!("a"),
            format!(
                "{notes}: Annotation 'run.googleapis.com/secrets': 'a' must conform to \
                 <alias>:projects/<project>/secrets/<secret>"
            ),
        ),
        row(
            "emptyDir: medium",
            VOLUME,
            json!({"name": "v", "emptyDir": {"medium": "Tape"}}),
            format!("{v}.empty_dir.medium: must be one of empty, 'Memory' or 'Disk'"),
        ),
        row(
            "nfs: server",
            VOLUME,
            json!({"name": "v", "nfs": {"path": "/x"}}),
            format!("{v}.nfs.server: must be set"),
        ),
        row(
            "nfs: path",
            VOLUME,
            json!({"name": "v", "nfs": {"server": "h", "path": "x"}}),
            format!("{v}.nfs.path: must be a valid unix absolute path"),
        ),
        row(
            "filestore",
            VOLUME,
            json!({"name": "v", "filestore": {"volume": "x"}}),
            format!(
                "{J}.volumes[0].filestore: Filestore volumes are not supported: use an nfs volume with the address and the \
                 path of the instance's share."
            ),
        ),
        row(
            "configMap",
            VOLUME,
            json!({"name": "v", "configMap": {"name": "m"}}),
            format!("{J}.volumes[0].configMap: is not supported by Cloud Run."),
        ),
        row(
            "no source",
            VOLUME,
            json!({"name": "v"}),
            format!("{v}: Exactly one volume source must be set"),
        ),
        row(
            "two sources",
            VOLUME,
            json!({"name": "v", "emptyDir": {}, "nfs": {"server": "h", "path": "/x"}}),
            format!("{v}: Exactly one volume source must be set"),
        ),
        row(
            "volume: name",
            VOLUME,
            json!({"name": "BAD", "emptyDir": {}}),
            format!("{v}.name: must conform to RFC 1123 and be at most 63 characters"),
        ),
        row(
            "csi: driver",
            VOLUME,
            json!({"name": "v", "csi": {"driver": "x"}}),
            format!("{v}.csi.driver: only gcsfuse.run.googleapis.com is supported"),
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
            "mount: colon",
            format!("{CONTAINER}/volumeMounts"),
            mount("v", "/x:y"),
            format!("{mounts}[0].mount_path: must be a valid unix absolute path"),
        ),
        row(
            "mount: subPath",
            format!("{CONTAINER}/volumeMounts"),
            json!([{"name": "v", "mountPath": "/x", "subPath": "y"}]),
            format!("{J}.containers[0].volumeMounts[0].subPath: cannot have sub_path set."),
        ),
        row(
            "mount: twice",
            format!("{CONTAINER}/volumeMounts"),
            json!([{"name": "v", "mountPath": "/x"}, {"name": "w", "mountPath": "/x/"}]),
            format!("{mounts}[1].mount_path: must be unique: another volume is mounted at /x/ too"),
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
            "cloudsql-instances: long",
            format!("{NOTES}cloudsql-instances"),
            json!(format!("p:r:{}", "i".repeat(90))),
            format!(
                "{notes}: Cloud SQL instance 'p:r:{}': its socket's path is over 107 bytes",
                "i".repeat(90)
            ),
        ),
        row(
            "vpc: connector beside interfaces",
            "/spec/template/metadata/annotations",
            json!({
                "run.googleapis.com/vpc-access-connector": "c",
                "run.googleapis.com/network-interfaces": "[{\"network\":\"n\"}]",
            }),
            format!(
                "{notes}: vpc_access: one and only one of connector and network_interfaces must be set"
            ),
        ),
        row(
            "vpc: interfaces that are no list",
            format!("{NOTES}network-interfaces"),
            json!("default"),
            format!(
                "{notes}: network-interfaces: must be a JSON list of {{network, subnetwork, tags}}"
            ),
        ),
        row(
            "vpc: egress of nothing",
            format!("{NOTES}vpc-access-egress"),
            json!("all-traffic"),
            format!(
                "{notes}: vpc-access-egress needs a vpc-access-connector or network-interfaces"
            ),
        ),
        row(
            "vpc: egress",
            format!("{NOTES}vpc-access-egress"),
            json!("some"),
            format!(
                "{notes}: vpc-access-egress 'some': must be private-ranges-only or all-traffic"
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
