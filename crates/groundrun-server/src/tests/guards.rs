//! Who may speak to the server.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};

use super::fixture::{Answer, Fixture, JOBS};
use crate::config::{PROXY_NAME, Token};

async fn list(fixture: &Fixture, headers: &[(&str, &str)]) -> Answer {
    let mut builder = Request::builder().uri(JOBS);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    fixture.send(builder.body(Body::empty()).expect("a good request")).await
}

#[tokio::test]
async fn only_names_of_this_machine_are_answered() {
    let fixture = Fixture::with(|config| {
        config.public_names.insert("jobs.example.org".to_owned());
    });
    let proxy = format!("us-central1-{PROXY_NAME}");
    for ours in [
        "localhost:8080",
        "127.0.0.1",
        "[::1]:8080",
        "us-central1-localhost:8080",
        "us-central1-run.localhost",
        PROXY_NAME,
        &proxy,
        "jobs.example.org",
        "europe-west1-jobs.example.org:443",
    ] {
        let answer = list(&fixture, &[("host", ours)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{ours}: {answer}");
    }
    for foreign in
        ["evil.example", "localhost.evil.example", "us-central1-evil.example", "10.0.0.1", ""]
    {
        let answer = list(&fixture, &[("host", foreign)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{foreign}: {answer}");
    }
    let answer = list(&fixture, &[("host", "us-central1-evil.example")]).await;
    insta::assert_snapshot!(answer, @r#"
    403
    {
      "error": {
        "code": 403,
        "message": "this server is not called 'us-central1-evil.example': use localhost, or start it with --public-name evil.example",
        "status": "PERMISSION_DENIED"
      }
    }
    "#);
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let answer = list(&Fixture::new(), &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.message(), "the request has no Host header");
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let fixture = Fixture::new();
    let host = ("host", "localhost:8080");
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "http://localhost:3000"),
        ("origin", "null"),
        ("origin", "http://localhost:8080.evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = list(&fixture, &[host, (name, value)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}: {answer}");
        assert!(answer.message().contains(value), "{answer}");
        assert!(answer.headers.get("access-control-allow-origin").is_none());
    }
    for (name, value) in [
        ("origin", "http://localhost:8080"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        let answer = list(&fixture, &[host, (name, value)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {value}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_a_form_could_send_is_refused() {
    let fixture = Fixture::new();
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
    {
        let request = Request::post(JOBS)
            .header("host", "localhost")
            .header("content-type", kind)
            .body(Body::from("{}"))
            .expect("a good request");
        let answer = fixture.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind}");
        assert!(answer.message().contains("must be application/json"), "{answer}");
    }
}

#[tokio::test]
async fn with_a_token_configured_every_call_needs_it_but_health() {
    let fixture = Fixture::with(|config| {
        config.token = Some(Token::new("s3cret").expect("a token"));
    });
    let host = ("host", "localhost");
    for headers in [
        vec![host],
        vec![host, ("authorization", "Bearer wrong")],
        vec![host, ("authorization", "Basic s3cret")],
        vec![host, ("authorization", "s3cret")],
    ] {
        let answer = list(&fixture, &headers).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"groundrun\"");
    }
    let answer = list(&fixture, &[host]).await;
    insta::assert_snapshot!(answer, @r#"
    401
    {
      "error": {
        "code": 401,
        "message": "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
        "status": "UNAUTHENTICATED"
      }
    }
    "#);
    let answer = list(&fixture, &[host, ("authorization", "Bearer s3cret")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    for health in ["/healthz", "/readyz"] {
        let request = Request::get(health).body(Body::empty()).expect("a good request");
        let answer = fixture.send(request).await;
        assert_eq!((answer.status, answer.bytes.as_ref()), (StatusCode::OK, &b"ok\n"[..]));
    }
}

#[tokio::test]
async fn without_a_token_configured_any_credential_is_ignored() {
    let answer =
        list(&Fixture::new(), &[("host", "localhost"), ("authorization", "Bearer anything")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn a_proxy_for_https_is_not_offered() {
    let request = Request::builder()
        .method("CONNECT")
        .uri("run.googleapis.com:443")
        .body(Body::empty())
        .expect("a good request");
    let answer = Fixture::new().send(request).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["connection"], "close");
}

#[tokio::test]
async fn only_a_get_may_be_in_disguise() {
    let fixture = Fixture::new();
    let disguised = |wish: &'static str, path: &'static str| {
        Request::post(path)
            .header("host", "localhost")
            .header("x-http-method-override", wish)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from("alt=json&labelSelector=a%3Db"))
            .expect("a good request")
    };
    let answer = fixture.send(disguised("GET", JOBS)).await;
    assert_eq!(answer.ok()["kind"], "JobsList");
    let answer = fixture.send(disguised("DELETE", JOBS)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}
