//! Reads what clients changed, and at the start all that is not over.

use groundrun_core::{
    chain,
    id::ExecutionUid,
    observe::Heard,
    progress::Run,
    record::{backoff, is_over},
};
use jiff::Timestamp;
use tracing::warn;

use super::{All, Brain, Changes, later};
use crate::journal::{Journal, OpenEnds};

impl<J: Journal> Brain<J> {
    pub(super) fn note_changes(&mut self, changes: Changes) {
        match changes {
            Changes::Of { executions, jobs } => {
                self.unread.executions.extend(executions);
                self.unread.jobs.extend(jobs);
            }
            Changes::Missed => self.unread.all = All::Unread,
        }
    }

    pub(super) fn read_changes(&mut self, now: Timestamp) {
        if !is_over(self.unread.not_before, now) {
            return;
        }
        match self.try_read_changes(now) {
            Ok(()) => {
                self.unread.failures = 0;
                self.unread.not_before = Timestamp::MIN;
            }
            Err(error) => {
                let failures = self.unread.failures;
                if failures == 0 {
                    warn!(error = chain(&error), "cannot read the records; trying again");
                }
                self.unread.failures = failures.saturating_add(1);
                self.unread.not_before = later(now, backoff(failures));
            }
        }
    }

    fn try_read_changes(&mut self, now: Timestamp) -> Result<(), J::Error> {
        if self.unread.all == All::Unread {
            let OpenEnds { executions, jobs } = self.journal.open_ends()?;
            self.unread.executions.extend(executions);
            self.unread.executions.extend(self.runs.keys());
            self.unread.jobs.extend(jobs);
            self.unread.all = All::Read;
        }
        while let Some(&uid) = self.unread.executions.first() {
            self.read_execution(uid, now)?;
            self.unread.executions.remove(&uid);
        }
        while let Some(&uid) = self.unread.jobs.first() {
            match self.journal.job(uid)? {
                Some(job) => self.checks.see(&job, now),
                None => self.checks.forget(uid),
            }
            self.unread.jobs.remove(&uid);
        }
        Ok(())
    }

    fn read_execution(&mut self, uid: ExecutionUid, now: Timestamp) -> Result<(), J::Error> {
        if self.reaping.contains(&uid) {
            return Ok(());
        }
        let Some(execution) = self.journal.execution(uid)? else {
            self.runs.remove(&uid);
            return Ok(());
        };
        if let Some(run) = self.runs.get_mut(&uid) {
            if run.hear_clients(execution.generation, execution.wishes) == Heard::News {
                self.concerned.insert(uid);
            }
            return Ok(());
        }
        let over = execution.state.completed.is_some();
        if over && execution.wishes.delete.is_none() {
            return Ok(());
        }
        let attempts = if over { Vec::new() } else { self.journal.attempts(uid)? };
        let run = Run::restore(execution, attempts, self.config.boot, now);
        self.runs.insert(uid, run);
        self.concerned.insert(uid);
        Ok(())
    }
}
