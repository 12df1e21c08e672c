//! What comes after what there is: reads on where a log grows, and follows attempts as they begin and end.
//!
//! Nothing is looked at that did not change: the journal says which tasks did, the backend which logs.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use groundrun_api::{ApiError, logfilter::Narrow, v1};
use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    log::LogPosition,
    record::{Attempt, Revision},
};
use groundrun_store::{Fate, Store, Subject};
use jiff::Timestamp;
use tokio::sync::Notify;

use super::{
    merge::Position,
    seam::{Grown, Logs},
    sources::{Source, end},
    tree::{Found, Names, said},
};
use crate::error::{Outcome, Refusal};

/// Lines of one log read at once.
const BATCH: NonZeroUsize = NonZeroUsize::new(1000).expect("1000 is not zero");

/// Lines of one round, and about as many bytes of text as a part of the answer should have. A line is 256 KiB at most.
const ROUND_LINES_MAX: usize = 5000;
const ROUND_BYTES_MAX: usize = 1 << 20;

/// Executions of others that are remembered as such, so that they are not read at each of their changes.
const STRANGERS_MAX: usize = 10_000;

/// What of each attempt was told: its last line.
pub(super) type Told = HashMap<AttemptId, u64>;

/// What is of interest.
#[derive(Clone, Debug)]
pub(super) struct Interest {
    pub(super) projects: BTreeSet<String>,
    pub(super) narrow: Narrow,
    pub(super) since: Timestamp,
}

/// Logs that are followed.
pub(super) struct Live {
    store: Store,
    logs: Arc<dyn Logs>,
    interest: Interest,
    /// Changes up to it were taken in.
    revision: Revision,
    /// None: not of interest.
    known: HashMap<ExecutionUid, Option<Arc<Open>>>,
    reads: BTreeMap<AttemptId, Reading>,
    /// Of a task: attempts before this one are over and told.
    next: HashMap<(ExecutionUid, u32), u32>,
    told: Told,
    seen: Seen,
    unfinished: BTreeSet<ExecutionUid>,
    /// Completed; to be left once its attempts are told.
    ending: BTreeSet<ExecutionUid>,
    grown: Arc<Mutex<BTreeSet<AttemptId>>>,
    bell: Arc<Notify>,
}

/// An execution of interest.
struct Open {
    source: Arc<Source>,
    spec: Arc<v1::ExecutionSpec>,
    names: Names,
}

struct Reading {
    of: Arc<Open>,
    from: LogPosition,
    floor: Timestamp,
    over: Option<Attempt>,
    listening: Option<Box<dyn Any + Send>>,
}

/// What a round brought.
pub(super) enum Round {
    /// These, in order of time; and is there more at once?
    Lines(Vec<(Position, Found)>, More),
    /// More happened than is kept: to be begun again.
    Behind,
}

/// Was there ever anything of interest?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Something,
}

/// Is there more without waiting?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Yes,
    No,
}

impl Live {
    /// Follows what `open` and all later executions of interest write. `revision` is from before they were looked for.
    pub(super) fn begin(
        (store, logs, bell): (Store, Arc<dyn Logs>, Arc<Notify>),
        interest: Interest,
        revision: Revision,
        told: Told,
        (open, seen): (&[Arc<Source>], Seen),
    ) -> Outcome<Self> {
        let mut live = Self {
            store,
            logs,
            interest,
            revision,
            known: HashMap::new(),
            reads: BTreeMap::new(),
            next: HashMap::new(),
            told,
            seen,
            unfinished: open.iter().map(|source| source.uid).collect(),
            ending: BTreeSet::new(),
            grown: Arc::default(),
            bell,
        };
        for source in open {
            let tasks = live.interest.narrow.task.map_or(0..u32::MAX, |task| task..task + 1);
            live.look(source.uid, tasks)?;
        }
        Ok(live)
    }

    /// Whether all that was of interest is over. Only once something was.
    pub(super) fn is_over(&self) -> bool {
        self.seen == Seen::Something && self.unfinished.is_empty() && self.reads.is_empty()
    }

    /// Is there a log that nobody will say has grown?
    pub(super) fn must_look(&self) -> bool {
        self.reads.values().any(|reading| reading.listening.is_none())
    }

    /// Takes in what happened since the last round.
    pub(super) fn round(&mut self) -> Outcome<Round> {
        let mut changes: BTreeMap<ExecutionUid, (BTreeSet<u32>, bool)> = BTreeMap::new();
        let told = self.store.recall(self.revision, None, |changed| {
            if let Subject::Execution(uid) = changed.subject {
                let (tasks, gone) = changes.entry(uid).or_default();
                tasks.extend(changed.trace.tasks.keys());
                *gone |= matches!(changed.trace.fate, Fate::Gone(_));
            }
        });
        let Ok(told) = told else { return Ok(Round::Behind) };
        for (uid, (tasks, gone)) in changes {
            if gone {
                self.leave(uid);
                continue;
            }
            let only = self.interest.narrow.task;
            for task in tasks.into_iter().filter(|task| only.is_none_or(|only| only == *task)) {
                self.look(uid, task..task.saturating_add(1))?;
            }
            self.look(uid, 0..0)?;
        }
        self.revision = told;
        self.read()
    }

    /// The execution, if it is of interest.
    fn known(&mut self, uid: ExecutionUid) -> Outcome<Option<Arc<Open>>> {
        if let Some(known) = self.known.get(&uid) {
            return Ok(known.clone());
        }
        if self.known.len() >= STRANGERS_MAX {
            self.known.retain(|_, known| known.is_some());
        }
        let execution = self.store.read(|view| Outcome::Ok(view.execution_by_uid(uid)?))?;
        let open = execution.filter(|one| one.wishes.delete.is_none()).and_then(|execution| {
            let spec = Arc::clone(&execution.spec);
            let source = Arc::new(Source::of(execution));
            let names = Names::of(&spec);
            source
                .is_of(&self.interest.projects, &self.interest.narrow)
                .then(|| Arc::new(Open { source, spec, names }))
        });
        if open.is_some() {
            self.seen = Seen::Something;
        }
        self.known.insert(uid, open.clone());
        Ok(open)
    }

    /// Looks at these tasks of an execution, and whether it is over.
    fn look(&mut self, uid: ExecutionUid, tasks: std::ops::Range<u32>) -> Outcome<()> {
        let Some(open) = self.known(uid)? else { return Ok(()) };
        let mut attempts = Vec::new();
        let completed = self.store.read(|view| {
            let execution = view.execution_without_spec(uid)?;
            if !tasks.is_empty() {
                view.attempts(uid, tasks, |attempt| attempts.push(attempt))?;
            }
            Outcome::Ok(execution.is_none_or(|one| one.state.completed.is_some()))
        })?;
        for attempt in attempts {
            self.follow(&open, attempt);
        }
        if completed {
            self.ending.insert(uid);
        } else {
            self.unfinished.insert(uid);
        }
        Ok(())
    }

    fn follow(&mut self, open: &Arc<Open>, attempt: Attempt) {
        let AttemptId { execution, task, attempt: number } = attempt.id;
        let next = self.next.entry((execution, task)).or_default();
        if number < *next || (attempt.started.is_none() && attempt.ended.is_none()) {
            return;
        }
        let of_old =
            attempt.ended.as_ref().is_some_and(|(at, _)| end(Some(*at)) < self.interest.since);
        let last = said(&attempt, &open.spec).last().map(|(position, _)| position.sequence);
        let told = self.told.get(&attempt.id).copied();
        if of_old || (last.is_some() && last <= told) {
            *next = number.saturating_add(1);
            return;
        }
        let reading = self.reads.entry(attempt.id).or_insert_with(|| {
            let (id, grown, bell) = (attempt.id, Arc::clone(&self.grown), Arc::clone(&self.bell));
            let call: Grown = Arc::new(move || {
                grown.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                bell.notify_one();
            });
            // One that is over grows no more.
            let listening: Option<Box<dyn Any + Send>> = if attempt.ended.is_some() {
                Some(Box::new(()))
            } else {
                self.logs.listen(id, call).ok()
            };
            let of = Arc::clone(open);
            Reading {
                of,
                from: LogPosition::default(),
                floor: Timestamp::MIN,
                over: None,
                listening,
            }
        });
        let id = attempt.id;
        reading.over = attempt.ended.is_some().then_some(attempt);
        self.grown.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Nothing of it is told any more.
    fn leave(&mut self, uid: ExecutionUid) {
        self.reads.retain(|id, _| id.execution != uid);
        self.next.retain(|(of, _), _| *of != uid);
        self.told.retain(|id, _| id.execution != uid);
        self.unfinished.remove(&uid);
        self.ending.remove(&uid);
    }

    fn read(&mut self) -> Outcome<Round> {
        let mut waiting =
            std::mem::take(&mut *self.grown.lock().unwrap_or_else(PoisonError::into_inner));
        let unheard = self.reads.iter().filter(|(_, reading)| reading.listening.is_none());
        waiting.extend(unheard.map(|(id, _)| *id));
        let (mut lines, mut bytes) = (Vec::new(), 0);
        let mut more = More::No;
        while let Some(id) = waiting.pop_first() {
            if lines.len() >= ROUND_LINES_MAX || bytes >= ROUND_BYTES_MAX {
                waiting.insert(id);
                more = More::Yes;
                self.grown.lock().unwrap_or_else(PoisonError::into_inner).extend(waiting);
                break;
            }
            if self.read_one(id, &mut lines, &mut bytes)? == More::Yes {
                waiting.insert(id);
            }
        }
        for uid in std::mem::take(&mut self.ending) {
            let reads = (AttemptId { execution: uid, task: 0, attempt: 0 })..;
            let reading = self.reads.range(reads).next().is_some_and(|(id, _)| id.execution == uid);
            if reading {
                self.ending.insert(uid);
            } else {
                self.leave(uid);
            }
        }
        lines.sort_by_key(|(position, _)| *position);
        Ok(Round::Lines(lines, more))
    }

    /// One batch of one log.
    fn read_one(
        &mut self,
        id: AttemptId,
        lines: &mut Vec<(Position, Found)>,
        bytes: &mut usize,
    ) -> Outcome<More> {
        let Some(reading) = self.reads.get_mut(&id) else { return Ok(More::No) };
        let failed = |error: std::io::Error| {
            tracing::error!(%id, %error, "a log cannot be followed");
            Refusal(ApiError::internal(format_args!("reading the log of attempt {id}: {error}")))
        };
        let (read, from) = self.logs.read(id, reading.from, BATCH).map_err(failed)?;
        let told = self.told.get(&id).copied();
        let since = self.interest.since;
        let untold = |position: &Position| {
            told.is_none_or(|told| position.sequence > told) && position.at >= since
        };
        let source = &reading.of.source;
        if !read.is_empty() {
            for mut line in read {
                reading.floor = reading.floor.max(line.at);
                line.at = reading.floor;
                let position = Position::of(id, line.at, line.sequence);
                if untold(&position) {
                    *bytes += line.text.len();
                    lines.push((position, (Arc::clone(source), reading.of.names.line(line))));
                }
            }
            reading.from = from;
            return Ok(More::Yes);
        }
        // What the records call over has written all its lines before.
        if let Some(attempt) = reading.over.take() {
            let said = said(&attempt, &reading.of.spec).into_iter();
            let said = said.filter(|(position, _)| untold(position));
            lines.extend(said.map(|(position, line)| (position, (Arc::clone(source), line))));
            self.reads.remove(&id);
            self.told.remove(&id);
            self.next.insert((id.execution, id.task), id.attempt.saturating_add(1));
        }
        Ok(More::No)
    }
}
