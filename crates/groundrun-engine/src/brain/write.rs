//! Writes a draft down, and only then lets it be done.

use groundrun_core::{mutant, record::backoff};
use jiff::Timestamp;
use tracing::{info, warn};

use super::{All, Brain, Chain, Draft, Stuck, Tick, later};
use crate::journal::{Committed, Journal};

impl<J: Journal> Brain<J> {
    /// Tries again what could not be written.
    pub(super) fn write_stuck(&mut self, tick: &mut Tick, now: Timestamp) {
        match self.stuck.take() {
            Some(stuck) if stuck.not_before > now => self.stuck = Some(stuck),
            Some(stuck) => self.write(stuck.draft, stuck.failures, tick, now),
            None => {}
        }
    }

    pub(super) fn write(&mut self, draft: Draft, failures: u32, tick: &mut Tick, now: Timestamp) {
        if draft.commit.is_empty() {
            return self.do_it(draft, &Committed::default(), tick);
        }
        match self.journal.commit(now, draft.commit.clone()) {
            Ok(committed) => {
                if failures > 0 {
                    info!(failures, "the records can be written again");
                }
                self.do_it(draft, &committed, tick);
            }
            Err(error) => {
                if failures == 0 {
                    warn!(error = %Chain(&error), "cannot write the records; nothing is begun until they can be");
                }
                if mutant!("does_before_it_is_written") {
                    tick.actions.extend(draft.actions.iter().cloned());
                }
                let not_before = later(now, backoff(failures));
                self.stuck =
                    Some(Stuck { draft, failures: failures.saturating_add(1), not_before });
            }
        }
    }

    fn do_it(&mut self, draft: Draft, committed: &Committed, tick: &mut Tick) {
        tick.images.extend(draft.images);
        tick.actions.extend(draft.actions);
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
    }

    pub(super) fn wake_at(&self, now: Timestamp) -> Timestamp {
        let unread = &self.unread;
        let reads =
            unread.all == All::Unread || !unread.executions.is_empty() || !unread.jobs.is_empty();
        let reads = reads.then_some(unread.not_before);
        if let Some(stuck) = &self.stuck {
            return reads.map_or(stuck.not_before, |at| at.min(stuck.not_before));
        }
        let more = self.turn.has_more() || !self.reaping.is_empty() || !self.retention.is_empty();
        let wakes = self.wakes.values().copied();
        let others = [reads, more.then_some(now), self.checks.wake_at()];
        wakes.chain(others.into_iter().flatten()).fold(self.next_resync, Timestamp::min)
    }
}
