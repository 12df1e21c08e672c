//! What the front is told at start, and the checks that need no request.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use crate::place::Projects;

/// The name under which a client that uses this server as its HTTP proxy reaches it: `http://run.groundrun.test/`, and
/// `http://{region}-run.groundrun.test/`. The top-level name `test` is reserved (RFC 6761): no web site can have it.
pub const PROXY_NAME: &str = "run.groundrun.test";

/// Everything the front is told at start.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    /// Which projects there are, and their numbers.
    pub projects: Projects,
    /// The region of a request whose host has no region prefix, and of a job created by one.
    pub region: String,
    /// Regions to list besides the default one. Any well-formed region is served.
    pub regions: BTreeSet<String>,
    /// When set, every call but the health checks must carry it.
    pub token: Option<Token>,
    /// Further host names under which this server may be called, each also with a region prefix.
    pub public_names: BTreeSet<String>,
    /// Scheme and authority that `logUri` begins with; absent, those of the address listened on.
    pub console: Option<String>,
    /// How long create and replace wait for the check of the job's images (fact: semantics 11).
    pub readiness_within: Duration,
    /// Between two bookmarks of a watch, which come only where something happened that was not told.
    pub bookmark_every: Duration,
    /// Annotations `run.googleapis.com/creator` and `lastModifier`: an e-mail address or a local account.
    pub account: String,
}

/// A bearer token. Its text is never printed.
#[derive(Clone)]
pub struct Token(String);

/// What makes a configuration unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Anyone who reaches the address could start containers.
    #[error(
        "{0} is not a loopback address: refused unless a bearer token is configured, since anyone who reaches it could \
         start containers"
    )]
    OpenToOthers(SocketAddr),
    /// An empty token protects nothing.
    #[error("the bearer token is empty or has blanks in it")]
    UnusableToken,
}

impl ServerConfig {
    /// The configuration of a server for one project and one region on `listen`, without a token.
    pub fn new(listen: SocketAddr, project: &str, region: &str) -> Self {
        Self {
            listen,
            projects: Projects::new(project, BTreeMap::new()),
            region: region.to_owned(),
            regions: BTreeSet::new(),
            token: None,
            public_names: BTreeSet::new(),
            console: None,
            readiness_within: Duration::from_millis(300),
            bookmark_every: Duration::from_secs(60),
            account: "local-user".to_owned(),
        }
    }

    /// Refuses what must not be served.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && self.token.is_none() {
            return Err(ConfigError::OpenToOthers(self.listen));
        }
        Ok(())
    }
}

impl Token {
    /// Accepts a token of visible characters.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::UnusableToken);
        }
        Ok(Self(text.to_owned()))
    }

    /// Compares in a time that depends on the lengths alone, so that answers do not spell the token byte by byte.
    pub(crate) fn is(&self, given: &str) -> bool {
        let differing = self.0.bytes().zip(given.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b));
        std::hint::black_box(differing) == 0 && self.0.len() == given.len()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_equals_itself_alone() {
        let token = Token::new("s3cret\n").expect("visible characters");
        assert!(token.is("s3cret"));
        for other in ["", "s3cre", "s3cret ", "s3cretx", "S3cret"] {
            assert!(!token.is(other), "{other:?}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn an_unusable_token_is_refused() {
        for text in ["", "  ", "two words", "tab\tbed"] {
            assert!(Token::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_non_loopback_address_is_refused_without_a_token() {
        let mut config = ServerConfig::new(([0, 0, 0, 0], 8080).into(), "demo", "us-central1");
        assert!(matches!(config.check(), Err(ConfigError::OpenToOthers(_))));
        config.token = Some(Token::new("t").expect("visible characters"));
        assert!(config.check().is_ok());
    }
}
