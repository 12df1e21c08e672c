//! Who we are to a registry: docker's `config.json` and the credential helpers that it names.

use std::{fs::File, io::BufReader, path::PathBuf, sync::Arc, time::Duration};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use tokio::sync::Semaphore;

/// Helpers asked at once. A helper that hangs keeps its place until it ends, so that hung ones do not pile up.
const HELPERS_MAX: usize = 4;

/// Docker files its hub under this address.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Without credentials; `why` if there should have been some.
    Nobody { why: Option<String> },
    /// With a password, or a token in its place.
    User { name: String, password: String },
    /// With a refresh token of the token server.
    Identity { token: String },
}

/// Where credentials come from.
pub(super) struct Source {
    folder: Option<PathBuf>,
    helper: Duration,
    helpers: Arc<Semaphore>,
}

impl Source {
    pub(super) fn anonymous() -> Self {
        Self { folder: None, helper: Duration::ZERO, helpers: Arc::new(Semaphore::new(0)) }
    }

    pub(super) fn docker(folder: PathBuf, helper: Duration) -> Self {
        Self { folder: Some(folder), helper, helpers: Arc::new(Semaphore::new(HELPERS_MAX)) }
    }

    /// Who we are to `registry`. What goes wrong is told when the registry does not take nobody.
    pub(super) async fn who(&self, registry: &str) -> Who {
        let Some(folder) = &self.folder else { return Who::Nobody { why: None } };
        let path = folder.join("config.json");
        let server = if registry == "docker.io" { DOCKER_HUB } else { registry }.to_owned();
        let helpers = Arc::clone(&self.helpers);
        let asked = async move {
            let place = helpers.acquire_owned().await.ok()?;
            // Helpers are programs, and the library waits for them.
            let asked = tokio::task::spawn_blocking(move || {
                let _place = place;
                read(&path, &server)
            });
            asked.await.ok()
        };
        match tokio::time::timeout(self.helper, asked).await {
            Ok(Some(who)) => who,
            Ok(None) | Err(_) => Who::Nobody {
                why: Some(format!(
                    "docker's credential helper does not answer within {} s",
                    self.helper.as_secs_f64()
                )),
            },
        }
    }
}

fn read(path: &std::path::Path, server: &str) -> Who {
    let Ok(file) = File::open(path) else { return Who::Nobody { why: None } };
    match docker_credential::get_credential_from_reader(BufReader::new(file), server) {
        Ok(DockerCredential::UsernamePassword(name, password)) => Who::User { name, password },
        Ok(DockerCredential::IdentityToken(token)) => Who::Identity { token },
        Err(err) => Who::Nobody { why: why(&err, path) },
    }
}

fn why(err: &CredentialRetrievalError, path: &std::path::Path) -> Option<String> {
    match err {
        CredentialRetrievalError::NoCredentialConfigured => None,
        // The protocol of helpers has no other way to say that they know nobody.
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. }
            if format!("{stdout}{stderr}").contains("credentials not found") =>
        {
            None
        }
        CredentialRetrievalError::HelperFailure { helper, stdout, stderr } => {
            let said: String = format!("{stdout} {stderr}").chars().take(200).collect();
            Some(format!(
                "{helper} failed: {}",
                said.split_whitespace().collect::<Vec<_>>().join(" ")
            ))
        }
        err => Some(format!("{}: {err}", path.display())),
    }
}
