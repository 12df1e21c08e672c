//! Events of tasks. A task has no record: it changes with its attempts, and with an execution that is made, stopped,
//! completed or deleted.
//!
//! Of an execution with 10,000 tasks those are looked at whose attempts changed, and all only when it is made, stopped or
//! over. What a pending task waits for is the execution's, and told with that alone.

use std::{collections::BTreeMap, ops::Range};

use groundrun_api::v1;
use groundrun_core::{
    record::{Attempt, Execution, Revision},
    render::{self, ChangePlace, RunningState, Told},
};
use groundrun_store::{Attempts, Changed, Fate, View};
use uuid::Uuid;

use super::{
    event::Type,
    request::Watch,
    telling::{
        Bare, Full, Life, Lines, Object, Writer, bare_execution, changes_every_task, untold,
    },
};
use crate::{
    error::Outcome,
    tasks::{RUNNING_STATE, task_count},
};

/// Tasks whose attempts are held at once, as in a list.
const STRETCH: u32 = 1000;

/// Changes of one execution that may be told of its tasks.
struct Changing {
    bare: Bare,
    life: Life,
    count: u32,
    /// With its spec, once a task of it is to be shown.
    whole: Option<Execution>,
}

/// Tasks of one execution that are told at one place.
struct Part {
    revision: Revision,
    uid: Uuid,
    tasks: Which,
}

enum Which {
    /// All but those that changed later.
    All {
        but: Vec<u32>,
    },
    One(u32),
}

impl Part {
    fn key(&self) -> (Revision, Uuid, u32) {
        let first = match self.tasks {
            Which::All { .. } => 0,
            Which::One(task) => task,
        };
        (self.revision, self.uid, first)
    }
}

impl Watch {
    pub(super) fn tell_tasks(
        &self,
        view: &View<'_>,
        lives: BTreeMap<Uuid, Life>,
        place: ChangePlace,
        mut writer: Writer<'_>,
    ) -> Outcome<Lines> {
        let mut executions: BTreeMap<Uuid, Changing> = BTreeMap::new();
        let mut parts = Vec::new();
        for (uid, life) in lives {
            let Some(bare) = bare_execution(view, &life)? else { continue };
            if !self.has(&bare.record.scope, &bare.record.name) || !self.may_select(&bare.record) {
                continue;
            }
            let count = task_count(&bare.record);
            parts.extend(self.parts(uid, &life, count));
            executions.insert(uid, Changing { bare, life, count, whole: None });
        }
        parts.sort_by_key(Part::key);
        for part in parts {
            let Some(one) = executions.get_mut(&part.uid) else { continue };
            let ranges = match &part.tasks {
                Which::One(task) => stretches(*task..task.saturating_add(1)),
                Which::All { .. } => stretches(0..one.count),
            };
            for range in ranges {
                let skip = |task: &u32| match &part.tasks {
                    Which::All { but } => but.binary_search(task).is_ok(),
                    Which::One(_) => false,
                };
                let wanted = range
                    .clone()
                    .filter(|task| !skip(task) && self.task.is_none_or(|only| only == *task));
                let wanted = wanted.filter(|task| {
                    // What is before the place in the same part was told: not to be read again.
                    let told = Told { uid: part.uid, task: *task };
                    !matches!(place, ChangePlace::Within { last, until, .. }
                        if part.revision <= until && (part.revision, told) <= last)
                });
                let wanted: Vec<u32> = wanted.collect();
                let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { continue };
                let mut attempts = attempts_of(view, one, *first..last.saturating_add(1))?;
                for task in wanted {
                    let attempts = attempts.remove(&task).unwrap_or_default();
                    let event = self.task(view, one, task, &attempts, place)?;
                    let Some((what, object)) = event else { continue };
                    let key = (part.revision, Told { uid: part.uid, task });
                    if writer.push(key, what, Object::Task(Box::new(object)))? == Full::Yes {
                        return writer.stop();
                    }
                }
            }
        }
        writer.finish()
    }

    /// By the labels that all tasks of the execution share.
    fn may_select(&self, execution: &Execution) -> bool {
        let labels = render::task_labels(execution, RunningState::Pending);
        let mut shared = self.selector.requirements.iter().filter(|one| one.key != RUNNING_STATE);
        shared.all(|one| one.test.holds(labels.get(&one.key).map(String::as_str)))
    }

    /// Where which tasks are told: each at its last change.
    fn parts(&self, uid: Uuid, life: &Life, count: u32) -> Vec<Part> {
        let every = life.iter().rfind(|changed| changes_every_task(changed));
        let every = every.map(|changed| changed.revision);
        let mut later: BTreeMap<u32, Revision> = BTreeMap::new();
        for changed in life.iter().filter(|changed| every.is_none_or(|at| changed.revision > at)) {
            later.extend(changed.trace.tasks.keys().map(|task| (*task, changed.revision)));
        }
        later.retain(|task, _| *task < count);
        let but = later.keys().copied().collect();
        let all = every.map(|revision| Part { revision, uid, tasks: Which::All { but } });
        let one = |(task, revision)| Part { revision, uid, tasks: Which::One(task) };
        all.into_iter().chain(later.into_iter().map(one)).collect()
    }

    /// What became of one task.
    fn task(
        &self,
        view: &View<'_>,
        one: &mut Changing,
        task: u32,
        attempts: &[Attempt],
        place: ChangePlace,
    ) -> Outcome<Option<(Type, v1::Task)>> {
        let Changing { bare, life, whole, .. } = one;
        let concerns = |changed: &&Changed| {
            changes_every_task(changed) || changed.trace.tasks.contains_key(&task)
        };
        let mut mine: Life = life.iter().filter(concerns).cloned().collect();
        untold(&mut mine, Told { uid: bare.record.uid.0, task }, place);
        let Some(first) = mine.first() else { return Ok(None) };
        if bare.is_gone {
            // Of what it was last there may be no record any more.
            let deleted = first.trace.fate != Fate::Made;
            return Ok(deleted.then(|| (Type::Deleted, self.gone(&bare.record, task))));
        }
        let made = first.trace.fate == Fate::Made;
        if whole.is_none() {
            *whole = view.execution_by_uid(bare.record.uid)?;
        }
        let Some(execution) = whole else { return Ok(None) };
        let state = render::running_state(execution, attempts);
        let touched = mine.iter().find_map(|changed| changed.trace.tasks.get(&task));
        let before = match touched {
            Some(Attempts::First) => RunningState::Pending,
            Some(Attempts::Later) => RunningState::Running,
            None => render::running_state(&earlier(&bare.record, execution, &mine), attempts),
        };
        let selected = |state| self.selector.matches(&render::task_labels(execution, state));
        let (was, is) = (!made && selected(before), selected(state));
        let what = match Type::of(was, is) {
            Some(Type::Modified) if touched.is_none() && before == state => None,
            what => what,
        };
        Ok(what.map(|what| (what, render::task(execution, task, attempts, &self.place.context))))
    }

    /// A task of a deleted execution: its metadata, without the state that nobody knows.
    fn gone(&self, execution: &Execution, task: u32) -> v1::Task {
        let shown = render::task(execution, task, &[], &self.place.context);
        let mut metadata = shown.metadata;
        if let Some(metadata) = &mut metadata {
            metadata.labels.remove(RUNNING_STATE);
        }
        v1::Task { metadata, spec: None, status: None, ..shown }
    }
}

/// The execution before these steps.
fn earlier(bare: &Execution, whole: &Execution, life: &Life) -> Execution {
    let mut earlier = Execution { spec: whole.spec.clone(), ..bare.clone() };
    if life.iter().any(|changed| changed.trace.steps.completed) {
        earlier.state.completed = None;
    }
    if life.iter().any(|changed| changed.trace.steps.stopped) {
        earlier.wishes.cancel = None;
    }
    earlier
}

fn stretches(tasks: Range<u32>) -> Vec<Range<u32>> {
    let end = tasks.end;
    let starts = tasks.step_by(STRETCH as usize);
    starts.map(|start| start..end.min(start.saturating_add(STRETCH))).collect()
}

fn attempts_of(
    view: &View<'_>,
    one: &Changing,
    tasks: Range<u32>,
) -> Outcome<BTreeMap<u32, Vec<Attempt>>> {
    let mut attempts: BTreeMap<u32, Vec<Attempt>> = BTreeMap::new();
    if !one.bare.is_gone {
        view.attempts(one.bare.record.uid, tasks, |attempt| {
            attempts.entry(attempt.id.task).or_default().push(attempt);
        })?;
    }
    Ok(attempts)
}
