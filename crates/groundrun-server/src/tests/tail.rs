//! Tails: what there is, then what comes, each entry once; also for one that broke off.

use axum::http::StatusCode;
use groundrun_core::{
    id::AttemptId,
    log::{LogLine, Stream},
    record::{Completed, Outcome},
};
use serde_json::{Value, json};

use super::fixture::*;

const TAIL: &str = "/v2/entries:tail";

/// The next line of an attempt, of so many seconds after the start.
fn says(fixture: &Fixture, attempt: AttemptId, at: i64, text: &str) {
    let sequence = fixture.logs.len(attempt);
    let text = text.to_owned();
    let line = LogLine { at: time(at), stream: Stream::Stdout, container: 0, text, sequence };
    fixture.logs.write(attempt, line);
}

fn over(fixture: &Fixture, name: &str) {
    let completed = Completed { at: fixture.now(), outcome: Outcome::Succeeded };
    fixture.advance(name, |state| state.completed = Some(completed));
}

/// A tail with what gcloud's has of a filter, and more.
async fn tail(fixture: &Fixture, filter: &str, after: &[String]) -> Following {
    let body = json!({"resourceNames": ["projects/demo"], "filter": filter, "after": after});
    fixture.open(request("POST", TAIL, &body.to_string())).await
}

fn of_execution(name: &str) -> String {
    format!(
        "resource.type=cloud_run_job labels.\"run.googleapis.com/execution_name\"={name} \
         resource.labels.location=us-central1 severity>=DEFAULT"
    )
}

/// With all of the past.
fn whole(name: &str) -> String {
    format!("{} timestamp>=\"2000-01-01T00:00:00Z\"", of_execution(name))
}

/// Entries until so many have come, over as many lines as they take.
async fn entries(tail: &mut Following, count: usize) -> Vec<Value> {
    let mut entries = Vec::new();
    while entries.len() < count {
        let line = tail.line().await.expect("the tail goes on");
        entries.extend(line["entries"].as_array().expect("entries").iter().cloned());
    }
    assert_eq!(entries.len(), count, "{entries:?}");
    entries
}

fn texts(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["textPayload"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn a_tail_begins_with_the_past_where_asked_goes_on_and_ends_with_its_execution() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j", 2)).await.ok();
    let name = fixture.run("j").await;
    let first = fixture.attempt(&name, 0, 1, None);
    says(&fixture, first, 1, "one");
    let mut lines = tail(&fixture, &whole(&name), &[]).await;
    assert_eq!(texts(&entries(&mut lines, 1).await), ["one"]);
    says(&fixture, first, 2, "two");
    assert_eq!(texts(&entries(&mut lines, 1).await), ["two"]);
    let second = fixture.attempt(&name, 1, 3, None);
    says(&fixture, second, 3, "of another task");
    assert_eq!(texts(&entries(&mut lines, 1).await), ["of another task"]);
    says(&fixture, first, 4, "three");
    fixture.end(first, 5, exit(0));
    let last = entries(&mut lines, 2).await;
    assert_eq!(texts(&last), ["three", "Container called exit(0)."]);
    fixture.end(second, 6, exit(1));
    over(&fixture, &name);
    assert_eq!(texts(&entries(&mut lines, 1).await), ["Container called exit(1)."]);
    assert_eq!(lines.line().await, None);
    // What it told is what a list has.
    let body = json!({"resourceNames": ["projects/demo"], "filter": of_execution(&name)});
    let listed = fixture.post("/v2/entries:list", body).await.ok();
    let mut again = tail(&fixture, &whole(&name), &[]).await;
    let all = entries(&mut again, 6).await;
    assert_eq!(Value::Array(all), listed["entries"]);
    assert_eq!(again.line().await, None, "it is over");
    assert_eq!(fixture.logs.heard_by(), 0, "nobody listens any more");
}

#[tokio::test]
async fn a_tail_without_a_bound_begins_now() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j")).await.ok();
    let name = fixture.run("j").await;
    let attempt = fixture.attempt(&name, 0, 1, None);
    says(&fixture, attempt, 1, "before");
    fixture.at(10);
    let mut lines = tail(&fixture, &of_execution(&name), &[]).await;
    says(&fixture, attempt, 11, "after");
    assert_eq!(texts(&entries(&mut lines, 1).await), ["after"]);
}

#[tokio::test]
async fn a_tail_of_a_job_has_its_later_executions_too_and_those_of_others_never() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j")).await.ok();
    fixture.post(JOBS, job("other")).await.ok();
    let filter = "resource.type=cloud_run_job resource.labels.job_name=j";
    let mut lines = tail(&fixture, filter, &[]).await;
    let (other, mine) = (fixture.run("other").await, fixture.run("j").await);
    for (name, text) in [(&other, "no"), (&mine, "yes")] {
        let attempt = fixture.attempt(name, 0, 1, None);
        says(&fixture, attempt, 1, text);
        fixture.end(attempt, 2, exit(0));
        over(&fixture, name);
    }
    let told = entries(&mut lines, 2).await;
    assert_eq!(texts(&told), ["yes", "Container called exit(0)."]);
    let again = fixture.run("j").await;
    let attempt = fixture.attempt(&again, 0, 3, None);
    says(&fixture, attempt, 3, "again");
    assert_eq!(texts(&entries(&mut lines, 1).await), ["again"]);
    fixture.end_streams();
    assert_eq!(lines.line().await, Some(json!({"again": true})), "it is not over");
    assert_eq!(lines.line().await, None);
}

#[tokio::test]
async fn a_tail_that_broke_off_goes_on_behind_what_was_seen() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j", 3)).await.ok();
    let name = fixture.run("j").await;
    let attempts = [0, 1, 2].map(|task| fixture.attempt(&name, task, 1, None));
    // Lines of many tasks, at the same times.
    let mut all = Vec::new();
    for second in 0..20 {
        for attempt in attempts {
            let text = format!("{}:{second}", attempt.task);
            says(&fixture, attempt, second / 5, &text);
            all.push(text);
        }
    }
    fixture.end(attempts[0], 30, exit(0));
    let mut lines = tail(&fixture, &whole(&name), &[]).await;
    let told = entries(&mut lines, 61).await;
    drop(lines);
    for broken in [0, 1, 7, 30, 60] {
        let seen = &told[..broken];
        let mut last = std::collections::BTreeMap::new();
        for entry in seen {
            let id = entry["insertId"].as_str().expect("an id");
            let (attempt, _) = id.rsplit_once('-').expect("of an attempt");
            last.insert(attempt.to_owned(), id.to_owned());
        }
        let after: Vec<String> = last.into_values().collect();
        let mut rest = tail(&fixture, &whole(&name), &after).await;
        let rest = entries(&mut rest, 61 - broken).await;
        let mut both: Vec<&str> = texts(seen);
        both.extend(texts(&rest));
        both.retain(|text| !text.starts_with("Container"));
        both.sort_unstable();
        let mut wanted: Vec<&str> = all.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        assert_eq!(both, wanted, "broken off after {broken}");
    }
}

#[tokio::test]
async fn a_tail_reads_only_the_logs_that_grew() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j", 100)).await.ok();
    let name = fixture.run("j").await;
    let attempts: Vec<_> = (0..100).map(|task| fixture.attempt(&name, task, 1, None)).collect();
    let mut lines = tail(&fixture, &whole(&name), &[]).await;
    says(&fixture, attempts[0], 1, "first");
    assert_eq!(texts(&entries(&mut lines, 1).await), ["first"]);
    // The first look at all of them is over.
    says(&fixture, attempts[1], 1, "next");
    assert_eq!(texts(&entries(&mut lines, 1).await), ["next"]);
    let read = || fixture.logs.read.load(std::sync::atomic::Ordering::SeqCst);
    let before = read();
    says(&fixture, attempts[42], 2, "second");
    assert_eq!(texts(&entries(&mut lines, 1).await), ["second"]);
    assert!(read() - before <= 4, "{} reads for one line", read() - before);
}

#[tokio::test]
async fn requests_for_tails_that_make_no_sense_are_refused() {
    let fixture = Fixture::new();
    let request = |change: Value| {
        let mut body = json!({"resourceNames": ["projects/demo"]});
        for (key, value) in change.as_object().expect("members") {
            body[key.as_str()] = value.clone();
        }
        body
    };
    for (change, message) in [
        (json!({"filter": "a AND"}), "Unparseable filter"),
        (json!({"bufferWindow": "2m"}), "buffer_window: must be 0s to 60s"),
        (json!({"after": ["x"]}), "after: 'x' is no insertId"),
        (json!({"resourceNames": ["folders/1"]}), "only projects have logs here"),
        (json!({"pageSize": 3}), "pageSize"),
    ] {
        let answer = fixture.post(TAIL, request(change.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{change}");
        assert!(answer.message().contains(message), "{change}: {answer}");
    }
}
