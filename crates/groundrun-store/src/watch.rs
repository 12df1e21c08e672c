//! What changed, in order, as soon as it is durable.
//!
//! A bounded ring: a watcher that falls behind by more than it holds is told `Missed`, and must read again what it
//! follows. Only the last of several changes of one thing in one commit is told.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::Revision,
};

/// Changes kept. At 40 bytes each this is 160 KiB, and at a thousand changes a second four seconds of absence.
const RING_MAX: usize = 4096;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The revision that it brought.
    pub revision: Revision,
    /// Of what.
    pub subject: Subject,
}

/// What changed. It may be gone by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A job, or what is shown of its latest execution.
    Job(JobUid),
    /// An execution, or an attempt of it.
    Execution(ExecutionUid),
}

/// What a watcher has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        Seen::Changes(state.changes.iter().skip(skip).copied().collect())
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
#[derive(Default)]
pub(crate) struct Ring {
    state: Mutex<State>,
    news: Condvar,
}

type Callback = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    changes: VecDeque<Changed>,
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
    pub(crate) fn watcher(self: &Arc<Self>) -> Watcher {
        let next = self.lock().end();
        Watcher { ring: self.clone(), next, callback: None }
    }

    /// Tells what a commit changed.
    pub(crate) fn tell(&self, changes: impl IntoIterator<Item = Changed>) {
        let mut state = self.lock();
        state.changes.extend(changes);
        let excess = state.changes.len().saturating_sub(RING_MAX);
        state.changes.drain(..excess);
        state.begin += excess as u64;
        self.wake(state);
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
