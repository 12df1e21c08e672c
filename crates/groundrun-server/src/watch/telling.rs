//! From changes to events: what was in the selection before, and what is.
//!
//! All is read from one snapshot, with all changes up to it and none after it. Of several changes of one thing the last is
//! told, in the place of the last: events come in the order of their versions.

use std::collections::BTreeMap;

use groundrun_api::v1;
use groundrun_core::{
    record::{Execution, Job, Revision, Scope},
    render::{self, ChangePlace, Told},
};
use groundrun_store::{Changed, Fate, Gone, Store, Subject, View};
use serde::Serialize;
use uuid::Uuid;

use super::{
    event::{self, Type},
    request::{Kind, Watch},
};
use crate::{
    error::Outcome,
    executions::{find, serving_state},
    jobs,
    list::Page,
    tasks,
};

/// Text made in one snapshot, some 20 ms: the rest is told from the next one.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Changes of one thing, oldest first.
pub(super) type Life = Vec<Changed>;

/// Lines, and how far they tell.
pub(super) type Lines = (Vec<u8>, ChangePlace);

impl Watch {
    /// May events come of this change?
    pub(super) fn concerns(&self, changed: &Changed) -> bool {
        match (self.kind, changed.subject) {
            (Kind::Jobs, Subject::Job(_)) | (Kind::Executions, Subject::Execution(_)) => true,
            (Kind::Tasks, Subject::Execution(_)) => tasks_are_concerned(changed),
            (Kind::Jobs, Subject::Execution(_))
            | (Kind::Executions | Kind::Tasks, Subject::Job(_)) => false,
        }
    }

    /// What there is of this name.
    pub(super) fn begin_with(&self, view: &View<'_>, name: &str, page: &mut Page) -> Outcome<()> {
        match self.kind {
            Kind::Jobs => {
                let job = view.job(&self.place.scope, name)?;
                if let Some(job) = job.filter(|job| self.selector.matches(&render::job_labels(job)))
                {
                    let _ = page.push(&jobs::shown(view, &job, &self.place)?)?;
                }
            }
            Kind::Executions => {
                let Ok(execution) = find(view, name, &self.place)? else { return Ok(()) };
                if self.selects(&execution, &render::execution_labels(&execution), Active::AsItIs) {
                    let _ = page.push(&render::execution(&execution, &self.place.context))?;
                }
            }
            Kind::Tasks => {
                let Ok(execution) = find(view, name, &self.place)? else { return Ok(()) };
                let index = self.task.unwrap_or_default();
                if index < tasks::task_count(&execution) {
                    let attempts = view.attempts_of_task(execution.uid, index)?;
                    let state = render::running_state(&execution, &attempts);
                    if self.selector.matches(&render::task_labels(&execution, state)) {
                        let context = &self.place.context;
                        let _ = page.push(&render::task(&execution, index, &attempts, context))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The events since `place`; none where that is forgotten.
    pub(super) fn tell(
        &self,
        view: &View<'_>,
        store: &Store,
        place: ChangePlace,
    ) -> Outcome<Option<Lines>> {
        let since = match place {
            ChangePlace::After(since) | ChangePlace::Within { since, .. } => since,
        };
        let until = view.revision()?;
        let mut lives: BTreeMap<Uuid, Life> = BTreeMap::new();
        let collect = |changed: &Changed| {
            if self.concerns(changed) {
                let (Subject::Job(groundrun_core::id::JobUid(uid))
                | Subject::Execution(groundrun_core::id::ExecutionUid(uid))) = changed.subject;
                lives.entry(uid).or_default().push(changed.clone());
            }
        };
        if store.recall(since, Some(until), collect).is_err() {
            return Ok(None);
        }
        let writer = Writer::new(self, since, until);
        match self.kind {
            Kind::Jobs | Kind::Executions => self.tell_objects(view, lives, place, writer),
            Kind::Tasks => self.tell_tasks(view, lives, place, writer),
        }
        .map(Some)
    }

    fn tell_objects(
        &self,
        view: &View<'_>,
        lives: BTreeMap<Uuid, Life>,
        place: ChangePlace,
        mut writer: Writer<'_>,
    ) -> Outcome<Lines> {
        let mut events: Vec<((Revision, Told), Life)> = Vec::new();
        for (uid, mut life) in lives {
            let told = Told { uid, task: 0 };
            untold(&mut life, told, place);
            if let Some(last) = life.last() {
                events.push(((last.revision, told), life));
            }
        }
        events.sort_by_key(|(key, _)| *key);
        for (key, life) in events {
            let full = match self.kind {
                Kind::Jobs => match self.job(view, &life)? {
                    Some((what, job)) => writer.push(key, what, Object::Job(Box::new(job)))?,
                    None => continue,
                },
                _ => match self.execution(view, &life)? {
                    Some((what, one)) => {
                        writer.push(key, what, Object::Execution(Box::new(one)))?
                    }
                    None => continue,
                },
            };
            if full == Full::Yes {
                return writer.stop();
            }
        }
        writer.finish()
    }

    fn job(&self, view: &View<'_>, life: &Life) -> Outcome<Option<(Type, v1::Job)>> {
        let (Some(first), Some(last)) = (life.first(), life.last()) else { return Ok(None) };
        let Subject::Job(uid) = last.subject else { return Ok(None) };
        let gone = match &last.trace.fate {
            Fate::Gone(gone) => match &**gone {
                Gone::Job(job) => Some(job.clone()),
                Gone::Execution(_) => None,
            },
            Fate::Made | Fate::Kept => None,
        };
        let is_gone = gone.is_some();
        let Some(record) = gone.map_or_else(|| view.job_without_spec(uid), |job| Ok(Some(job)))?
        else {
            return Ok(None);
        };
        if !self.has(&record.scope, &record.name) {
            return Ok(None);
        }
        let labels = render::job_labels(&record);
        let before = life.iter().find_map(|one| one.trace.labels.as_deref()).unwrap_or(&labels);
        let was = first.trace.fate != Fate::Made && self.selector.matches(before);
        let is = !is_gone && self.selector.matches(&labels);
        let Some(what) = Type::of(was, is) else { return Ok(None) };
        let mut job = match view.job_by_uid(uid)? {
            Some(job) if !is_gone => jobs::shown(view, &job, &self.place)?,
            _ => jobs::shown(view, &Job { latest_execution: None, ..record }, &self.place)?,
        };
        if is_gone {
            (job.spec, job.status) = (None, None);
        }
        Ok(Some((what, job)))
    }

    fn execution(&self, view: &View<'_>, life: &Life) -> Outcome<Option<(Type, v1::Execution)>> {
        let Some(Bare { record, is_gone, was_there }) = bare_execution(view, life)? else {
            return Ok(None);
        };
        if !self.has(&record.scope, &record.name) {
            return Ok(None);
        }
        let labels = render::execution_labels(&record);
        let before = life.iter().find_map(|one| one.trace.labels.as_deref()).unwrap_or(&labels);
        let completed = life.iter().any(|one| one.trace.steps.completed);
        let active = if completed { Active::Yes } else { Active::AsItIs };
        let was = was_there && self.selects(&record, before, active);
        let is = !is_gone && self.selects(&record, &labels, Active::AsItIs);
        let Some(what) = Type::of(was, is) else { return Ok(None) };
        let context = &self.place.context;
        let whole = if is_gone { None } else { view.execution_by_uid(record.uid)? };
        let mut execution = render::execution(whole.as_ref().unwrap_or(&record), context);
        if is_gone {
            (execution.spec, execution.status) = (None, None);
        }
        Ok(Some((what, execution)))
    }

    fn selects(
        &self,
        execution: &Execution,
        labels: &BTreeMap<String, String>,
        active: Active,
    ) -> bool {
        let active = active == Active::Yes || execution.state.completed.is_none();
        self.selector.matches(labels) && self.own.matches(&serving_state(active))
    }

    /// Is something of this name, there, watched at all?
    pub(super) fn has(&self, scope: &Scope, name: &str) -> bool {
        let of_region = self.region.as_ref().is_none_or(|region| *region == scope.region);
        // A name is looked up in one region, as a get does.
        let of_name = self
            .name
            .as_ref()
            .is_none_or(|only| only == name && scope.region == self.place.scope.region);
        scope.project == self.place.scope.project && of_region && of_name
    }
}

/// Whether an execution is `Active`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Active {
    AsItIs,
    Yes,
}

/// An execution without its spec, as it is or was last.
pub(super) struct Bare {
    pub(super) record: Execution,
    pub(super) is_gone: bool,
    /// Before these changes.
    pub(super) was_there: bool,
}

/// The execution that changed; none where it is of no interest to anybody any more.
pub(super) fn bare_execution(view: &View<'_>, life: &Life) -> Outcome<Option<Bare>> {
    let (Some(first), Some(last)) = (life.first(), life.last()) else { return Ok(None) };
    let Subject::Execution(uid) = last.subject else { return Ok(None) };
    let was_there = first.trace.fate != Fate::Made;
    // Its end may be behind what was deleted: attempts that run are settled and told all the same.
    let gone = life.iter().find_map(|one| match &one.trace.fate {
        Fate::Gone(gone) => match &**gone {
            Gone::Execution(execution) => Some(execution.clone()),
            Gone::Job(_) => None,
        },
        Fate::Made | Fate::Kept => None,
    });
    let is_gone = gone.is_some();
    let record = match gone {
        Some(record) => Some(record),
        None => view.execution_without_spec(uid)?.filter(|one| one.wishes.delete.is_none()),
    };
    Ok(record.map(|record| Bare { record, is_gone, was_there }))
}

fn tasks_are_concerned(changed: &Changed) -> bool {
    !changed.trace.tasks.is_empty() || changes_every_task(changed)
}

/// A change that may be one of all tasks, also of those without attempts.
pub(super) fn changes_every_task(changed: &Changed) -> bool {
    let steps = changed.trace.steps;
    changed.trace.fate != Fate::Kept || steps.stopped || steps.completed
}

/// Leaves the changes that were not told yet.
pub(super) fn untold(life: &mut Life, told: Told, place: ChangePlace) {
    let ChangePlace::Within { until, last, .. } = place else { return };
    let before = life.iter().rfind(|changed| changed.revision <= until);
    if before.is_some_and(|changed| (changed.revision, told) <= last) {
        life.retain(|changed| changed.revision > until);
    }
}

/// Something to be told.
pub(super) enum Object {
    Job(Box<v1::Job>),
    Execution(Box<v1::Execution>),
    Task(Box<v1::Task>),
}

impl Object {
    fn metadata(&mut self) -> &mut Option<v1::ObjectMeta> {
        match self {
            Self::Job(job) => &mut job.metadata,
            Self::Execution(execution) => &mut execution.metadata,
            Self::Task(task) => &mut task.metadata,
        }
    }
}

/// Is there room for another event?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Full {
    No,
    Yes,
}

type Event = ((Revision, Told), Type, Object);

/// Writes events with their versions. Only when the next one is known does one know whether it is the last: that alone says
/// that all up to its revision was told.
pub(super) struct Writer<'a> {
    watch: &'a Watch,
    since: Revision,
    until: Revision,
    text: Vec<u8>,
    held: Option<Event>,
    bytes_max: usize,
}

impl<'a> Writer<'a> {
    fn new(watch: &'a Watch, since: Revision, until: Revision) -> Self {
        Self { watch, since, until, text: Vec::new(), held: None, bytes_max: BATCH_BYTES_MAX }
    }

    pub(super) fn push(
        &mut self,
        key: (Revision, Told),
        what: Type,
        object: Object,
    ) -> Outcome<Full> {
        if let Some((last, ..)) = self.held {
            let (since, until) = (self.since, self.until);
            self.write(ChangePlace::Within { since, until, last })?;
        }
        self.held = Some((key, what, object));
        Ok(if self.text.len() >= self.bytes_max { Full::Yes } else { Full::No })
    }

    /// There is more, for the next snapshot.
    pub(super) fn stop(mut self) -> Outcome<Lines> {
        let (since, until) = (self.since, self.until);
        let Some((last, ..)) = self.held else { return self.finish() };
        let place = ChangePlace::Within { since, until, last };
        self.write(place)?;
        Ok((self.text, place))
    }

    /// That was all.
    pub(super) fn finish(mut self) -> Outcome<Lines> {
        if let Some(((revision, _), ..)) = self.held {
            self.write(ChangePlace::After(revision))?;
        }
        Ok((self.text, ChangePlace::After(self.until)))
    }

    fn write(&mut self, place: ChangePlace) -> Outcome<()> {
        let Some((_, what, mut object)) = self.held.take() else { return Ok(()) };
        if let Some(metadata) = object.metadata() {
            metadata.resource_version = Some(place.resource_version());
        }
        let mask = self.watch.mask.as_ref();
        match &object {
            Object::Job(job) => put(&mut self.text, what, job, mask),
            Object::Execution(execution) => put(&mut self.text, what, execution, mask),
            Object::Task(task) => put(&mut self.text, what, task, mask),
        }
    }
}

fn put<T: Serialize>(
    text: &mut Vec<u8>,
    what: Type,
    object: &T,
    mask: Option<&crate::fields::Mask>,
) -> Outcome<()> {
    event::write(text, what, object, mask)
}
