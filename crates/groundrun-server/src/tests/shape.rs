//! The standard parameters, and paths that nothing is at.

use axum::http::StatusCode;

use super::fixture::{Fixture, JOBS};

#[tokio::test]
async fn an_answer_is_compact_unless_asked_otherwise() {
    let fixture = Fixture::new();
    let compact = fixture.get(JOBS).await;
    assert!(!compact.bytes.contains(&b'\n'));
    let pretty = fixture.get(&format!("{JOBS}?prettyPrint=true")).await;
    assert!(pretty.bytes.starts_with(b"{\n"));
    assert_eq!(compact.json(), pretty.json());
    assert_eq!(compact.headers["content-type"], "application/json; charset=UTF-8");
}

#[tokio::test]
async fn fields_selects_parts_of_an_answer() {
    let fixture = Fixture::new();
    let answer = fixture.get(&format!("{JOBS}?fields=kind")).await;
    assert_eq!(answer.ok(), serde_json::json!({"kind": "JobsList"}));
    let answer = fixture.get(&format!("{JOBS}?fields=kind(")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.message(), "Invalid field selection kind(");
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_by_name() {
    let answer = Fixture::new().get(&format!("{JOBS}?alt=json&limits=3")).await;
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
                "description": "Invalid JSON payload received. Unknown name \"limits\": Cannot bind query parameter. Field 'limits' could not be found in request message.",
                "field": ""
              }
            ]
          }
        ],
        "message": "Invalid JSON payload received. Unknown name \"limits\": Cannot bind query parameter. Field 'limits' could not be found in request message.",
        "status": "INVALID_ARGUMENT"
      }
    }
    "#);
}

#[tokio::test]
async fn what_cloud_run_does_not_support_is_refused_by_name() {
    let fixture = Fixture::new();
    for (name, value) in [
        ("watch", "yes"),
        ("fieldSelector", "metadata.name=x"),
        ("includeUninitialized", "true"),
        ("resourceVersion", "7"),
    ] {
        let answer = fixture.get(&format!("{JOBS}?{name}={value}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
        assert_eq!(
            answer.message(),
            format!("The parameter '{name}' is not supported by Cloud Run.")
        );
    }
    fixture.get(&format!("{JOBS}?watch=false&fieldSelector=")).await.ok();
}

#[tokio::test]
async fn paths_of_nothing_are_404_and_what_is_not_built_is_named() {
    let fixture = Fixture::new();
    let namespace = "/apis/run.googleapis.com/v1/namespaces/demo";
    for (method, path, message) in [
        ("GET", "/".to_owned(), "Method not found."),
        ("GET", format!("{namespace}/services"), "Method not found."),
        ("POST", format!("{namespace}/jobs/j:fly"), "Method not found."),
        ("POST", format!("{namespace}/jobs/j"), "Method not found."),
        ("POST", format!("{namespace}/executions/e:run"), "Method not found."),
        ("DELETE", format!("{namespace}/tasks/t"), "Method not found."),
        (
            "PATCH",
            format!("{namespace}/jobs/j"),
            "PATCH is not a method of this API: replace the job with PUT.",
        ),
        (
            "GET",
            "/v2/projects/demo/locations/us-central1/jobs".to_owned(),
            "The Cloud Run Admin API v2 is not served here yet: use v1.",
        ),
        (
            "GET",
            "/apis/serving.knative.dev/v1/namespaces/demo/services".to_owned(),
            "Cloud Run services are not served here: only jobs are.",
        ),
        (
            "POST",
            "/v2/entries:write".to_owned(),
            "Of the Logging API only entries:list and entries:tail are served here.",
        ),
        (
            "GET",
            "/apis/domains.cloudrun.com/v1/namespaces/demo/domainmappings".to_owned(),
            "Domain mappings are not served here: only jobs are.",
        ),
        (
            "GET",
            "/api/v1/namespaces".to_owned(),
            "Of Kubernetes' API only run.googleapis.com/v1 jobs, executions and tasks are served here.",
        ),
        ("POST", "/batch".to_owned(), "Batch requests are not served here: send them one by one."),
        (
            "GET",
            "/$discovery/rest?version=v1".to_owned(),
            "The discovery document is not served here: use the client's own copy.",
        ),
    ] {
        let answer = fixture.send(super::fixture::request(method, &path, "")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {answer}");
        assert_eq!(answer.message(), message, "{method} {path}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_no_project_is_404() {
    let answer = Fixture::new().get("/apis/run.googleapis.com/v1/namespaces/No_Such/jobs").await;
    insta::assert_snapshot!(answer, @r#"
    404
    {
      "error": {
        "code": 404,
        "message": "Project 'No_Such' not found or deleted.",
        "status": "NOT_FOUND"
      }
    }
    "#);
}
