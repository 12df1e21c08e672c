//! Which executions may have lines that a filter selects: by name, job, region and time, before any log is opened.

use std::{collections::BTreeSet, num::NonZeroU32};

use groundrun_api::{
    Selector,
    logfilter::Narrow,
    selector::{Requirement, Test},
};
use groundrun_core::{id::ExecutionUid, record::Execution};
use groundrun_store::{ListQuery, Store};
use jiff::{SignedDuration, Timestamp};

use super::reading::Span;
use crate::{error::Outcome, executions::OWN_NAME};

/// Records read in one snapshot, so that none is long.
const CHUNK: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");

/// Lines may be read this long after the end that the record has: pipes are drained for a second, clocks are set.
pub(super) const SLACK: SignedDuration = SignedDuration::from_secs(60);

/// An execution, as far as its entries need it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) uid: ExecutionUid,
    pub(super) name: String,
    pub(super) job: String,
    pub(super) project: String,
    pub(super) region: String,
    /// No line is outside of it.
    pub(super) span: (Timestamp, Timestamp),
}

impl Source {
    pub(super) fn of(execution: Execution) -> Self {
        let over = execution.state.completed.map(|completed| completed.at);
        Self {
            uid: execution.uid,
            name: execution.name,
            job: execution.job.name,
            project: execution.scope.project,
            region: execution.scope.region,
            span: (execution.created, end(over)),
        }
    }

    /// May it still write?
    pub(super) fn is_open(&self) -> bool {
        self.span.1 == Timestamp::MAX
    }

    /// Is it one of those that a filter leaves?
    pub(super) fn is_of(&self, projects: &BTreeSet<String>, narrow: &Narrow) -> bool {
        let is =
            |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|one| one == has);
        projects.contains(&self.project)
            && is(&narrow.execution, &self.name)
            && is(&narrow.job, &self.job)
            && is(&narrow.location, &self.region)
    }

    fn meets(&self, span: Span) -> bool {
        self.span.0 <= span.until && span.since <= self.span.1
    }
}

/// The latest time of a line of something that was over then.
pub(super) fn end(over: Option<Timestamp>) -> Timestamp {
    over.map_or(Timestamp::MAX, |at| at.checked_add(SLACK).unwrap_or(Timestamp::MAX))
}

/// All that may matter, in no order.
pub(super) fn find(
    store: &Store,
    project: &str,
    narrow: &Narrow,
    span: Span,
) -> Outcome<Vec<Source>> {
    let selector = selector(narrow);
    let region = narrow.location.as_deref();
    let mut sources = Vec::new();
    let mut after = None;
    loop {
        let query = ListQuery { project, region, selector: &selector, limit: CHUNK, after };
        let page = store.read(|view| Outcome::Ok(view.executions(&query)?))?;
        let found = page.items.into_iter().map(Source::of);
        sources.extend(found.filter(|source| source.meets(span)));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(sources),
        }
    }
}

/// What the index of executions can answer.
fn selector(narrow: &Narrow) -> Selector {
    let is = |key: &str, value: &String| Requirement {
        key: key.to_owned(),
        test: Test::In([value.clone()].into()),
    };
    let execution = narrow.execution.iter().map(|name| is(OWN_NAME, name));
    let job = narrow.job.iter().map(|name| is("run.googleapis.com/job", name));
    Selector { requirements: execution.chain(job).collect() }
}
