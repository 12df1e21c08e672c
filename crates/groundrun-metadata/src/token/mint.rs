//! Makes and checks tokens.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use groundrun_core::id::{AttemptId, ExecutionUid};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    jwt,
    keyring::{Key, KeyFault, Keyring},
};
use crate::{
    http::IdentityAsk,
    identity::{Asker, World},
};

/// How long an access token is good for, as Google's.
pub(crate) const ACCESS_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// A token is handed out again while it is good for longer than this, as Google's server does.
pub(crate) const FRESH_FOR: SignedDuration = SignedDuration::from_mins(5);

/// How long an identity token is good for, as Google's.
const IDENTITY_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Between two clocks of one machine, one of which was put back.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Begins an access token, so that one in the wrong place is noticed.
const PREFIX: &str = "grt1.";

/// Kinds of tokens: an identity token shown to a service can never be used as an access token.
const ACCESS: &str = "at+jwt";
const IDENTITY: &str = "JWT";

/// Makes the tokens of this server's tasks, and checks them.
pub struct Mint {
    keyring: Keyring,
    world: World,
    issuer: OnceLock<String>,
}

/// An access token.
#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    pub(crate) text: String,
    pub(crate) expires: Timestamp,
}

/// Who shows an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// E-mail address of the service account.
    pub service_account: String,
    /// Project id.
    pub project: String,
    /// The attempt that it was handed out to.
    pub attempt: AttemptId,
    /// What it was asked for.
    pub scopes: Vec<String>,
}

/// Why a token cannot be made, or is not believed.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// The keys cannot be used.
    #[error("the server's signing keys: {0}")]
    Keys(String),
    /// Asked before the server knows its own address.
    #[error("the server is starting")]
    Starting,
    /// Not a token of this server, or changed since.
    #[error("not an access token of this server")]
    Foreign,
    /// Was one.
    #[error("the access token is not good any more: it was good until {0}")]
    Expired(Timestamp),
}

impl From<KeyFault> for TokenFault {
    fn from(fault: KeyFault) -> Self {
        let mut text = fault.to_string();
        if let Some(cause) = std::error::Error::source(&fault) {
            text.push_str(": ");
            text.push_str(&cause.to_string());
        }
        Self::Keys(text)
    }
}

impl Mint {
    /// Keys are kept in `dir`; the first is made when it is needed.
    pub fn new(dir: PathBuf, world: World) -> Self {
        Self { keyring: Keyring::new(dir, world.clone()), world, issuer: OnceLock::new() }
    }

    /// The server's own URL, in whose name tokens are issued: said once, when it is known.
    ///
    /// Not Google's: a token that says it is from there and is not would be a lie, and discovery by the issuer leads to
    /// the keys only when it is the address that has them.
    pub fn issue_as(&self, url: &str) {
        // Whoever said it first has decided.
        let _ = self.issuer.set(url.to_owned());
    }

    pub(super) fn issuer(&self) -> Result<&str, TokenFault> {
        self.issuer.get().map(String::as_str).ok_or(TokenFault::Starting)
    }

    pub(super) fn keys(&self) -> Result<Vec<Arc<Key>>, TokenFault> {
        Ok(self.keyring.keys((self.world.clock)())?)
    }

    /// An access token of the task for `scopes`. Blocks for the half millisecond that a signature takes, or for a key.
    pub(crate) fn access(
        &self,
        asker: &Asker,
        scopes: &[String],
    ) -> Result<AccessToken, TokenFault> {
        let Asker { id, identity } = asker;
        let (now, issuer) = ((self.world.clock)(), self.issuer()?);
        let expires = now.saturating_add(ACCESS_LIFE).unwrap_or(now);
        let subject = unique_id(&identity.service_account);
        let claims = json!({
            "iss": issuer, "aud": issuer, "azp": subject, "sub": subject,
            "email": identity.service_account, "scope": scopes.join(" "),
            "iat": now.as_second(), "exp": expires.as_second(),
            "project": identity.project, "attempt": id.to_string(),
        });
        Ok(AccessToken { text: format!("{PREFIX}{}", self.sign(now, ACCESS, &claims)?), expires })
    }

    /// An identity token of the task, for whom it asks. Blocks as [`access`](Self::access).
    pub(crate) fn identity(&self, asker: &Asker, ask: &IdentityAsk) -> Result<String, TokenFault> {
        let Asker { id, identity } = asker;
        let (now, issuer) = ((self.world.clock)(), self.issuer()?);
        let expires = now.saturating_add(IDENTITY_LIFE).unwrap_or(now);
        let subject = unique_id(&identity.service_account);
        let mut claims = json!({
            "iss": issuer, "aud": ask.audience, "azp": subject, "sub": subject,
            "email": identity.service_account, "email_verified": true,
            "iat": now.as_second(), "exp": expires.as_second(),
        });
        if ask.full {
            // In Google's shape; the instance is the attempt.
            claims["google"] = json!({"compute_engine": {
                "instance_id": id.instance(), "instance_name": identity.execution,
                "project_id": identity.project, "project_number": identity.project_number,
                "zone": format!("{}-1", identity.region),
            }});
            if ask.licenses {
                claims["google"]["compute_engine"]["license_id"] = json!([]);
            }
        }
        self.sign(now, IDENTITY, &claims)
    }

    fn sign(&self, now: Timestamp, kind: &str, claims: &Value) -> Result<String, TokenFault> {
        let key = self.keyring.signer(now)?;
        jwt::encode(&key.pair, &key.id, kind, claims)
            .ok_or_else(|| TokenFault::Keys("a signature failed".to_owned()))
    }

    /// Who shows `token`, an access token of this server. Blocks for reading keys, the first time.
    pub fn verify(&self, token: &str) -> Result<Principal, TokenFault> {
        let now = (self.world.clock)();
        let parts = token.strip_prefix(PREFIX).and_then(jwt::Parts::read);
        let parts = parts.filter(|parts| parts.header.typ == ACCESS).ok_or(TokenFault::Foreign)?;
        let keys = self.keyring.keys(now)?;
        let claims: Claims = keys
            .iter()
            .find(|key| key.id == parts.header.kid)
            .and_then(|key| parts.claims(key.pair.public().as_ref()))
            .ok_or(TokenFault::Foreign)?;
        claims.believed(now)
    }
}

#[derive(Deserialize)]
struct Claims {
    email: String,
    scope: String,
    project: String,
    attempt: String,
    iat: i64,
    exp: i64,
}

impl Claims {
    fn believed(self, now: Timestamp) -> Result<Principal, TokenFault> {
        let expires = Timestamp::from_second(self.exp).map_err(|_| TokenFault::Foreign)?;
        let issued = Timestamp::from_second(self.iat).map_err(|_| TokenFault::Foreign)?;
        if now >= expires {
            return Err(TokenFault::Expired(expires));
        }
        if issued.duration_since(now) > SKEW {
            return Err(TokenFault::Foreign);
        }
        Ok(Principal {
            attempt: self.attempt.parse().map_err(|_| TokenFault::Foreign)?,
            scopes: self.scope.split(' ').map(str::to_owned).collect(),
            service_account: self.email,
            project: self.project,
        })
    }
}

impl Principal {
    /// The execution whose task it is.
    pub fn execution(&self) -> ExecutionUid {
        self.attempt.execution
    }
}

/// What Google calls an account's unique id: 21 digits. Here they follow from its address.
fn unique_id(email: &str) -> String {
    const DIGITS_20: u128 = 100_000_000_000_000_000_000;
    let digest = Sha256::digest(email.as_bytes());
    let number = digest.iter().take(16).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    format!("1{:020}", number % DIGITS_20)
}
