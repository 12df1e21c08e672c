//! Policies.

use axum::http::StatusCode;
use serde_json::json;

use super::fixture::{Fixture, JOBS, job};

const JOB: &str = "/v1/projects/demo/locations/us-central1/jobs/j1";

async fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("j1")).await.ok();
    fixture
}

#[tokio::test]
async fn a_new_job_has_an_empty_policy() {
    let answer = fixture().await.get(&format!("{JOB}:getIamPolicy?alt=json")).await;
    assert_eq!(answer.ok(), json!({"etag": "ACAB"}));
}

#[tokio::test]
async fn a_policy_is_given_back_as_it_was_set() {
    let fixture = fixture().await;
    let binding = json!({"members": ["user:t@example.com"], "role": "roles/run.invoker"});
    let set = json!({"policy": {"bindings": [binding], "etag": "ACAB"}});
    let answer = fixture.post(&format!("{JOB}:setIamPolicy?alt=json"), set).await.ok();
    let etag = answer["etag"].clone();
    assert_eq!(answer, json!({"bindings": [binding], "etag": etag, "version": 1}));
    let get = format!("{JOB}:getIamPolicy?options.requestedPolicyVersion=3");
    assert_eq!(fixture.get(&get).await.ok(), answer);

    let remove =
        json!({"policy": {"etag": etag, "version": 1}, "updateMask": "bindings,etag,version"});
    let answer = fixture.post(&format!("{JOB}:setIamPolicy"), remove).await.ok();
    assert_eq!(answer, json!({"etag": answer["etag"], "version": 1}));
    assert_ne!(answer["etag"], etag);
}

#[tokio::test]
async fn conditions_and_audits_are_kept_where_the_mask_names_them() {
    let fixture = fixture().await;
    let condition =
        json!({"title": "soon", "expression": "request.time < timestamp('2027-01-01T00:00:00Z')"});
    let policy = json!({
        "version": 3,
        "bindings": [{"role": "roles/run.invoker", "members": ["allUsers"], "condition": condition}],
        "auditConfigs": [{"service": "run.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]}],
    });
    let set = |mask: &str| json!({"policy": policy, "updateMask": mask});
    let path = format!("{JOB}:setIamPolicy");
    let kept = fixture.post(&path, set("bindings,version")).await.ok();
    assert_eq!(kept["bindings"], policy["bindings"]);
    assert_eq!(kept["version"], 3);
    assert!(kept.get("auditConfigs").is_none(), "{kept}");
    let kept = fixture.post(&path, set("auditConfigs")).await.ok();
    assert_eq!(kept["auditConfigs"], policy["auditConfigs"]);
    assert_eq!(fixture.get(&format!("{JOB}:getIamPolicy")).await.ok(), kept);
}

#[tokio::test]
async fn a_stale_etag_is_a_conflict() {
    let fixture = fixture().await;
    let set = json!({"policy": {"bindings": [], "etag": "BwXceTs="}});
    let answer = fixture.post(&format!("{JOB}:setIamPolicy"), set).await;
    insta::assert_snapshot!(answer, @r#"
    409
    {
      "error": {
        "code": 409,
        "message": "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. The request's ETag did not match the current policy's ETag.",
        "status": "ABORTED"
      }
    }
    "#);
}

#[tokio::test]
async fn every_fault_of_a_policy_is_told() {
    let set = json!({
        "policy": {"bindings": [{"role": "invoker", "members": ["tom"], "condition": {"expression": "x"}}], "version": 2},
    });
    let answer = fixture().await.post(&format!("{JOB}:setIamPolicy"), set).await;
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
                "description": "must be 0, 1 or 3",
                "field": "policy.version"
              },
              {
                "description": "Role (invoker) does not exist in the resource's hierarchy.",
                "field": "policy.bindings[0].role"
              },
              {
                "description": "a policy with conditions must have version 3",
                "field": "policy.bindings[0].condition"
              },
              {
                "description": "The member tom is of an unknown type.",
                "field": "policy.bindings[0].members[0]"
              }
            ]
          }
        ],
        "message": "policy.version: must be 0, 1 or 3\npolicy.bindings[0].role: Role (invoker) does not exist in the resource's hierarchy.\npolicy.bindings[0].condition: a policy with conditions must have version 3\npolicy.bindings[0].members[0]: The member tom is of an unknown type.",
        "status": "INVALID_ARGUMENT"
      }
    }
    "#);
    let set = json!({"policy": {}, "updateMask": "owner"});
    let answer = fixture().await.post(&format!("{JOB}:setIamPolicy"), set).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer}");
}

#[tokio::test]
async fn a_policy_goes_with_its_job() {
    let fixture = fixture().await;
    let set =
        json!({"policy": {"bindings": [{"members": ["allUsers"], "role": "roles/run.invoker"}]}});
    fixture.post(&format!("{JOB}:setIamPolicy"), set).await.ok();
    fixture.delete(&format!("{JOBS}/j1")).await.ok();
    let answer = fixture.get(&format!("{JOB}:getIamPolicy")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    fixture.post(JOBS, job("j1")).await.ok();
    assert_eq!(fixture.get(&format!("{JOB}:getIamPolicy")).await.ok(), json!({"etag": "ACAB"}));
}

#[tokio::test]
async fn every_permission_is_had() {
    let fixture = fixture().await;
    let body = json!({"permissions": ["run.jobs.run", "run.jobs.get"]});
    let answer = fixture.post(&format!("{JOB}:testIamPermissions"), &body).await;
    assert_eq!(answer.ok(), body);
    let body = json!({"permissions": ["run.jobs.*"]});
    let answer = fixture.post(&format!("{JOB}:testIamPermissions"), body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn no_job_has_no_policy() {
    let answer = Fixture::new().get(&format!("{JOB}:getIamPolicy")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(
        answer.message(),
        "Resource 'j1' of kind 'JOB' in region 'us-central1' in project 'demo' does not exist."
    );
}
