//! Tasks: get, list.

use axum::http::StatusCode;
use serde_json::Value;

use super::fixture::{Fixture, JOBS, TASKS, exit, job, tasks};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn a_task_is_there_before_it_starts() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j1", 2)).await.ok();
    let name = fixture.run("j1").await;
    let task = fixture.get(&format!("{TASKS}/{name}-task1?alt=json")).await.ok();
    assert_eq!(task["metadata"]["labels"]["run.googleapis.com/runningState"], "Pending");
    assert_eq!((&task["kind"], &task["status"]["index"]), (&"Task".into(), &1.into()));

    fixture.attempt(&name, 1, 2, Some((3, exit(7))));
    let task = fixture.get(&format!("{TASKS}/{name}-task1")).await.ok();
    assert_eq!(task["status"]["lastAttemptResult"]["exitCode"], 7);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j1", 2)).await.ok();
    let name = fixture.run("j1").await;
    for none in [format!("{name}-task2"), format!("{name}-task01"), name, "nope-task0".to_owned()] {
        let answer = fixture.get(&format!("{TASKS}/{none}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{none}");
        let text = format!(
            "Resource '{none}' of kind 'TASK' in region 'us-central1' in project 'demo' does not exist."
        );
        assert_eq!(answer.message(), text);
    }
}

#[tokio::test]
async fn tasks_are_listed_by_execution_and_index_and_by_state() {
    let fixture = Fixture::new();
    let mut document = tasks("j1", 12);
    document["spec"]["template"]["spec"]["template"]["spec"]["maxRetries"] = 0.into();
    fixture.post(JOBS, document).await.ok();
    fixture.post(JOBS, job("j2")).await.ok();
    let first = fixture.at(1).run("j1").await;
    let second = fixture.at(2).run("j2").await;
    fixture.attempt(&first, 0, 3, Some((4, exit(0))));
    fixture.attempt(&first, 1, 3, Some((4, exit(1))));
    fixture.attempt(&first, 2, 3, None);

    let all = fixture.get(TASKS).await.ok();
    assert_eq!(all["kind"], "TasksList");
    assert_eq!(
        names(&all)[..4],
        [
            format!("{second}-task0"),
            format!("{first}-task0"),
            format!("{first}-task1"),
            format!("{first}-task2"),
        ]
    );
    assert_eq!(names(&all).len(), 13);

    // As `gcloud run jobs executions tasks list --execution=… --succeeded --failed` sends it.
    let of = format!("labelSelector=run.googleapis.com%2Fexecution+%3D+{first}");
    let states = "%2Crun.googleapis.com%2FrunningState+in+%28Succeeded%2CFailed%29";
    let list = fixture.get(&format!("{TASKS}?alt=json&{of}{states}&limit=100")).await.ok();
    assert_eq!(names(&list), [format!("{first}-task0"), format!("{first}-task1")]);
    let pending = "%2Crun.googleapis.com/runningState=Pending";
    let list = fixture.get(&format!("{TASKS}?{of}{pending}")).await.ok();
    assert_eq!(names(&list).len(), 9);
    let list = fixture.get(&format!("{TASKS}?labelSelector=run.googleapis.com/job=j2")).await.ok();
    assert_eq!(names(&list), [format!("{second}-task0")]);
    for nothing in ["run.googleapis.com/execution=nope", "team=x"] {
        let list = fixture.get(&format!("{TASKS}?labelSelector={nothing}")).await.ok();
        assert_eq!(names(&list).len(), 0, "{nothing}");
        assert_eq!(list["metadata"]["continue"], Value::Null, "{nothing}");
    }
}

#[tokio::test]
async fn pages_join_to_the_whole_list() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j1", 10_000)).await.ok();
    fixture.post(JOBS, tasks("j2", 3)).await.ok();
    let large = fixture.at(1).run("j1").await;
    let small = fixture.at(2).run("j2").await;
    fixture.attempt(&large, 9_999, 3, None);

    let (mut found, mut token) = (Vec::new(), String::new());
    for page in 0.. {
        assert!(page < 5, "the pages end");
        let list = fixture.get(&format!("{TASKS}?limit=4001&continue={token}")).await.ok();
        found.extend(names(&list).into_iter().map(str::to_owned));
        match list["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let mut wanted: Vec<String> = (0..3).map(|index| format!("{small}-task{index}")).collect();
    wanted.extend((0..10_000).map(|index| format!("{large}-task{index}")));
    assert!(found == wanted, "{} tasks, not {}", found.len(), wanted.len());

    let running = format!(
        "labelSelector=run.googleapis.com/execution={large},run.googleapis.com/runningState=Running"
    );
    let list = fixture.get(&format!("{TASKS}?{running}&limit=100")).await.ok();
    assert_eq!(names(&list), [format!("{large}-task9999")]);
}

#[tokio::test]
async fn a_token_of_another_list_is_refused() {
    let answer = Fixture::new().get(&format!("{TASKS}?continue=AQID")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.message().contains("not a token"), "{answer}");
}
