//! The annotation of Cloud SQL instances.

use serde_json::{Value, json};

use crate::samples::{CONTAINER, admitted, faults, least, with};

const FIELD: &str = "spec.template.metadata.annotations";

fn annotated(text: &str) -> Value {
    let pointer = "/spec/template/metadata/annotations/run.googleapis.com~1cloudsql-instances";
    with(least(), pointer, json!(text))
}

#[track_caller]
fn bad(text: &str, expected: &str) {
    let found = faults(annotated(text));
    assert!(found.contains(&format!("{FIELD}: {expected}")), "{text}: {found:#?}");
}

#[test]
fn cloud_sql_instances() {
    let good = "p:r:i, acme.example:app:us-central1:db-1,p:r:i";
    let job = admitted(annotated(good));
    let kept = job.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
    let kept = kept.and_then(|kept| kept.annotations.get("run.googleapis.com/cloudsql-instances"));
    assert_eq!(kept.map(String::as_str), Some(good), "it is kept as it was given");
    let text = |name| {
        format!("Cloud SQL instance '{name}' must be in the format project:location:instance")
    };
    for name in ["p:i", "::", "p:r:i/x", "", "p:r:..", "a:b:p:r:i", "p:r:i i", "p.:r:\u{e9}"] {
        bad(&format!("p:r:i,{name}"), &text(name));
    }
    let many = (0..51).map(|n| format!("p:r:i{n}")).collect::<Vec<_>>().join(",");
    bad(&many, "must be at most 50 Cloud SQL instances");
}

#[test]
fn a_sockets_path_has_at_most_107_bytes() {
    // `/cloudsql/` and `/.s.PGSQL.5432` have 24 bytes.
    let instance = |bytes: usize| format!("p:r:{}", "i".repeat(bytes - "p:r:".len()));
    assert_eq!(faults(annotated(&instance(83))), [""; 0]);
    let long = instance(84);
    bad(&long, &format!("Cloud SQL instance '{long}': its socket's path is over 107 bytes"));
}

#[test]
fn nothing_else_is_mounted_where_their_sockets_are() {
    let mounts = ["/cloudsql/", "/x/../cloudsql/p", "/cloudsql2", "/data"]
        .map(|path| json!({"name": "v", "mountPath": path}));
    let document = with(annotated("p:r:i"), &format!("{CONTAINER}/volumeMounts"), json!(mounts));
    let volumes = "/spec/template/spec/template/spec/volumes";
    let document = with(document, volumes, json!([{"name": "v", "emptyDir": {}}]));
    let fault = |index: usize, path: &str| {
        format!(
            "spec.template.spec.task_spec.containers[0].volume_mounts[{index}].mount_path: '{path}' is where the sockets \
             of Cloud SQL instances are: mount the volume elsewhere"
        )
    };
    assert_eq!(faults(document.clone()), [fault(0, "/cloudsql/"), fault(1, "/x/../cloudsql/p")]);
    let pointer = "/spec/template/metadata/annotations/run.googleapis.com~1cloudsql-instances";
    assert_eq!(faults(with(document, pointer, json!(""))), [""; 0], "without instances it is free");
}
