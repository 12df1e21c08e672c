//! Execution tokens: a write of the job and the execution that it asks for are one.

use axum::http::StatusCode;
use groundrun_core::record::{Completed, Failure, Outcome, ReadinessState};
use serde_json::{Value, json};

use super::fixture::{Answer, EXECUTIONS, Fixture, JOBS, job, time};

/// A job with a token.
fn with(field: &str, token: &str) -> Value {
    let mut document = job("j1");
    document["spec"][field] = json!(token);
    document
}

fn start(token: &str) -> Value {
    with("startExecutionToken", token)
}

async fn replace(fixture: &Fixture, document: &Value) -> Answer {
    fixture.put(&format!("{JOBS}/j1"), document).await
}

async fn get(fixture: &Fixture) -> Value {
    fixture.get(&format!("{JOBS}/j1")).await.ok()
}

async fn executions(fixture: &Fixture) -> Vec<String> {
    let list = fixture.get(EXECUTIONS).await.ok();
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    items.iter().map(name).collect()
}

fn ready(job: &Value) -> &Value {
    &job["status"]["conditions"][0]
}

fn completes(fixture: &Fixture, name: &str, outcome: Outcome) {
    fixture.advance(name, |state| {
        state.accepted = Some(time(1));
        state.started = Some(time(1));
        state.completed = Some(Completed { at: time(2), outcome });
    });
}

#[tokio::test]
async fn a_job_that_is_created_with_a_token_has_its_execution() {
    let fixture = Fixture::new();
    let created = fixture.post(JOBS, with("runExecutionToken", "first")).await.ok();
    assert_eq!(executions(&fixture).await, ["j1-first"]);
    assert_eq!(created["spec"]["runExecutionToken"], "first");
    assert_eq!(created["status"]["executionCount"], 1);
    assert_eq!(created["status"]["latestCreatedExecution"]["name"], "j1-first");
    let execution = fixture.get(&format!("{EXECUTIONS}/j1-first")).await.ok();
    let labels = &execution["metadata"]["labels"];
    assert_eq!(labels["run.googleapis.com/jobGeneration"], "1");
    assert_eq!(labels["run.googleapis.com/jobUid"], created["metadata"]["uid"]);
    assert_eq!(
        execution["metadata"]["annotations"]["run.googleapis.com/creator"],
        "me@example.com"
    );
}

#[tokio::test]
async fn a_job_is_ready_when_its_token_is() {
    let fixture = Fixture::new();
    fixture.post(JOBS, with("runExecutionToken", "t")).await.ok();
    assert_eq!(ready(&get(&fixture).await)["status"], "Unknown");
    fixture.check("j1", ReadinessState::Ready);
    insta::assert_snapshot!(format!("{:#}", ready(&get(&fixture).await)), @r#"
    {
      "lastTransitionTime": "2026-11-24T08:00:00.000000Z",
      "message": "Waiting for execution 'j1-t' to complete.",
      "status": "Unknown",
      "type": "Ready"
    }
    "#);
    let failure = Failure {
        reason: Some("NonZeroExitCode".to_owned()),
        message: "Task j1-t-task0 failed with exit code: 1 and message: The container exited with an error.".to_owned(),
    };
    completes(&fixture, "j1-t", Outcome::Failed(failure));
    insta::assert_snapshot!(format!("{:#}", ready(&get(&fixture).await)), @r#"
    {
      "lastTransitionTime": "2026-11-24T08:00:02.000000Z",
      "message": "Execution 'j1-t' failed: Task j1-t-task0 failed with exit code: 1 and message: The container exited with an error.",
      "reason": "NonZeroExitCode",
      "status": "False",
      "type": "Ready"
    }
    "#);
    // What failed is the execution, not the job: another may be run, and with it the token is the past.
    let another = fixture.run("j1").await;
    let job = get(&fixture).await;
    assert_eq!(ready(&job)["status"], "True");
    assert!(job["spec"].get("runExecutionToken").is_none(), "{job:#}");
    assert_eq!(job["status"]["latestCreatedExecution"]["name"], *another);
}

#[tokio::test]
async fn the_same_token_again_makes_no_execution_and_a_new_one_does() {
    let fixture = Fixture::new();
    fixture.post(JOBS, start("a")).await.ok();
    // As gcloud updates: what it got, with something changed.
    let mut document = get(&fixture).await;
    document["spec"]["template"]["spec"]["taskCount"] = json!(7);
    let updated = fixture.at(1).put(&format!("{JOBS}/j1"), &document).await.ok();
    assert_eq!(updated["spec"]["startExecutionToken"], "a");
    assert_eq!(executions(&fixture).await, ["j1-a"]);
    let execution = fixture.get(&format!("{EXECUTIONS}/j1-a")).await.ok();
    assert_eq!(execution["spec"]["taskCount"], 1, "it has the job as it was");

    let mut document = get(&fixture).await;
    document["spec"]["startExecutionToken"] = json!("b");
    fixture.at(2).put(&format!("{JOBS}/j1"), &document).await.ok();
    assert_eq!(executions(&fixture).await, ["j1-b", "j1-a"]);
    let execution = fixture.get(&format!("{EXECUTIONS}/j1-b")).await.ok();
    assert_eq!(execution["spec"]["taskCount"], 7);
    assert_eq!(execution["metadata"]["labels"]["run.googleapis.com/jobGeneration"], "3");

    let mut document = get(&fixture).await;
    document["spec"].as_object_mut().expect("a spec").remove("startExecutionToken");
    let updated = fixture.at(3).put(&format!("{JOBS}/j1"), &document).await.ok();
    assert!(updated["spec"].get("startExecutionToken").is_none());
    assert_eq!(executions(&fixture).await, ["j1-b", "j1-a"]);
}

#[tokio::test]
async fn a_token_that_was_used_is_refused_and_nothing_is_written() {
    let fixture = Fixture::new();
    fixture.post(JOBS, start("a")).await.ok();
    fixture.run("j1").await;
    let before = get(&fixture).await;
    let mut document = start("a");
    document["spec"]["template"]["spec"]["taskCount"] = json!(9);
    insta::assert_snapshot!(replace(&fixture, &document).await, @r#"
    409
    {
      "error": {
        "code": 409,
        "message": "Resource 'j1-a' already exists.",
        "status": "ALREADY_EXISTS"
      }
    }
    "#);
    assert_eq!(get(&fixture).await, before);
    // Where its execution is deleted, so is the name.
    fixture.delete(&format!("{EXECUTIONS}/j1-a")).await.ok();
    replace(&fixture, &start("a")).await.ok();
    assert_eq!(executions(&fixture).await.len(), 2);
}

#[tokio::test]
async fn another_job_may_have_the_name_of_a_tokens_execution() {
    let fixture = Fixture::new();
    let mut other = job("j1-a");
    other["spec"]["startExecutionToken"] = json!("b");
    fixture.post(JOBS, other).await.ok();
    assert_eq!(fixture.post(JOBS, start("a-b")).await.status, StatusCode::CONFLICT);
    assert_eq!(fixture.get(&format!("{JOBS}/j1")).await.status, StatusCode::NOT_FOUND);
    fixture.post(JOBS, start("a")).await.ok();
}

#[tokio::test]
async fn a_dry_run_with_a_token_shows_what_would_be_and_makes_nothing() {
    let fixture = Fixture::new();
    let answer = fixture.post(&format!("{JOBS}?dryRun=all"), start("a")).await.ok();
    assert_eq!(answer["spec"]["startExecutionToken"], "a");
    assert_eq!(answer["status"]["latestCreatedExecution"]["name"], "j1-a");
    assert_eq!(fixture.get(&format!("{JOBS}/j1")).await.status, StatusCode::NOT_FOUND);

    fixture.post(JOBS, start("a")).await.ok();
    let dry = format!("{JOBS}/j1?dryRun=all");
    let answer = fixture.put(&dry, start("b")).await.ok();
    assert_eq!(answer["status"]["executionCount"], 2);
    assert_eq!(answer["spec"]["startExecutionToken"], "b");
    fixture.run("j1").await;
    assert_eq!(fixture.put(&dry, start("a")).await.status, StatusCode::CONFLICT);
    assert_eq!(executions(&fixture).await.len(), 2);
    assert_eq!(get(&fixture).await["status"]["executionCount"], 2);
}

#[tokio::test]
async fn a_token_counts_against_the_quota_of_running_executions() {
    let fixture = Fixture::new();
    fixture.post(JOBS, start("a")).await.ok();
    for _ in 0..999 {
        fixture.run("j1").await;
    }
    let refused = replace(&fixture, &start("b")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused}");
    let mut second = start("a");
    second["metadata"]["name"] = json!("j2");
    let refused = fixture.post(JOBS, second).await;
    assert_eq!(refused.json()["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(fixture.get(&format!("{JOBS}/j2")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_version_from_before_a_step_of_an_execution_still_replaces() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let mut document = get(&fixture).await;
    let name = fixture.at(1).run("j1").await;
    completes(fixture.at(2), &name, Outcome::Succeeded);
    let now = get(&fixture).await;
    assert_ne!(now["metadata"]["resourceVersion"], document["metadata"]["resourceVersion"]);
    document["metadata"]["labels"]["team"] = json!("y");
    fixture.at(3).put(&format!("{JOBS}/j1"), &document).await.ok();
    assert_eq!(replace(&fixture, &document).await.status, StatusCode::CONFLICT);
}
