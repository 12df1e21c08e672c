//! What the checker promises, over every message of the table.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Kind, Schema, check, decode, decode_bytes};
use crate::{ApiError, v1};

fn faults_of_job(document: Value) -> String {
    match decode::<v1::Job>(document) {
        Ok(_) => "none".to_owned(),
        Err(error) => error.message,
    }
}

#[test]
fn every_fault_is_found_at_once_in_the_words_of_the_transcoder() {
    let document = json!({
        "typo": 1,
        "kind": ["Job"],
        "metadata": {
            "labels": {"team": 1, "ok": "x"},
            "annotations": "none",
            "creationTimestamp": "yesterday",
            "generation": 5_000_000_000_i64,
            "name": {"a": 1},
        },
        "spec": {"typo": 1, "template": {"spec": {"taskCount": "x", "parallelism": 1.5, "template": {"spec": {
            "timeoutSeconds": "9223372036854775808",
            "containers": [{"image": "i"}, {"Image": "i", "args": [1, null, "x"], "env": "A=B"}, "c"],
            "volumes": [{"emptyDir": []}],
        }}}}},
        "status": {"latestCreatedExecution": {"completionStatus": "DONE"}},
    });
    insta::assert_snapshot!(faults_of_job(document));
}

#[test]
fn the_details_name_the_field_of_each_fault() {
    let document = json!({"spec": {"typo": 1, "template": {"spec": {"taskCount": "x"}}}});
    let error: ApiError = decode::<v1::Job>(document).unwrap_err();
    insta::assert_json_snapshot!(error);
}

#[test]
fn a_request_that_is_the_body_itself_has_paths_without_a_prefix() {
    let error = decode::<v1::RunJobRequest>(json!({"x": 1, "overrides": {"taskCount": true}}));
    insta::assert_snapshot!(error.unwrap_err().message);
}

#[test]
fn at_most_one_token_may_be_set() {
    let both = json!({"spec": {"startExecutionToken": "a", "runExecutionToken": "b"}});
    let wanted = "Invalid value at 'job.spec' (oneof), oneof field 'create_execution' is already set. \
                  Cannot set 'runExecutionToken'";
    assert_eq!(faults_of_job(both), wanted);
}

#[test]
fn a_field_given_under_both_names_is_a_fault() {
    let twice = json!({"spec": {"template": {"spec": {"taskCount": 1, "task_count": 1}}}});
    let wanted = "Invalid JSON payload received. Unknown name \"task_count\" at 'job.spec.template.spec': \
                  Field 'task_count' is given twice.";
    assert_eq!(faults_of_job(twice), wanted);
}

#[test]
fn both_names_numbers_in_quotes_nulls_and_times_are_normalised() {
    let document = json!({
        "api_version": "v", "kind": null,
        "metadata": {
            "labels": {}, "finalizers": [], "generation": "1e1",
            "creation_timestamp": "2026-08-21T02:04:13.1234567+02:00",
        },
        "spec": {"template": {"spec": {"task_count": "3", "parallelism": 2.0, "delayExecution": "true",
            "template": {"spec": {"timeoutSeconds": 600}}}}},
        "status": {"latestCreatedExecution": {"completionStatus": 2}},
    });
    let (normal, faults) = check(Schema::v1(), "Job", "job", document);
    assert_eq!(faults, []);
    let wanted = json!({
        "apiVersion": "v",
        "metadata": {"generation": 10, "creationTimestamp": "2026-08-21T00:04:13.123456Z"},
        "spec": {"template": {"spec": {"taskCount": 3, "parallelism": 2, "delayExecution": true,
            "template": {"spec": {"timeoutSeconds": "600"}}}}},
        "status": {"latestCreatedExecution": {"completionStatus": "EXECUTION_FAILED"}},
    });
    assert_eq!(normal, wanted);
}

#[test]
fn times_and_bytes_are_those_of_proto3_and_no_others() {
    let time = |text: &str| {
        check(Schema::v1(), "ObjectMeta", "", json!({"creationTimestamp": text})).1.len()
    };
    for good in ["2026-08-21T00:04:13Z", "2026-08-21T00:04:13.123456789Z", "0001-01-01T00:00:00Z"] {
        assert_eq!(time(good), 0, "{good}");
    }
    let bad = [
        "2026-08-21",
        "2026-08-21T00:04Z",
        "2026-08-21 00:04:13Z",
        "2026-08-21T00:04:13",
        "",
        "2026-08-21T00:04:13Z[UTC]",
        "0000-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
    ];
    for bad in bad {
        assert_eq!(time(bad), 1, "{bad}");
    }

    let etag =
        |text: &str| check(Schema::v1(), "Policy", "", json!({"etag": text})).0["etag"].clone();
    assert_eq!(etag("_-8"), "/+8=");
    assert_eq!(etag("/+8="), "/+8=");
    assert_eq!(etag("?"), Value::Null);
}

#[test]
fn the_faults_of_a_hostile_document_are_bounded() {
    let typos: Map<String, Value> = (0..10_000).map(|n| (format!("t{n}"), json!(n))).collect();
    let (_, faults) = check(Schema::v1(), "Job", "", Value::Object(typos));
    assert_eq!(faults.len(), 101);
    assert_eq!(faults[100].description, "Only the first 100 faults are listed.");

    let args = vec!["x"; 200_000];
    let document = json!({"containers": [{"args": args}, {"typo": 1}]});
    let (_, faults) = check(Schema::v1(), "TaskSpec", "", document);
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].description, "The document has more than 100000 values.");

    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let (_, faults) = check(Schema::v1(), "Location", "", json!({"metadata": {"x": deep}}));
    assert_eq!(faults[0].description, "Invalid value at 'metadata[x]', deeper than 100 levels");

    let long = "x".repeat(100_000);
    let (_, faults) = check(Schema::v1(), "Job", "", json!({"metadata": {"generation": long}}));
    assert!(faults[0].description.len() < 200, "{}", faults[0].description);
}

#[test]
fn the_bodies_of_gcloud_pass() {
    let create = decode_bytes::<v1::Job>(include_bytes!("bodies/gcloud-create.json")).unwrap();
    assert_eq!(
        create.status.unwrap().latest_created_execution,
        Some(v1::ExecutionReference::default())
    );

    let many = include_bytes!("bodies/gcloud-create-many-flags.json");
    let execution =
        decode_bytes::<v1::Job>(many).unwrap().spec.unwrap().template.unwrap().spec.unwrap();
    let task = execution.template.unwrap().spec.unwrap();
    assert_eq!((execution.task_count, execution.parallelism), (Some(5), Some(2)));
    assert_eq!((task.max_retries, task.timeout_seconds), (Some(0), Some(3600)));
    assert_eq!((task.containers[0].env.len(), task.volumes.len()), (3, 2));

    // A number here, a string there (fact: gcloud-wire F.7).
    let run = br#"{"overrides":{"containerOverrides":[{"args":["a"],"clearArgs":false,"env":[]}],"timeoutSeconds":60}}"#;
    let overrides = decode_bytes::<v1::RunJobRequest>(run).unwrap().overrides.unwrap();
    assert_eq!(overrides.timeout_seconds, Some(60));
}

#[test]
fn an_empty_body_is_an_empty_message_and_a_broken_one_says_where() {
    assert_eq!(decode_bytes::<v1::RunJobRequest>(b" \n"), Ok(v1::RunJobRequest::default()));
    let error = decode_bytes::<v1::Job>(b"{\"kind\":\n ?}").unwrap_err();
    assert_eq!(error.message, "Invalid JSON payload received. expected value at line 2 column 2.");
    let error = decode_bytes::<v1::Job>(b"[]").unwrap_err();
    assert_eq!(error.message, "Invalid JSON payload received. An object is expected, not a list.");
}

/// Calls `$call!(NAME, Type)` for every message of the table.
macro_rules! every_message {
    ($call:ident) => {
        every_message!(@ $call
            ObjectMeta OwnerReference ListMeta Status StatusDetails StatusCause
            Job JobSpec ExecutionTemplateSpec JobStatus ExecutionReference ListJobsResponse RunJobRequest Overrides
            ContainerOverride Execution ExecutionSpec ExecutionStatus TaskTemplateSpec ListExecutionsResponse
            CancelExecutionRequest Task TaskSpec TaskStatus TaskAttemptResult ListTasksResponse SandboxConfiguration
            SandboxTemplate Container EnvVar EnvVarSource ConfigMapKeySelector LocalObjectReference SecretKeySelector
            EnvFromSource ConfigMapEnvSource SecretEnvSource Probe ExecAction ContainerPort ResourceRequirements
            SecurityContext VolumeMount Volume ConfigMapVolumeSource KeyToPath EmptyDirVolumeSource
            FilestoreVolumeSource SecretVolumeSource Policy AuditConfig AuditLogConfig Binding Expr
            SetIamPolicyRequest TestIamPermissionsRequest TestIamPermissionsResponse ListLocationsResponse Location);
        $call!("GoogleCloudRunV1Condition", v1::Condition);
        $call!("GoogleRpcStatus", v1::RpcStatus);
        $call!("GRPCAction", v1::GrpcAction);
        $call!("HTTPGetAction", v1::HttpGetAction);
        $call!("HTTPHeader", v1::HttpHeader);
        $call!("TCPSocketAction", v1::TcpSocketAction);
        $call!("CSIVolumeSource", v1::CsiVolumeSource);
        $call!("NFSVolumeSource", v1::NfsVolumeSource);
    };
    (@ $call:ident $($name:ident)*) => { $($call!(stringify!($name), v1::$name);)* };
}

/// What a struct makes of a normalised document.
fn through(message: &str, document: &Value) -> Option<Value> {
    let mut kept = None;
    macro_rules! read {
        ($name:expr, $type:ty) => {
            if message == $name {
                let read: $type = serde_json::from_value(document.clone()).expect($name);
                kept = Some(serde_json::to_value(read).expect($name));
            }
        };
    }
    every_message!(read);
    kept
}

/// A document with every field of the table set.
fn full(kind: &Kind, seed: usize) -> Value {
    match kind {
        Kind::String => json!(format!("s{seed}")),
        Kind::Bool => json!(true),
        Kind::Int32 => json!(i32::MAX),
        Kind::Int64 => json!(i64::MAX.to_string()),
        Kind::Bytes => json!("AAE="),
        Kind::Timestamp => json!("2026-08-21T00:04:13.123456Z"),
        Kind::FieldMask => json!("a,b.c"),
        Kind::Any => json!({"a": [null, 1.5]}),
        Kind::Enum(names) => json!(names[seed % names.len()]),
        Kind::List(inner) => json!([full(inner, seed), full(inner, seed + 1)]),
        Kind::Map(inner) => json!({"a": full(inner, seed), "b/c": full(inner, seed + 1)}),
        Kind::Message(name) => {
            let fields = Schema::v1().fields(name).iter();
            Value::Object(
                fields.map(|field| (field.name.clone(), full(&field.kind, seed))).collect(),
            )
        }
    }
}

#[test]
fn every_struct_keeps_every_field_of_its_message() {
    for name in Schema::v1().messages() {
        let document = full(&Kind::Message(name.to_owned()), 0);
        assert_eq!(through(name, &document), Some(document), "{name}");
    }
}

/// Documents as clients may write them: any subset of fields, either name, numbers in quotes, nulls.
fn written(kind: &Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::String => "[a-zé\"\\\\ ]{0,6}".prop_map(Value::from).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Int32 => quoted_or_not(any::<i32>().prop_map(i64::from)),
        Kind::Int64 => quoted_or_not(any::<i64>()),
        Kind::Bytes => "([A-Za-z0-9_-]{4}){0,3}".prop_map(Value::from).boxed(),
        Kind::Timestamp => {
            "20[0-9]{2}-[01]1-2[0-8]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|\\+01:00)"
                .prop_map(Value::from)
                .boxed()
        }
        Kind::FieldMask => "[a-z]{1,3}(,[a-z.]{1,3}){0,2}".prop_map(Value::from).boxed(),
        Kind::Any => {
            prop_oneof![Just(Value::Null), Just(json!({"a": [1.5, null]})), Just(json!([[]]))]
                .boxed()
        }
        Kind::Enum(names) => {
            let count = names.len();
            prop_oneof![
                proptest::sample::select(names.clone()).prop_map(Value::from),
                (0..count).prop_map(Value::from)
            ]
            .boxed()
        }
        Kind::List(inner) => {
            proptest::collection::vec(written(inner), 0..3).prop_map(Value::from).boxed()
        }
        Kind::Map(inner) => proptest::collection::btree_map("[a-z./]{1,4}", written(inner), 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed(),
        Kind::Message(name) => message(name),
    }
}

fn quoted_or_not(number: impl Strategy<Value = i64> + 'static) -> BoxedStrategy<Value> {
    (number, any::<bool>())
        .prop_map(|(number, quoted)| if quoted { json!(number.to_string()) } else { json!(number) })
        .boxed()
}

fn message(name: &str) -> BoxedStrategy<Value> {
    // One of the two tokens at most: see `at_most_one_token_may_be_set`.
    let fields = Schema::v1().fields(name).iter().filter(|field| field.name != "runExecutionToken");
    let fields = fields.map(|field| {
        let name = prop_oneof![Just(field.name.clone()), Just(field.proto.clone())];
        let value = prop_oneof![1 => Just(Value::Null), 8 => written(&field.kind)];
        proptest::option::weighted(0.4, (name, value))
    });
    fields
        .collect::<Vec<_>>()
        .prop_map(|fields| Value::Object(fields.into_iter().flatten().collect()))
        .boxed()
}

fn any_message() -> impl Strategy<Value = (&'static str, Value)> {
    let names: Vec<&'static str> = Schema::v1().messages().collect();
    proptest::sample::select(names).prop_flat_map(|name| (Just(name), message(name)))
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys =
        ["metadata", "spec", "template", "labels", "args", "env", "name", "timeoutSeconds", "x"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(keys.to_vec()), inner, 0..6)
                .prop_map(|map| Value::Object(
                    map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                )),
        ]
    })
}

proptest! {
    #[test]
    fn what_clients_may_write_is_kept_whole((name, document) in any_message()) {
        let (normal, faults) = check(Schema::v1(), name, "", document);
        prop_assert_eq!(faults, []);
        prop_assert_eq!(through(name, &normal), Some(normal.clone()));
        let (again, faults) = check(Schema::v1(), name, "", normal.clone());
        prop_assert_eq!((again, faults), (normal, vec![]));
    }

    #[test]
    fn whatever_passes_the_checker_can_be_read(document in any_json()) {
        for name in ["Job", "RunJobRequest", "ObjectMeta", "Container", "Location", "Policy"] {
            let (normal, _) = check(Schema::v1(), name, "", document.clone());
            prop_assert!(through(name, &normal).is_some());
        }
    }
}
