//! `entries.list`: one page of entries that a filter selects, in order of time.

use std::{collections::BTreeSet, sync::Arc};

use axum::extract::State;
use groundrun_api::{
    ApiError,
    logfilter::Filter,
    logging::{ListLogEntriesRequest, ListLogEntriesResponse, LogEntry, Order},
};
use jiff::Timestamp;

use super::{
    entry::entry,
    merge::{Merge, Position},
    reading::Span,
    sources, token,
    tree::{Branch, Records},
};
use crate::{
    app::App,
    call::Call,
    error::{Outcome, Refusal},
    reply,
};

/// Entries of a page where the request does not say, and at most. gcloud asks for the latter.
const PAGE_DEFAULT: usize = 50;
pub(super) const PAGE_MAX: usize = 1000;

/// A page ends when its texts are this long, however many entries were asked for.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Lines looked at for one page, some 0.2 s. A page with fewer entries than asked for, even none, has a token that
/// goes on behind the last of them; clients follow it (fact: gcloud-wire E.1).
const LOOKED_AT_MAX: usize = 100_000;

pub(crate) async fn list(State(app): State<Arc<App>>, call: Call) -> Outcome {
    let shape = call.shape(&[])?;
    let request: ListLogEntriesRequest = call.message(&app).await?;
    let wanted = Wanted::read(&app, &request)?;
    let page = app.heavy(move |app| wanted.page(app)).await?;
    reply::json(&page, &shape)
}

/// A request, read.
pub(super) struct Wanted {
    projects: BTreeSet<String>,
    filter: Filter,
    order: Order,
    size: usize,
    after: Option<Position>,
}

impl Wanted {
    pub(super) fn read(app: &App, request: &ListLogEntriesRequest) -> Outcome<Self> {
        let filter = request.filter.as_deref().unwrap_or_default();
        let filter: Filter = filter.parse().map_err(ApiError::from)?;
        let order = request.order()?;
        let token = request.page_token.as_deref().filter(|token| !token.is_empty());
        Ok(Self {
            projects: projects(app, &request.resource_names, &request.project_ids)?,
            filter,
            order,
            size: size(request.page_size)?,
            after: token.map(|token| token::read(token, order)).transpose()?,
        })
    }

    pub(super) fn page(&self, app: &App) -> Outcome<ListLogEntriesResponse> {
        let narrow = self.filter.narrow();
        let other = narrow.resource_type.as_ref().is_some_and(|kind| kind != "cloud_run_job");
        if narrow.nothing || other {
            return Ok(ListLogEntriesResponse::default());
        }
        let span = self.span(narrow.since, narrow.until);
        let records = Records {
            store: app.store.clone(),
            logs: Arc::clone(&app.logs),
            order: self.order,
            span,
            task: narrow.task,
        };
        let mut roots = Vec::new();
        for project in &self.projects {
            let found = sources::find(&app.store, project, &narrow, span)?;
            roots.extend(
                found.into_iter().map(|source| {
                    (records.bound(source.span), Branch::Execution(Arc::new(source)))
                }),
            );
        }
        self.fill(Merge::new(records, self.order, roots))
    }

    /// What the filter and the page before leave.
    fn span(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Span {
        let since = since.unwrap_or(Timestamp::MIN);
        let until = until.unwrap_or(Timestamp::MAX);
        match (self.after, self.order) {
            (None, _) => Span { since, until },
            (Some(after), Order::OldestFirst) => Span { since: since.max(after.at), until },
            (Some(after), Order::NewestFirst) => Span { since, until: until.min(after.at) },
        }
    }

    fn fill(&self, merge: Merge<Records>) -> Outcome<ListLogEntriesResponse> {
        let mut entries: Vec<LogEntry> = Vec::new();
        let (mut bytes, mut looked_at, mut last) = (0, 0, None);
        for line in merge {
            let (position, (source, line)) = line?;
            if self.after.is_some_and(|after| !position.is_after(&after, self.order)) {
                continue;
            }
            let full = entries.len() >= self.size || bytes >= PAGE_BYTES_MAX;
            if let Some(last) = last.filter(|_| full || looked_at >= LOOKED_AT_MAX) {
                let next_page_token = Some(token::write(last, self.order));
                return Ok(ListLogEntriesResponse { entries, next_page_token });
            }
            looked_at += 1;
            last = Some(position);
            let entry = entry(&source, position, line);
            if self.filter.matches(&entry) {
                bytes += entry.text_payload.as_ref().map_or(0, String::len);
                entries.push(entry);
            }
        }
        Ok(ListLogEntriesResponse { entries, next_page_token: None })
    }
}

fn size(asked: Option<i32>) -> Outcome<usize> {
    match asked {
        None | Some(0) => Ok(PAGE_DEFAULT),
        Some(size) => usize::try_from(size)
            .map(|size| size.min(PAGE_MAX))
            .map_err(|_| Refusal::violation("page_size", "page_size: must not be negative.")),
    }
}

/// `projects/demo`, also with a view of its logs behind.
pub(super) fn projects(
    app: &App,
    resource_names: &[String],
    project_ids: &[String],
) -> Outcome<BTreeSet<String>> {
    let mut projects = BTreeSet::new();
    let named = resource_names.iter().map(|name| {
        let id = name.strip_prefix("projects/").map(|rest| rest.split('/').next().unwrap_or(rest));
        id.ok_or_else(|| {
            let text =
                format!("resource_names: only projects have logs here, and '{name}' is none.");
            Refusal::violation("resource_names", text)
        })
    });
    for id in named.chain(project_ids.iter().map(|id| Ok(id.as_str()))) {
        projects.insert(app.context(id?)?.project);
    }
    if projects.is_empty() {
        let text = "resource_names: at least one is needed, such as 'projects/demo'.";
        return Err(Refusal::violation("resource_names", text));
    }
    Ok(projects)
}
