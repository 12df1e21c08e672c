//! A client of the v1 API: what the client verbs and `run` speak to a server with.

mod following;
mod secrets;

use std::{error::Error as _, time::Duration};

use groundrun_api::v1;
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::{ServerArgs, exit::Stop};

pub(crate) use following::{Seen, Tail, Watch};

/// A server that does not answer for so long is reported, not waited for. Reads of 100 rows take milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A server that is there says so at once.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// Rows per page: what gcloud asks for too.
const PAGE: usize = 100;

/// One project and region of one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    project: String,
    region: String,
    token: Option<String>,
}

/// Why a call did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Google's error shape.
    #[error("{status}: {message}")]
    Refused { http: u16, status: String, message: String, violations: Vec<(String, String)> },
    #[error("no server answers at {url}: {}", root(cause))]
    Unreachable { url: String, cause: reqwest::Error },
    #[error("{url} did not answer as a Cloud Run server does: {what}")]
    NotOurs { url: String, what: String },
}

/// What all the layers between came of: the kernel's word.
fn root(error: &reqwest::Error) -> String {
    let mut root: &dyn std::error::Error = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

impl ClientError {
    /// What a person can do about it, where that is known.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some(
                "start one with `groundrun serve`, or name another with --url (or GROUNDRUN_URL)",
            ),
            Self::Refused { http: 404, message, .. } if message.starts_with("Secret ") => {
                Some("`groundrun secrets list` shows what is there; --project says where to look")
            }
            Self::Refused { http: 404, .. } => Some(
                "`groundrun jobs list` and `groundrun executions list` show what is there; \
                 --project and --region say where to look",
            ),
            Self::Refused { http: 401, .. } => {
                Some("name the file with the server's token with --token-file")
            }
            Self::Refused { .. } => None,
            Self::NotOurs { .. } => Some("name the server with --url (or GROUNDRUN_URL)"),
        }
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        let violations = match &error {
            ClientError::Refused { http: 400, violations, .. } => violations.as_slice(),
            _ => &[],
        };
        if violations.is_empty() {
            let mut stop = Stop::failed(&error);
            stop.lines.extend(error.hint().map(str::to_owned));
            return stop;
        }
        // The message says the same as the violations, which have their paths.
        let mut stop = Stop::bad_input("the document is refused:");
        stop.lines.extend(violations.iter().map(|(field, what)| {
            if what.contains(field.as_str()) {
                format!("  {what}")
            } else {
                format!("  {field}: {what}")
            }
        }));
        stop
    }
}

impl Client {
    /// A client for what the flags name.
    pub(crate) fn new(server: &ServerArgs) -> Result<Self, Stop> {
        let token = match &server.token_file {
            None => None,
            Some(file) => Some(
                std::fs::read_to_string(file)
                    .map_err(|e| {
                        Stop::bad_input(format!("read token file {}: {e}", file.display()))
                    })?
                    .trim()
                    .to_owned(),
            ),
        };
        // Set already where images were fetched in this process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN);
        if !server.url.starts_with("https:") {
            // A machine without certificates (ca-certificates) can talk to a server on it all the same.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|e| {
            let why = e.source().map_or_else(|| e.to_string(), ToString::to_string);
            Stop::failed(format!("make an HTTP client: {why}"))
        })?;
        let base = server.url.trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            base,
            project: server.project.clone(),
            region: server.region.clone(),
            token,
        })
    }

    fn request(&self, method: Method, url: &str, body: Option<Value>) -> RequestBuilder {
        let mut request = self.http.request(method, url);
        if let Some(host) = self.regional_host() {
            request = request.header(header::HOST, host);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request =
                request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        request
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: String,
        body: Option<Value>,
    ) -> Result<T, ClientError> {
        let unreachable = |cause| ClientError::Unreachable { url: self.base.clone(), cause };
        let answer = self.request(method, &url, body).send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(self.refused(status, &text));
        }
        serde_json::from_str(&text)
            .map_err(|e| ClientError::NotOurs { url: self.base.clone(), what: e.to_string() })
    }

    fn refused(&self, http: StatusCode, text: &str) -> ClientError {
        let Ok(body) = serde_json::from_str::<Value>(text) else {
            return ClientError::NotOurs { url: self.base.clone(), what: format!("HTTP {http}") };
        };
        let violations = body["error"]["details"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|detail| detail["fieldViolations"].as_array())
            .flatten()
            .map(|v| {
                let text = |key: &str| v[key].as_str().unwrap_or_default().to_owned();
                (text("field"), text("description"))
            })
            .collect();
        ClientError::Refused {
            http: http.as_u16(),
            status: body["error"]["status"].as_str().unwrap_or("UNKNOWN").to_owned(),
            message: body["error"]["message"].as_str().unwrap_or_default().to_owned(),
            violations,
        }
    }

    /// The same with a token that no file holds.
    pub(crate) fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Whether a server of ours is there. Needs no token.
    pub(crate) async fn answers(&self) -> Result<(), ClientError> {
        let url = format!("{}/readyz", self.base);
        let request = self.http.get(url).timeout(READY_WITHIN);
        let request = match self.regional_host() {
            Some(host) => request.header(header::HOST, host),
            None => request,
        };
        let unreachable = |cause| ClientError::Unreachable { url: self.base.clone(), cause };
        let status = request.send().await.map_err(unreachable)?.status();
        if status.is_success() {
            return Ok(());
        }
        Err(ClientError::NotOurs { url: self.base.clone(), what: format!("HTTP {status}") })
    }

    /// v1 carries the region in the host alone: `us-central1-localhost:8080`.
    fn regional_host(&self) -> Option<String> {
        let authority = self.base.split_once("://")?.1;
        let port =
            authority.rsplit_once(':').filter(|(_, p)| p.parse::<u16>().is_ok()).map(|(_, p)| p);
        let host = authority.strip_suffix(&port.map(|p| format!(":{p}")).unwrap_or_default())?;
        let loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        let name = if loopback { "localhost" } else { host };
        Some(match port {
            Some(port) => format!("{}-{name}:{port}", self.region),
            None => format!("{}-{name}", self.region),
        })
    }

    fn namespaced(&self, rest: &str) -> String {
        format!("{}/apis/run.googleapis.com/v1/namespaces/{}/{rest}", self.base, self.project)
    }

    async fn get<T: DeserializeOwned>(&self, rest: &str) -> Result<T, ClientError> {
        self.call(Method::GET, self.namespaced(rest), None).await
    }

    /// Every row of a list, page by page.
    async fn all(
        &self,
        kind: &str,
        selector: Option<&str>,
        most: usize,
    ) -> Result<Vec<Value>, ClientError> {
        let mut rows = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = form(&[("limit", &PAGE.to_string())]);
            if let Some(selector) = selector {
                query = format!("{query}&{}", form(&[("labelSelector", selector)]));
            }
            if !token.is_empty() {
                query = format!("{query}&{}", form(&[("continue", &token)]));
            }
            let mut page: Value = self.get(&format!("{kind}?{query}")).await?;
            if let Some(items) = page["items"].as_array_mut() {
                rows.append(items);
            }
            token = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() || rows.len() >= most {
                rows.truncate(most);
                return Ok(rows);
            }
        }
    }

    pub(crate) async fn jobs(&self, most: usize) -> Result<Vec<Value>, ClientError> {
        self.all("jobs", None, most).await
    }

    pub(crate) async fn job(&self, name: &str) -> Result<Value, ClientError> {
        self.get(&format!("jobs/{name}")).await
    }

    /// Creates the job, or replaces the one of that name.
    pub(crate) async fn apply(&self, name: &str, document: &Value) -> Result<Value, ClientError> {
        match self.job(name).await {
            Ok(_) => {
                let url = self.namespaced(&format!("jobs/{name}"));
                self.call(Method::PUT, url, Some(document.clone())).await
            }
            Err(ClientError::Refused { http: 404, .. }) => {
                self.call(Method::POST, self.namespaced("jobs"), Some(document.clone())).await
            }
            Err(other) => Err(other),
        }
    }

    pub(crate) async fn execute(
        &self,
        name: &str,
        overrides: Option<v1::Overrides>,
    ) -> Result<v1::Execution, ClientError> {
        let body = match overrides {
            None => json!({}),
            Some(overrides) => json!({ "overrides": overrides }),
        };
        self.call(Method::POST, self.namespaced(&format!("jobs/{name}:run")), Some(body)).await
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) -> Result<Value, ClientError> {
        self.call(Method::DELETE, self.namespaced(&format!("{kind}/{name}")), None).await
    }

    pub(crate) async fn executions(
        &self,
        job: Option<&str>,
        most: usize,
    ) -> Result<Vec<Value>, ClientError> {
        let selector = job.map(|job| format!("run.googleapis.com/job={job}"));
        self.all("executions", selector.as_deref(), most).await
    }

    pub(crate) async fn execution(&self, name: &str) -> Result<v1::Execution, ClientError> {
        self.call(Method::GET, self.namespaced(&format!("executions/{name}")), None).await
    }

    pub(crate) async fn execution_json(&self, name: &str) -> Result<Value, ClientError> {
        self.get(&format!("executions/{name}")).await
    }

    pub(crate) async fn cancel(&self, name: &str) -> Result<Value, ClientError> {
        self.call(
            Method::POST,
            self.namespaced(&format!("executions/{name}:cancel")),
            Some(json!({})),
        )
        .await
    }

    pub(crate) async fn tasks(
        &self,
        selector: &str,
        most: usize,
    ) -> Result<Vec<Value>, ClientError> {
        self.all("tasks", Some(selector), most).await
    }

    pub(crate) async fn task(&self, name: &str) -> Result<Value, ClientError> {
        self.get(&format!("tasks/{name}")).await
    }

    /// One page of log entries.
    pub(crate) async fn log_entries(&self, body: Value) -> Result<Value, ClientError> {
        self.call(Method::POST, format!("{}/v2/entries:list", self.base), Some(body)).await
    }

    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (key, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(key);
        out.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    out.push(char::from(byte))
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}
