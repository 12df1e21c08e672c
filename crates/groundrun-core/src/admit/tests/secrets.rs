//! Secrets in variables and in volumes, and their names.

use serde_json::{Value, json};

use super::{check, fine, has};
use crate::samples::{CONTAINER, admitted, faults, job, least, with};

const VOLUMES: &str = "/spec/template/spec/template/spec/volumes";
const ANNOTATION: &str = "/spec/template/metadata/annotations/run.googleapis.com~1secrets";
const PATH: &str = "spec.template.spec.task_spec";
const NAME: &str = "may only be letters, digits, hyphens and underscores, at most 255 characters";
const VERSION: &str = "should have only alphanumeric characters, hyphens and underscores";
const RELATIVE: &str =
    "must be a relative path, must not contain the element '..' and must not start with '..'";

#[track_caller]
fn volume(source: Value, expected: &str) {
    let volume = json!([{"name": "v", "secret": source}]);
    has(VOLUMES, volume, &format!("{PATH}.volumes[0].secret{expected}"));
}

fn variable(name: &str, secret: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
}

#[test]
fn variables_come_from_versions_of_secrets() {
    let env = format!("{CONTAINER}/env");
    for key in ["latest", "1", "an-alias_2"] {
        fine(&env, json!([variable("A", "my-Secret_1", key), {"name": "B", "value": "b"}]));
    }
    let path = format!("{PATH}.containers[0].env[0]");
    let selector = format!("{path}.value_from.secret_key_ref");
    for bad in ["", "a/b", &"s".repeat(256)] {
        check(&env, json!([variable("A", bad, "1")]), &[&format!("{selector}.secret: {NAME}")]);
    }
    for bad in ["", "v 1", "1.0"] {
        check(&env, json!([variable("A", "s", bad)]), &[&format!("{selector}.version: {VERSION}")]);
    }
    let mut both = variable("A", "s", "1");
    both["value"] = json!("x");
    check(&env, json!([both]), &[&format!("{path}: may not have both value and value_from")]);
    let map = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]);
    has(
        &env,
        map,
        &format!("{path}.value_from.config_map_key_ref: is not supported by Cloud Run."),
    );
}

#[test]
fn a_name_that_references_a_secret_is_there_once() {
    let fault = format!(
        "{PATH}.containers[0].env: names that reference a secret must be unique in a container: A"
    );
    let env = format!("{CONTAINER}/env");
    let plain = |name: &str| json!({"name": name, "value": "x"});
    let secret = |name: &str| variable(name, "s", "1");
    check(&env, json!([secret("A"), plain("B"), plain("A")]), &[&fault]);
    check(&env, json!([secret("A"), secret("B"), secret("A")]), &[&fault]);
    fine(&env, json!([secret("A"), secret("B"), plain("C"), plain("C")]));
}

#[test]
fn a_volume_of_secrets_has_files_with_modes() {
    let item = |key: &str, path: &str| json!({"key": key, "path": path});
    for source in [
        json!({"secretName": "s"}),
        json!({"secretName": "s", "defaultMode": 0}),
        json!({"secretName": "s", "defaultMode": 0o400, "items": [item("latest", "a"), item("1", "b/c")]}),
        json!({"secretName": "s", "items": [{"key": "1", "path": "a..b/..c", "mode": 0o777}]}),
    ] {
        fine(VOLUMES, json!([{"name": "v", "secret": source}]));
    }
    let mode = "if present, must be a supported unix chmod bitmask";
    volume(json!({}), ".secret: must be set");
    volume(json!({"secretName": "a/b"}), &format!(".secret: {NAME}"));
    volume(json!({"secretName": "s", "defaultMode": 0o1000}), &format!(".default_mode: {mode}"));
    let items = |items: Value| json!({"secretName": "s", "items": items});
    volume(
        items(json!([{"key": "1", "path": "p", "mode": -1}])),
        &format!(".items[0].mode: {mode}"),
    );
    volume(items(json!([item("a/b", "p")])), &format!(".items[0].version: {VERSION}"));
    for nothing in ["", "./", "."] {
        volume(items(json!([item("1", nothing)])), ".items[0].path: must be set");
    }
    for bad in ["/a", "..", "../a", "a/../b", "..a"] {
        volume(items(json!([item("1", bad)])), &format!(".items[0].path: {RELATIVE}"));
    }
    for bad in ["a\0", &"a/".repeat(2048), &"a".repeat(256)] {
        volume(items(json!([item("1", bad)])), ".items[0].path: must be a valid unix path");
    }
    let many: Vec<_> = (0..101).map(|n| item("1", &n.to_string())).collect();
    volume(items(json!(many)), ".items: must be at most 100 items");
}

#[test]
fn files_of_secrets_do_not_meet() {
    let item = |path: &str| json!({"key": "1", "path": path});
    let items = |paths: &[&str]| {
        let items: Vec<_> = paths.iter().map(|path| item(path)).collect();
        json!({"secretName": "s", "items": items})
    };
    volume(items(&["a", "b", "./a"]), ".items: Duplicate path 'a'");
    volume(items(&["a", "a/b"]), ".items: 'a' is a file, and 'a/b' would be inside");
    // Of two volumes that a container has at one path, too.
    let document = |first: &[&str], second: &[&str], at: &str| {
        let volumes =
            json!([{"name": "v", "secret": items(first)}, {"name": "w", "secret": items(second)}]);
        let mounts = json!([{"name": "v", "mountPath": "/s"}, {"name": "w", "mountPath": at}]);
        with(with(least(), VOLUMES, volumes), &format!("{CONTAINER}/volumeMounts"), mounts)
    };
    let place = format!("{PATH}.containers[0].volume_mounts: Secrets mounted at /s");
    assert_eq!(
        faults(document(&["a"], &["b", "a"], "/s/")),
        [format!("{place}: Duplicate path 'a'")]
    );
    assert_eq!(faults(document(&["a"], &["b"], "/s")), [""; 0]);
    assert_eq!(faults(document(&["a"], &["a"], "/t")), [""; 0]);
}

#[test]
fn secrets_of_other_projects_have_names() {
    for fine_one in
        ["", "a:projects/123/secrets/s", "a:projects/1/secrets/s,b:projects/p-q/secrets/t"]
    {
        fine(ANNOTATION, json!(fine_one));
    }
    let field = "spec.template.metadata.annotations: Annotation 'run.googleapis.com/secrets'";
    check(
        ANNOTATION,
        json!("a:projects/1/secrets/s,b,c:secrets/s"),
        &[
            &format!("{field}: 'b' must conform to <alias>:projects/<project>/secrets/<secret>"),
            &format!(
                "{field}: 'c:secrets/s' must conform to <alias>:projects/<project>/secrets/<secret>"
            ),
        ],
    );
    check(
        ANNOTATION,
        json!("a:projects/1/secrets/s,a:projects/1/secrets/t"),
        &[&format!("{field}: 'a' stands for two secrets")],
    );
}

#[test]
fn what_a_job_says_of_secrets_is_kept_as_given() {
    let env = json!([variable("A", "s", "latest")]);
    let given = with(least(), &format!("{CONTAINER}/env"), env.clone());
    let spec = serde_json::to_value(&*admitted(given).spec).expect("JSON");
    let shown = spec.pointer("/template/spec/template/spec/containers/0/env");
    assert_eq!(shown, Some(&env));
}

#[test]
fn an_override_may_reference_a_secret() {
    let job = job(with(least(), &format!("{CONTAINER}/env"), json!([{"name": "A", "value": "x"}])));
    let run = |env: Value| {
        let request = json!({"overrides": {"containerOverrides": [{"env": env}]}});
        crate::admit::run(&job, groundrun_api::decode(request).expect("a request"))
    };
    let mut given = variable("A", "s", "1");
    given["valueFrom"]["secretKeyRef"]["optional"] = json!(true);
    let spec = run(json!([given])).expect("it is admitted").spec;
    let spec = serde_json::to_value(&*spec).expect("JSON");
    let shown = spec.pointer("/template/spec/containers/0/env");
    assert_eq!(shown, Some(&json!([given])));
    let error = run(json!([variable("A", "a/b", "1")])).expect_err("it is refused");
    let fault = error.violations().next().map(ToString::to_string);
    let field = "overrides.container_overrides[0].env[0].value_from.secret_key_ref.secret";
    assert_eq!(fault, Some(format!("{field}: {NAME}")));
}
