//! `entries:list`.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use groundrun_core::{
    id::AttemptId,
    log::{LogLine, Stream},
    record::{Cause, Ending, Exit},
};
use serde_json::{Value, json};

use super::fixture::{EXECUTIONS, Fixture, JOBS, exit, job, tasks, time};

const LIST: &str = "/v2/entries:list?alt=json";

impl Fixture {
    fn line(&self, attempt: AttemptId, second: i64, stream: Stream, text: &str) {
        let sequence = self.logs.len(attempt);
        self.logs.write(
            attempt,
            LogLine { at: time(second), stream, container: 0, text: text.to_owned(), sequence },
        );
    }

    async fn entries(&self, filter: &str, order: &str) -> Value {
        let body = json!({"filter": filter, "orderBy": order, "pageSize": 1000, "resourceNames": ["projects/demo"]});
        self.post(LIST, body).await.ok()
    }
}

#[tokio::test]
async fn the_link_of_an_execution_leads_to_its_lines() {
    let (fixture, name) = fixture().await;
    let other = fixture.run("j1").await;
    let attempt = fixture.attempt(&other, 0, 1, None);
    fixture.line(attempt, 1, Stream::Stdout, "of another execution");
    let execution = fixture.get(&format!("{EXECUTIONS}/{name}")).await.ok();
    let link = execution["status"]["logUri"].as_str().expect("a link");
    let path = link.find("/logs/viewer").map(|at| &link[at..]).expect("a path");
    let answer = fixture.get(path).await;
    let text = String::from_utf8(answer.bytes.to_vec()).expect("text");
    assert_eq!(answer.status, StatusCode::OK);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.first(),
        Some(&format!("2026-11-24T08:00:01.000000Z {name} 0.0 begin").as_str())
    );
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(!text.contains("of another execution"));

    // Its parameters, as a person may write them.
    let errors = "/logs/viewer?project=demo&advancedFilter=severity%3E%3DERROR";
    let text = fixture.get(errors).await.bytes;
    assert_eq!(text, format!("2026-11-24T08:00:02.000000Z {name} 1.0 odd\n"));
    let nobody = fixture.get("/logs/viewer?advancedFilter=severity%3E%3DERROR").await;
    assert_eq!(nobody.status, StatusCode::BAD_REQUEST);
}

fn texts(list: &Value) -> Vec<&str> {
    let entries = list["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| entry["textPayload"].as_str()).collect()
}

/// One execution of two tasks: the first fails and is tried again.
async fn fixture() -> (Fixture, String) {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j1", 2)).await.ok();
    let name = fixture.run("j1").await;
    let first = fixture.attempt(&name, 0, 1, Some((4, exit(1))));
    let again = fixture.attempt(&name, 0, 5, None);
    let other = fixture.attempt(&name, 1, 1, Some((3, exit(0))));
    fixture.line(first, 1, Stream::Stdout, "begin");
    fixture.line(first, 3, Stream::Stderr, "oh no");
    fixture.line(other, 2, Stream::Stdout, r#"{"severity":"ERROR","message":"odd","n":1}"#);
    fixture.line(again, 6, Stream::Stdout, "again");
    fixture.line(again, 6, Stream::Note, "3 lines were dropped");
    (fixture, name)
}

#[tokio::test]
async fn a_job_has_the_entries_that_gcloud_reads() {
    let (fixture, _) = fixture().await;
    // As `gcloud run jobs logs read j1` sends it.
    let filter = "resource.type = cloud_run_job \n AND resource.labels.job_name = j1 \n AND resource.labels.location = us-central1 \n AND severity >= DEFAULT \n AND timestamp>=\"2026-11-24T08:00:02Z\"";
    let list = fixture.entries(filter, "timestamp desc").await;
    assert_eq!(
        texts(&list),
        [
            "3 lines were dropped",
            "again",
            "Container called exit(1).",
            "Container called exit(0).",
            "oh no",
            "odd"
        ]
    );
    assert!(list.get("nextPageToken").is_none());
    let entry = &list["entries"][5];
    insta::assert_snapshot!(format!("{entry:#}"), @r#"
    {
      "insertId": "3853f679a7cc442ba77888edfdf1c56e-1-0-0",
      "jsonPayload": {
        "message": "odd",
        "n": 1
      },
      "labels": {
        "container_name": "worker",
        "instanceId": "3853f679a7cc442ba77888edfdf1c56e0000000100000000",
        "run.googleapis.com/execution_name": "j1-zvwxr",
        "run.googleapis.com/task_attempt": "0",
        "run.googleapis.com/task_index": "1"
      },
      "logName": "projects/demo/logs/run.googleapis.com%2Fstdout",
      "receiveTimestamp": "2026-11-24T08:00:02.000000Z",
      "resource": {
        "labels": {
          "job_name": "j1",
          "location": "us-central1",
          "project_id": "demo"
        },
        "type": "cloud_run_job"
      },
      "severity": "ERROR",
      "textPayload": "odd",
      "timestamp": "2026-11-24T08:00:02.000000Z"
    }
    "#);
}

#[tokio::test]
async fn of_several_containers_each_line_names_its_own() {
    let fixture = Fixture::new();
    let mut document = job("pair");
    document["spec"]["template"]["spec"]["template"]["spec"]["containers"] = json!([
        {"image": "builtin.groundrun/job", "name": "main"},
        {"image": "builtin.groundrun/job", "name": "db"},
    ]);
    fixture.post(JOBS, document).await.ok();
    let name = fixture.run("pair").await;
    let ending = Ending::Exited {
        exit: Exit::Code(3),
        cause: Cause::OnItsOwn,
        memory_peak: None,
        message: None,
        container: Some("db".to_owned()),
    };
    let attempt = fixture.attempt(&name, 0, 1, Some((4, ending)));
    for (sequence, stream, container, text) in [
        (0, Stream::Stdout, 0, "asks"),
        (1, Stream::Stdout, 1, "answers"),
        // Of the attempt, and so of none of them.
        (2, Stream::Note, 0, "3 lines were dropped"),
        (3, Stream::Ended(Exit::Code(0)), 0, ""),
    ] {
        let text = text.to_owned();
        fixture.logs.write(attempt, LogLine { at: time(2), stream, container, text, sequence });
    }
    for (container, expected) in [
        ("main", vec!["asks", "Container called exit(0)."]),
        ("db", vec!["answers", "Container called exit(3)."]),
    ] {
        let filter = format!("labels.container_name={container}");
        assert_eq!(texts(&fixture.entries(&filter, "timestamp asc").await), expected);
    }
    // The end of the one is told by its log, that of the other with the attempt's: nobody sees that.
    let system = fixture.entries("logName:varlog", "timestamp asc").await;
    let said = system["entries"].as_array().expect("entries").iter().map(|entry| {
        let fields = [&entry["timestamp"], &entry["severity"], &entry["labels"]["container_name"]];
        fields.map(|field| field.as_str().expect("a text").to_owned())
    });
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            ["2026-11-24T08:00:02.000000Z", "INFO", "main"],
            ["2026-11-24T08:00:04.000000Z", "WARNING", "db"]
        ]
    );
    let unnamed = fixture.entries("-labels.container_name:*", "timestamp asc").await;
    assert_eq!(texts(&unnamed), ["3 lines were dropped"]);
    let execution = fixture.get(&format!("{EXECUTIONS}/{name}")).await.ok();
    let link = execution["status"]["logUri"].as_str().expect("a link");
    let path = link.find("/logs/viewer").map(|at| &link[at..]).expect("a path");
    let text = String::from_utf8(fixture.get(path).await.bytes.to_vec()).expect("text");
    assert!(text.contains("0.0 main asks\n") && text.contains("0.0 db answers\n"), "{text}");
}

#[tokio::test]
async fn both_orders_give_the_same_entries_with_stable_ids() {
    let (fixture, _) = fixture().await;
    let forward = fixture.entries("", "timestamp asc").await;
    let backward = fixture.entries("", "timestamp desc").await;
    let mut entries = backward["entries"].as_array().expect("there are some").clone();
    entries.reverse();
    assert_eq!(forward["entries"], Value::Array(entries.clone()));
    let ids: std::collections::BTreeSet<&str> =
        entries.iter().filter_map(|entry| entry["insertId"].as_str()).collect();
    assert_eq!(ids.len(), entries.len());
}

#[tokio::test]
async fn logs_are_told_apart_by_stream_and_severity() {
    let (fixture, _) = fixture().await;
    for (filter, wanted) in [
        ("severity>=ERROR", vec!["odd"]),
        (
            "logName=projects/demo/logs/run.googleapis.com%2Fstderr",
            vec!["oh no", "3 lines were dropped"],
        ),
        ("logName:system", vec!["Container called exit(0).", "Container called exit(1)."]),
        ("jsonPayload.n=1", vec!["odd"]),
        (
            "labels.\"run.googleapis.com/task_index\"=0 labels.\"run.googleapis.com/task_attempt\"=1",
            vec!["again", "3 lines were dropped"],
        ),
        ("\"begin\" OR \"again\"", vec!["begin", "again"]),
        ("resource.type=cloud_run_revision", vec![]),
        ("resource.labels.location=None", vec![]),
        ("resource.labels.job_name=j2", vec![]),
    ] {
        assert_eq!(texts(&fixture.entries(filter, "timestamp asc").await), wanted, "{filter}");
    }
}

#[tokio::test]
async fn an_execution_is_found_by_its_name_in_any_region() {
    let (fixture, name) = fixture().await;
    let other = fixture.at(1).run("j1").await;
    let attempt = fixture.attempt(&other, 0, 2, None);
    fixture.line(attempt, 2, Stream::Stdout, "other");
    let filter = format!("labels.\"run.googleapis.com/execution_name\" = {other}");
    assert_eq!(texts(&fixture.entries(&filter, "timestamp asc").await), ["other"]);
    let filter = format!("labels.\"run.googleapis.com/execution_name\" = {name} AND \"other\"");
    assert!(texts(&fixture.entries(&filter, "timestamp asc").await).is_empty());
}

#[tokio::test]
async fn pages_join_to_the_whole_in_both_orders() {
    let (fixture, _) = fixture().await;
    for order in ["timestamp asc", "timestamp desc"] {
        let whole = fixture.entries("", order).await;
        let (mut found, mut token) = (Vec::new(), String::new());
        for page in 0.. {
            assert!(page < 9, "the pages end");
            let body = json!({"orderBy": order, "pageSize": 2, "pageToken": token, "resourceNames": ["projects/demo"]});
            let list = fixture.post(LIST, body).await.ok();
            found.extend(list["entries"].as_array().expect("no page is empty here").clone());
            match list["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(Value::Array(found), whole["entries"], "{order}");
    }
}

#[tokio::test]
async fn a_page_reads_only_the_logs_that_it_needs() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j1", 1000)).await.ok();
    let name = fixture.run("j1").await;
    for task in 0..300_u32 {
        // Far enough apart that no two may meet.
        let from = i64::from(task) * 1000;
        let attempt = fixture.attempt(&name, task, from, Some((from + 1, exit(0))));
        fixture.line(attempt, from, Stream::Stdout, &format!("task {task}"));
    }
    let body =
        json!({"orderBy": "timestamp desc", "pageSize": 2, "resourceNames": ["projects/demo"]});
    let list = fixture.post(LIST, body).await.ok();
    assert_eq!(texts(&list), ["Container called exit(0).", "task 299"]);
    let read = fixture.logs.read.load(Ordering::SeqCst);
    assert!(read <= 12, "{read} reads");
}

#[tokio::test]
async fn a_deleted_job_has_no_logs() {
    let (fixture, _) = fixture().await;
    fixture.delete(&format!("{JOBS}/j1")).await.ok();
    assert_eq!(fixture.entries("", "timestamp asc").await, json!({}));
    fixture.post(JOBS, job("j1")).await.ok();
    assert_eq!(fixture.entries("", "timestamp asc").await, json!({}));
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let fixture = Fixture::new();
    let of = json!(["projects/demo"]);
    for (body, part) in [
        (json!({}), "at least one is needed"),
        (json!({"resourceNames": ["folders/7"]}), "only projects have logs here"),
        (json!({"resourceNames": of, "filter": "a = ("}), "Unparseable filter"),
        (json!({"resourceNames": of, "orderBy": "severity"}), "order_by"),
        (json!({"resourceNames": of, "pageSize": -1}), "page_size"),
        (json!({"resourceNames": of, "pageToken": "T2"}), "page_token"),
        (json!({"resourceNames": of, "order": "x"}), "Unknown name"),
    ] {
        let answer = fixture.post(LIST, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.message().contains(part), "{body}: {answer}");
    }
}
