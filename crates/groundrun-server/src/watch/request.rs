//! What is watched, from the query.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use groundrun_api::{ApiError, Code, Selector};
use groundrun_core::render::{ChangePlace, parse_resource_version};
use groundrun_store::View;
use tokio::{sync::Notify, time::Instant};

use super::stream::{EXPIRED, Stream};
use crate::{
    app::{App, Place},
    call::Call,
    error::{Outcome, Refusal},
    executions,
    fields::Mask,
    jobs,
    list::{Page, Wanted},
    query::{
        Parameter::{self, Ignored, Taken, Unsupported},
        Print,
    },
    reply, tasks,
};

/// The longest watch. Its client comes back with the last version that it saw and has lost nothing; one that is forgotten
/// does not hold its place for ever.
const LASTS_MAX: Duration = Duration::from_secs(3600);

/// What a list takes with `watch=true`. `limit` is for lists, and clients send it with the watch too.
const WATCH: [Parameter; 8] = [
    Taken("watch"),
    Taken("labelSelector"),
    Taken("fieldSelector"),
    Taken("resourceVersion"),
    Taken("timeoutSeconds"),
    Taken("allowWatchBookmarks"),
    Ignored("limit"),
    Unsupported("includeUninitialized"),
];

/// Of what the objects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Jobs.
    Jobs,
    /// Executions.
    Executions,
    /// Tasks.
    Tasks,
}

impl Kind {
    /// `kind` of an object.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jobs => "Job",
            Self::Executions => "Execution",
            Self::Tasks => "Task",
        }
    }
}

/// What is watched.
pub(super) struct Watch {
    pub(super) kind: Kind,
    pub(super) place: Place,
    /// One region, or all.
    pub(super) region: Option<String>,
    /// Labels, as clients see them.
    pub(super) selector: Selector,
    /// Of executions: what no label says.
    pub(super) own: Selector,
    /// The object of this name alone; of a task, its execution.
    pub(super) name: Option<String>,
    /// With it, the task of this index alone.
    pub(super) task: Option<u32>,
    /// Parts of an event to be sent.
    pub(super) mask: Option<Mask>,
}

/// Is this call of a list one for a watch?
pub(crate) fn is_asked_for(call: &Call) -> bool {
    matches!(call.query.get("watch"), Some("true" | "1"))
}

/// Begins a watch.
pub(crate) async fn start(app: Arc<App>, kind: Kind, project: &str, call: &Call) -> Outcome {
    let shape = call.shape(&WATCH)?;
    if shape.print == Print::Pretty {
        let text = "prettyPrint: a watch has one event a line.";
        return Err(Refusal::violation("prettyPrint", text));
    }
    let selector = call.query.get("labelSelector").unwrap_or_default();
    let mut selector = selector
        .parse::<Selector>()
        .map_err(|fault| Refusal::violation("labelSelector", fault.to_string()))?;
    let own = match kind {
        Kind::Executions => executions::take_own(&mut selector),
        Kind::Jobs | Kind::Tasks => Selector::default(),
    };
    let (name, task) = named(kind, call)?;
    let watch = Watch {
        kind,
        place: app.place(project, call.regions.one())?,
        region: call.regions.only().map(str::to_owned),
        selector,
        own,
        name,
        task,
        mask: shape.mask,
    };
    let until = Instant::now() + lasts(call)?;
    let bookmarks = call.query.flag("allowWatchBookmarks")?;
    // Kubernetes' 0 is "whatever you have".
    let version = call.query.get("resourceVersion").filter(|version| *version != "0");
    let from = match version {
        None => None,
        Some(text) => {
            let text = || format!("resourceVersion: '{text}' is not a version of this server.");
            let from = version.and_then(parse_resource_version);
            Some(from.ok_or_else(|| Refusal::violation("resourceVersion", text()))?)
        }
    };
    let slot = app.stream()?;
    let watch = Arc::new(watch);
    let news = Arc::new(Notify::new());
    let mut watcher = app.store.watch();
    let bell = Arc::clone(&news);
    watcher.on_change(move || bell.notify_one());
    let (first, from) = match from {
        Some(from) => {
            let since = match from {
                ChangePlace::After(revision) => revision,
                ChangePlace::Within { since, .. } => since,
            };
            if app.store.recall(since, None, |_| ()).is_err() {
                return Ok(reply::expired(EXPIRED));
            }
            (Vec::new(), from)
        }
        None => {
            let watch = Arc::clone(&watch);
            app.read(move |view| watch.begin(view)).await?
        }
    };
    let stream = Stream::new(Arc::clone(&app), watch, (news, watcher), slot, from);
    Ok(respond(stream.beginning_with(first).until(until), bookmarks))
}

fn respond(stream: Stream, bookmarks: bool) -> Response {
    let stream = if bookmarks { stream.with_bookmarks() } else { stream };
    reply::lines(stream.lines())
}

/// `fieldSelector=metadata.name=NAME`, as `kubectl get -w` of one object asks.
fn named(kind: Kind, call: &Call) -> Outcome<(Option<String>, Option<u32>)> {
    let Some(text) = call.query.get("fieldSelector") else { return Ok((None, None)) };
    let wrong = || {
        let text = format!("fieldSelector: only 'metadata.name=NAME' is supported, not '{text}'.");
        Refusal::violation("fieldSelector", text)
    };
    let (field, name) = text.split_once('=').ok_or_else(wrong)?;
    let name = name.strip_prefix('=').unwrap_or(name).trim();
    if field.trim() != "metadata.name" || name.is_empty() || name.contains([',', '=']) {
        return Err(wrong());
    }
    match kind {
        Kind::Jobs | Kind::Executions => Ok((Some(name.to_owned()), None)),
        // What is no task's name is nobody's.
        Kind::Tasks => match tasks::split(name) {
            Some((execution, index)) => Ok((Some(execution.to_owned()), Some(index))),
            None => Ok((Some(name.to_owned()), Some(u32::MAX))),
        },
    }
}

/// `timeoutSeconds`: the end of the watch, an hour from now at the latest.
fn lasts(call: &Call) -> Outcome<Duration> {
    match call.query.number("timeoutSeconds")? {
        None | Some(0) => Ok(LASTS_MAX),
        Some(seconds) => {
            let seconds = u64::try_from(seconds).map_err(|_| {
                let text = format!("timeoutSeconds: must not be negative, and is {seconds}.");
                Refusal::violation("timeoutSeconds", text)
            })?;
            Ok(LASTS_MAX.min(Duration::from_secs(seconds)))
        }
    }
}

impl Watch {
    /// What there is, as events, and the place behind it.
    fn begin(&self, view: &View<'_>) -> Outcome<(Vec<u8>, ChangePlace)> {
        let mut page = Page::of_events(self.mask.clone());
        let region = self.region.as_deref();
        let next = match &self.name {
            Some(name) => {
                self.begin_with(view, name, &mut page)?;
                None
            }
            None => {
                let selector = self.selector.clone();
                let wanted = Wanted { selector, limit: usize::MAX, ..Wanted::default() };
                match self.kind {
                    Kind::Jobs => jobs::fill(view, &wanted, &self.place, region, &mut page)?,
                    Kind::Executions => {
                        let wanted = (&wanted, &self.own);
                        executions::fill(view, wanted, &self.place, region, &mut page)?
                    }
                    Kind::Tasks => {
                        tasks::Walk::new(view, &self.place, region, &wanted)?.fill(&mut page)?
                    }
                }
            }
        };
        if next.is_some() {
            let text = "There is more than a watch can begin with: list it page by page, and watch from the list's \
                        metadata.resourceVersion.";
            return Err(Refusal(ApiError::new(Code::FailedPrecondition, text)));
        }
        Ok((page.finish(None, None), ChangePlace::After(view.revision()?)))
    }
}
