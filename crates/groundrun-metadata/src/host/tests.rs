//! The user's own credentials against a token endpoint of the test.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{HostCredentials, HostFault};
use crate::fixture;

/// Answers every exchange with a status and a body, and keeps the forms that were sent.
struct Endpoint {
    uri: String,
    forms: Arc<Mutex<Vec<String>>>,
    dir: tempfile::TempDir,
}

impl Endpoint {
    async fn answering(status: u16, body: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let uri = format!("http://{}/token", listener.local_addr().expect("it is bound"));
        let forms: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&forms);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = String::new();
                let mut buffer = [0; 4096];
                let form = loop {
                    let length = stream.read(&mut buffer).await.expect("a request");
                    request.push_str(&String::from_utf8_lossy(&buffer[..length]));
                    let Some((head, form)) = request.split_once("\r\n\r\n") else { continue };
                    let wanted = head
                        .lines()
                        .find_map(|line| {
                            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                        })
                        .unwrap_or(0);
                    if form.len() >= wanted {
                        break form.to_owned();
                    }
                };
                seen.lock().expect("nobody panics with it").push(form);
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.expect("it is read");
            }
        });
        Self { uri, forms, dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn file(&self, content: &Value) -> PathBuf {
        let path = self.dir.path().join("adc.json");
        fs::write(&path, content.to_string()).expect("written");
        path
    }

    fn user(&self) -> PathBuf {
        self.file(&json!({
            "type": "authorized_user", "client_id": "c1", "client_secret": "s3cret",
            "refresh_token": "r3fresh", "token_uri": self.uri,
        }))
    }

    fn account(&self) -> PathBuf {
        let (world, _) = fixture::world();
        // A key as a server of ours makes it, in PEM as Google's console writes it.
        let keys = tempfile::tempdir().expect("a temporary directory");
        fixture::mint(keys.path(), &world).jwks().expect("a key");
        let file = fs::read_dir(keys.path().join("keys")).expect("keys").flatten().next();
        let der = fs::read(file.expect("a key").path()).expect("a key");
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        self.file(&json!({
            "type": "service_account", "client_email": "ada@demo.iam.gserviceaccount.com",
            "private_key_id": "k1", "token_uri": self.uri,
            "private_key": format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"),
        }))
    }

    fn forms(&self) -> Vec<String> {
        self.forms.lock().expect("nobody panics with it").clone()
    }
}

fn open(path: &std::path::Path) -> (HostCredentials, fixture::Clock) {
    let (world, clock) = fixture::world();
    (HostCredentials::open(path, world).expect("credentials"), clock)
}

fn scopes(scope: &str) -> Vec<String> {
    vec![scope.to_owned()]
}

#[tokio::test]
async fn a_users_token_is_fetched_once_and_again_before_it_ends() {
    let granted = json!({"access_token": "ya29.x", "expires_in": 3599, "token_type": "Bearer"});
    let endpoint = Endpoint::answering(200, granted).await;
    let (host, clock) = open(&endpoint.user());
    for _ in 0..3 {
        assert_eq!(host.access(&scopes("s")).await.expect("a token").text, "ya29.x");
    }
    let form = "grant_type=refresh_token&client_id=c1&client_secret=s3cret&refresh_token=r3fresh";
    assert_eq!(endpoint.forms(), [form]);
    clock.forward(3300);
    host.access(&scopes("s")).await.expect("a token");
    assert_eq!(endpoint.forms().len(), 2);
    assert_eq!(host.email(), None);
}

#[tokio::test]
async fn a_service_accounts_token_is_asked_for_with_a_signed_assertion() {
    let granted = json!({"access_token": "ya29.y", "id_token": "a.b.c", "expires_in": 3599});
    let endpoint = Endpoint::answering(200, granted).await;
    let (host, _) = open(&endpoint.account());
    assert_eq!(host.email().as_deref(), Some("ada@demo.iam.gserviceaccount.com"));
    assert_eq!(host.access(&scopes("s1")).await.expect("a token").text, "ya29.y");
    assert_eq!(host.identity("https://x.test").await.expect("a token"), "a.b.c");
    let claims = |form: &str| -> Value {
        let assertion = form
            .strip_prefix(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=",
            )
            .expect("an assertion");
        let body = assertion.split('.').nth(1).expect("three parts");
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let body = base64::Engine::decode(&engine, body).expect("base64");
        serde_json::from_slice(&body).expect("JSON")
    };
    let [access, identity] = &endpoint.forms()[..] else { panic!("two exchanges") };
    let expected = json!({
        "iss": "ada@demo.iam.gserviceaccount.com", "aud": endpoint.uri, "scope": "s1",
        "iat": fixture::START, "exp": fixture::START + 3600,
    });
    assert_eq!(claims(access), expected);
    assert_eq!(claims(identity)["target_audience"], "https://x.test");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_repeats_no_secret() {
    let said = json!({"error": "invalid_grant", "error_description": "Token has been revoked."});
    let endpoint = Endpoint::answering(400, said).await;
    let (host, _) = open(&endpoint.user());
    let fault = host.access(&scopes("s")).await.expect_err("a refusal");
    assert!(!fault.is_passing());
    let text = format!("{fault} {fault:?}");
    for part in ["invalid_grant", "revoked", "gcloud auth application-default login"] {
        assert!(text.contains(part), "{text}");
    }
    for secret in ["s3cret", "r3fresh"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_is_asked_again_later() {
    let endpoint = Endpoint::answering(503, json!({})).await;
    let (host, _) = open(&endpoint.user());
    assert!(host.access(&scopes("s")).await.expect_err("a failure").is_passing());
}

#[tokio::test]
async fn a_user_has_no_identity_for_an_audience() {
    let endpoint = Endpoint::answering(200, json!({})).await;
    let (host, _) = open(&endpoint.user());
    assert!(matches!(host.identity("a").await, Err(HostFault::NoIdentity)));
    assert!(endpoint.forms().is_empty());
}

#[tokio::test]
async fn what_cannot_be_handed_out_is_refused_at_the_start_by_name() {
    let endpoint = Endpoint::answering(200, json!({})).await;
    let (world, _) = fixture::world();
    let refusal = |content: &str| {
        let path = endpoint.dir.path().join("adc.json");
        fs::write(&path, content).expect("written");
        match HostCredentials::open(&path, world.clone()) {
            Ok(_) => panic!("it is refused: {content}"),
            Err(fault) => fault.to_string(),
        }
    };
    for kind in ["impersonated_service_account", "external_account"] {
        let said =
            refusal(&json!({"type": kind, "source_credentials": {"x": "s3cret"}}).to_string());
        assert!(said.contains(kind) && !said.contains("s3cret"), "{said}");
    }
    let said = refusal(r#"{"type": "authorized_user", "client_secret": "s3cret"}"#);
    assert!(said.contains("lacks fields") && !said.contains("s3cret"), "{said}");
    let said = refusal("{\n\"client_secret\": s3cret");
    assert!(said.contains("line 2") && !said.contains("s3cret"), "{said}");
    let missing = endpoint.dir.path().join("missing.json");
    let said = HostCredentials::open(&missing, world.clone()).err().expect("no file").to_string();
    assert!(said.contains("gcloud auth application-default login"), "{said}");
}

#[tokio::test]
async fn secrets_leave_the_machine_over_tls_alone() {
    let endpoint = Endpoint::answering(200, json!({})).await;
    let path = endpoint.file(&json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
        "token_uri": "http://192.0.2.1/token",
    }));
    let (host, _) = open(&path);
    assert!(matches!(host.access(&scopes("s")).await, Err(HostFault::Clear(_))));
}
