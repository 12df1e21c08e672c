//! `POST /v2/entries:tail`: entries as they come, a line of JSON for each batch (Logging's TailLogEntries over HTTP, an
//! addition of ours).
//!
//! Without a lower bound of `timestamp` in the filter it begins now; with one, with what there is since then, in order of
//! time. A tail of one execution ends with it; one that ends before what it follows, at the stop of the server or after an
//! hour, says so in a last line: `{"again": true}`. Who comes back says what it saw last of each attempt, and goes on
//! there: no entry is lost or told twice.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use bytes::Bytes;
use futures_util::stream;
use groundrun_api::{
    ApiError,
    logfilter::Filter,
    logging::{LogEntry, Order, TailLogEntriesRequest},
};
use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    record::Revision,
};
use groundrun_store::Watcher;
use jiff::Timestamp;
use serde_json::json;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};

use super::{
    entry::entry,
    list::projects,
    live::{Interest, Live, More, Round, Seen, Told},
    merge::{Merge, Position},
    reading::Span,
    sources::{self, Source},
    tree::{Branch, Found, Records},
};
use crate::{
    app::App,
    call::Call,
    error::{Outcome, Refusal},
    reply,
    watch::stop,
};

/// The longest tail, as the longest watch.
const LASTS_MAX: Duration = Duration::from_secs(3600);

/// Between two looks at a log that nobody says has grown: where the kernel has no more watches for this user.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The last line of a tail that ends before what it follows.
const AGAIN: &[u8] = b"{\"again\":true}\n";

/// Entries of one line while it tells what there is, and lines looked at for it.
const BATCH_ENTRIES_MAX: usize = 1000;
const BATCH_LOOKED_AT_MAX: usize = 20_000;

/// Attempts that a client may name as seen: more than the largest execution has tasks.
const AFTER_MAX: usize = 100_000;

pub(crate) async fn tail(State(app): State<Arc<App>>, call: Call) -> Outcome {
    call.shape(&[])?;
    let request: TailLogEntriesRequest = call.message(&app).await?;
    request.check_window()?;
    let filter = request.filter.as_deref().unwrap_or_default();
    let filter: Filter = filter.parse().map_err(ApiError::from)?;
    let narrow = filter.narrow();
    let other = narrow.resource_type.as_ref().is_some_and(|kind| kind != "cloud_run_job");
    let mut projects = projects(&app, &request.resource_names, &[])?;
    if narrow.nothing || other {
        projects.clear();
    }
    let told = after(&request.after)?;
    let since = narrow.since.unwrap_or_else(|| app.now());
    let slot = app.stream()?;
    let news = Arc::new(Notify::new());
    let mut watcher = app.store.watch();
    let bell = Arc::clone(&news);
    watcher.on_change(move || bell.notify_one());
    let one = narrow.execution.is_some();
    let interest = Interest { projects, narrow, since };
    let past = {
        let interest = interest.clone();
        app.heavy(move |app| past(app, &interest, told)).await?
    };
    let tail = Tail {
        stopping: app.stopping.subscribe(),
        app,
        filter: Arc::new(filter),
        interest,
        one,
        phase: Some(Phase::Past(past)),
        news,
        until: Instant::now() + LASTS_MAX,
        _watcher: watcher,
        _slot: slot,
    };
    let lines = stream::unfold(tail, |mut tail| async move {
        tail.next().await.map(|line| (Bytes::from(line), tail))
    });
    Ok(reply::lines(lines))
}

/// The last sequence that was seen of each attempt.
fn after(insert_ids: &[String]) -> Outcome<Told> {
    if insert_ids.len() > AFTER_MAX {
        let text = format!("after: at most {AFTER_MAX} entries can be named.");
        return Err(Refusal::violation("after", text));
    }
    let one = |text: &String| {
        let mut parts = text.split('-');
        let execution = ExecutionUid(parts.next()?.parse().ok()?);
        let (task, attempt) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let sequence: u64 = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some((AttemptId { execution, task, attempt }, sequence))
    };
    let mut told = Told::new();
    for text in insert_ids {
        let (id, sequence) = one(text).ok_or_else(|| {
            Refusal::violation("after", format!("after: '{text}' is no insertId of this server."))
        })?;
        let last = told.entry(id).or_insert(sequence);
        *last = sequence.max(*last);
    }
    Ok(told)
}

/// A tail under way.
struct Tail {
    app: Arc<App>,
    filter: Arc<Filter>,
    interest: Interest,
    /// Of one execution: it ends with that.
    one: bool,
    /// None while it is worked on, and at the end.
    phase: Option<Phase>,
    news: Arc<Notify>,
    stopping: watch::Receiver<bool>,
    until: Instant,
    _watcher: Watcher,
    _slot: OwnedSemaphorePermit,
}

enum Phase {
    Past(Past),
    Present(Box<Live>),
}

/// What there is already.
struct Past {
    merge: Merge<Records>,
    told: Told,
    /// From before it was looked for.
    revision: Revision,
    /// What may still write.
    open: Vec<Arc<Source>>,
    seen: Seen,
}

fn past(app: &App, interest: &Interest, told: Told) -> Outcome<Past> {
    let revision = app.store.read(|view| Outcome::Ok(view.revision()?))?;
    let span =
        Span { since: interest.since, until: interest.narrow.until.unwrap_or(Timestamp::MAX) };
    let records = Records {
        store: app.store.clone(),
        logs: Arc::clone(&app.logs),
        order: Order::OldestFirst,
        span,
        task: interest.narrow.task,
    };
    let (mut roots, mut open) = (Vec::new(), Vec::new());
    for project in &interest.projects {
        for source in sources::find(&app.store, project, &interest.narrow, span)? {
            let source = Arc::new(source);
            if source.is_open() {
                open.push(Arc::clone(&source));
            }
            roots.push((records.bound(source.span), Branch::Execution(source)));
        }
    }
    let seen = if roots.is_empty() { Seen::Nothing } else { Seen::Something };
    Ok(Past { merge: Merge::new(records, Order::OldestFirst, roots), told, revision, open, seen })
}

/// What a step came to: entries, the phase after it, and is there more at once?
type Step = (Vec<LogEntry>, Phase, More);

impl Tail {
    async fn next(&mut self) -> Option<Vec<u8>> {
        while let Some(phase) = self.phase.take() {
            let (entries, more) = match self.step(phase).await {
                Ok(Some((entries, phase, more))) => {
                    let over = matches!(&phase, Phase::Present(live)
                        if self.one && more == More::No && live.is_over());
                    self.phase = (!over).then_some(phase);
                    (entries, more)
                }
                Ok(None) => {
                    let text =
                        "too many changes: begin again behind the last entries that you saw.";
                    let error = json!({"error": {"code": 410, "message": text, "status": "FAILED_PRECONDITION"}});
                    return Some(format!("{error}\n").into_bytes());
                }
                Err(Refusal(error)) => {
                    let text = serde_json::to_string(&error).unwrap_or_default();
                    return Some(format!("{text}\n").into_bytes());
                }
            };
            if !entries.is_empty() {
                return Some(line(&entries));
            }
            self.phase.as_ref()?;
            if more == More::No && !self.wait().await {
                self.phase = None;
                return Some(AGAIN.to_vec());
            }
        }
        None
    }

    async fn step(&mut self, phase: Phase) -> Outcome<Option<Step>> {
        let filter = Arc::clone(&self.filter);
        let (interest, bell) = (self.interest.clone(), Arc::clone(&self.news));
        self.app
            .heavy(move |app| match phase {
                Phase::Past(past) => {
                    let world = (app.store.clone(), Arc::clone(&app.logs), bell);
                    past.step(&filter, world, interest).map(Some)
                }
                Phase::Present(mut live) => Ok(match live.round()? {
                    Round::Behind => None,
                    Round::Lines(lines, more) => {
                        let entries = lines.into_iter().map(made).filter(|one| filter.matches(one));
                        Some((entries.collect(), Phase::Present(live), more))
                    }
                }),
            })
            .await
    }

    /// Until something happens; false when it is time to end.
    async fn wait(&mut self) -> bool {
        let look = matches!(&self.phase, Some(Phase::Present(live)) if live.must_look());
        let look = if look { self.until.min(Instant::now() + LOOK_EVERY) } else { self.until };
        // Each may be dropped and begun again: a permit of `news` is kept, and so is the wish to stop.
        tokio::select! {
            () = self.news.notified() => true,
            () = stop(&mut self.stopping) => false,
            () = sleep_until(look) => Instant::now() < self.until,
        }
    }
}

impl Past {
    /// A batch of what there is; at its end, what comes.
    fn step(
        mut self,
        filter: &Filter,
        world: (groundrun_store::Store, Arc<dyn super::Logs>, Arc<Notify>),
        interest: Interest,
    ) -> Outcome<Step> {
        let mut entries = Vec::new();
        for _ in 0..BATCH_LOOKED_AT_MAX {
            if entries.len() >= BATCH_ENTRIES_MAX {
                break;
            }
            let Some(line) = self.merge.next() else {
                let Self { told, revision, open, seen, .. } = self;
                let live = Live::begin(world, interest, revision, told, (&open, seen))?;
                return Ok((entries, Phase::Present(Box::new(live)), More::Yes));
            };
            let (position, found) = line?;
            let Position { execution, task, attempt, sequence, .. } = position;
            let id = AttemptId { execution: ExecutionUid(execution), task, attempt };
            if self.told.get(&id).is_some_and(|told| sequence <= *told) {
                continue;
            }
            self.told.insert(id, sequence);
            let entry = made((position, found));
            if filter.matches(&entry) {
                entries.push(entry);
            }
        }
        Ok((entries, Phase::Past(self), More::Yes))
    }
}

fn made((position, (source, line)): (Position, Found)) -> LogEntry {
    entry(&source, position, line)
}

fn line(entries: &[LogEntry]) -> Vec<u8> {
    // Strings and numbers alone: serialisation has nothing to fail on.
    let mut text = serde_json::to_vec(&json!({ "entries": entries })).unwrap_or_default();
    text.push(b'\n');
    text
}
