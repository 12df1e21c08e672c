//! Answers that go on: a watch of one object, a tail of logs. Both outlive the server that they began with.

use std::{collections::HashMap, time::Duration};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Client, ClientError, form};

/// An answer that goes on is ended by the server after an hour; one that lasts longer is none of ours.
const STREAM_WITHIN: Duration = Duration::from_secs(2 * 3600);

/// How long a server may be away, once it was there: longer than a restart takes, shorter than a person waits in vain.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// Between two tries to reach one that is away. Nothing tells when it is back but a try.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// The longest line: a page of entries is some MiB.
const LINE_BYTES_MAX: usize = 256 << 20;

/// Lines of an answer.
struct Lines {
    answer: Response,
    held: Vec<u8>,
}

/// What came of an answer.
enum Part {
    Line(Value),
    /// It ended in order.
    End,
    /// The server is gone.
    Broken,
}

impl Lines {
    async fn next(&mut self) -> Part {
        let mut looked_at = 0;
        loop {
            let end = self.held[looked_at..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| end + looked_at) {
                let line = self.held.drain(..=end).collect::<Vec<u8>>();
                return serde_json::from_slice(&line).map_or(Part::Broken, Part::Line);
            }
            looked_at = self.held.len();
            match self.answer.chunk().await {
                Ok(Some(chunk)) if looked_at + chunk.len() <= LINE_BYTES_MAX => {
                    self.held.extend_from_slice(&chunk);
                }
                Ok(None) if self.held.is_empty() => return Part::End,
                Ok(_) | Err(_) => return Part::Broken,
            }
        }
    }
}

/// How often a server was not there when it should have been.
#[derive(Default)]
struct Patience {
    away_since: Option<Instant>,
    was_there: bool,
}

impl Patience {
    fn is_there(&mut self) {
        *self = Self { away_since: None, was_there: true };
    }

    /// Waits for the next try, or gives the error when it has been too long, or the server never was there.
    async fn after(&mut self, error: ClientError) -> Result<(), ClientError> {
        let away = matches!(&error, ClientError::Unreachable { .. })
            || matches!(&error, ClientError::Refused { http: 503, .. });
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if !away || !self.was_there || since.elapsed() >= AWAY_MAX {
            return Err(error);
        }
        tokio::time::sleep(TRY_EVERY).await;
        Ok(())
    }
}

/// One object, as it changes.
pub(crate) struct Watch<'c> {
    client: &'c Client,
    kind: &'static str,
    name: String,
    version: Option<String>,
    lines: Option<Lines>,
    /// Whether the beginning of the stream had the object.
    beginning: Beginning,
    patience: Patience,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Nothing,
    Seen,
}

/// What a watch says.
#[derive(Debug)]
pub(crate) enum Seen {
    /// As it is.
    Is(Value),
    /// It is not there.
    Gone,
}

impl<'c> Watch<'c> {
    /// Of the job or execution (`kind`: the collection) of that name.
    pub(crate) fn new(client: &'c Client, kind: &'static str, name: &str) -> Self {
        Self {
            client,
            kind,
            name: name.to_owned(),
            version: None,
            lines: None,
            beginning: Beginning::Nothing,
            patience: Patience::default(),
        }
    }

    /// As it is now, and then each time that it is another. May be dropped and asked again.
    pub(crate) async fn next(&mut self) -> Result<Seen, ClientError> {
        loop {
            let Some(lines) = &mut self.lines else {
                self.open().await?;
                continue;
            };
            let Part::Line(mut event) = lines.next().await else {
                self.lines = None;
                continue;
            };
            let object = event["object"].take();
            let version = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
            match event["type"].as_str().unwrap_or_default() {
                "ADDED" | "MODIFIED" => {
                    self.version = version;
                    self.beginning = Beginning::Seen;
                    return Ok(Seen::Is(object));
                }
                "DELETED" => {
                    self.version = version;
                    return Ok(Seen::Gone);
                }
                "BOOKMARK" => {
                    self.version = version;
                    // Behind the beginning there is one in any case.
                    if self.beginning == Beginning::Nothing {
                        self.beginning = Beginning::Seen;
                        return Ok(Seen::Gone);
                    }
                }
                _ => {
                    self.version = None;
                    self.lines = None;
                }
            }
        }
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let field = format!("metadata.name={}", self.name);
        let mut query =
            form(&[("watch", "true"), ("allowWatchBookmarks", "true"), ("fieldSelector", &field)]);
        if let Some(version) = &self.version {
            query = format!("{query}&{}", form(&[("resourceVersion", version)]));
        }
        let url = self.client.namespaced(&format!("{}?{query}", self.kind));
        match self.client.open(Method::GET, url, None).await {
            Ok(lines) => {
                self.patience.is_there();
                self.lines = Some(lines);
                if self.version.is_none() {
                    self.beginning = Beginning::Nothing;
                }
                Ok(())
            }
            Err(ClientError::Refused { http: 410, .. }) if self.version.is_some() => {
                self.version = None;
                Ok(())
            }
            Err(error) => self.patience.after(error).await,
        }
    }
}

/// Log entries that a filter selects, each once.
pub(crate) struct Tail<'c> {
    client: &'c Client,
    filter: String,
    /// `insertId` of the last entry of each attempt.
    seen: HashMap<String, String>,
    lines: Option<Lines>,
    patience: Patience,
}

impl<'c> Tail<'c> {
    /// The filter has a lower bound of `timestamp`: the same after a restart.
    pub(crate) fn new(client: &'c Client, filter: String) -> Self {
        let (seen, patience) = (HashMap::new(), Patience::default());
        Self { client, filter, seen, lines: None, patience }
    }

    /// The next entries; none when what the filter selects is over, as far as the server knows. Asked again, it goes on.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Value>>, ClientError> {
        loop {
            let Some(lines) = &mut self.lines else {
                self.open().await?;
                continue;
            };
            match lines.next().await {
                // It ended before what it follows: the server stops, or it was an hour.
                Part::Line(line) if line["again"] == true => self.lines = None,
                Part::Line(mut line) if line["error"].is_null() => {
                    let entries = match line["entries"].take() {
                        Value::Array(entries) => entries,
                        _ => Vec::new(),
                    };
                    for entry in &entries {
                        let id = entry["insertId"].as_str().unwrap_or_default();
                        if let Some((attempt, _)) = id.rsplit_once('-') {
                            self.seen.insert(attempt.to_owned(), id.to_owned());
                        }
                    }
                    return Ok(Some(entries));
                }
                Part::Line(line) => {
                    self.lines = None;
                    let code = line["error"]["code"].as_u64().and_then(|code| code.try_into().ok());
                    // More happened than the server keeps: it begins again behind what was seen.
                    if code != Some(410) {
                        return Err(self.client.refused_with(code.unwrap_or(500), &line));
                    }
                }
                Part::End => {
                    self.lines = None;
                    return Ok(None);
                }
                Part::Broken => self.lines = None,
            }
        }
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let body = json!({
            "resourceNames": [format!("projects/{}", self.client.project())],
            "filter": self.filter,
            "after": self.seen.values().collect::<Vec<_>>(),
        });
        let url = format!("{}/v2/entries:tail", self.client.base);
        match self.client.open(Method::POST, url, Some(body)).await {
            Ok(lines) => {
                self.patience.is_there();
                self.lines = Some(lines);
                Ok(())
            }
            Err(error) => self.patience.after(error).await,
        }
    }
}

impl Client {
    async fn open(
        &self,
        method: Method,
        url: String,
        body: Option<Value>,
    ) -> Result<Lines, ClientError> {
        let answer = self.request(method, &url, body).timeout(STREAM_WITHIN).send().await;
        let unreachable = |cause| ClientError::Unreachable { url: self.base.clone(), cause };
        let answer = answer.map_err(unreachable)?;
        let status = answer.status();
        if !status.is_success() {
            let text = answer.text().await.map_err(unreachable)?;
            return Err(self.refused(status, &text));
        }
        Ok(Lines { answer, held: Vec::new() })
    }

    fn refused_with(&self, http: u16, body: &Value) -> ClientError {
        let status = reqwest::StatusCode::from_u16(http);
        let status = status.unwrap_or(reqwest::StatusCode::INTERNAL_SERVER_ERROR);
        self.refused(status, &body.to_string())
    }
}
