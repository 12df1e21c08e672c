//! One task's requests and their answers. What is read is told at once; tokens are signed, or fetched from Google.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use groundrun_core::id::AttemptId;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SERVER},
};
use tokio::sync::{OnceCell, Semaphore};

use super::{
    request::{Asked, FLAVOR, GOOGLE, HTML, IdentityAsk, JSON, TEXT, Told, ask},
    tree::{CLOUD_PLATFORM, tree},
};
use crate::{
    host::{HostCredentials, HostFault},
    identity::{Asker, Lookup, World},
    token::{AccessToken, FRESH_FOR, Mint},
};

/// Lists of scopes whose tokens are kept per task: a program uses one or two.
const TOKENS_MAX: usize = 16;

/// Look-ups and signatures at once: a task that asks without end takes one core at most from all the others.
const WORK_MAX: usize = 1;

/// What Cloud Run's server calls itself.
const NAME: &str = "Metadata Server for Serverless";

/// What all tasks' servers share.
pub(crate) struct Shared {
    pub(crate) lookup: Lookup,
    pub(crate) mint: Arc<Mint>,
    pub(crate) world: World,
    /// The user's own Google credentials, where these are handed out in place of a task's.
    pub(crate) host: Option<HostCredentials>,
    work: Semaphore,
}

impl Shared {
    pub(crate) fn new(
        lookup: Lookup,
        mint: Arc<Mint>,
        world: World,
        host: Option<HostCredentials>,
    ) -> Self {
        Self { lookup, mint, world, host, work: Semaphore::new(WORK_MAX) }
    }
}

/// The server of one attempt.
pub(crate) struct Front {
    id: AttemptId,
    shared: Arc<Shared>,
    asker: OnceCell<Asker>,
    tokens: Mutex<Vec<(Vec<String>, AccessToken)>>,
}

impl Front {
    pub(crate) fn new(id: AttemptId, shared: Arc<Shared>) -> Self {
        Self { id, shared, asker: OnceCell::new(), tokens: Mutex::default() }
    }

    /// Always an answer.
    pub(super) async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        let told = match self.asker().await {
            None => busy("the task is not known yet, or not any more"),
            Some(asker) => match ask(method, uri, headers, || tree(asker)) {
                Asked::Told(told) => told,
                Asked::Token { scopes } => self.token(asker, scopes).await,
                Asked::Identity(wanted) => self.identity(asker, wanted).await,
            },
        };
        response(told)
    }

    async fn asker(&self) -> Option<&Asker> {
        let look = || async {
            let (lookup, execution) = (Arc::clone(&self.shared.lookup), self.id.execution);
            let found = self.off_the_reactor(move || lookup(execution)).await.flatten();
            let mut identity = found.ok_or(())?;
            if let Some(email) = self.shared.host.as_ref().and_then(HostCredentials::email) {
                identity.service_account = email;
            }
            Ok::<_, ()>(Asker { id: self.id, identity })
        };
        self.asker.get_or_try_init(look).await.ok()
    }

    async fn token(&self, asker: &Asker, mut scopes: Vec<String>) -> Told {
        if scopes.is_empty() {
            scopes.push(CLOUD_PLATFORM.to_owned());
        }
        if let Some(token) = self.kept(&scopes) {
            return self.access(&token);
        }
        let made = match &self.shared.host {
            Some(host) => match host.access(&scopes).await {
                Ok(token) => token,
                Err(fault) => return host_refuses(&fault),
            },
            None => {
                let (mint, asker, asked) =
                    (Arc::clone(&self.shared.mint), asker.clone(), scopes.clone());
                match self.off_the_reactor(move || mint.access(&asker, &asked)).await {
                    Some(Ok(token)) => token,
                    Some(Err(fault)) => return cannot_sign(&fault),
                    None => return busy("the request failed"),
                }
            }
        };
        let told = self.access(&made);
        self.keep(scopes, made);
        told
    }

    fn kept(&self, scopes: &[String]) -> Option<AccessToken> {
        let now = (self.shared.world.clock)();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|(_, token)| token.expires.duration_since(now) > FRESH_FOR);
        tokens.iter().find(|(of, _)| of == scopes).map(|(_, token)| token.clone())
    }

    fn keep(&self, scopes: Vec<String>, token: AccessToken) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() == TOKENS_MAX {
            tokens.remove(0);
        }
        tokens.push((scopes, token));
    }

    fn access(&self, token: &AccessToken) -> Told {
        let left = token.expires.duration_since((self.shared.world.clock)()).as_secs().max(0);
        let body = serde_json::json!({
            "access_token": token.text, "expires_in": left, "token_type": "Bearer",
        });
        Told::new(StatusCode::OK, JSON, body.to_string())
    }

    async fn identity(&self, asker: &Asker, wanted: IdentityAsk) -> Told {
        if let Some(host) = &self.shared.host {
            return match host.identity(&wanted.audience).await {
                Ok(token) => Told::new(StatusCode::OK, TEXT, token),
                Err(fault) => host_refuses(&fault),
            };
        }
        let (mint, asker) = (Arc::clone(&self.shared.mint), asker.clone());
        match self.off_the_reactor(move || mint.identity(&asker, &wanted)).await {
            Some(Ok(token)) => Told::new(StatusCode::OK, TEXT, token),
            Some(Err(fault)) => cannot_sign(&fault),
            None => busy("the request failed"),
        }
    }

    /// `None` where `work` panicked.
    async fn off_the_reactor<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        // Never closed.
        let _permit = self.shared.work.acquire().await;
        let done = tokio::task::spawn_blocking(work).await;
        done.inspect_err(|error| tracing::error!(%error, "an answer to a task panicked")).ok()
    }
}

/// Google's libraries ask again after a 503.
fn busy(why: &str) -> Told {
    Told::new(StatusCode::SERVICE_UNAVAILABLE, HTML, format!("{why}\n"))
}

fn cannot_sign(fault: &dyn std::error::Error) -> Told {
    tracing::error!(%fault, "a task's token cannot be made");
    busy("the server cannot make a token: its log says why")
}

fn host_refuses(fault: &HostFault) -> Told {
    tracing::warn!(%fault, "a task asked for the user's own credentials in vain");
    if fault.is_passing() {
        return busy(&fault.to_string());
    }
    Told::new(StatusCode::BAD_REQUEST, HTML, format!("{fault}\n"))
}

fn response(told: Told) -> Response<Full<Bytes>> {
    let Told { status, kind, body, location, flavored } = told;
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(CONTENT_TYPE, kind);
    set(SERVER, NAME);
    set(HeaderName::from_static("x-xss-protection"), "0");
    set(HeaderName::from_static("x-frame-options"), "SAMEORIGIN");
    if flavored {
        set(HeaderName::from_static(FLAVOR), GOOGLE);
    }
    // A path that came in as a target goes out as one.
    if let Some(to) = location.and_then(|to| HeaderValue::try_from(to).ok()) {
        headers.insert(LOCATION, to);
    }
    response
}
