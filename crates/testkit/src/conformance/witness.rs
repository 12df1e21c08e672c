//! An inbox that keeps everything it is told.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use groundrun_core::{
    id::AttemptId,
    port::{Inbox, News, Observation},
    record::Ending,
};

use super::{SOON, patient, soon};

/// An inbox that keeps everything it is told, in order.
#[derive(Debug, Default)]
pub struct Witness {
    seen: Mutex<Vec<(AttemptId, Observation)>>,
    more: Condvar,
}

impl Inbox for Witness {
    fn tell(&self, news: News) {
        let News::Attempt { id, seen } = news else { panic!("a backend told {news:?}") };
        self.seen().push((id, seen));
        self.more.notify_all();
    }
}

impl Witness {
    /// With nothing told yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// All that was told of `id` so far.
    #[must_use]
    pub fn of(&self, id: AttemptId) -> Vec<Observation> {
        let seen = self.seen();
        seen.iter().filter(|(of, _)| *of == id).map(|(_, seen)| seen.clone()).collect()
    }

    /// Waits until its process runs.
    ///
    /// # Panics
    /// When it ends before that, or does not in time.
    pub fn started(&self, id: AttemptId) {
        let first = self.wait(soon(), |seen| seen.iter().find(|(of, _)| *of == id).cloned());
        match first {
            Some((_, Observation::Started { .. })) => {}
            other => panic!("{id} did not start: {other:?}"),
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When there is none in time.
    #[must_use]
    pub fn ended(&self, id: AttemptId) -> Ending {
        self.ended_within(id, SOON)
    }

    /// Waits for its end, for at most `bound` on a machine that is not slow.
    ///
    /// # Panics
    /// When there is none by then.
    #[must_use]
    pub fn ended_within(&self, id: AttemptId, bound: Duration) -> Ending {
        let end = self.wait(patient(bound), |seen| {
            seen.iter().find_map(|(of, seen)| match seen {
                Observation::Ended { ending, .. } if *of == id => Some(ending.clone()),
                _ => None,
            })
        });
        end.unwrap_or_else(|| panic!("{id} did not end: {:?}", self.of(id)))
    }

    /// Waits until `count` pieces of news are there of `id`.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn told(&self, id: AttemptId, count: usize) {
        let enough = self.wait(soon(), |seen| {
            (seen.iter().filter(|(of, _)| *of == id).count() >= count).then_some(())
        });
        assert!(enough.is_some(), "{id}: told {:?} instead of {count}", self.of(id));
    }

    fn wait<T>(
        &self,
        bound: Duration,
        mut find: impl FnMut(&[(AttemptId, Observation)]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + bound;
        let mut seen = self.seen();
        loop {
            if let Some(found) = find(&seen) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            seen = self.more.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(AttemptId, Observation)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
