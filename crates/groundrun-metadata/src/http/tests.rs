//! Every path and every refusal, as a client sees it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, Uri, header::HeaderName};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Front, Shared, request, tree};
use crate::fixture::{self, Clock, START};

const V1: &str = "/computeMetadata/v1";
const GOOGLE: &[(&str, &str)] = &[("metadata-flavor", "Google")];

struct Task {
    front: Front,
    clock: Clock,
    mint: Arc<crate::Mint>,
    _dir: tempfile::TempDir,
}

impl Task {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (world, clock) = fixture::world();
        let mint = Arc::new(fixture::mint(dir.path(), &world));
        let shared = Shared::new(fixture::lookup(), Arc::clone(&mint), world, None);
        Self { front: Front::new(fixture::id(), Arc::new(shared)), clock, mint, _dir: dir }
    }

    /// Status, headers and body, as they are on the wire.
    async fn ask(&self, method: &Method, path: &str, headers: &[(&str, &str)]) -> String {
        let given: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a header's name");
                (name, value.parse().expect("a header's value"))
            })
            .collect();
        let uri: Uri = path.parse().expect("a target");
        let answer = self.front.answer(method, &uri, &given).await;
        let mut text = format!("{}\n", answer.status());
        for (name, value) in answer.headers() {
            text.push_str(&format!("{name}: {}\n", value.to_str().expect("visible characters")));
        }
        let body = answer.into_body().collect().await.expect("it is in memory").to_bytes();
        format!("{text}\n{}", String::from_utf8_lossy(&body))
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&Method::GET, path, GOOGLE).await
    }

    /// The body of what must be 200.
    async fn body(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert!(answer.starts_with("200 OK\n"), "{path}: {answer}");
        answer.split_once("\n\n").expect("headers end").1.to_owned()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.body(path).await).expect("JSON")
    }
}

fn claims(token: &str) -> Value {
    let body = token.rsplit('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn every_path_of_a_task_is_answered() {
    let task = Task::new();
    let mut transcript = String::new();
    for path in [
        "/",
        "/computeMetadata/",
        "/computeMetadata/v1/",
        "/computeMetadata/v1/project/",
        "/computeMetadata/v1/project/project-id",
        "/computeMetadata/v1/project/numeric-project-id",
        "/computeMetadata/v1/instance/",
        "/computeMetadata/v1/instance/id",
        "/computeMetadata/v1/instance/region",
        "/computeMetadata/v1/instance/zone",
        "/computeMetadata/v1/instance/service-accounts/",
        "/computeMetadata/v1/instance/service-accounts/default/",
        "/computeMetadata/v1/instance/service-accounts/default/aliases",
        "/computeMetadata/v1/instance/service-accounts/default/email",
        "/computeMetadata/v1/instance/service-accounts/default/scopes",
        "/computeMetadata/v1/instance/service-accounts/420000000042-compute@developer.gserviceaccount.com/email",
        "/computeMetadata/v1/instance/service-accounts/420000000042-compute%40developer.gserviceaccount.com/email",
        "/computeMetadata/v1/?recursive=true",
        "/computeMetadata/v1/instance/service-accounts/default/?recursive=true",
        "/computeMetadata/v1/project/?recursive=true&alt=text",
        "/computeMetadata/v1/instance/service-accounts/?recursive=true&alt=text",
        "/computeMetadata/v1/project/?alt=json",
        "/computeMetadata/v1/project/project-id?alt=json",
        "/computeMetadata/v1/project/numeric-project-id?alt=json",
        "/computeMetadata/v1/instance/service-accounts/default/scopes?alt=json",
    ] {
        transcript.push_str(&format!("> GET {path}\n{}\n", task.get(path).await));
    }
    insta::assert_snapshot!(transcript);
}

#[tokio::test]
async fn a_directory_without_its_slash_is_a_redirect() {
    let task = Task::new();
    let mut transcript = String::new();
    for path in
        ["/computeMetadata", "/computeMetadata/v1/instance", "/computeMetadata/v1?recursive=true"]
    {
        transcript.push_str(&format!("> GET {path}\n{}\n", task.get(path).await));
    }
    insta::assert_snapshot!(transcript);
}

#[tokio::test]
async fn what_is_refused_is_refused_in_googles_words() {
    let task = Task::new();
    let (get, email) =
        (&Method::GET, "/computeMetadata/v1/instance/service-accounts/default/email");
    let forwarded = [GOOGLE, &[("x-forwarded-for", "192.0.2.1")]].concat();
    let mut transcript = String::new();
    for (method, path, headers) in [
        (get, "/", &[][..]),
        (get, email, &[]),
        (get, email, &[("metadata-flavor", "google")]),
        (get, email, &forwarded),
        (&Method::POST, email, GOOGLE),
        (&Method::PUT, "/computeMetadata/v1/project/project-id", GOOGLE),
        (get, "/computeMetadata/v1/instance/attributes/", GOOGLE),
        (get, "/computeMetadata/v1/instance/id/x", GOOGLE),
        (get, "/computeMetadata/v1beta1/instance/id", GOOGLE),
        (get, "/computeMetadata/v1/%3Cscript%3E&x", GOOGLE),
        (get, "/computeMetadata/v1/instance/service-accounts/other@example.com/token", GOOGLE),
        (get, "/computeMetadata/v1/instance/service-accounts/default/identity", GOOGLE),
        (get, "/computeMetadata/v1/instance/service-accounts/default/identity?audience=", GOOGLE),
        (
            get,
            "/computeMetadata/v1/instance/service-accounts/default/identity?audience=a&format=x",
            GOOGLE,
        ),
        (get, "/computeMetadata/v1/project/project-id?alt=yaml", GOOGLE),
        (get, "/computeMetadata/v1/instance/?recursive=true&wait_for_change=true", GOOGLE),
    ] {
        let answer = task.ask(method, path, headers).await;
        transcript.push_str(&format!("> {method} {path} {headers:?}\n{answer}\n"));
    }
    insta::assert_snapshot!(transcript);
}

#[tokio::test]
async fn an_access_token_names_its_task_and_is_known_again() {
    let task = Task::new();
    let answer = task.json(&format!("{V1}/instance/service-accounts/default/token")).await;
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let text = answer["access_token"].as_str().expect("a token");
    let who = task.mint.verify(text).expect("it is ours");
    assert_eq!(who.service_account, fixture::identity().service_account);
    assert_eq!((who.project.as_str(), who.attempt), ("demo", fixture::id()));
    assert_eq!(who.scopes, [tree::CLOUD_PLATFORM]);
}

#[tokio::test]
async fn a_token_is_given_again_until_five_minutes_before_its_end() {
    let task = Task::new();
    let path = format!("{V1}/instance/service-accounts/default/token");
    let first = task.json(&path).await;
    task.clock.forward(3299);
    let again = task.json(&path).await;
    assert_eq!(again["access_token"], first["access_token"]);
    assert_eq!(again["expires_in"], 301);
    task.clock.forward(1);
    let next = task.json(&path).await;
    assert_ne!(next["access_token"], first["access_token"]);
    assert_eq!(next["expires_in"], 3600);
}

#[tokio::test]
async fn scopes_are_those_asked_for_in_any_order_and_each_list_has_its_token() {
    let task = Task::new();
    let path = format!("{V1}/instance/service-accounts/default/token?scopes=");
    let both = task.json(&format!("{path}b,a")).await;
    let text = both["access_token"].as_str().expect("a token");
    assert_eq!(task.mint.verify(text).expect("it is ours").scopes, ["a", "b"]);
    assert_eq!(task.json(&format!("{path}a%20b,a")).await["access_token"], both["access_token"]);
    assert_ne!(task.json(&format!("{path}a")).await["access_token"], both["access_token"]);
}

#[tokio::test]
async fn an_identity_token_is_for_its_audience_and_in_the_name_of_this_server() {
    let task = Task::new();
    let path =
        format!("{V1}/instance/service-accounts/default/identity?audience=https%3A%2F%2Fx.test");
    let standard = claims(&task.body(&path).await);
    let subject = standard["sub"].as_str().expect("a subject");
    assert!(subject.len() == 21 && subject.bytes().all(|byte| byte.is_ascii_digit()), "{subject}");
    let expected = json!({
        "iss": fixture::ISSUER, "aud": "https://x.test", "azp": subject, "sub": subject,
        "email": fixture::identity().service_account, "email_verified": true,
        "iat": START, "exp": START + 3600,
    });
    assert_eq!(standard, expected);
    assert_eq!(
        claims(&task.body(&format!("{path}&format=standard&licenses=TRUE")).await),
        expected
    );
    let full = claims(&task.body(&format!("{path}&format=full&licenses=TRUE")).await);
    assert_eq!(
        full["google"]["compute_engine"],
        json!({
            "instance_id": fixture::id().instance(), "instance_name": "j1-abcde", "project_id": "demo",
            "project_number": 420_000_000_042_u64, "zone": "us-central1-1", "license_id": [],
        })
    );
}

#[tokio::test]
async fn an_identity_token_is_no_access_token() {
    let task = Task::new();
    let path =
        format!("{V1}/instance/service-accounts/default/identity?audience={}", fixture::ISSUER);
    let token = task.body(&path).await;
    assert!(task.mint.verify(&token).is_err());
    assert!(task.mint.verify(&format!("grt1.{token}")).is_err());
}

#[tokio::test]
async fn an_execution_that_is_not_known_is_asked_about_again() {
    let mut task = Task::new();
    let unknown = groundrun_core::id::AttemptId {
        execution: groundrun_core::id::ExecutionUid(uuid::Uuid::from_u128(7)),
        ..fixture::id()
    };
    let (world, _) = fixture::world();
    let shared = Shared::new(fixture::lookup(), Arc::clone(&task.mint), world, None);
    task.front = Front::new(unknown, Arc::new(shared));
    let answer = task.get("/computeMetadata/v1/project/project-id").await;
    assert!(answer.starts_with("503 "), "{answer}");
}

proptest! {
    #[test]
    fn a_request_is_answered_whatever_its_target(target in "/[ -~&&[^\"<>\\\\^`{|} ]]{0,80}") {
        let Ok(uri) = target.parse::<Uri>() else { return Ok(()) };
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("metadata-flavor"),
            hyper::header::HeaderValue::from_static("Google"),
        )]);
        let _ = request::ask(&Method::GET, &uri, &headers, || tree::tree(&fixture::asker()));
    }
}
