//! One exchange of a refresh token, or of a signed assertion (RFC 7523), for a token.

use std::{path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, StatusCode, Url, redirect};
use ring::signature::RsaKeyPair;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::Deserialize;
use serde_json::json;

use super::{
    HostFault,
    file::{ServiceAccount, User},
};
use crate::token::encode;

/// Google answers in a fraction of a second; the libraries that wait for us ask again after some seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Of an answer: a token has some KiB.
const BYTES_MAX: usize = 64 << 10;

/// What an assertion is good for; it is used at once.
const ASSERTION_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// What is sent where.
pub(super) struct Grant {
    uri: Url,
    form: Vec<(&'static str, String)>,
}

/// What comes back.
#[derive(Default, Deserialize)]
pub(super) struct Granted {
    pub(super) access_token: Option<String>,
    pub(super) id_token: Option<String>,
    pub(super) expires_in: Option<i64>,
    error: Option<String>,
    error_description: Option<String>,
}

pub(super) fn client() -> Result<Client, String> {
    // Whoever installed one first has decided; it is ring in this program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .timeout(ANSWER_WITHIN)
        // A secret is sent to the address of the file and nowhere else.
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|e| e.to_string())
}

impl Grant {
    pub(super) fn of_user(path: &Path, user: &User) -> Result<Self, HostFault> {
        Ok(Self {
            uri: destination(path, &user.token_uri)?,
            form: vec![
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", user.client_id.clone()),
                ("client_secret", user.client_secret.clone()),
                ("refresh_token", user.refresh_token.clone()),
            ],
        })
    }

    /// `claim` is `scope` or `target_audience`, with its value.
    pub(super) fn of_account(
        path: &Path,
        account: &ServiceAccount,
        claim: &str,
        value: &str,
        now: Timestamp,
    ) -> Result<Self, HostFault> {
        let uri = destination(path, &account.token_uri)?;
        let claims = json!({
            "iss": account.client_email, "aud": account.token_uri, claim: value,
            "iat": now.as_second(),
            "exp": now.saturating_add(ASSERTION_LIFE).unwrap_or(now).as_second(),
        });
        let assertion = PrivatePkcs8KeyDer::from_pem_slice(account.private_key.as_bytes())
            .ok()
            .and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok())
            .and_then(|key| encode(&key, &account.private_key_id, "JWT", &claims))
            .ok_or_else(|| HostFault::File {
                path: path.to_owned(),
                why: "its private_key is no RSA key in PEM".to_owned(),
            })?;
        let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned();
        Ok(Self { uri, form: vec![("grant_type", grant_type), ("assertion", assertion)] })
    }

    pub(super) async fn exchange(&self, client: &Client) -> Result<Granted, HostFault> {
        let unreachable =
            |e: reqwest::Error| HostFault::Unreachable { host: self.host(), why: reason(&e) };
        let request = client.post(self.uri.clone()).form(&self.form);
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(self.refused(format!("its answer has more than {BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let granted: Granted = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(granted);
        }
        let error = granted.error.unwrap_or_default();
        let why =
            format!("HTTP {status} {error} {}", granted.error_description.unwrap_or_default());
        let why = why.trim_end().to_owned();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(HostFault::Unreachable { host: self.host(), why });
        }
        Err(self.refused(why))
    }

    pub(super) fn lacks(&self, what: &str) -> HostFault {
        self.refused(format!("its answer has no {what}"))
    }

    fn refused(&self, why: String) -> HostFault {
        HostFault::Refused { host: self.host(), why }
    }

    fn host(&self) -> String {
        self.uri.host_str().unwrap_or_default().to_owned()
    }
}

/// Where the secrets of the file at `path` go: over TLS, or not off this machine.
fn destination(path: &Path, uri: &str) -> Result<Url, HostFault> {
    let clear = || HostFault::Clear(path.to_owned());
    let uri = Url::parse(uri).map_err(|_| clear())?;
    let host = uri.host_str().unwrap_or_default();
    let here = host == "localhost" || host == "127.0.0.1" || host == "[::1]";
    if uri.scheme() == "https" || (uri.scheme() == "http" && here) { Ok(uri) } else { Err(clear()) }
}

/// The innermost cause, without the URL: the error repeats neither form nor headers.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER_WITHIN.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
