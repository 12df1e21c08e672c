//! One HTTP exchange with a registry: which scheme, which credentials, how long, and what its status means.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use groundrun_core::port::ImageFaultKind;
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, RANGE, WWW_AUTHENTICATE},
    redirect,
};
use serde::Deserialize;

use super::{auth, credentials, too_large};
use crate::{
    digest::Digest,
    fault::Fault,
    reference::Remote,
    settings::{Credentials, Settings, Timeouts},
};

/// Docker Hub's name is not its address.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Redirects to follow: a registry sends to its blob store, which may send on once.
const REDIRECTS_MAX: usize = 5;

/// Of an error's body: enough for its message.
const ERROR_BYTES_MAX: u64 = 64 << 10;

/// Repositories whose authorization is kept. Beyond that all are asked for again.
const AUTHORIZATIONS_MAX: usize = 1024;

/// Asks registries.
pub(crate) struct Registry {
    /// For plain HTTP. Not through a proxy: loopback is never behind one.
    plain: Client,
    /// For HTTPS. Made when first needed: it reads the machine's certificates.
    secure: OnceLock<Result<Client, String>>,
    insecure: Vec<String>,
    extra_roots: Vec<Vec<u8>>,
    credentials: Arc<credentials::Source>,
    pub(super) timeouts: Timeouts,
    /// The `Authorization` that each repository last accepted.
    authorizations: Mutex<HashMap<(String, String), HeaderValue>>,
}

/// One request below `/v2/{repository}/`.
pub(super) struct Ask<'a> {
    pub(super) remote: &'a Remote,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) accept: &'a str,
    /// Leave out this many bytes.
    pub(super) from: u64,
}

impl Registry {
    /// Fails only on certificates that cannot be read.
    pub(crate) fn new(settings: &Settings) -> Result<Self, String> {
        // Whoever installed one first has decided; it is ring in this program.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = builder(&settings.timeouts)
            .no_proxy()
            .tls_certs_only([])
            .build()
            .map_err(|err| reason(&err))?;
        for pem in &settings.extra_roots {
            reqwest::Certificate::from_pem_bundle(pem).map_err(|err| reason(&err))?;
        }
        let source = match &settings.credentials {
            Credentials::Anonymous => credentials::Source::anonymous(),
            Credentials::Docker(folder) => {
                credentials::Source::docker(folder.clone(), settings.timeouts.helper)
            }
        };
        Ok(Self {
            plain,
            secure: OnceLock::new(),
            insecure: settings.insecure.clone(),
            extra_roots: settings.extra_roots.clone(),
            credentials: Arc::new(source),
            timeouts: settings.timeouts.clone(),
            authorizations: Mutex::new(HashMap::new()),
        })
    }

    /// For everything of one image.
    pub(crate) fn whole(&self) -> Duration {
        self.timeouts.whole
    }

    /// The digest that the registry names in answer to HEAD, if it names one.
    pub(super) async fn head(
        &self,
        remote: &Remote,
        path: &str,
        accept: &str,
    ) -> Result<Option<Digest>, Fault> {
        let ask = Ask { remote, method: Method::HEAD, path, accept, from: 0 };
        let response = self.exchange(&ask).await?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(self.refusal(remote, response).await);
        }
        let digest = response.headers().get("docker-content-digest");
        Ok(digest.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()))
    }

    /// A document of at most `limit` bytes.
    pub(super) async fn small(
        &self,
        remote: &Remote,
        path: &str,
        accept: &str,
        limit: u64,
    ) -> Result<Vec<u8>, Fault> {
        let response =
            self.ask(&Ask { remote, method: Method::GET, path, accept, from: 0 }).await?;
        bounded(response, limit, self.timeouts.stall)
            .await
            .map_err(|err| self.unreachable(remote, &err))?
            .ok_or_else(|| too_large("manifest or configuration", limit))
    }

    /// An answer that says yes; its body is not read yet.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Response, Fault> {
        let response = self.exchange(ask).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(ask.remote, response).await)
    }

    pub(super) fn unreachable(&self, remote: &Remote, why: &str) -> Fault {
        Fault::unreachable(format!(
            "registry {} cannot be reached: {why}; check that it runs and that the name is right",
            remote.registry
        ))
    }

    /// Sends, and once more with fresh authorization if the registry asks for it.
    async fn exchange(&self, ask: &Ask<'_>) -> Result<Response, Fault> {
        let known = self.authorization(ask.remote);
        let response = self.send(ask, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenges: Vec<String> = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        drop(response);
        let authorization = auth::authorize(
            &auth::Exchange {
                client: self.client(&ask.remote.registry)?,
                remote: ask.remote,
                secure: !self.is_plain(&ask.remote.registry),
                timeouts: &self.timeouts,
            },
            &challenges,
            &self.credentials,
        )
        .await?;
        self.remember_authorization(ask.remote, &authorization.header);
        let response = self.send(ask, Some(&authorization.header)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(auth::denied(ask.remote, &authorization.who));
        }
        Ok(response)
    }

    async fn send(
        &self,
        ask: &Ask<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Fault> {
        let Ask { remote, method, path, accept, from } = ask;
        let scheme = if self.is_plain(&remote.registry) { "http" } else { "https" };
        let host = if remote.registry == DOCKER_HUB.0 { DOCKER_HUB.1 } else { &remote.registry };
        let url = format!("{scheme}://{host}/v2/{}/{path}", remote.repository);
        let mut request =
            self.client(&remote.registry)?.request(method.clone(), url).header(ACCEPT, *accept);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if *from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        answer(request, &self.timeouts).await.map_err(|why| self.unreachable(remote, &why))
    }

    fn client(&self, registry: &str) -> Result<&Client, Fault> {
        if self.is_plain(registry) {
            return Ok(&self.plain);
        }
        let made = self.secure.get_or_init(|| {
            let roots = self
                .extra_roots
                .iter()
                .map(|pem| reqwest::Certificate::from_pem_bundle(pem).map_err(|err| reason(&err)));
            let roots: Vec<_> =
                roots.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
            builder(&self.timeouts).tls_certs_merge(roots).build().map_err(|err| reason(&err))
        });
        made.as_ref().map_err(|why| {
            Fault::unreachable(format!(
                "HTTPS cannot be used: {why}; install the certificates of your distribution (ca-certificates)"
            ))
        })
    }

    fn is_plain(&self, registry: &str) -> bool {
        is_loopback(registry) || self.insecure.iter().any(|insecure| insecure == registry)
    }

    /// What an answer that says no means.
    async fn refusal(&self, remote: &Remote, response: Response) -> Fault {
        let status = response.status();
        let body = bounded(response, ERROR_BYTES_MAX, self.timeouts.stall).await;
        let errors = body.ok().flatten().map(|body| errors(&body)).unwrap_or_default();
        refusal(remote, status, &errors)
    }

    fn authorization(&self, remote: &Remote) -> Option<HeaderValue> {
        let key = (remote.registry.clone(), remote.repository.clone());
        let known = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).cloned()
    }

    fn remember_authorization(&self, remote: &Remote, header: &HeaderValue) {
        let key = (remote.registry.clone(), remote.repository.clone());
        let mut known = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= AUTHORIZATIONS_MAX {
            known.clear();
        }
        known.insert(key, header.clone());
    }
}

fn builder(timeouts: &Timeouts) -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(concat!("groundrun/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeouts.connect)
        // A body that is unpacked on the way has another digest than the one that was promised.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .redirect(redirect::Policy::custom(|attempt| {
            let from_secure = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
            if from_secure && attempt.url().scheme() != "https" {
                return attempt.error("it redirects from HTTPS to plain HTTP");
            }
            if attempt.previous().len() > REDIRECTS_MAX {
                return attempt.error("it redirects too often");
            }
            attempt.follow()
        }))
}

/// The head of the answer, in time.
pub(super) async fn answer(
    request: reqwest::RequestBuilder,
    timeouts: &Timeouts,
) -> Result<Response, String> {
    match tokio::time::timeout(timeouts.answer, request.send()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(err)) => Err(reason(&err)),
        Err(_) => Err(format!("no answer within {} s", timeouts.answer.as_secs_f64())),
    }
}

/// The body, if it is not longer than `limit`.
pub(super) async fn bounded(
    mut response: Response,
    limit: u64,
    stall: Duration,
) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    while let Some(piece) = piece(&mut response, stall).await? {
        if (body.len() + piece.len()) as u64 > limit {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// The next piece of a body; `None` at its end.
pub(super) async fn piece(
    response: &mut Response,
    stall: Duration,
) -> Result<Option<bytes::Bytes>, String> {
    match tokio::time::timeout(stall, response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(err)) => Err(format!("it is cut off: {}", reason(&err))),
        Err(_) => Err(format!("it stalls: nothing for {} s", stall.as_secs_f64())),
    }
}

/// The innermost cause says what happened; the URL is left out, it may hold a signature.
pub(super) fn reason(err: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = err;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if err.is_timeout() {
        return "no connection in time".to_owned();
    }
    if innermost.is::<reqwest::Error>() {
        return "it does not speak HTTP as expected".to_owned();
    }
    innermost.to_string()
}

/// As Docker sees it: these hosts are asked in plain HTTP.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[derive(Deserialize)]
struct Envelope {
    errors: Vec<RegistryError>,
}

#[derive(Deserialize)]
struct RegistryError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn errors(body: &[u8]) -> Vec<RegistryError> {
    serde_json::from_slice(body).map(|envelope: Envelope| envelope.errors).unwrap_or_default()
}

fn refusal(remote: &Remote, status: StatusCode, errors: &[RegistryError]) -> Fault {
    let registry = &remote.registry;
    let said: String = errors
        .first()
        .map(|error| format!(" ({} {})", error.code, error.message))
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect();
    match kind(status, errors) {
        ImageFaultKind::Missing => Fault::missing(format!(
            "registry {registry} has no such image{said}: check the name and the tag, or push it there"
        )),
        ImageFaultKind::PermissionDenied => Fault::denied(format!(
            "registry {registry} does not allow it{said}: log in with `docker login {registry}` as a user who may pull it"
        )),
        ImageFaultKind::Unusable => {
            Fault::unusable(format!("registry {registry} refuses with HTTP {status}{said}"))
        }
        ImageFaultKind::Unreachable if status == StatusCode::TOO_MANY_REQUESTS => {
            Fault::unreachable(format!(
                "registry {registry} limits how often it may be asked (HTTP 429){said}: log in, or wait"
            ))
        }
        ImageFaultKind::Unreachable => Fault::unreachable(format!(
            "registry {registry} fails with HTTP {status}{said}: its log says why"
        )),
    }
}

/// The status counts first; the codes tell apart what registries put behind the same one.
fn kind(status: StatusCode, errors: &[RegistryError]) -> ImageFaultKind {
    let code = |wanted: &str| errors.iter().any(|error| error.code == wanted);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ImageFaultKind::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => ImageFaultKind::Unreachable,
        _ if status.is_server_error() => ImageFaultKind::Unreachable,
        _ if code("DENIED") || code("UNAUTHORIZED") => ImageFaultKind::PermissionDenied,
        _ if code("TOOMANYREQUESTS") => ImageFaultKind::Unreachable,
        StatusCode::NOT_FOUND => ImageFaultKind::Missing,
        _ if code("NAME_UNKNOWN") || code("MANIFEST_UNKNOWN") => ImageFaultKind::Missing,
        _ => ImageFaultKind::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_what_docker_takes_for_it() {
        for plain in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:80",
            "r.localhost:1",
        ] {
            assert!(is_loopback(plain), "{plain}");
        }
        for secure in ["docker.io", "10.0.0.1:5000", "localhost.example.com", "[fe80::1]:5000"] {
            assert!(!is_loopback(secure), "{secure}");
        }
    }

    #[test]
    fn an_answer_that_says_no_is_told_by_its_meaning() {
        let with = |status, code: &str| {
            let error = RegistryError { code: code.to_owned(), message: String::new() };
            kind(StatusCode::from_u16(status).expect("a status"), &[error])
        };
        assert_eq!(with(404, "MANIFEST_UNKNOWN"), ImageFaultKind::Missing);
        assert_eq!(with(404, ""), ImageFaultKind::Missing);
        assert_eq!(with(400, "NAME_UNKNOWN"), ImageFaultKind::Missing);
        assert_eq!(with(401, "NAME_UNKNOWN"), ImageFaultKind::PermissionDenied);
        assert_eq!(with(404, "DENIED"), ImageFaultKind::PermissionDenied);
        assert_eq!(with(403, ""), ImageFaultKind::PermissionDenied);
        assert_eq!(with(429, ""), ImageFaultKind::Unreachable);
        assert_eq!(with(502, "UNKNOWN"), ImageFaultKind::Unreachable);
        assert_eq!(with(400, "NAME_INVALID"), ImageFaultKind::Unusable);
    }
}
