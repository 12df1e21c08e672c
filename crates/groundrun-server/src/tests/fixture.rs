//! A server for one test: its own store, a clock that stands still, seeded randomness, logs from memory.

use std::{
    any::Any,
    collections::BTreeMap,
    convert::Infallible,
    fmt, io,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use bytes::Bytes;
use groundrun_core::{
    id::{AttemptId, BootId},
    log::{LogLine, LogPosition},
    record::{
        Attempt, Cause, Ending, Execution, ExecutionState, Exit, Job, Readiness, ReadinessState,
        Scope,
    },
};
use groundrun_secrets::{KeyFile, Origin, Sealer};
use groundrun_store::{Applied, Store, Tx, WriteError};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    app::{App, World},
    config::ServerConfig,
    logs::{Grown, Logs},
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
    pub(super) dir: tempfile::TempDir,
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
        Self::build(configure, |_| {})
    }

    pub(super) fn with_world(change: impl FnOnce(&mut World)) -> Self {
        Self::build(|_| {}, change)
    }

    fn build(configure: impl FnOnce(&mut ServerConfig), change: impl FnOnce(&mut World)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("an empty directory opens");
        let logs = Arc::new(FakeLogs::default());
        let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), "demo", "us-central1");
        config.account = "me@example.com".to_owned();
        config.console = Some("http://localhost:8080".to_owned());
        config.readiness_within = Duration::ZERO;
        configure(&mut config);
        let now = Arc::new(AtomicI64::new(0));
        let mut world = world(&now);
        change(&mut world);
        let sealer = sealer(dir.path(), &world);
        let front = Front::new(App::new(config, store.clone(), logs.clone(), sealer, world));
        Self { front, store, logs, now, dir }
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

    pub(super) fn publish(&self, keys: Arc<dyn crate::PublicKeys>) {
        self.front.publish(keys);
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.front.answer(request).await.into_parts();
        let bytes = body.collect().await.expect("the body is in memory").to_bytes();
        Answer { status: head.status, headers: head.headers, bytes }
    }

    /// An answer that goes on.
    pub(super) async fn open(&self, request: Request<Body>) -> Following {
        let answer = self.front.answer(request).await;
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.headers());
        Following { body: answer.into_body(), text: Vec::new() }
    }

    /// A watch.
    pub(super) async fn watch(&self, path: &str) -> Following {
        self.open(request("GET", path, "")).await
    }

    /// As a server that stops does.
    pub(super) fn end_streams(&self) {
        self.front.end_streams();
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

    pub(super) async fn patch(&self, path: &str, body: impl fmt::Display) -> Answer {
        self.call("PATCH", path, &body.to_string()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, "").await
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(request(method, path, body)).await
    }
}

/// Lines of an answer that goes on, one by one.
pub(super) struct Following {
    body: Body,
    text: Vec<u8>,
}

/// Nothing here takes a second; a minute means that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

impl Following {
    /// The next line; none at the end.
    pub(super) async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            match frame.expect("a line comes, or the end") {
                Some(frame) => {
                    let data = frame.expect("the body goes on").into_data();
                    self.text.extend_from_slice(&data.unwrap_or_default());
                }
                None => {
                    assert!(self.text.is_empty(), "half a line at the end");
                    return None;
                }
            }
        }
    }

    /// The next event: its type, name and version.
    pub(super) async fn event(&mut self) -> (String, String, String) {
        let event = self.line().await.expect("the watch goes on");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &event["object"]["metadata"];
        (text(&event["type"]), text(&metadata["name"]), text(&metadata["resourceVersion"]))
    }

    /// The types and names of so many events.
    pub(super) async fn events(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..count {
            let (what, name, _) = self.event().await;
            events.push(format!("{what} {name}"));
        }
        events
    }
}

/// The engine's part of the records.
impl Fixture {
    fn write(
        &self,
        write: impl FnOnce(&mut Tx<'_>) -> Result<(), WriteError<Infallible>> + Send + 'static,
    ) {
        self.store.write(self.now(), write).expect("the store takes it");
    }

    /// What came of the check of a job.
    pub(super) fn check(&self, name: &str, state: ReadinessState) {
        let job = self.job(name);
        let readiness = Readiness { generation: job.generation, since: self.now(), state };
        self.write(move |tx| {
            assert_eq!(tx.set_readiness(job.uid, &readiness)?, Applied::Yes);
            Ok(())
        });
    }

    pub(super) fn job(&self, name: &str) -> Job {
        let job = self.store.read(|view| view.job(&scope(), name)).expect("the store is readable");
        job.expect("the job is there")
    }

    pub(super) fn execution(&self, name: &str) -> Execution {
        let found = self.store.read(|view| view.execution(&scope(), name));
        found.expect("the store is readable").expect("the execution is there")
    }

    /// How far an execution is.
    pub(super) fn advance(&self, name: &str, change: impl FnOnce(&mut ExecutionState)) {
        let Execution { uid, mut state, .. } = self.execution(name);
        change(&mut state);
        self.write(move |tx| Ok(tx.set_execution_state(uid, &state)?));
    }

    /// An attempt of a task, from one second to another.
    pub(super) fn attempt(
        &self,
        execution: &str,
        task: u32,
        from: i64,
        end: Option<(i64, Ending)>,
    ) -> AttemptId {
        let uid = self.execution(execution).uid;
        let known = self
            .store
            .read(|view| view.attempts_of_task(uid, task))
            .expect("the store is readable");
        let attempt = u32::try_from(known.len()).expect("tests are small");
        let id = AttemptId { execution: uid, task, attempt };
        let record = Attempt {
            id,
            boot: BootId(uuid::Uuid::nil()),
            intended: time(from),
            started: Some(time(from)),
            ended: end.map(|(at, ending)| (time(at), ending)),
        };
        self.write(move |tx| Ok(tx.insert_attempts([&record])?));
        id
    }

    /// The end of an attempt that was begun.
    pub(super) fn end(&self, id: AttemptId, at: i64, ending: Ending) {
        let known = self.store.read(|view| view.attempts_of_task(id.execution, id.task));
        let found = known.expect("the store is readable").into_iter().find(|one| one.id == id);
        let mut record = found.expect("it was begun");
        record.ended = Some((time(at), ending));
        self.write(move |tx| Ok(tx.update_attempts([&record])?));
    }

    /// Runs a job; the name of the execution.
    pub(super) async fn run(&self, job: &str) -> String {
        let execution = self.post(&format!("{JOBS}/{job}:run"), "{}").await.ok();
        execution["metadata"]["name"].as_str().expect("it has a name").to_owned()
    }
}

/// With a key below `dir`.
pub(super) fn sealer(dir: &Path, world: &World) -> Arc<Sealer> {
    let key = KeyFile::new(dir.join("secrets.key"), Origin::MadeHere);
    Arc::new(Sealer::new(key, world.random.clone()))
}

pub(super) fn scope() -> Scope {
    Scope { project: "demo".to_owned(), region: "us-central1".to_owned() }
}

/// The end of a process by itself.
pub(super) fn exit(code: u8) -> Ending {
    Ending::Exited {
        exit: Exit::Code(code),
        cause: Cause::OnItsOwn,
        memory_peak: None,
        message: None,
        container: None,
    }
}

/// The least that is a job.
pub(super) fn job(name: &str) -> Value {
    tasks(name, 1)
}

/// A job of so many tasks.
pub(super) fn tasks(name: &str, count: u32) -> Value {
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job",
        "metadata": {"name": name, "labels": {"team": "x"}},
        "spec": {"template": {"spec": {"taskCount": count, "template": {"spec": {
            "containers": [{"image": "builtin.groundrun/job"}]}}}}},
    })
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
                let next =
                    |old: u64| Some(old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
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
            Err(_) => {
                write!(f, "{}\n{}", self.status.as_u16(), String::from_utf8_lossy(&self.bytes))
            }
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
    listeners: Mutex<Vec<(AttemptId, Weak<Grown>)>>,
    pub(super) read: AtomicU64,
}

impl FakeLogs {
    pub(super) fn write(&self, attempt: AttemptId, line: LogLine) {
        self.lines.lock().expect("no test panics with it").entry(attempt).or_default().push(line);
        let listeners = self.listeners.lock().expect("no test panics with it");
        for (_, grown) in listeners.iter().filter(|(of, _)| *of == attempt) {
            if let Some(grown) = grown.upgrade() {
                grown();
            }
        }
    }

    /// How many listen.
    pub(super) fn heard_by(&self) -> usize {
        let listeners = self.listeners.lock().expect("no test panics with it");
        listeners.iter().filter(|(_, grown)| grown.strong_count() > 0).count()
    }
}

impl FakeLogs {
    /// Lines that the attempt has written.
    pub(super) fn len(&self, attempt: AttemptId) -> u64 {
        self.lines
            .lock()
            .expect("no test panics with it")
            .get(&attempt)
            .map_or(0, |lines| lines.len() as u64)
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

    fn listen(&self, attempt: AttemptId, grown: Grown) -> io::Result<Box<dyn Any + Send>> {
        let kept = Arc::new(grown);
        let listener = (attempt, Arc::downgrade(&kept));
        self.listeners.lock().expect("no test panics with it").push(listener);
        Ok(Box::new(kept))
    }
}
