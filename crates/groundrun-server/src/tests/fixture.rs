//! A server for one test: its own store, a clock that stands still, seeded randomness, logs from memory.

use std::{
    collections::BTreeMap,
    fmt, io,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use bytes::Bytes;
use groundrun_core::id::AttemptId;
use groundrun_store::Store;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    app::{App, World},
    config::ServerConfig,
    logs::{LogLine, LogPosition, Logs},
    serve::Front,
};

/// Where the tests' jobs live.
pub(super) const JOBS: &str = "/apis/run.googleapis.com/v1/namespaces/demo/jobs";
pub(super) const EXECUTIONS: &str = "/apis/run.googleapis.com/v1/namespaces/demo/executions";
pub(super) const TASKS: &str = "/apis/run.googleapis.com/v1/namespaces/demo/tasks";

/// The host that gcloud uses for `--region=us-central1`.
pub(super) const HOST: &str = "us-central1-localhost:8080";

pub(super) struct Fixture {
    front: Front,
    pub(super) store: Store,
    pub(super) logs: Arc<FakeLogs>,
    now: Arc<AtomicI64>,
    _dir: tempfile::TempDir,
}

/// What came back.
#[derive(Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(configure: impl FnOnce(&mut ServerConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("an empty directory opens");
        let logs = Arc::new(FakeLogs::default());
        let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), "demo", "us-central1");
        config.account = "me@example.com".to_owned();
        configure(&mut config);
        let now = Arc::new(AtomicI64::new(0));
        let world = world(&now);
        let front = Front::new(App::new(config, store.clone(), logs.clone(), world));
        Self { front, store, logs, now, _dir: dir }
    }

    /// Sets the clock to so many seconds after the start.
    pub(super) fn at(&self, seconds: i64) -> &Self {
        self.now.store(seconds, Ordering::SeqCst);
        self
    }

    /// The clock's time.
    pub(super) fn now(&self) -> Timestamp {
        time(self.now.load(Ordering::SeqCst))
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.front.answer(request).await.into_parts();
        let bytes = body.collect().await.expect("the body is in memory").to_bytes();
        Answer { status: head.status, headers: head.headers, bytes }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "").await
    }

    pub(super) async fn post(&self, path: &str, body: impl fmt::Display) -> Answer {
        self.call("POST", path, &body.to_string()).await
    }

    pub(super) async fn put(&self, path: &str, body: impl fmt::Display) -> Answer {
        self.call("PUT", path, &body.to_string()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, "").await
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(request(method, path, body)).await
    }
}

/// A request as gcloud sends it.
pub(super) fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path).header(header::HOST, HOST);
    if !body.is_empty() {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    builder.body(Body::from(body.to_owned())).expect("tests write good requests")
}

/// `seconds` after the start of every test.
pub(super) fn time(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-11-24T08:00:00Z".parse().expect("a time");
    start + SignedDuration::from_secs(seconds)
}

pub(super) fn world(now: &Arc<AtomicI64>) -> World {
    let now = Arc::clone(now);
    let state = AtomicU64::new(1);
    World {
        clock: Arc::new(move || time(now.load(Ordering::SeqCst))),
        random: Arc::new(move |buffer| {
            for byte in buffer {
                // Knuth's multiplier: any mixing will do here.
                let next = |old: u64| Some(old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                let old = state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
                *byte = old.unwrap_or_default().to_be_bytes()[0];
            }
        }),
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|fault| {
            panic!("{}: {fault}: {}", self.status, String::from_utf8_lossy(&self.bytes))
        })
    }

    /// The message of an error.
    pub(super) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The same answer, which must be 200.
    pub(super) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self}");
        self.json()
    }
}

/// Status and indented body.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::from_slice::<Value>(&self.bytes) {
            Ok(json) => write!(f, "{}\n{json:#}", self.status.as_u16()),
            Err(_) => write!(f, "{}\n{}", self.status.as_u16(), String::from_utf8_lossy(&self.bytes)),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Logs in memory; counts how many were read.
#[derive(Default)]
pub(super) struct FakeLogs {
    lines: Mutex<BTreeMap<AttemptId, Vec<LogLine>>>,
    pub(super) read: AtomicU64,
}

impl FakeLogs {
    pub(super) fn write(&self, attempt: AttemptId, line: LogLine) {
        self.lines.lock().expect("no test panics with it").entry(attempt).or_default().push(line);
    }
}

impl Logs for FakeLogs {
    fn read(
        &self,
        attempt: AttemptId,
        from: LogPosition,
        most: NonZeroUsize,
    ) -> io::Result<(Vec<LogLine>, LogPosition)> {
        self.read.fetch_add(1, Ordering::SeqCst);
        let lines = self.lines.lock().expect("no test panics with it");
        let all = lines.get(&attempt).map(Vec::as_slice).unwrap_or_default();
        let skipped = usize::try_from(from.line).expect("tests are small");
        let found: Vec<LogLine> = all.iter().skip(skipped).take(most.get()).cloned().collect();
        let line = from.line + found.len() as u64;
        Ok((found, LogPosition { offset: line, line }))
    }
}
