//! The file of application default credentials, as gcloud and the console write it.

use std::{fs::File, io::Read, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::HostFault;

/// Real ones have 3 KiB.
const BYTES_MAX: u64 = 64 << 10;

/// A kind of credentials that can be handed out.
pub(super) enum Credential {
    User(User),
    ServiceAccount(ServiceAccount),
}

/// `authorized_user`: what `gcloud auth application-default login` leaves.
#[derive(Deserialize)]
pub(super) struct User {
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) refresh_token: String,
    #[serde(default = "google")]
    pub(super) token_uri: String,
}

/// `service_account`: a downloaded key.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    pub(super) client_email: String,
    #[serde(default)]
    pub(super) private_key_id: String,
    /// PKCS #8, PEM.
    pub(super) private_key: String,
    #[serde(default = "google")]
    pub(super) token_uri: String,
}

fn google() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// What the file at `path` holds.
pub(super) fn read(path: &Path) -> Result<Credential, HostFault> {
    let fault = |why: String| HostFault::File { path: path.to_owned(), why };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
        .map_err(|e| fault(e.to_string()))?;
    // What serde says of a value could repeat it: a file of secrets is named by its line alone.
    let value: Value =
        serde_json::from_str(&text).map_err(|e| fault(format!("no JSON in line {}", e.line())))?;
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let incomplete = |_| fault(format!("it lacks fields of the type '{kind}'"));
    match kind.as_str() {
        "authorized_user" => {
            serde_json::from_value(value).map(Credential::User).map_err(incomplete)
        }
        "service_account" => {
            serde_json::from_value(value).map(Credential::ServiceAccount).map_err(incomplete)
        }
        _ => Err(HostFault::Kind { path: path.to_owned(), kind }),
    }
}
