//! What a failing store and a failing handler say. A fault of the user's is never a 5xx; ours always has the shape.

use std::sync::Arc;

use axum::{http::StatusCode, response::IntoResponse};
use groundrun_api::ApiError;
use groundrun_store::{StoreError, WriteError};
use http_body_util::BodyExt;
use serde_json::Value;

use super::fixture::{Fixture, JOBS, job};
use crate::error::Refusal;

async fn answered(refusal: impl Into<Refusal>) -> (StatusCode, Value) {
    let (head, body) = refusal.into().into_response().into_parts();
    assert!(head.headers.get("retry-after").is_none());
    let bytes = body.collect().await.expect("it is in memory").to_bytes();
    (head.status, serde_json::from_slice(&bytes).expect("JSON"))
}

#[tokio::test]
async fn a_full_disk_is_429_and_says_what_to_do() {
    for refusal in [
        Refusal::from(StoreError::DiskFull),
        Refusal::from(WriteError::<ApiError>::DiskFull),
        Refusal::from(WriteError::<ApiError>::from(StoreError::DiskFull)),
    ] {
        let (status, body) = answered(refusal).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(body["error"]["status"], "RESOURCE_EXHAUSTED");
        assert_eq!(
            body["error"]["message"],
            "The disk of the server's data directory is full: nothing new is taken in until there is room. Free some, or \
             delete executions."
        );
    }
}

#[tokio::test]
async fn a_journal_that_fails_is_503_in_shape() {
    let row =
        || StoreError::Row { table: "jobs", id: "7".into(), column: "spec", why: "no JSON".into() };
    for refusal in [
        Refusal::from(row()),
        Refusal::from(WriteError::<ApiError>::Store(row())),
        Refusal::from(WriteError::<ApiError>::Busy),
        Refusal::from(WriteError::<ApiError>::Closed),
    ] {
        let (status, body) = answered(refusal).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            (&body["error"]["code"], &body["error"]["status"]),
            (&503.into(), &"UNAVAILABLE".into())
        );
    }
    let (_, body) = answered(row()).await;
    let message = body["error"]["message"].as_str().expect("a text");
    assert_eq!(
        message,
        "The server's journal failed: row 7 of table jobs cannot be read: spec: no JSON."
    );
}

#[tokio::test]
async fn a_write_that_panicked_is_500_in_shape() {
    let (status, body) = answered(WriteError::<ApiError>::Panicked).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body["error"]["status"], "INTERNAL");
}

#[tokio::test]
async fn a_handler_that_panics_is_500_in_shape_and_the_next_request_is_served() {
    let fixture = Fixture::with_world(|world| {
        let random = Arc::clone(&world.random);
        let armed = std::sync::atomic::AtomicBool::new(true);
        world.random = Arc::new(move |buffer| {
            assert!(
                !armed.swap(false, std::sync::atomic::Ordering::SeqCst),
                "the test's own panic"
            );
            random(buffer);
        });
    });
    let answer = fixture.post(JOBS, job("j1")).await;
    insta::assert_snapshot!(answer, @r#"
    500
    {
      "error": {
        "code": 500,
        "message": "Internal error: the handler of the request failed.",
        "status": "INTERNAL"
      }
    }
    "#);
    fixture.post(JOBS, job("j1")).await.ok();
}
