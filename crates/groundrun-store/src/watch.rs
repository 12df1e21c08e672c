//! What changed, in order, as soon as it is durable.
//!
//! A bounded ring: a watcher that falls behind by more than it holds is told `Missed`, and must read again what it
//! follows. Only the last of several changes of one thing in one commit is told. Who follows by revision, as clients do,
//! asks [`Store::recall`](crate::Store::recall), and is told `Forgotten`.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{Execution, Job, Revision},
};

/// Changes kept. At a thousand changes a second this is four seconds of absence.
const RING_MAX: usize = 4096;

/// Their bytes, with what they tell of the past: a change is some 150 bytes, of something deleted some 2 KiB.
const RING_BYTES_MAX: usize = 16 << 20;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The revision that it brought.
    pub revision: Revision,
    /// Of what.
    pub subject: Subject,
    /// What no record tells any more.
    pub trace: Trace,
}

/// What changed. It may be gone by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A job, or what is shown of its latest execution.
    Job(JobUid),
    /// An execution, or an attempt of it.
    Execution(ExecutionUid),
}

/// What a follower needs to know of a change beside the record as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// What became of the thing itself.
    pub fate: Fate,
    /// The labels that selectors saw before, where they are others now.
    pub labels: Option<Arc<BTreeMap<String, String>>>,
    /// Of an execution: it was stopped, or completed, and had not been before.
    pub steps: Steps,
    /// Of an execution: tasks of which an attempt was made or changed.
    pub tasks: Arc<BTreeMap<u32, Attempts>>,
}

/// What became of a thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Fate {
    /// It was not there before.
    Made,
    /// It was there, and is.
    #[default]
    Kept,
    /// It was there, and is not any more for clients: as it was last, with an empty spec.
    Gone(Arc<Gone>),
}

/// What is gone.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it is only ever behind an Arc")]
pub enum Gone {
    /// A job.
    Job(Job),
    /// An execution. Of its spec `task_count` is there.
    Execution(Execution),
}

/// Steps that an execution goes once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// A cancel was wished for the first time.
    pub stopped: bool,
    /// It completed.
    pub completed: bool,
}

/// What a change did to the attempts of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    /// It made the first one.
    First,
    /// It made or changed a later one.
    Later,
}

impl Trace {
    /// Notes the labels before a change of them; of several in one write, those before the first.
    pub(crate) fn relabelled(&mut self, before: Option<BTreeMap<String, String>>) {
        if self.labels.is_none() {
            self.labels = before.map(Arc::new);
        }
    }
}

impl Changed {
    /// Bytes that it holds, roughly.
    fn weight(&self) -> usize {
        let texts = |map: &BTreeMap<String, String>| {
            map.iter().map(|(key, value)| key.len() + value.len() + 64).sum::<usize>()
        };
        let gone = match &self.trace.fate {
            Fate::Made | Fate::Kept => 0,
            Fate::Gone(gone) => match &**gone {
                Gone::Job(job) => 1024 + texts(&job.labels) + texts(&job.annotations),
                Gone::Execution(one) => 1536 + texts(&one.labels) + texts(&one.annotations),
            },
        };
        let labels = self.trace.labels.as_deref().map_or(0, texts);
        size_of::<Self>() + gone + labels + 16 * self.trace.tasks.len()
    }
}

/// The ring does not reach back so far: read again what you follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the changes since that revision are not kept any more")]
pub struct Forgotten;

/// What a watcher has seen.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Seen {
    /// These, oldest first; never empty.
    Changes(Vec<Changed>),
    /// Nothing in that time.
    Nothing,
    /// More than the ring holds: read again. The next call goes on from now.
    Missed,
    /// The store was closed: nothing will come any more.
    Closed,
}

/// Follows the changes from the moment of [`Store::watch`](crate::Store::watch) on.
pub struct Watcher {
    ring: Arc<Ring>,
    next: u64,
    callback: Option<u64>,
}

impl Watcher {
    /// What came since the last call, without waiting.
    pub fn poll(&mut self) -> Seen {
        let ring = self.ring.clone();
        self.take(&ring.lock())
    }

    /// What came since the last call; waits for the first, at most `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Seen {
        let ring = self.ring.clone();
        let next = self.next;
        let state = ring
            .news
            .wait_timeout_while(ring.lock(), timeout, |state| state.end() == next && !state.closed)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        self.take(&state)
    }

    /// From now on calls `callback` after each commit that changed something, and when the store closes; replaces an
    /// earlier one. It runs on the writer's thread: it should wake somebody and return. It ends with this watcher.
    pub fn on_change(&mut self, callback: impl Fn() + Send + Sync + 'static) {
        let mut state = self.ring.lock();
        let id = *self.callback.get_or_insert(state.callbacks_made);
        state.callbacks_made += 1;
        state.callbacks.retain(|(other, _)| *other != id);
        state.callbacks.push((id, Arc::new(callback)));
    }

    fn take(&mut self, state: &State) -> Seen {
        let from = std::mem::replace(&mut self.next, state.end());
        if from < state.begin {
            return Seen::Missed;
        }
        if from == state.end() {
            return if state.closed { Seen::Closed } else { Seen::Nothing };
        }
        let skip = usize::try_from(from - state.begin).expect("the ring is smaller than that");
        Seen::Changes(state.changes.range(skip..).cloned().collect())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(id) = self.callback {
            self.ring.lock().callbacks.retain(|(other, _)| *other != id);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("next", &self.next).finish_non_exhaustive()
    }
}

/// The ring that the writer fills.
pub(crate) struct Ring {
    state: Mutex<State>,
    news: Condvar,
}

type Callback = Arc<dyn Fn() + Send + Sync>;

struct State {
    changes: VecDeque<Changed>,
    /// Bytes of them.
    weight: usize,
    /// All changes after this revision are kept.
    floor: Revision,
    /// The last revision of which all changes were told.
    told: Revision,
    /// Number of the oldest change that is kept, counted from the opening of the store.
    begin: u64,
    callbacks: Vec<(u64, Callback)>,
    callbacks_made: u64,
    closed: bool,
}

impl State {
    /// Number of the next change to come.
    fn end(&self) -> u64 {
        self.begin + self.changes.len() as u64
    }
}

impl Ring {
    /// Of a store that is at `revision`.
    pub(crate) fn new(revision: Revision) -> Self {
        let state = State {
            changes: VecDeque::new(),
            weight: 0,
            floor: revision,
            told: revision,
            begin: 0,
            callbacks: Vec::new(),
            callbacks_made: 0,
            closed: false,
        };
        Self { state: Mutex::new(state), news: Condvar::new() }
    }

    pub(crate) fn watcher(self: &Arc<Self>) -> Watcher {
        let next = self.lock().end();
        Watcher { ring: self.clone(), next, callback: None }
    }

    /// Tells what a commit changed that brought the store to `revision`.
    pub(crate) fn tell(&self, revision: Revision, changes: Vec<Changed>) {
        let mut state = self.lock();
        for changed in changes {
            state.weight += changed.weight();
            state.changes.push_back(changed);
        }
        state.told = revision;
        while (state.changes.len() > RING_MAX || state.weight > RING_BYTES_MAX)
            && let Some(oldest) = state.changes.pop_front()
        {
            state.weight -= oldest.weight();
            state.floor = oldest.revision;
            state.begin += 1;
        }
        self.wake(state);
    }

    /// Hands over the changes after `since`, oldest first, up to `until`, for which it waits, or to the last; gives the
    /// revision up to which that is all.
    pub(crate) fn recall(
        &self,
        since: Revision,
        until: Option<Revision>,
        each: impl FnMut(&Changed),
    ) -> Result<Revision, Forgotten> {
        let mut state = self.lock();
        let until = until.unwrap_or(state.told);
        // What a snapshot has was committed: the writer tells it next, or is at its end.
        state = self
            .news
            .wait_while(state, |state| state.told < until && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if since < state.floor || since > state.told {
            return Err(Forgotten);
        }
        let from = state.changes.partition_point(|changed| changed.revision <= since);
        let to = state.changes.partition_point(|changed| changed.revision <= until);
        state.changes.range(from..to.max(from)).for_each(each);
        Ok(until)
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    /// Wakes everybody, without the lock: a callback may poll.
    fn wake(&self, state: MutexGuard<'_, State>) {
        let callbacks: Vec<Callback> =
            state.callbacks.iter().map(|(_, call)| call.clone()).collect();
        drop(state);
        self.news.notify_all();
        for callback in callbacks {
            // A bug of the follower must not end the writer; the panic hook has told it.
            let _ = catch_unwind(AssertUnwindSafe(|| callback()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
