//! What the filter language selects, and what it refuses.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::{Filter, Narrow};
use crate::logging::{LogEntry, MonitoredResource, Severity};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn time(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn entry() -> LogEntry {
    LogEntry {
        insert_id: "i-1".to_owned(),
        log_name: "projects/demo/logs/run.googleapis.com%2Fstdout".to_owned(),
        resource: Some(MonitoredResource {
            r#type: "cloud_run_job".to_owned(),
            labels: map(&[("job_name", "j1"), ("location", "us-central1"), ("project_id", "demo")]),
        }),
        timestamp: Some(time("2026-08-21T12:00:00Z").into()),
        severity: Severity::Warning,
        labels: map(&[
            ("run.googleapis.com/execution_name", "j1-abcde"),
            ("run.googleapis.com/task_index", "7"),
        ]),
        text_payload: Some("Hello, World".to_owned()),
        json_payload: json!({"n": 5, "ok": true, "none": null, "list": [{"a": "x"}, {"a": "y"}], "k.v": "dotted",
            "deep": {"er": "Value"}})
        .as_object()
        .cloned(),
        members: json!({"httpRequest": {"status": 404}}).as_object().unwrap().clone(),
        ..LogEntry::default()
    }
}

fn selects(filter: &str) -> bool {
    filter.parse::<Filter>().unwrap_or_else(|error| panic!("{filter}: {error}")).matches(&entry())
}

#[test]
fn the_filters_of_gcloud_select_the_lines_of_their_job_and_execution() {
    let job = "resource.type = cloud_run_job \n AND resource.labels.job_name = j1 \n \
               AND resource.labels.location = us-central1 \n AND severity >= DEFAULT \n \
               AND timestamp>=\"2026-08-20T23:41:53.275348Z\"";
    assert!(selects(job));
    assert!(!selects(&job.replace("j1", "j2")));
    assert!(!selects(&job.replace("us-central1", "None")));
    assert!(!selects(&job.replace("08-20", "08-22")));

    let execution = "severity>=ERROR OR hello AND resource.type = cloud_run_job \n \
                     AND labels.\"run.googleapis.com/execution_name\" = j1-abcde \n AND severity >= DEFAULT \n";
    assert!(selects(execution));
    assert!(!selects(&execution.replace("OR hello ", "")));

    let tail = "resource.type=cloud_run_job labels.\"run.googleapis.com/execution_name\"=j1-abcde severity>=DEFAULT";
    assert!(selects(tail));
    assert!(!selects(&tail.replace("j1-abcde", "j1-abcdf")));
}

#[test]
fn every_operator_and_kind_of_value_selects_as_documented() {
    let selected = [
        "",
        "  -- a comment\n",
        "severity = warning",
        "severity >= 400 severity < ERROR",
        "severity != ERROR",
        "severity = (ERROR OR WARNING)",
        "severity = (NOT ERROR AND NOT INFO)",
        "textPayload:\"hello, w\"",
        "text_payload = 'hello, world'",
        "hello",
        "\"o, W\"",
        "hello world",
        "-goodbye",
        "NOT goodbye AND NOT(adieu)",
        "(hello OR adieu) world",
        "timestamp = \"2026-08-21T14:00:00+02:00\"",
        "timestamp > \"2026-08-21\" AND timestamp < \"2026-08-22\"",
        "logName : stdout",
        "labels.run.googleapis.com/task_index = 7",
        "labels.\"run.googleapis.com/task_index\":*",
        "-labels.foo:*",
        "jsonPayload.n > 4.5 jsonPayload.n <= 5",
        "jsonPayload.n != 6",
        "jsonPayload.ok = true",
        "jsonPayload.none = NULL_VALUE",
        "jsonPayload.list.a = y",
        "jsonPayload.k.v = dotted",
        "jsonPayload.\"k.v\" = dotted",
        "jsonPayload:value",
        "jsonPayload.deep.er = value",
        "httpRequest.status = 404",
        "resource.labels.job_name = (j0 OR j1)",
        "insertId = i-1 -- the first\nAND hello",
        "hello-x OR severity=WARNING AND world",
    ];
    for filter in selected {
        assert!(selects(filter), "{filter:?} selects the entry");
    }
    let dropped = [
        "severity > WARNING",
        "severity = (ERROR OR INFO)",
        "-hello",
        "hello AND adieu",
        "hello adieu",
        "textPayload = hello",
        "labels.foo = x",
        "labels.foo != x",
        "jsonPayload.n > 5",
        "jsonPayload.n = five",
        "jsonPayload.ok = false",
        "jsonPayload.list.a = z",
        "jsonPayload.deep = value",
        "protoPayload:*",
        "timestamp < \"2026-08-21T12:00:00Z\"",
        "and",
        "world OR hello AND adieu",
    ];
    for filter in dropped {
        assert!(!selects(filter), "{filter:?} drops the entry");
    }
}

#[test]
fn or_binds_tighter_than_and_and_not_tightest() {
    let same = [
        ("a OR b AND c OR d", "(a OR b) AND (c OR d)"),
        ("a b OR c", "a AND (b OR c)"),
        ("NOT a OR b", "(NOT a) OR b"),
        ("-a b", "(NOT a) AND b"),
        ("- a", "NOT a"),
        ("NOT NOT a", "NOT (NOT a)"),
        ("((a))", "a"),
        ("severity=(ERROR OR INFO)", "severity=ERROR OR severity=INFO"),
    ];
    for (one, other) in same {
        assert_eq!(one.parse::<Filter>(), other.parse::<Filter>(), "{one}");
    }
}

#[test]
fn what_is_refused_is_refused_with_its_place() {
    let deep = "(".repeat(60);
    let long = "a".repeat(20_001);
    let table = [
        "a = ",
        "severity = ",
        "severity >= BAD",
        "timestamp >= yesterday",
        "timestamp >= 2026-08-21T12:00:00Z",
        "foo = bar",
        "a AND",
        "a OR OR b",
        "AND a",
        "(a",
        "a)",
        "()",
        "\"open",
        "a\n  AND SEARCH(textPayload, \"x\")",
        "log_id(\"run.googleapis.com/stdout\")",
        "textPayload =~ \"x\"",
        "textPayload !~ x",
        "severity = (ERROR OR)",
        "labels. = x",
        "= x",
        "NOT",
        &deep,
        &long,
    ];
    let lines: Vec<String> = table
        .iter()
        .map(|text| {
            let shown: String = text.chars().take(40).collect();
            format!("{shown:?}: {}", text.parse::<Filter>().expect_err(text))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_index_learns_what_every_selected_entry_has() {
    let narrow = |filter: &str| filter.parse::<Filter>().expect(filter).narrow();
    let found = narrow(
        "resource.type = cloud_run_job resource.labels.job_name = J1 resource.labels.location = us-central1 \
         (labels.\"run.googleapis.com/execution_name\" = j1-abcde AND labels.\"run.googleapis.com/task_index\" = 7) \
         timestamp >= \"2026-08-21\" timestamp > \"2026-08-22\" timestamp <= \"2026-08-23\"",
    );
    let wanted = Narrow {
        resource_type: Some("cloud_run_job".to_owned()),
        job: Some("j1".to_owned()),
        execution: Some("j1-abcde".to_owned()),
        task: Some(7),
        location: Some("us-central1".to_owned()),
        since: Some(time("2026-08-22T00:00:00Z")),
        until: Some(time("2026-08-23T00:00:00Z")),
        nothing: false,
    };
    assert_eq!(found, wanted);

    let open = [
        "NOT resource.labels.job_name = j1",
        "resource.labels.job_name = j1 OR hello",
        "resource.labels.job_name != j1",
        "resource.labels.job_name : j1",
        "hello",
    ];
    for filter in open {
        assert_eq!(narrow(filter), Narrow::default(), "{filter}");
    }
    let nothing = [
        "resource.labels.job_name = a resource.labels.job_name = b",
        "timestamp > \"2026-08-22\" timestamp < \"2026-08-21\"",
        "labels.\"run.googleapis.com/task_index\" = 07",
    ];
    for filter in nothing {
        assert!(narrow(filter).nothing, "{filter}");
    }
}

/// Does the index let the entry pass?
fn admits(narrow: &Narrow, entry: &LogEntry) -> bool {
    let resource = entry.resource.as_ref().expect("set above");
    let is = |bound: &Option<String>, value: Option<&String>| {
        bound.as_ref().is_none_or(|bound| Some(bound) == value)
    };
    let at = entry.timestamp.expect("set above").0;
    !narrow.nothing
        && is(&narrow.resource_type, Some(&resource.r#type))
        && is(&narrow.job, resource.labels.get("job_name"))
        && is(&narrow.location, resource.labels.get("location"))
        && is(&narrow.execution, entry.labels.get("run.googleapis.com/execution_name"))
        && narrow.task.is_none_or(|task| {
            entry.labels.get("run.googleapis.com/task_index") == Some(&task.to_string())
        })
        && narrow.since.is_none_or(|since| at >= since)
        && narrow.until.is_none_or(|until| at <= until)
}

fn any_filter() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "resource\\.labels\\.job_name (=|!=|:) j[01]",
        "labels\\.\"run\\.googleapis\\.com/execution_name\" = j1-abcd[ef]",
        "labels\\.\"run\\.googleapis\\.com/task_index\" (=|>) 0?[67]",
        "timestamp(>=|<=|>|<|=|:)\"2026-08-2[0-2]T12:00:00Z\"",
        "resource\\.type = (cloud_run_job|gce)",
        "severity (>=|=|<) (ERROR|WARNING)",
        "(hello|adieu)",
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} {b}")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

proptest! {
    #[test]
    fn the_index_never_loses_what_the_filter_selects(text in any_filter()) {
        let filter: Filter = text.parse().expect("generated from the grammar");
        prop_assert!(!filter.matches(&entry()) || admits(&filter.narrow(), &entry()), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(
        text in "[-a-c.\"'()=!<>:~* \\\\\nANDORT\u{e4}]{0,40}|.{0,40}|(NOT |severity|=|\\(|-| OR ){0,80}",
    ) {
        if let Ok(filter) = text.parse::<Filter>() {
            let _ = (filter.matches(&entry()), filter.narrow());
        }
    }
}
