//! Writes a draft down, and only then lets it be done.

use groundrun_core::{
    chain, mutant,
    record::{backoff, is_over},
};
use jiff::Timestamp;
use tracing::{info, warn};

use super::{All, Brain, Draft, Tick, Undone, later};
use crate::journal::{Committed, Journal};

impl<J: Journal> Brain<J> {
    pub(super) fn write_undone(&mut self, now: Timestamp) -> Tick {
        let Some(undone) = self.undone.take_if(|undone| is_over(undone.not_before, now)) else {
            return Tick::default();
        };
        let Undone { draft, failures, .. } = undone;
        if draft.commit.is_empty() {
            return self.done(draft, &Committed::default());
        }
        match self.journal.commit(now, draft.commit.clone()) {
            Ok(committed) => {
                if failures > 0 {
                    info!(failures, "the records can be written again");
                }
                self.done(draft, &committed)
            }
            Err(error) => {
                if failures == 0 {
                    warn!(
                        error = chain(&error),
                        "cannot write the records; nothing is begun until they can be"
                    );
                }
                let mut tick = Tick::default();
                if mutant!("does_before_it_is_written") {
                    tick.actions.clone_from(&draft.actions);
                }
                let not_before = later(now, backoff(failures));
                let failures = failures.saturating_add(1);
                self.undone = Some(Undone { draft, failures, not_before });
                tick
            }
        }
    }

    /// It is in the journal: now it may be done.
    fn done(&mut self, draft: Draft, committed: &Committed) -> Tick {
        for uid in draft.finished {
            if let Some(run) = self.runs.remove(&uid) {
                self.retention.insert(run.execution().job.uid);
            }
            self.wakes.remove(&uid);
        }
        for uid in &draft.commit.reaped {
            if !committed.unreaped.contains(uid) {
                self.reaping.remove(uid);
                self.wakes.remove(uid);
            }
        }
        Tick { images: draft.images, actions: draft.actions, ..Tick::default() }
    }

    pub(super) fn wake_at(&self, now: Timestamp) -> Timestamp {
        let unread = &self.unread;
        let reads =
            unread.all == All::Unread || !unread.executions.is_empty() || !unread.jobs.is_empty();
        let reads = reads.then_some(unread.not_before);
        if let Some(undone) = &self.undone {
            return reads.map_or(undone.not_before, |at| at.min(undone.not_before));
        }
        let more = self.turn.has_more() || !self.reaping.is_empty() || !self.retention.is_empty();
        let wakes = self.wakes.values().copied();
        let others = [reads, more.then_some(now), self.checks.wake_at()];
        wakes.chain(others.into_iter().flatten()).fold(self.next_resync, Timestamp::min)
    }
}
