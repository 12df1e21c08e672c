//! Drafts what a tick writes and does.

use std::sync::Arc;

use groundrun_core::{
    allot::{self, Demand, Grant},
    chain,
    id::ExecutionUid,
    plan::{self, Then},
    port::{Action, ImageRequest},
    progress::Run,
    record::is_over,
};
use jiff::Timestamp;
use tracing::{debug, warn};

use super::{Brain, Draft};
use crate::journal::{Commit, Journal};

/// Deleted executions of which rows are removed in one tick: a batch of each, some milliseconds together.
const REAPED_PER_TICK: usize = 4;

/// Executions deleted at once for being too many: each is read, discarded and reaped in the ticks after it.
const RETENTION_BATCH: u32 = 16;

impl<J: Journal> Brain<J> {
    pub(super) fn draft(&mut self, asked: &mut Vec<ImageRequest>, now: Timestamp) -> Draft {
        let mut commit =
            Commit { readiness: std::mem::take(&mut self.readiness), ..Commit::default() };
        let mut draft = Draft::default();
        let due = self.wakes.iter().filter(|(_, at)| is_over(**at, now)).map(|(uid, _)| *uid);
        self.concerned.extend(due);
        for (uid, grant) in self.allot(now) {
            if self.concerned.remove(&uid) || grant != Grant::Start(0) {
                self.plan(uid, grant, &mut commit, &mut draft, asked, now);
            }
        }
        self.concerned.clear();
        commit.reaped.extend(self.reaping.iter().take(REAPED_PER_TICK));
        // What was deleted before is removed first. So there is never much of it, and a server that is always busy keeps no
        // more than an idle one.
        if self.reaping.is_empty() {
            self.retain(&mut commit);
        }
        let known = std::mem::take(&mut self.known_ends);
        draft.actions.extend(known.into_iter().map(Action::Forget));
        draft.commit = Arc::new(commit);
        draft
    }

    /// Who may begin how much; every run has an answer.
    fn allot(&mut self, now: Timestamp) -> Vec<(ExecutionUid, Grant)> {
        let mut runs: Vec<&mut Run> = self.runs.values_mut().collect();
        runs.sort_by_key(|run| (run.execution().created, run.uid()));
        let demands: Vec<Demand> = runs.into_iter().map(|run| run.demand(now)).collect();
        let grants = allot::allot(self.config.budget, &demands, &mut self.turn);
        demands.iter().map(|demand| demand.execution).zip(grants).collect()
    }

    fn plan(
        &mut self,
        uid: ExecutionUid,
        grant: Grant,
        commit: &mut Commit,
        draft: &mut Draft,
        asked: &mut Vec<ImageRequest>,
        now: Timestamp,
    ) {
        let run = self.runs.get_mut(&uid).expect("allot answers for runs only");
        let plan = plan::plan(run, grant, self.config.boot, now);
        for step in &plan.why {
            debug!(execution = %run.execution().name, "{step}");
        }
        commit.begun.extend(plan.begun);
        commit.changed.extend(plan.changed);
        commit.states.extend(plan.state.map(|state| (uid, state)));
        draft.actions.extend(plan.actions);
        match plan.images {
            // To ask for images changes nothing that must be remembered: they may come while the disk is busy.
            Some(import @ ImageRequest::Import { .. }) => asked.push(import),
            other => draft.images.extend(other),
        }
        match plan.wake_at {
            Some(at) => self.wakes.insert(uid, at),
            None => self.wakes.remove(&uid),
        };
        match plan.then {
            Then::Keep => {}
            Then::Finished => draft.finished.push(uid),
            Then::Reap => {
                self.runs.remove(&uid);
                self.reaping.insert(uid);
            }
        }
    }

    /// Deletes some of what a job has too many of.
    fn retain(&mut self, commit: &mut Commit) {
        let Some(job) = self.retention.pop_first() else { return };
        let keep = self.config.retained_per_job;
        match self.journal.beyond_retention(job, keep, RETENTION_BATCH) {
            Ok(excess) => commit.deleted = excess,
            // The next one that completes asks again.
            Err(error) => {
                warn!(error = chain(&error), "cannot read how many executions a job has")
            }
        }
        if !commit.deleted.is_empty() {
            self.retention.insert(job);
        }
    }
}
