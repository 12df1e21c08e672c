//! The table of fields is whole, and says the truth of each.

use groundrun_api::check::{Kind, Schema};
use serde_json::{Value, json};

use crate::{
    admit::{FIELDS, FieldRule, Standing, Suffix, job, run},
    render,
    samples::{self, admitted, context, decode, least, with},
};

/// Every leaf that a client can send in `message`, as paths of the table and what they hold.
fn leaves(message: &str) -> Vec<(String, Kind)> {
    fn walk(path: &str, kind: &Kind, out: &mut Vec<(String, Kind)>) {
        match kind {
            Kind::Message(inner) => {
                for field in Schema::v1().fields(inner) {
                    walk(&format!("{path}.{}", field.name), &field.kind, out);
                }
            }
            Kind::List(item) if matches!(**item, Kind::Message(_)) => {
                walk(&format!("{path}[]"), item, out)
            }
            kind => out.push((path.to_owned(), kind.clone())),
        }
    }
    let mut out = Vec::new();
    walk(message, &Kind::Message(message.to_owned()), &mut out);
    out
}

/// The rule of a leaf: its own, or the one that covers it from above.
fn rule_of(leaf: &str) -> Option<&'static FieldRule> {
    let covers = |rule: &&FieldRule| {
        let below = leaf.strip_prefix(rule.path);
        match rule.standing {
            Standing::Honoured | Standing::Stored => below == Some(""),
            Standing::Refused | Standing::Ignored => {
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            }
        }
    };
    FIELDS.iter().find(covers)
}

/// `Job.a[].b["c/d"]` as a JSON pointer, with the first of every list.
fn pointer(path: &str) -> String {
    let (_, path) = path.split_once('.').expect("a path begins with a message");
    match path.split_once("[\"") {
        Some((map, key)) => {
            format!(
                "/{}/{}",
                map.replace("[]", ".0").replace('.', "/"),
                key.trim_end_matches("\"]").replace('/', "~1")
            )
        }
        None => format!("/{}", path.replace("[]", ".0").replace('.', "/")),
    }
}

fn sample(path: &str, kind: &Kind) -> Value {
    match path.rsplit('.').next().unwrap_or_default() {
        "apiVersion" if path == "Job.apiVersion" => json!("run.googleapis.com/v1"),
        "kind" if path == "Job.kind" => json!("Job"),
        "namespace" => json!("acme"),
        "limits" => json!({"cpu": "2", "memory": "2Gi"}),
        "requests" => json!({"cpu": "1", "memory": "256Mi"}),
        "terminationMessagePath" => json!("/dev/termination-log"),
        "terminationMessagePolicy" => json!("File"),
        "serviceAccountName" => json!("sa@acme.iam.gserviceaccount.com"),
        "name" if path.contains("ports") => json!("h2c"),
        "successThreshold" => json!(1),
        "path" if path.contains("httpGet") => json!("/x"),
        "mountPath" => json!("/x"),
        "medium" => json!("Disk"),
        "sizeLimit" => json!("64Mi"),
        "driver" => json!("gcsfuse.run.googleapis.com"),
        "volumeAttributes" => json!({"bucketName": "bkt"}),
        "path" if path.contains(".nfs") => json!("/x"),
        _ => by_kind(kind),
    }
}

fn by_kind(kind: &Kind) -> Value {
    match kind {
        Kind::String => json!("x"),
        Kind::Bool => json!(true),
        Kind::Int32 => json!(3),
        Kind::Int64 => json!("3"),
        Kind::Timestamp => json!("2026-01-01T00:00:00Z"),
        Kind::Enum(names) => json!(names.last()),
        Kind::List(item) => json!([by_kind(item)]),
        Kind::Map(item) => json!({"k": by_kind(item)}),
        Kind::Bytes | Kind::FieldMask | Kind::Any | Kind::Message(_) => {
            panic!("no such leaf: {kind:?}")
        }
    }
}

/// Every leaf of `Job`, and every entry that the table names, with a value.
fn samples_of_job() -> Vec<(String, Value)> {
    let entries =
        FIELDS.iter().filter(|rule| rule.path.starts_with("Job.") && rule.path.contains('"'));
    let entry = |rule: &FieldRule| {
        let value = match rule.path {
            path if path.contains("launch-stage") => "BETA",
            path if path.contains("execution-environment") => "gen2",
            path if path.contains("nvidia") => "1",
            path if path.contains("container-dependencies") => "{}",
            path if path.contains("cloudsql-instances") => "p:r:i",
            path if path.contains("network-interfaces") => r#"[{"network": "x"}]"#,
            path if path.contains("vpc-access-egress") => "all-traffic",
            path if path.contains("secrets") => "a:projects/1/secrets/s",
            path if path.contains("bucketName") => "bkt",
            path if path.contains("mountOptions") => "ro",
            _ => "x",
        };
        (rule.path.to_owned(), json!(value))
    };
    let leaf = |(path, kind): (String, Kind)| {
        let value = sample(&path, &kind);
        (path, value)
    };
    leaves("Job").into_iter().map(leaf).chain(entries.map(entry)).collect()
}

/// The least job with `value` at `path`, and beside it what such a field needs.
fn document(path: &str, value: &Value) -> Value {
    let item = json!({"key": "1", "path": "p"});
    let volume = match path {
        path if path.contains(".csi") => json!({
            "name": "x",
            "csi": {
                "driver": "gcsfuse.run.googleapis.com", "volumeAttributes": {"bucketName": "bkt"},
            },
        }),
        path if path.contains(".nfs") => json!({"name": "x", "nfs": {"server": "x", "path": "/x"}}),
        path if path.contains("volumes[].secret") => {
            json!({"name": "x", "secret": {"secretName": "s", "items": [item]}})
        }
        _ => json!({"name": "x", "emptyDir": {}}),
    };
    let needed = [
        ("env[]", ".name", json!("A")),
        ("startupProbe", ".tcpSocket", json!({})),
        ("httpHeaders[]", ".name", json!("X")),
        ("valueFrom.secretKeyRef", "", json!({"name": "s", "key": "1"})),
        ("volumes[]", "", volume),
        ("volumeMounts[]", "", json!({"name": "x", "mountPath": "/y"})),
    ];
    let mut document = least();
    if path.contains("volumeMounts") {
        document = with(
            document,
            "/spec/template/spec/template/spec/volumes/0",
            json!({"name": "x", "emptyDir": {}}),
        );
    }
    if path.contains("breakglass") {
        document = with(document, &pointer(&path.replace("-breakglass", "")), json!("x"));
    }
    if path.contains("vpc-access-egress") {
        let connector = pointer(&path.replace("egress", "connector"));
        document = with(document, &connector, json!("x"));
    }
    for (part, field, value) in needed {
        let other_action = ["httpGet", "grpc"].iter().any(|action| path.contains(action));
        if let Some(start) = path.find(part)
            && !(part == "startupProbe" && other_action)
        {
            let place = pointer(&format!("{}{field}", &path[..start + part.len()]));
            document = with(document, &place, value);
        }
    }
    with(document, &pointer(path), value.clone())
}

#[test]
fn every_field_has_a_rule_and_every_rule_a_field() {
    let all: Vec<_> =
        leaves("Job").into_iter().chain(leaves("RunJobRequest")).map(|(path, _)| path).collect();
    let without: Vec<_> = all.iter().filter(|leaf| rule_of(leaf).is_none()).collect();
    assert!(without.is_empty(), "without a rule: {without:#?}");
    for rule in FIELDS {
        let field = rule.path.split("[\"").next().unwrap_or_default();
        let below = |leaf: &String| {
            leaf.strip_prefix(field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        assert!(all.iter().any(below), "no such field: {}", rule.path);
        assert_eq!(
            FIELDS.iter().filter(|other| other.path == rule.path).count(),
            1,
            "twice: {}",
            rule.path
        );
        assert!(rule.note.ends_with('.'), "{}: the note is a sentence", rule.path);
    }
}

#[test]
fn every_refused_field_is_refused_by_name_with_the_note() {
    for (path, value) in samples_of_job() {
        let rule = rule_of(&path).expect("every field has a rule");
        if rule.standing != Standing::Refused {
            continue;
        }
        let error =
            job(decode(document(&path, &value)), &Suffix::new(0), &context()).expect_err(&path);
        let field = rule.path.trim_start_matches("Job.").replace("[]", "[0]");
        let named =
            error.violations().any(|fault| fault.field == field && fault.description == rule.note);
        assert!(named, "{path}: {error:#?}");
    }
}

#[test]
fn every_ignored_field_changes_nothing() {
    for (path, value) in samples_of_job() {
        if rule_of(&path).is_some_and(|rule| rule.standing == Standing::Ignored) {
            assert_eq!(admitted(document(&path, &value)), admitted(least()), "{path}");
        }
    }
}

/// Those whose meaning is shown elsewhere: they are not returned as given.
const NOT_RETURNED: [&str; 5] = [
    "Job.metadata.generateName",
    "Job.metadata.namespace",
    "Job.metadata.resourceVersion",
    "Job.spec.runExecutionToken",
    "Job.spec.startExecutionToken",
];

#[test]
fn every_other_field_is_accepted_and_returned_as_given() {
    for (path, value) in samples_of_job() {
        let standing = rule_of(&path).expect("every field has a rule").standing;
        if !matches!(standing, Standing::Honoured | Standing::Stored) {
            continue;
        }
        let record = samples::job(document(&path, &value));
        if NOT_RETURNED.contains(&path.as_str()) {
            continue;
        }
        let shown = serde_json::to_value(render::job(&record, None, &context())).expect("JSON");
        let shown = shown.pointer(&pointer(&path)).unwrap_or(&Value::Null);
        let same = match (&value, shown) {
            (Value::Object(given), Value::Object(shown)) => {
                given.iter().all(|(key, value)| shown.get(key) == Some(value))
            }
            (given, shown) => given == shown,
        };
        assert!(same, "{path}: {value} became {shown}");
    }
}

/// Of each field of `RunJobRequest`: a request, and where the execution shows it.
const OVERRIDES: [(&str, &str, &str, &str); 11] = [
    ("delayExecution", r#"{"delayExecution": true}"#, "/delayExecution", "true"),
    ("taskCount", r#"{"taskCount": 7}"#, "/taskCount", "7"),
    ("timeoutSeconds", r#"{"timeoutSeconds": 7}"#, "/template/spec/timeoutSeconds", r#""7""#),
    (
        "containerOverrides[].args",
        r#"{"containerOverrides": [{"args": ["x"]}]}"#,
        "/template/spec/containers/0/args",
        r#"["x"]"#,
    ),
    (
        "containerOverrides[].clearArgs",
        r#"{"containerOverrides": [{"clearArgs": true}]}"#,
        "/template/spec/containers/0/args",
        "null",
    ),
    (
        "containerOverrides[].env[].name",
        r#"{"containerOverrides": [{"env": [{"name": "N"}]}]}"#,
        "/template/spec/containers/0/env/0/name",
        r#""N""#,
    ),
    (
        "containerOverrides[].env[].value",
        r#"{"containerOverrides": [{"env": [{"name": "N", "value": "v"}]}]}"#,
        "/template/spec/containers/0/env/0/value",
        r#""v""#,
    ),
    (
        "containerOverrides[].env[].valueFrom.secretKeyRef.key",
        r#"{"containerOverrides": [{"env": [{"name": "N", "valueFrom": {"secretKeyRef": {"name": "s", "key": "1"}}}]}]}"#,
        "/template/spec/containers/0/env/0/valueFrom/secretKeyRef/key",
        r#""1""#,
    ),
    (
        "containerOverrides[].env[].valueFrom.secretKeyRef.name",
        r#"{"containerOverrides": [{"env": [{"name": "N", "valueFrom": {"secretKeyRef": {"name": "s", "key": "1"}}}]}]}"#,
        "/template/spec/containers/0/env/0/valueFrom/secretKeyRef/name",
        r#""s""#,
    ),
    (
        "containerOverrides[].env[].valueFrom.secretKeyRef.optional",
        r#"{"containerOverrides": [{"env": [{"name": "N", "valueFrom": {"secretKeyRef": {"name": "s", "key": "1", "optional": true}}}]}]}"#,
        "/template/spec/containers/0/env/0/valueFrom/secretKeyRef/optional",
        "true",
    ),
    (
        "containerOverrides[].name",
        r#"{"containerOverrides": [{"name": "any", "args": ["x"]}]}"#,
        "/template/spec/containers/0/args",
        r#"["x"]"#,
    ),
];

#[test]
fn every_honoured_override_is_shown_by_the_execution() {
    let job = samples::job(with(least(), &format!("{}/args", samples::CONTAINER), json!(["old"])));
    let honoured =
        |rule: &&FieldRule| rule.path.starts_with("Run") && rule.standing != Standing::Refused;
    for rule in FIELDS.iter().filter(honoured) {
        let (_, request, pointer, expected) = OVERRIDES
            .iter()
            .find(|(field, ..)| rule.path == format!("RunJobRequest.overrides.{field}"))
            .unwrap_or_else(|| panic!("no request for {}", rule.path));
        let request: Value = serde_json::from_str(request).expect("JSON");
        let request = groundrun_api::decode(json!({"overrides": request})).expect("a request");
        let spec = run(&job, request).expect(rule.path).spec;
        let shown = serde_json::to_value(&*spec).expect("JSON");
        let expected: Value = serde_json::from_str(expected).expect("JSON");
        assert_eq!(shown.pointer(pointer).unwrap_or(&Value::Null), &expected, "{}", rule.path);
    }
}

#[test]
fn every_refused_override_is_refused_by_name_with_the_note() {
    let job = samples::job(least());
    for (path, kind) in leaves("RunJobRequest") {
        let rule = rule_of(&path).expect("every field has a rule");
        if rule.standing != Standing::Refused {
            continue;
        }
        let request = with(json!({}), &pointer(&path), by_kind(&kind));
        let error = run(&job, groundrun_api::decode(request).expect("a request")).expect_err(&path);
        let field = rule.path.trim_start_matches("RunJobRequest.").replace("[]", "[0]");
        let named =
            error.violations().any(|fault| fault.field == field && fault.description == rule.note);
        assert!(named, "{path}: {error:#?}");
    }
}
