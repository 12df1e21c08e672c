//! Jobs: create, get, list, replace, delete.

use std::{sync::mpsc, time::Duration};

use axum::http::StatusCode;
use groundrun_core::record::{Failure, Readiness, ReadinessState};
use groundrun_store::{Applied, Seen, Subject, WriteError};
use serde_json::{Value, json};

use super::fixture::{EXECUTIONS, Fixture, HOST, JOBS, job, request};

/// As `gcloud run jobs create --image=…` sends it.
const CREATED_BY_GCLOUD: &str = r#"{"apiVersion":"run.googleapis.com/v1","kind":"Job","metadata":{"annotations":{"run.googleapis.com/client-name":"gcloud","run.googleapis.com/client-version":"528.0.0"},"labels":{},"name":"nightly","namespace":"demo"},"spec":{"template":{"metadata":{"annotations":{"run.googleapis.com/client-name":"gcloud","run.googleapis.com/client-version":"528.0.0"},"labels":{"client.knative.dev/nonce":"fig_bux_kem"}},"spec":{"template":{"spec":{"containers":[{"image":"registry.example/nightly","name":""}],"nodeSelector":{}}}}}},"status":{"latestCreatedExecution":{}}}"#;

#[tokio::test]
async fn a_job_is_created_with_defaults_and_read_back() {
    let fixture = Fixture::new();
    let created = fixture.post(&format!("{JOBS}?alt=json"), CREATED_BY_GCLOUD).await;
    insta::assert_snapshot!(created, @r#"
    200
    {
      "apiVersion": "run.googleapis.com/v1",
      "kind": "Job",
      "metadata": {
        "annotations": {
          "run.googleapis.com/client-name": "gcloud",
          "run.googleapis.com/client-version": "528.0.0",
          "run.googleapis.com/creator": "me@example.com",
          "run.googleapis.com/lastModifier": "me@example.com",
          "run.googleapis.com/operation-id": "406faa58-c7ae-446d-8cf0-3937cd76d5b2"
        },
        "creationTimestamp": "2026-11-24T08:00:00.000000Z",
        "generation": 1,
        "labels": {
          "cloud.googleapis.com/location": "us-central1",
          "run.googleapis.com/lastUpdatedTime": "2026-11-24T08:00:00.000000Z"
        },
        "name": "nightly",
        "namespace": "441258804118",
        "resourceVersion": "AAZhARjZAAA",
        "selfLink": "/apis/run.googleapis.com/v1/namespaces/441258804118/jobs/nightly",
        "uid": "c730209a-50ab-4c88-b470-a8fd8a740d76"
      },
      "spec": {
        "template": {
          "metadata": {
            "annotations": {
              "run.googleapis.com/client-name": "gcloud",
              "run.googleapis.com/client-version": "528.0.0",
              "run.googleapis.com/execution-environment": "gen2"
            },
            "labels": {
              "client.knative.dev/nonce": "fig_bux_kem"
            }
          },
          "spec": {
            "taskCount": 1,
            "template": {
              "spec": {
                "containers": [
                  {
                    "image": "registry.example/nightly",
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
          }
        }
      },
      "status": {
        "conditions": [
          {
            "lastTransitionTime": "2026-11-24T08:00:00.000000Z",
            "status": "Unknown",
            "type": "Ready"
          }
        ],
        "observedGeneration": 1
      }
    }
    "#);
    assert_eq!(fixture.get(&format!("{JOBS}/nightly?alt=json")).await, created);
}

#[tokio::test]
async fn the_check_of_the_image_is_in_the_answer_if_it_is_there_in_time() {
    // An hour: the test waits for the answer, never for the clock.
    let fixture = Fixture::with(|config| config.readiness_within = Duration::from_secs(3600));
    let (checked, done) = mpsc::sync_channel(1);
    let store = fixture.store.clone();
    let mut watcher = store.watch();
    let now = fixture.now();
    let engine = std::thread::spawn(move || {
        let Seen::Changes(changes) = watcher.wait(Duration::from_secs(60)) else { return };
        let Subject::Job(uid) = changes[0].subject else { return };
        let readiness = Readiness { generation: 1, since: now, state: ReadinessState::Ready };
        let written = store.write(now, move |tx| {
            assert_eq!(tx.set_readiness(uid, &readiness)?, Applied::Yes);
            Ok::<_, WriteError<String>>(())
        });
        checked.send(written.is_ok()).expect("the test waits");
    });
    let answer = fixture.post(JOBS, job("j1")).await.ok();
    assert!(done.recv().expect("the engine ran"));
    engine.join().expect("it does not panic");
    assert_eq!(answer["status"]["conditions"][0]["status"], "True", "{answer:#}");
}

#[tokio::test]
async fn without_the_check_a_job_is_answered_as_unknown() {
    let answer = Fixture::new().post(JOBS, job("j1")).await.ok();
    assert_eq!(answer["status"]["conditions"][0]["status"], "Unknown");
}

#[tokio::test]
async fn every_fault_of_a_document_is_told_at_once() {
    let fixture = Fixture::new();
    let answer =
        fixture.post(JOBS, r#"{"metadata":{"name":7},"spce":{},"spec":{"template":[]}}"#).await;
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
                "description": "Invalid value at 'job.metadata.name' (TYPE_STRING), 7",
                "field": "job.metadata.name"
              },
              {
                "description": "Invalid JSON payload received. Unknown name \"spce\" at 'job': Cannot find field.",
                "field": "job"
              },
              {
                "description": "Invalid JSON payload received. Unknown name \"template\" at 'job.spec': Proto field is not repeating, cannot start list.",
                "field": "job.spec"
              }
            ]
          }
        ],
        "message": "Invalid value at 'job.metadata.name' (TYPE_STRING), 7\nInvalid JSON payload received. Unknown name \"spce\" at 'job': Cannot find field.\nInvalid JSON payload received. Unknown name \"template\" at 'job.spec': Proto field is not repeating, cannot start list.",
        "status": "INVALID_ARGUMENT"
      }
    }
    "#);
    let mut bad = job("Bad_Name");
    bad["spec"]["template"]["spec"]["taskCount"] = json!(10_001);
    bad["spec"]["template"]["spec"]["template"]["spec"]["containers"][0] = json!({});
    insta::assert_snapshot!(fixture.post(JOBS, bad).await, @r#"
    400
    {
      "error": {
        "code": 400,
        "details": [
          {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [
              {
                "description": "only lowercase, digits, and hyphens; must begin with letter, and may not end with hyphen; must be less than 64 characters.",
                "field": "job.metadata.name"
              },
              {
                "description": "must be a number between 0 and 10000",
                "field": "spec.template.spec.task_count"
              },
              {
                "description": "must provide an image name to deploy",
                "field": "job.spec.template.spec.containers[0].image"
              }
            ]
          }
        ],
        "message": "job.metadata.name: only lowercase, digits, and hyphens; must begin with letter, and may not end with hyphen; must be less than 64 characters.\nspec.template.spec.task_count: must be a number between 0 and 10000\njob.spec.template.spec.containers[0].image: must provide an image name to deploy",
        "status": "INVALID_ARGUMENT"
      }
    }
    "#);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_with_its_place() {
    let answer = Fixture::new().post(JOBS, "{\"a\":").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.message().contains("line 1 column 5"), "{answer}");
}

#[tokio::test]
async fn a_name_is_unique_per_region() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    insta::assert_snapshot!(fixture.post(JOBS, job("j1")).await, @r#"
    409
    {
      "error": {
        "code": 409,
        "message": "Resource 'j1' already exists.",
        "status": "ALREADY_EXISTS"
      }
    }
    "#);
    let mut elsewhere = request("POST", JOBS, &job("j1").to_string());
    let host = "europe-west1-localhost:8080".parse().expect("a header");
    elsewhere.headers_mut().insert("host", host);
    let answer = fixture.send(elsewhere).await.ok();
    assert_eq!(answer["metadata"]["labels"]["cloud.googleapis.com/location"], "europe-west1");
}

#[tokio::test]
async fn a_dry_run_checks_everything_and_stores_nothing() {
    let fixture = Fixture::new();
    let dry = format!("{JOBS}?dryRun=all");
    fixture.post(&dry, job("j1")).await.ok();
    assert_eq!(fixture.get(&format!("{JOBS}/j1")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.post(&dry, job("Bad")).await.status, StatusCode::BAD_REQUEST);

    let created = fixture.post(JOBS, job("j1")).await.ok();
    assert_eq!(fixture.post(&dry, job("j1")).await.status, StatusCode::CONFLICT);
    let mut changed = job("j1");
    changed["spec"]["template"]["spec"]["taskCount"] = json!(5);
    let answer = fixture.put(&format!("{JOBS}/j1?dryRun=all"), &changed).await.ok();
    assert_eq!(answer["metadata"]["generation"], 2);
    fixture.delete(&format!("{JOBS}/j1?dryRun=all")).await.ok();
    assert_eq!(fixture.get(&format!("{JOBS}/j1")).await.ok(), created);

    let answer = fixture.post(&format!("{JOBS}?dryRun=some"), job("j2")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.message().contains("dry_run"), "{answer}");
}

#[tokio::test]
async fn a_project_has_an_id_and_a_number() {
    let fixture = Fixture::new();
    let created = fixture.post(JOBS, job("j1")).await.ok();
    let number = created["metadata"]["namespace"].as_str().expect("a string").to_owned();
    assert_eq!(number.len(), 12);
    let by_number = format!("/apis/run.googleapis.com/v1/namespaces/{number}/jobs/j1");
    assert_eq!(fixture.get(&by_number).await.ok(), created);
    assert_eq!(created["metadata"]["selfLink"], by_number);
}

#[tokio::test]
async fn replacing_with_the_same_spec_is_no_new_generation() {
    let fixture = Fixture::new();
    let created = fixture.post(JOBS, job("j1")).await.ok();
    let mut document = created.clone();
    document["metadata"]["labels"] = json!({"team": "y"});
    let same = fixture.at(5).put(&format!("{JOBS}/j1"), &document).await.ok();
    assert_eq!(same["metadata"]["generation"], 1);
    assert_eq!(same["spec"], created["spec"]);
    assert_eq!(
        same["metadata"]["labels"],
        json!({
            "team": "y", "cloud.googleapis.com/location": "us-central1",
            "run.googleapis.com/lastUpdatedTime": "2026-11-24T08:00:05.000000Z",
        })
    );
    assert_ne!(same["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    let operation =
        |job: &Value| job["metadata"]["annotations"]["run.googleapis.com/operation-id"].clone();
    assert_ne!(operation(&same), operation(&created));

    document = same.clone();
    document["spec"]["template"]["spec"]["taskCount"] = json!(3);
    let changed = fixture.at(9).put(&format!("{JOBS}/j1"), &document).await.ok();
    assert_eq!(changed["metadata"]["generation"], 2);
    assert_eq!(changed["metadata"]["uid"], created["metadata"]["uid"]);
    assert_eq!(changed["status"]["conditions"][0]["status"], "Unknown");
}

#[tokio::test]
async fn a_stale_version_is_a_conflict() {
    let fixture = Fixture::new();
    let created = fixture.post(JOBS, job("j1")).await.ok();
    fixture.at(1).put(&format!("{JOBS}/j1"), &created).await.ok();
    let answer = fixture.put(&format!("{JOBS}/j1"), &created).await;
    insta::assert_snapshot!(answer, @r#"
    409
    {
      "error": {
        "code": 409,
        "message": "Conflict for resource 'j1': version 'AAZhARjZAAA' was specified but current version is 'AAZhARjoQkA'.",
        "status": "ABORTED"
      }
    }
    "#);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_replaced_or_deleted() {
    let fixture = Fixture::new();
    let path = format!("{JOBS}/nope");
    for answer in [
        fixture.get(&path).await,
        fixture.put(&path, job("nope")).await,
        fixture.delete(&path).await,
        fixture.post(&format!("{path}:run"), "{}").await,
    ] {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(
            answer.message(),
            "Resource 'nope' of kind 'JOB' in region 'us-central1' in project 'demo' does not exist."
        );
    }
}

#[tokio::test]
async fn a_deleted_job_is_gone_at_once_with_its_executions_and_its_name_is_free() {
    let fixture = Fixture::new();
    let created = fixture.post(JOBS, job("j1")).await.ok();
    let execution = fixture.run("j1").await;
    let path = format!("{JOBS}/j1");
    // kubectl sends a body; gcloud and Google's clients none.
    let body = r#"{"propagationPolicy":"Background"}"#;
    let answer = fixture
        .send(request(
            "DELETE",
            &format!("{path}?propagationPolicy=x&apiVersion=v1&kind=Job"),
            body,
        ))
        .await;
    assert_eq!(
        answer.ok(),
        json!({"status": "Success",
            "details": {"kind": "jobs", "name": "j1", "uid": created["metadata"]["uid"]}})
    );
    assert_eq!(fixture.get(&path).await.status, StatusCode::NOT_FOUND);
    let gone = fixture.get(&format!("{EXECUTIONS}/{execution}")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(fixture.get(EXECUTIONS).await.ok().get("items").is_none());
    let again = fixture.post(JOBS, job("j1")).await.ok();
    assert_ne!(again["metadata"]["uid"], created["metadata"]["uid"]);
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn an_empty_list_has_metadata() {
    insta::assert_snapshot!(Fixture::new().get(&format!("{JOBS}?alt=json")).await, @r#"
    200
    {
      "apiVersion": "run.googleapis.com/v1",
      "kind": "JobsList",
      "metadata": {
        "resourceVersion": "AAAAAAAAAAA"
      }
    }
    "#);
}

#[tokio::test]
async fn a_list_is_newest_first_by_page_and_by_label() {
    let fixture = Fixture::new();
    for (second, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        let mut document = job(name);
        document["metadata"]["labels"] =
            json!({"tier": if second % 2 == 0 { "even" } else { "odd" }});
        fixture.at(second).post(JOBS, document).await.ok();
    }
    let all = fixture.get(JOBS).await.ok();
    assert_eq!(names(&all), ["d", "c", "b", "a"]);
    assert_eq!(all["items"][0], fixture.get(&format!("{JOBS}/d")).await.ok());

    let first = fixture.get(&format!("{JOBS}?limit=3")).await.ok();
    assert_eq!(names(&first), ["d", "c", "b"]);
    let token = first["metadata"]["continue"].as_str().expect("there is more");
    let second = fixture.get(&format!("{JOBS}?limit=3&continue={token}")).await.ok();
    assert_eq!(names(&second), ["a"]);
    assert_eq!(second["metadata"]["continue"], Value::Null);

    for (selector, wanted) in [
        ("tier=even", vec!["d", "b"]),
        ("tier+%3D+odd", vec!["c", "a"]),
        ("tier!=even", vec!["c", "a"]),
        ("tier+in+(even,odd),cloud.googleapis.com/location=us-central1", vec!["d", "c", "b", "a"]),
        ("tier+notin+(odd)", vec!["d", "b"]),
        ("!tier", vec![]),
        ("tier", vec!["d", "c", "b", "a"]),
    ] {
        let list = fixture.get(&format!("{JOBS}?labelSelector={selector}")).await.ok();
        assert_eq!(names(&list), wanted, "{selector}");
    }
}

#[tokio::test]
async fn list_parameters_that_make_no_sense_are_refused() {
    let fixture = Fixture::new();
    for (query, part) in [
        ("limit=-1", "must not be negative"),
        ("limit=many", "TYPE_INT32"),
        ("continue=T2", "not a token"),
        ("labelSelector=a=b=c", "unable to parse label selector"),
    ] {
        let answer = fixture.get(&format!("{JOBS}?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.message().contains(part), "{query}: {answer}");
    }
}

#[tokio::test]
async fn without_a_region_in_the_host_all_regions_are_listed() {
    let fixture = Fixture::new();
    for (second, host) in [(1, HOST), (2, "europe-west1-localhost"), (3, "localhost")] {
        let mut create = request("POST", JOBS, &job(&format!("j{second}")).to_string());
        create.headers_mut().insert("host", host.parse().expect("a header"));
        fixture.at(second).send(create).await.ok();
    }
    for (host, wanted) in [
        ("localhost", vec!["j3", "j2", "j1"]),
        ("us-central1-localhost", vec!["j3", "j1"]),
        ("europe-west1-localhost", vec!["j2"]),
        ("asia-east1-localhost", vec![]),
    ] {
        let mut list = request("GET", JOBS, "");
        list.headers_mut().insert("host", host.parse().expect("a header"));
        assert_eq!(names(&fixture.send(list).await.ok()), wanted, "{host}");
    }
}

#[tokio::test]
async fn a_job_that_is_not_ready_says_why() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    let failure = Failure {
        reason: Some("ContainerMissing".to_owned()),
        message: "Image 'builtin.groundrun/job' not found.".to_owned(),
    };
    fixture.at(1).check("j1", ReadinessState::Failed(failure));
    let job = fixture.get(&format!("{JOBS}/j1")).await.ok();
    assert_eq!(
        job["status"],
        json!({"observedGeneration": 1, "conditions": [{
            "type": "Ready", "status": "False", "reason": "ContainerMissing",
            "message": "Image 'builtin.groundrun/job' not found.",
            "lastTransitionTime": "2026-11-24T08:00:01.000000Z"}]})
    );
    let answer = fixture.post(&format!("{JOBS}/j1:run"), "{}").await;
    insta::assert_snapshot!(answer, @r#"
    400
    {
      "error": {
        "code": 400,
        "message": "Job 'j1' cannot be run because is in an error state. Please check the job's Ready status condition.",
        "status": "FAILED_PRECONDITION"
      }
    }
    "#);
}
