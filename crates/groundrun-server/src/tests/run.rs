//! `:run`.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::json;

use super::fixture::{Answer, EXECUTIONS, Fixture, HOST, JOBS, job, tasks};

#[tokio::test]
async fn a_run_is_an_execution_that_can_be_read_at_once() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let answer = fixture.at(3).post(&format!("{JOBS}/j1:run?alt=json"), "{}").await;
    insta::assert_snapshot!(answer, @r#"
    200
    {
      "apiVersion": "run.googleapis.com/v1",
      "kind": "Execution",
      "metadata": {
        "annotations": {
          "run.googleapis.com/creator": "me@example.com",
          "run.googleapis.com/execution-environment": "gen2",
          "run.googleapis.com/lastModifier": "me@example.com",
          "run.googleapis.com/operation-id": "ba666fe9-170b-411d-bb00-d1b5fa9a7c21"
        },
        "creationTimestamp": "2026-11-24T08:00:03.000000Z",
        "generation": 1,
        "labels": {
          "cloud.googleapis.com/location": "us-central1",
          "run.googleapis.com/job": "j1",
          "run.googleapis.com/jobGeneration": "1",
          "run.googleapis.com/jobResourceVersion": "1795507200000000",
          "run.googleapis.com/jobUid": "c730209a-50ab-4c88-b470-a8fd8a740d76"
        },
        "name": "j1-zvwxr",
        "namespace": "441258804118",
        "ownerReferences": [
          {
            "apiVersion": "serving.knative.dev/v1",
            "blockOwnerDeletion": true,
            "controller": true,
            "kind": "Job",
            "name": "j1",
            "uid": "c730209a-50ab-4c88-b470-a8fd8a740d76"
          }
        ],
        "resourceVersion": "AAZhARkGxsA",
        "selfLink": "/apis/run.googleapis.com/v1/namespaces/441258804118/executions/j1-zvwxr",
        "uid": "3853f679-a7cc-442b-a778-88edfdf1c56e"
      },
      "spec": {
        "parallelism": 1,
        "taskCount": 1,
        "template": {
          "spec": {
            "containers": [
              {
                "image": "builtin.groundrun/job",
                "name": "",
                "resources": {
                  "limits": {
                    "cpu": "1000m",
                    "memory": "512Mi"
                  }
                }
              }
            ],
            "maxRetries": 3,
            "serviceAccountName": "441258804118-compute@developer.gserviceaccount.com",
            "timeoutSeconds": "600"
          }
        }
      },
      "status": {
        "conditions": [
          {
            "lastTransitionTime": "2026-11-24T08:00:03.000000Z",
            "status": "Unknown",
            "type": "Completed"
          }
        ],
        "logUri": "http://localhost:8080/logs/viewer?project=demo&advancedFilter=resource.type%3D%22cloud_run_job%22%0Aresource.labels.job_name%3D%22j1%22%0Aresource.labels.location%3D%22us-central1%22%0Alabels.%22run.googleapis.com/execution_name%22%3D%22j1-zvwxr%22"
      }
    }
    "#);
    let execution = answer.ok();
    let name = execution["metadata"]["name"].as_str().expect("it has a name");
    let namespace = execution["metadata"]["namespace"].as_str().expect("a string");
    let path = format!("/apis/run.googleapis.com/v1/namespaces/{namespace}/executions/{name}");
    assert_eq!(fixture.get(&path).await.ok(), execution);

    let job = fixture.get(&format!("{JOBS}/j1")).await.ok();
    assert_eq!(job["status"]["executionCount"], 1);
    assert_eq!(
        job["status"]["latestCreatedExecution"],
        json!({"name": name, "creationTimestamp": "2026-11-24T08:00:03.000000Z",
            "completionStatus": "EXECUTION_PENDING"})
    );
}

#[tokio::test]
async fn a_run_without_a_body_or_content_type_is_a_run() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    fixture.post(&format!("{JOBS}/j1:run"), "").await.ok();
    // Some clients escape the colon.
    fixture.post(&format!("{JOBS}/j1%3Arun"), "").await.ok();
}

#[tokio::test]
async fn an_execution_keeps_what_it_was_made_of() {
    let fixture = Fixture::new();
    let mut document = fixture.post(JOBS, job("j1")).await.ok();
    let path = format!("{EXECUTIONS}/{}", fixture.run("j1").await);
    let execution = fixture.get(&path).await.ok();
    let spec = &mut document["spec"]["template"]["spec"];
    spec["taskCount"] = json!(7);
    spec["template"]["spec"]["containers"][0]["args"] = json!(["other"]);
    fixture.put(&format!("{JOBS}/j1"), &document).await.ok();
    assert_eq!(fixture.get(&path).await.ok(), execution);
    fixture.delete(&format!("{EXECUTIONS}/{}", fixture.run("j1").await)).await.ok();
    assert_eq!(fixture.get(&path).await.ok(), execution);
    let later = fixture.get(&format!("{EXECUTIONS}/{}", fixture.run("j1").await)).await.ok();
    assert_eq!(later["spec"]["taskCount"], 7);
    assert_eq!(later["metadata"]["labels"]["run.googleapis.com/jobGeneration"], "2");
}

#[tokio::test]
async fn overrides_are_laid_over_the_execution_alone() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    // As `gcloud run jobs execute --args=a,b --update-env-vars=K=V --tasks=3 --task-timeout=90s` sends it.
    let overrides = r#"{"overrides":{"containerOverrides":[{"args":["a","b"],"clearArgs":false,"env":[{"name":"K","value":"V"}]}],"taskCount":3,"timeoutSeconds":90}}"#;
    let spec = fixture.post(&format!("{JOBS}/j1:run"), overrides).await.ok()["spec"].clone();
    assert_eq!((&spec["taskCount"], &spec["parallelism"]), (&json!(3), &json!(3)));
    let task = &spec["template"]["spec"];
    assert_eq!(task["timeoutSeconds"], "90");
    assert_eq!(task["containers"][0]["args"], json!(["a", "b"]));
    assert_eq!(task["containers"][0]["env"], json!([{"name": "K", "value": "V"}]));
    let job = fixture.get(&format!("{JOBS}/j1")).await.ok();
    assert_eq!(job["metadata"]["generation"], 1);
    assert!(
        job["spec"]["template"]["spec"]["template"]["spec"]["containers"][0].get("args").is_none()
    );

    let answer = fixture.post(&format!("{JOBS}/j1:run"), r#"{"overrides":{"taskCount":-1}}"#).await;
    insta::assert_snapshot!(answer, @r#"
    400
    {
      "error": {
        "code": 400,
        "details": [
          {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [
              {
                "description": "must be a number between 0 and 10000",
                "field": "overrides.task_count"
              }
            ]
          }
        ],
        "message": "overrides.task_count: must be a number between 0 and 10000",
        "status": "INVALID_ARGUMENT"
      }
    }
    "#);
}

async fn run_as(fixture: &Fixture, invocation: &str, job: &str, body: &str) -> Answer {
    let agent = format!("google-cloud-sdk gcloud/528.0.0 invocation-id/{invocation} term/dumb");
    let request = Request::post(format!("{JOBS}/{job}:run?alt=json"))
        .header("host", HOST)
        .header("user-agent", agent)
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .expect("a good request");
    fixture.send(request).await
}

#[tokio::test]
async fn a_repeated_request_of_one_command_is_one_execution() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    fixture.post(JOBS, job("j2")).await.ok();
    let name = |answer: Answer| answer.ok()["metadata"]["name"].clone();
    let first = name(run_as(&fixture, "abc", "j1", "{}").await);
    assert_eq!(name(run_as(fixture.at(59), "abc", "j1", "{}").await), first);

    let others = [
        name(run_as(&fixture, "abd", "j1", "{}").await),
        name(run_as(&fixture, "abc", "j2", "{}").await),
        name(run_as(&fixture, "abc", "j1", r#"{"overrides":{"taskCount":2}}"#).await),
        name(run_as(fixture.at(61), "abc", "j1", "{}").await),
    ];
    assert!(!others.contains(&first), "{first}: {others:?}");
    let list = fixture.get(EXECUTIONS).await.ok();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(5));
}

#[tokio::test]
async fn a_command_whose_execution_was_deleted_makes_another() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let first = run_as(&fixture, "abc", "j1", "{}").await.ok()["metadata"]["name"].clone();
    let first = first.as_str().expect("a string");
    fixture.delete(&format!("{EXECUTIONS}/{first}")).await.ok();
    let second = run_as(&fixture, "abc", "j1", "{}").await.ok();
    assert_ne!(second["metadata"]["name"], first);
}

#[tokio::test]
async fn running_executions_have_a_quota() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("j1", 10_000)).await.ok();
    for _ in 0..1000 {
        fixture.post(&format!("{JOBS}/j1:run"), "{}").await.ok();
    }
    let answer = fixture.post(&format!("{JOBS}/j1:run"), "{}").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers.get("retry-after").is_none());
    insta::assert_snapshot!(answer, @r#"
    429
    {
      "error": {
        "code": 429,
        "message": "Quota exceeded for quota metric 'Running executions' and limit 'Running executions per project per region' of service 'run.googleapis.com' for consumer 'project_number:441258804118'.",
        "status": "RESOURCE_EXHAUSTED"
      }
    }
    "#);
}

#[tokio::test]
async fn jobs_have_a_quota() {
    let fixture = Fixture::new();
    for number in 0..1000 {
        fixture.post(JOBS, tasks(&format!("j{number}"), 1)).await.ok();
    }
    let refused = fixture.post(JOBS, tasks("one-more", 1)).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        refused.message(),
        "Quota exceeded for quota metric 'Jobs' and limit 'Jobs per project per region' of service 'run.googleapis.com' \
         for consumer 'project_number:441258804118'."
    );
    let dry = fixture.post(&format!("{JOBS}?dryRun=all"), tasks("one-more", 1)).await;
    assert_eq!(dry.status, StatusCode::TOO_MANY_REQUESTS);
    fixture.delete(&format!("{JOBS}/j7")).await.ok();
    fixture.post(JOBS, tasks("one-more", 1)).await.ok();
}
