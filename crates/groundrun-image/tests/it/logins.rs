//! Who we are to a registry: nobody, a password, a token, a helper's word; and that it is told to nobody else.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use groundrun_core::port::ImageFaultKind;
use groundrun_image::{Credentials, Settings};
use serde_json::json;

use crate::{
    registries::{check_fault, layer_path, small},
    support::{
        desk::{Desk, impatient},
        registry::{Registry, Reply},
        tls,
    },
};

#[test]
fn blobs_may_lie_elsewhere_and_credentials_stay_here() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let image = small();
    let reference = registry.push("app", "v1", &image);
    let layer = layer_path("app", &image);
    elsewhere.put("/signed?key=1", "application/octet-stream", &image.layers[0].bytes);
    let target = format!("http://{}/signed?key=1", elsewhere.host);
    require_basic(&registry, move |path| {
        (path == layer).then(|| Reply::status(307, "").with("Location", target.clone()))
    });
    let login = Login::me(&registry.host);
    let desk = Desk::new(login.settings());
    desk.import(&reference).expect("imports");
    let asked = elsewhere.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers.get("authorization"), None);
}

/// `me` with the password `secret`.
const ME: &str = "Basic bWU6c2VjcmV0";

/// Docker's directory with what `docker login` wrote.
struct Login(tempfile::TempDir);

impl Login {
    fn with(config: &serde_json::Value) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Self(folder)
    }

    fn me(host: &str) -> Self {
        let auth = ME.trim_start_matches("Basic ");
        Self::with(&json!({"auths": {host: {"auth": auth}}}))
    }

    fn settings(&self) -> Settings {
        Settings {
            credentials: Credentials::Docker(self.0.path().to_owned()),
            ..Settings::default()
        }
    }
}

/// Lets only `me` in; `other` may answer a request of mine otherwise.
fn require_basic(
    registry: &Registry,
    other: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static,
) {
    registry.hook(move |request, reply| match request.headers.get("authorization") {
        Some(who) if who == ME => other(&request.path).or(reply),
        _ => Some(Reply::status(401, "").with("WWW-Authenticate", "Basic realm=\"r\"")),
    });
}

#[test]
fn a_password_is_sent_when_it_is_asked_for() {
    let registry = Registry::start();
    let reference = registry.push("app", "v1", &small());
    require_basic(&registry, |_| None);
    let login = Login::me(&registry.host);
    Desk::new(login.settings()).import(&reference).expect("imports");

    let nobody = Desk::new(Settings::default());
    check_fault(&nobody, &reference, ImageFaultKind::PermissionDenied, "anonymous");
    let wrong = Login::with(&json!({"auths": {&registry.host: {"auth": "bWU6d3Jvbmc="}}}));
    let wrong = Desk::new(wrong.settings());
    check_fault(&wrong, &reference, ImageFaultKind::PermissionDenied, "user \"me\"");
}

/// Asks for a token of `realm`, and takes `Bearer right`.
fn require_token(registry: &Registry, realm: String) {
    let challenge = format!("Bearer realm=\"{realm}\",service=\"registry.test\"");
    registry.hook(move |request, reply| match request.headers.get("authorization") {
        Some(token) if token == "Bearer right" => reply,
        _ => Some(Reply::status(401, "").with("WWW-Authenticate", challenge.clone())),
    });
}

#[test]
fn a_token_is_fetched_once_for_all_requests() {
    let (registry, tokens) = (Registry::start(), Registry::start());
    let reference = registry.push("team/app", "v1", &small());
    require_token(&registry, format!("http://{}/token", tokens.host));
    tokens.hook(|_, _| Some(Reply::status(200, r#"{"token": "right"}"#)));
    let desk = Desk::new(Settings::default());
    desk.import(&reference).expect("imports");
    let asked = tokens.log();
    assert_eq!(asked, ["GET /token?scope=repository%3Ateam%2Fapp%3Apull&service=registry.test"]);
    assert_eq!(tokens.requests()[0].headers.get("authorization"), None, "anonymous");

    // A token that has run out is fetched again.
    tokens.hook(|_, _| Some(Reply::status(200, r#"{"access_token": "newer"}"#)));
    registry.hook(move |request, reply| match request.headers.get("authorization") {
        Some(token) if token == "Bearer newer" => reply,
        _ => Some(
            Reply::status(401, "")
                .with("WWW-Authenticate", format!("Bearer realm=\"http://{}/\"", tokens.host)),
        ),
    });
    desk.import(&reference).expect("imports");
}

#[test]
fn a_token_is_fetched_with_the_users_password_or_refresh_token() {
    let (registry, tokens) = (Registry::start(), Registry::start());
    let reference = registry.push("app", "v1", &small());
    require_token(&registry, format!("http://{}/token", tokens.host));
    tokens.hook(|request, _| {
        let known = request.headers.get("authorization").is_some_and(|who| who == ME)
            || (request.method == "POST" && request.body.contains("refresh_token=refresh&"));
        Some(if known {
            Reply::status(200, r#"{"token": "right"}"#)
        } else {
            Reply::status(401, "")
        })
    });
    let login = Login::me(&registry.host);
    Desk::new(login.settings()).import(&reference).expect("imports");
    let identity = json!({"auths": {&registry.host: {"auth": "", "identitytoken": "refresh"}}});
    let login = Login::with(&identity);
    Desk::new(login.settings()).import(&reference).expect("imports");
    let nobody = Desk::new(Settings::default());
    check_fault(&nobody, &reference, ImageFaultKind::PermissionDenied, "anonymous");
}

#[test]
fn a_token_server_that_fails_is_not_a_user_who_may_not() {
    let (registry, tokens) = (Registry::start(), Registry::start());
    let reference = registry.push("app", "v1", &small());
    require_token(&registry, format!("http://{}/token", tokens.host));
    let desk = Desk::new(impatient());
    for (answer, reason) in [
        (Some(Reply::status(503, "")), "HTTP 503"),
        (Some(Reply::status(429, "")), "how often"),
        (Some(Reply::status(200, "<html>")), "no token"),
        (Some(Reply::status(200, "{}")), "holds no token"),
        (None, "no answer"),
    ] {
        tokens.hook(move |_, _| answer.clone());
        check_fault(&desk, &reference, ImageFaultKind::Unreachable, reason);
    }
}

#[test]
fn a_credential_helper_that_cannot_be_asked_is_told_when_it_matters() {
    let registry = Registry::start();
    let reference = registry.push("app", "v1", &small());
    require_basic(&registry, |_| None);
    let host = &registry.host;
    // A helper is a program on the PATH, which a test cannot change for one thread: one that is not there fails.
    let login = Login::with(&json!({"credHelpers": {host: "groundrun-test-none"}}));
    let desk = Desk::new(login.settings());
    check_fault(
        &desk,
        &reference,
        ImageFaultKind::PermissionDenied,
        "no credentials could be read",
    );
}

#[test]
fn a_damaged_docker_configuration_is_told_when_it_matters() {
    let registry = Registry::start();
    let reference = registry.push("app", "v1", &small());
    let login = Login::with(&json!("not an object"));
    Desk::new(login.settings()).import(&reference).expect("public: nobody asks");
    require_basic(&registry, |_| None);
    let desk = Desk::new(login.settings());
    check_fault(&desk, &reference, ImageFaultKind::PermissionDenied, "config.json");
}

#[test]
fn other_hosts_are_asked_over_tls_unless_they_are_configured() {
    // 0.0.0.0 reaches this machine, and is no loopback address by name.
    let registry = Registry::start();
    registry.push("app", "v1", &small());
    let reference = format!("0.0.0.0:{}/app:v1", registry.host.rsplit(':').next().unwrap());
    let desk = Desk::new(Settings::default());
    let fault = desk.import(&reference).expect_err("no TLS there");
    assert_eq!(fault.kind, ImageFaultKind::Unreachable, "{fault:?}");
    assert_eq!(registry.log(), [] as [String; 0], "nothing is sent in plain");
    let host = reference.split('/').next().unwrap().to_owned();
    let desk = Desk::new(Settings { insecure: vec![host], ..Settings::default() });
    desk.import(&reference).expect("imports");
}

#[test]
fn a_registry_over_tls_is_believed_when_a_known_authority_vouches_for_it() {
    let registry = Registry::start();
    let image = small();
    registry.push("app", "v1", &image);
    let front = tls::Front::before(&registry.host);
    let reference = format!("0.0.0.0:{}/app:v1", front.port);
    let desk = Desk::new(Settings::default());
    check_fault(&desk, &reference, ImageFaultKind::Unreachable, "certificate");
    assert_eq!(registry.log(), [] as [String; 0]);
    let trusting = Settings { extra_roots: vec![tls::AUTHORITY.to_vec()], ..Settings::default() };
    let desk = Desk::new(trusting);
    assert_eq!(desk.import(&reference).expect("imports").digest, image.digest());
}

#[test]
fn what_was_asked_over_tls_is_not_sent_on_in_plain() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let image = small();
    registry.push("app", "v1", &image);
    let front = tls::Front::before(&registry.host);
    let reference = format!("0.0.0.0:{}/app:v1", front.port);
    let desk =
        Desk::new(Settings { extra_roots: vec![tls::AUTHORITY.to_vec()], ..Settings::default() });
    let (layer, target) = (layer_path("app", &image), format!("http://{}/x", elsewhere.host));
    registry.hook(move |request, reply| {
        if request.path == layer {
            Some(Reply::status(307, "").with("Location", target.clone()))
        } else {
            reply
        }
    });
    check_fault(&desk, &reference, ImageFaultKind::Unreachable, "from HTTPS to plain HTTP");
    let realm = format!("Bearer realm=\"http://{}/token\"", elsewhere.host);
    registry.hook(move |_, _| Some(Reply::status(401, "").with("WWW-Authenticate", realm.clone())));
    check_fault(&desk, &reference, ImageFaultKind::Unusable, "token server without TLS");
    assert_eq!(elsewhere.log(), [] as [String; 0]);
}

/// Started by the test below as a process of its own, with credential helpers on its PATH.
#[test]
fn helper_asker() {
    let Ok(login) = std::env::var("ASKER_LOGIN") else { return };
    let registry = Registry::start();
    let reference = registry.push("app", "v1", &small());
    require_basic(&registry, |_| None);
    let mut settings = impatient();
    settings.timeouts.helper = Duration::from_millis(300);
    let with = |helper: &str| {
        let config = json!({"credHelpers": {&registry.host: helper}});
        fs::write(format!("{login}/config.json"), config.to_string()).unwrap();
        let credentials = Credentials::Docker(login.clone().into());
        Desk::new(Settings { credentials, ..settings.clone() })
    };
    with("knows").import(&reference).expect("the helper knows me");
    let denied = ImageFaultKind::PermissionDenied;
    check_fault(&with("unknown"), &reference, denied, "does not let anonymous users");
    check_fault(
        &with("breaks"),
        &reference,
        denied,
        "docker-credential-breaks failed: out of order",
    );
    // Hung helpers keep their places: also the fifth one is given up in time.
    for _ in 0..2 {
        check_fault(&with("hangs"), &reference, denied, "does not answer within 0.3 s");
    }
    println!("asked all helpers");
}

#[test]
fn credential_helpers_are_asked_and_may_fail_or_hang() {
    let folder = tempfile::TempDir::new().unwrap();
    let helper = |name: &str, script: &str| {
        let path = folder.path().join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\ncat >/dev/null\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    helper("knows", r#"echo '{"ServerURL":"x","Username":"me","Secret":"secret"}'"#);
    helper("unknown", "echo 'credentials not found in native keychain'; exit 1");
    helper("breaks", "echo 'out of order' >&2; exit 1");
    // Longer than the patience of the asker, and over soon after.
    helper("hangs", "exec sleep 2");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "logins::helper_asker", "--nocapture"])
        .env("ASKER_LOGIN", folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("asked all helpers"), "{said}");
}
