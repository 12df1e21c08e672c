//! Executions: get, list, cancel, delete.

use axum::http::StatusCode;
use groundrun_core::record::{Completed, Outcome};
use serde_json::{Value, json};

use super::fixture::{EXECUTIONS, Fixture, JOBS, job, time};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

async fn complete(fixture: &Fixture, execution: &str, second: i64) {
    fixture.at(second).advance(execution, |state| {
        state.accepted = Some(time(second));
        state.observed_generation = 1;
        state.started = Some(time(second));
        state.completed = Some(Completed { at: time(second), outcome: Outcome::Succeeded });
    });
}

#[tokio::test]
async fn a_list_is_newest_first_and_of_one_job_where_asked() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    fixture.post(JOBS, job("j2")).await.ok();
    let a = fixture.at(1).run("j1").await;
    let b = fixture.at(2).run("j2").await;
    let c = fixture.at(3).run("j1").await;
    assert_eq!(names(&fixture.get(EXECUTIONS).await.ok()), [&c[..], &b, &a]);

    // As `gcloud run jobs executions list --job=j1` sends it, with a smaller limit.
    let of_job =
        format!("{EXECUTIONS}?alt=json&labelSelector=run.googleapis.com%2Fjob+%3D+j1&limit=1");
    let first = fixture.get(&of_job).await.ok();
    assert_eq!(names(&first), [&c]);
    let token = first["metadata"]["continue"].as_str().expect("there is more");
    let second = fixture.get(&format!("{of_job}&continue={token}")).await.ok();
    assert_eq!(names(&second), [&a]);
    assert_eq!(second["metadata"]["continue"], Value::Null);
    assert_eq!(second["kind"], "ExecutionsList");
}

#[tokio::test]
async fn the_serving_state_selects_what_has_not_ended() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let done = fixture.at(1).run("j1").await;
    complete(&fixture, &done, 2).await;
    let active = fixture.at(3).run("j1").await;
    // As gcloud asks before it deletes a job.
    let query = "labelSelector=run.googleapis.com%2Fjob+%3D+j1%2C+run.googleapis.com%2FservingState+%3D+Active&limit=1";
    let list = fixture.get(&format!("{EXECUTIONS}?alt=json&{query}")).await.ok();
    assert_eq!(names(&list), [&active]);
    let query = "labelSelector=run.googleapis.com/servingState!=Active";
    assert_eq!(names(&fixture.get(&format!("{EXECUTIONS}?{query}")).await.ok()), [&done]);
}

#[tokio::test]
async fn the_index_of_names_is_not_for_clients() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let name = fixture.run("j1").await;
    let execution = fixture.get(&format!("{EXECUTIONS}/{name}")).await.ok();
    let labels = execution["metadata"]["labels"].as_object().expect("it has labels");
    assert!(labels.keys().all(|key| !key.contains(' ')), "{labels:?}");
    let answer = fixture.get(&format!("{EXECUTIONS}?labelSelector=own+name={name}")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_cancel_is_a_wish_and_another_generation() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let name = fixture.run("j1").await;
    let path = format!("{EXECUTIONS}/{name}");
    let answer = fixture.at(4).post(&format!("{path}:cancel?alt=json"), "{}").await.ok();
    assert_eq!(answer["metadata"]["generation"], 2);
    let label = &answer["metadata"]["labels"]["run.googleapis.com/cancelTime"];
    assert_eq!(label, "2026-11-24T08:00:04.000000Z");
    assert_eq!(
        answer["status"]["conditions"][0]["message"],
        "Waiting for execution to be cancelled."
    );
    assert_eq!(fixture.get(&path).await.ok(), answer);
    let selector = "labelSelector=run.googleapis.com/cancelTime";
    assert_eq!(names(&fixture.get(&format!("{EXECUTIONS}?{selector}")).await.ok()), [&name]);
    assert!(fixture.execution(&name).wishes.cancel.is_some());
    let again = fixture.at(5).post(&format!("{path}:cancel"), "{}").await.ok();
    assert_eq!(again["metadata"]["generation"], 3);
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let name = fixture.run("j1").await;
    complete(&fixture, &name, 1).await;
    let before = fixture.get(&format!("{EXECUTIONS}/{name}")).await;
    let answer = fixture.post(&format!("{EXECUTIONS}/{name}:cancel"), "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["error"]["status"], "FAILED_PRECONDITION");
    let text = format!("Execution '{name}' cannot be cancelled because it is not running.");
    assert_eq!(answer.message(), text);
    assert_eq!(fixture.get(&format!("{EXECUTIONS}/{name}")).await, before);
}

#[tokio::test]
async fn a_deleted_execution_is_gone_at_once() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let name = fixture.run("j1").await;
    let path = format!("{EXECUTIONS}/{name}");
    let uid = fixture.execution(&name).uid;
    assert_eq!(
        fixture.delete(&path).await.ok(),
        json!({"status": "Success",
            "details": {"kind": "executions", "name": name, "uid": uid.to_string()}})
    );
    assert_eq!(fixture.get(&path).await.status, StatusCode::NOT_FOUND);
    let job = fixture.get(&format!("{JOBS}/j1")).await.ok();
    assert_eq!(job["status"]["executionCount"], 1);
    assert_eq!(job["status"]["latestCreatedExecution"]["name"], *name);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let fixture = Fixture::new();
    let path = format!("{EXECUTIONS}/nope");
    for answer in [
        fixture.get(&path).await,
        fixture.delete(&path).await,
        fixture.post(&format!("{path}:cancel"), "{}").await,
    ] {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(
            answer.message(),
            "Resource 'nope' of kind 'EXECUTION' in region 'us-central1' in project 'demo' does not exist."
        );
    }
}

#[tokio::test]
async fn an_execution_has_no_dry_run_of_its_deletion() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let name = fixture.run("j1").await;
    let answer = fixture.delete(&format!("{EXECUTIONS}/{name}?dryRun=all")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    fixture.get(&format!("{EXECUTIONS}/{name}")).await.ok();
}
