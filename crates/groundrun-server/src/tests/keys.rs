//! The keys of tasks' tokens, for whoever checks one.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};

use super::fixture::Fixture;
use crate::{PublicKeys, config::Token, router::KEYS};

struct Keys;

impl PublicKeys for Keys {
    fn jwks(&self) -> Result<Value, String> {
        Ok(json!({"keys": []}))
    }

    fn pem(&self) -> Result<Value, String> {
        Ok(json!({"k1": "PEM"}))
    }

    fn discovery(&self) -> Result<Value, String> {
        Err("the server is starting".to_owned())
    }

    fn caching(&self) -> String {
        "public, max-age=300".to_owned()
    }
}

#[tokio::test]
async fn public_keys_are_anyones_under_any_name_and_may_be_kept_for_a_while() {
    let fixture = Fixture::with(|config| {
        config.token = Some(Token::new("s3cret").expect("visible characters"));
    });
    fixture.publish(Arc::new(Keys));
    let get = |path: &str| {
        let request = Request::builder().uri(path).header("host", "host.docker.internal:8080");
        fixture.send(request.body(Body::empty()).expect("a good request"))
    };
    for (path, body) in [(KEYS[0], json!({"keys": []})), (KEYS[1], json!({"k1": "PEM"}))] {
        let answer = get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "public, max-age=300");
        assert_eq!(serde_json::from_slice::<Value>(&answer.bytes).expect("JSON"), body);
    }
    let answer = get(KEYS[2]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
}

#[tokio::test]
async fn a_server_that_makes_no_tokens_has_no_keys() {
    let fixture = Fixture::new();
    for path in KEYS {
        let answer = fixture.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer}");
    }
}
