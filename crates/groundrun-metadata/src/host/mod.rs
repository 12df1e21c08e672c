//! The user's own Google credentials (`--adc=host`), handed out in place of a task's, only when asked for.
//!
//! The file that Google's libraries call application default credentials is read afresh for each token; its refresh
//! token or its key is exchanged at its `token_uri`. Nothing of it is logged or kept on disk.

mod exchange;
mod file;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use jiff::SignedDuration;
use reqwest::Client;
use tokio::sync::Mutex;

use self::{
    exchange::Grant,
    file::{Credential, read},
};
use crate::{
    identity::World,
    token::{AccessToken, FRESH_FOR},
};

/// Tokens kept at once, for all tasks together: they are the same user's.
const TOKENS_MAX: usize = 64;

/// Credentials of the user who runs the server.
pub struct HostCredentials {
    path: PathBuf,
    world: World,
    client: OnceLock<Result<Client, String>>,
    /// Held while a token is fetched, so that a thousand tasks that begin at once ask Google once.
    tokens: Mutex<Vec<(Vec<String>, AccessToken)>>,
}

/// Why there is no token of the user's.
#[derive(Debug, thiserror::Error)]
pub enum HostFault {
    /// There is no such file, or it cannot be read.
    #[error("read {path}: {why}; `gcloud auth application-default login` makes it")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file is of a kind that is not handed out.
    #[error(
        "{path} has credentials of type '{kind}', which --adc=host does not hand out: only authorized_user and service_account"
    )]
    Kind {
        /// Which file.
        path: PathBuf,
        /// Its type.
        kind: String,
    },
    /// A user has no identity tokens for an audience.
    #[error(
        "the user's own credentials (authorized_user) give no identity token for an audience: use a service account's, or the task's own identity (--adc=task)"
    )]
    NoIdentity,
    /// Secrets go over TLS alone.
    #[error("the token_uri of {0} is not https: its secrets are not sent there")]
    Clear(PathBuf),
    /// Nobody answered.
    #[error("ask {host} for a token: {why}")]
    Unreachable {
        /// Whom.
        host: String,
        /// Why.
        why: String,
    },
    /// It said no.
    #[error(
        "{host} refuses a token: {why}; `gcloud auth application-default login` renews a user's credentials"
    )]
    Refused {
        /// Who.
        host: String,
        /// Its reason.
        why: String,
    },
}

impl HostFault {
    /// Trying again may help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl HostCredentials {
    /// Credentials in the file at `path`: it must be there and of a kind that can be used.
    pub fn open(path: &Path, world: World) -> Result<Self, HostFault> {
        read(path)?;
        let (client, tokens) = (OnceLock::new(), Mutex::default());
        Ok(Self { path: path.to_owned(), world, client, tokens })
    }

    /// The address of a service account; a user's is not in the file.
    pub(crate) fn email(&self) -> Option<String> {
        match read(&self.path) {
            Ok(Credential::ServiceAccount(account)) => Some(account.client_email),
            _ => None,
        }
    }

    pub(crate) async fn access(&self, scopes: &[String]) -> Result<AccessToken, HostFault> {
        let mut tokens = self.tokens.lock().await;
        let now = (self.world.clock)();
        tokens.retain(|(_, token)| token.expires.duration_since(now) > FRESH_FOR);
        if let Some((_, token)) = tokens.iter().find(|(of, _)| of == scopes) {
            return Ok(token.clone());
        }
        let grant = match read(&self.path)? {
            Credential::User(user) => Grant::of_user(&self.path, &user)?,
            Credential::ServiceAccount(account) => {
                Grant::of_account(&self.path, &account, "scope", &scopes.join(" "), now)?
            }
        };
        let granted = grant.exchange(self.client()?).await?;
        let text = granted.access_token.ok_or_else(|| grant.lacks("access_token"))?;
        let life = SignedDuration::from_secs(granted.expires_in.unwrap_or(0));
        let expires = now.saturating_add(life).unwrap_or(now);
        let token = AccessToken { text, expires };
        if tokens.len() == TOKENS_MAX {
            tokens.remove(0);
        }
        tokens.push((scopes.to_vec(), token.clone()));
        Ok(token)
    }

    pub(crate) async fn identity(&self, audience: &str) -> Result<String, HostFault> {
        let grant = match read(&self.path)? {
            Credential::User(_) => return Err(HostFault::NoIdentity),
            Credential::ServiceAccount(account) => {
                let now = (self.world.clock)();
                Grant::of_account(&self.path, &account, "target_audience", audience, now)?
            }
        };
        let granted = grant.exchange(self.client()?).await?;
        granted.id_token.ok_or_else(|| grant.lacks("id_token"))
    }

    fn client(&self) -> Result<&Client, HostFault> {
        let made = self.client.get_or_init(exchange::client);
        made.as_ref().map_err(|why| HostFault::Unreachable {
            host: "Google".to_owned(),
            why: format!("{why}; install the certificates of your distribution (ca-certificates)"),
        })
    }
}
