//! Walks the tasks of the executions that a selector leaves, from where the last page ended.
//!
//! Of the selector's requirements those about the execution and its job choose executions by index; all of them are
//! tested on each task. What is held is one execution and the attempts of a stretch of its tasks.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use groundrun_api::{Selector, selector::Requirement};
use groundrun_core::{
    record::{Attempt, Execution},
    render::{self, RunningState},
};
use groundrun_store::{Continue, ListQuery, View};

use crate::{
    app::Place,
    error::Outcome,
    executions::OWN_NAME,
    list::{Page, Room, Wanted, at_most, not_a_token},
};

const EXECUTION: &str = "run.googleapis.com/execution";
const JOB: &str = "run.googleapis.com/job";
pub(crate) const RUNNING_STATE: &str = "run.googleapis.com/runningState";

/// Tasks whose attempts are held at once: with 11 attempts each, some 2 MiB.
const STRETCH: u32 = 1000;

/// Tasks looked at for one page, some 0.3 s. A page may have fewer items than asked for, even none, and a token.
const LOOKED_AT_MAX: u32 = 100_000;

/// Where the next page begins: with this task of the first execution behind `before`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Cursor {
    before: Option<Continue>,
    task: u32,
}

impl Cursor {
    fn write(&self) -> String {
        let before = self.before.map(|token| token.to_string()).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(format!("t1.{}.{before}", self.task))
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?.strip_prefix("t1.")?;
        let (task, before) = text.split_once('.')?;
        let before = if before.is_empty() { None } else { Some(before.parse().ok()?) };
        Some(Self { before, task: task.parse().ok()? })
    }
}

/// A walk over tasks.
pub(crate) struct Walk<'a> {
    view: &'a View<'a>,
    place: &'a Place,
    region: Option<&'a str>,
    wanted: &'a Wanted,
    executions: Selector,
    cursor: Cursor,
    looked_at: u32,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        view: &'a View<'a>,
        place: &'a Place,
        region: Option<&'a str>,
        wanted: &'a Wanted,
    ) -> Outcome<Self> {
        let cursor = match &wanted.from {
            None => Cursor::default(),
            Some(text) => Cursor::read(text).ok_or_else(not_a_token)?,
        };
        let executions = executions(&wanted.selector);
        Ok(Self { view, place, region, wanted, executions, cursor, looked_at: 0 })
    }

    /// Fills the page; gives the token of the next one.
    pub(crate) fn fill(mut self, page: &mut Page) -> Outcome<Option<String>> {
        loop {
            let query = ListQuery {
                project: &self.place.scope.project,
                region: self.region,
                selector: &self.executions,
                limit: at_most(1),
                after: self.cursor.before,
            };
            let found = self.view.executions(&query)?;
            let Some(execution) = found.items.first() else { return Ok(None) };
            self.looked_at += 1;
            if self.may_select(execution) && self.tasks_of(execution, page)? == Room::Full {
                return Ok(self.rest(execution, found.next));
            }
            match found.next {
                None => return Ok(None),
                next => self.cursor = Cursor { before: next, task: 0 },
            }
            if self.looked_at >= LOOKED_AT_MAX {
                return Ok(Some(self.cursor.write()));
            }
        }
    }

    /// The token, when the page is full: `self.cursor.task` is the next task of `execution`.
    fn rest(self, execution: &Execution, next: Option<Continue>) -> Option<String> {
        if self.cursor.task < task_count(execution) {
            return Some(self.cursor.write());
        }
        next.map(|_| Cursor { before: next, task: 0 }.write())
    }

    /// By the labels that all of its tasks share.
    fn may_select(&self, execution: &Execution) -> bool {
        let labels = render::task_labels(execution, RunningState::Pending);
        let mut shared =
            self.wanted.selector.requirements.iter().filter(|one| one.key != RUNNING_STATE);
        shared.all(|one| one.test.holds(labels.get(&one.key).map(String::as_str)))
    }

    fn tasks_of(&mut self, execution: &Execution, page: &mut Page) -> Outcome<Room> {
        let count = task_count(execution);
        while self.cursor.task < count {
            let until = count.min(self.cursor.task.saturating_add(STRETCH));
            let mut attempts: BTreeMap<u32, Vec<Attempt>> = BTreeMap::new();
            self.view.attempts(execution.uid, self.cursor.task..until, |attempt| {
                attempts.entry(attempt.id.task).or_default().push(attempt);
            })?;
            while self.cursor.task < until {
                let index = self.cursor.task;
                let attempts = attempts.remove(&index).unwrap_or_default();
                let room = self.task(execution, index, &attempts, page)?;
                self.cursor.task += 1;
                self.looked_at += 1;
                if room == Room::Full || self.looked_at >= LOOKED_AT_MAX {
                    return Ok(Room::Full);
                }
            }
        }
        Ok(Room::Left)
    }

    fn task(
        &self,
        execution: &Execution,
        index: u32,
        attempts: &[Attempt],
        page: &mut Page,
    ) -> Outcome<Room> {
        let state = render::running_state(execution, attempts);
        if !self.wanted.selector.matches(&render::task_labels(execution, state)) {
            return Ok(Room::Left);
        }
        page.push(&render::task(execution, index, attempts, &self.place.context))
    }
}

/// What the index of executions can answer.
fn executions(selector: &Selector) -> Selector {
    let indexed = selector.requirements.iter().filter_map(|one| match one.key.as_str() {
        EXECUTION => Some(Requirement { key: OWN_NAME.to_owned(), test: one.test.clone() }),
        JOB => Some(one.clone()),
        _ => None,
    });
    Selector { requirements: indexed.collect() }
}

/// Tasks of an execution. An admitted spec always says it.
pub(crate) fn task_count(execution: &Execution) -> u32 {
    execution.spec.task_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
}
