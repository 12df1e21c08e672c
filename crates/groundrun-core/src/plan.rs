//! Decides what an execution does next. Nothing here reads a clock, waits, or fails.

use std::{fmt, time::Duration};

use jiff::Timestamp;

use crate::{
    allot::Grant,
    id::{AttemptId, BootId},
    mutant,
    outcome::{self, Wish},
    port::{Action, AttemptSpec, ImageRequest},
    progress::{Discard, Import, Run, Stop, Time},
    record::{
        Attempt, Completed, ExecutionState, Failure, ImagesState, Outcome, WAIT_MAX, is_over,
    },
    template::GRACE,
};

/// The answer about an image that is here takes some ten microseconds; a client that looks meanwhile sees an execution
/// that is not accepted yet.
const ANSWERED_AT_ONCE: Duration = Duration::from_millis(2);

/// What is to be written, and what is to be done once it is.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// What was decided, in the order of deciding.
    pub why: Vec<Step>,
    /// Rows that changed.
    pub changed: Vec<Attempt>,
    /// New rows: intents.
    pub begun: Vec<Attempt>,
    /// The state to write, if it changed.
    pub state: Option<ExecutionState>,
    /// For the backend, in this order, once all of the above is on disk.
    pub actions: Vec<Action>,
    /// For the images, likewise; at most one.
    pub images: Option<ImageRequest>,
    /// When to plan again if nothing happens before.
    pub wake_at: Option<Timestamp>,
    /// What becomes of the run.
    pub then: Then,
}

/// What becomes of a run after its plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// It goes on.
    #[default]
    Keep,
    /// It is over: the journal has all of it.
    Finished,
    /// It is deleted and stopped: its rows are to be removed with this plan.
    Reap,
}

/// One thing that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was seen for the first time.
    Accepted,
    /// Its images are asked for.
    Import,
    /// This many attempts are told to stop.
    Stopped(usize),
    /// This many attempts are over.
    Settled(usize),
    /// This many attempts of before a restart are asked about.
    Resumed(usize),
    /// This many attempts begin.
    Started(usize),
    /// Nothing can begin: why.
    Waits(String),
    /// The time of a delayed execution is over.
    OutOfTime,
    /// It is over.
    Finished(Outcome),
    /// Everything of it is dropped.
    Discarded,
}

/// Makes the plan of `run` for `now`. What it says is taken as done by the next plan: whoever cannot write it must keep
/// it and try again.
#[must_use]
pub fn plan(run: &mut Run, grant: Grant, boot: BootId, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if !run.over_and_done() {
        run.accept(&mut plan, now);
        run.keep_time(&mut plan, now);
        run.import_images(&mut plan, now);
        run.resume(&mut plan);
        run.stop_cancelled(&mut plan);
        run.settle(&mut plan);
        run.retry(&mut plan, now);
        run.start_granted(grant, boot, &mut plan, now);
        run.finish(&mut plan, now);
        run.come_back_in_time(&mut plan, now);
    }
    run.delete(&mut plan, now);
    run.answer_clients(&mut plan, now);
    plan
}

impl Run {
    /// The engine has seen it.
    fn accept(&mut self, plan: &mut Plan, now: Timestamp) {
        let accepted = &mut self.execution.state.accepted;
        if accepted.is_none() {
            *accepted = Some(now);
            plan.why.push(Step::Accepted);
        }
    }

    /// A delayed execution has its time.
    fn keep_time(&mut self, plan: &mut Plan, now: Timestamp) {
        if self.time == Time::Left && self.look_at_clock(now) == Time::Over {
            plan.why.push(Step::OutOfTime);
        }
    }

    /// It is looked at now and then, so that a clock that was set is noticed.
    fn come_back_in_time(&self, plan: &mut Plan, now: Timestamp) {
        if let Some(deadline) = self.deadline()
            && self.time == Time::Left
            && !self.over_and_done()
        {
            let soon = now.saturating_add(WAIT_MAX).unwrap_or(Timestamp::MAX);
            plan.wake(deadline.min(soon));
        }
    }

    pub(crate) fn look_at_clock(&mut self, now: Timestamp) -> Time {
        let over = self.deadline().is_some_and(|deadline| now >= deadline);
        if over && !mutant!("delay_never_ends") {
            self.time = Time::Over;
        }
        self.time
    }

    /// Images come before everything else. After a restart they are asked for again, by digest where that is known, so
    /// that whoever keeps them knows that they are still needed.
    fn import_images(&mut self, plan: &mut Plan, now: Timestamp) {
        if self.wish() == Wish::Stop || self.doomed.is_some() || self.import != Import::NotAsked {
            return;
        }
        let images = match &self.execution.state.images {
            ImagesState::Retrying { next, .. }
                if !is_over(*next, now) && !mutant!("import_never_waits") =>
            {
                plan.wake(*next);
                return;
            }
            ImagesState::Importing | ImagesState::Retrying { .. } => self.template.images(),
            ImagesState::Imported { digests, .. } => digests.clone(),
        };
        self.import = Import::Asked;
        plan.images = Some(ImageRequest::Import { execution: self.uid(), images });
        plan.why.push(Step::Import);
    }

    /// Attempts that are live since before a restart, or were silent for long, are asked about.
    fn resume(&mut self, plan: &mut Plan) {
        let tasks = std::mem::take(&mut self.unasked);
        self.visits += tasks.len() as u64;
        for task in &tasks {
            let attempt = &self.live[task];
            // One that was never seen to start may be known to nobody. After a cancel it may no longer begin.
            let begin = attempt.started.is_none()
                && (self.wish() == Wish::GoOn || mutant!("cancel_restarts_intended"));
            plan.actions.push(match begin {
                true => Action::Start(Box::new(self.spec(attempt.id))),
                false => Action::Adopt(attempt.id),
            });
        }
        if !tasks.is_empty() {
            plan.why.push(Step::Resumed(tasks.len()));
        }
    }

    /// Everything live is told to stop, once by this process. Nothing begins after it, so once is enough.
    fn stop_cancelled(&mut self, plan: &mut Plan) {
        if self.wish() == Wish::GoOn || self.stop == Stop::Asked || mutant!("cancel_stops_nothing")
        {
            return;
        }
        self.stop = Stop::Asked;
        self.visits += self.live.len() as u64;
        let ids = self.live.values().map(|attempt| attempt.id);
        plan.actions.extend(ids.map(|id| Action::Stop { id, grace: GRACE }));
        plan.why.push(Step::Stopped(self.live.len()));
    }

    /// What ended is written, and dropped by the backend after that.
    fn settle(&mut self, plan: &mut Plan) {
        let over = std::mem::take(&mut self.over);
        if !over.is_empty() {
            plan.why.push(Step::Settled(over.len()));
        }
        self.visits += (over.len() + self.unwritten.len()) as u64;
        plan.actions.extend(over.into_iter().map(Action::Forget));
        plan.changed.extend(std::mem::take(&mut self.unwritten).into_values());
    }

    /// Retries whose back-off is over compete for room with everybody else.
    fn retry(&mut self, plan: &mut Plan, now: Timestamp) {
        if let Some(next) = self.retries_come_due(now) {
            plan.wake(next);
        }
    }

    /// As many attempts begin as there is room for.
    fn start_granted(&mut self, grant: Grant, boot: BootId, plan: &mut Plan, now: Timestamp) {
        let room = match grant {
            Grant::Start(room) => room,
            Grant::Wait(why) => {
                if self.execution.state.waiting_for.is_none() {
                    // The figures are those of the moment when the wait began: a row is not rewritten for each change.
                    self.execution.state.waiting_for = Some(why.clone());
                    plan.why.push(Step::Waits(why));
                }
                return;
            }
            Grant::Never(why) => {
                self.doomed.get_or_insert(Failure { reason: None, message: why });
                return;
            }
        };
        for _ in 0..room {
            let Some((task, attempt)) = self.take_next() else { break };
            self.begin(task, attempt, boot, plan, now);
        }
        // It still waits while more could begin: a state that came and went with each task would be written each time.
        if self.wants(now) == 0 {
            self.execution.state.waiting_for = None;
        }
        if !plan.begun.is_empty() {
            self.execution.state.provisioned.get_or_insert(now);
            self.execution.state.start_time.get_or_insert(now);
            plan.why.push(Step::Started(plan.begun.len()));
        }
    }

    fn begin(&mut self, task: u32, attempt: u32, boot: BootId, plan: &mut Plan, now: Timestamp) {
        let id = AttemptId { execution: self.uid(), task, attempt };
        let attempt = Attempt { id, boot, intended: now, started: None, ended: None };
        self.count_retry(id.attempt);
        plan.actions.push(Action::Start(Box::new(self.spec(id))));
        plan.begun.push(attempt.clone());
        self.live.insert(task, attempt);
    }

    fn spec(&self, id: AttemptId) -> AttemptSpec {
        let ImagesState::Imported { digests, .. } = &self.execution.state.images else {
            unreachable!("nothing begins before its images are here: {id}");
        };
        self.template.attempt(id, digests)
    }

    /// It is over when nothing is live and nothing is left to begin, or nothing may begin any more.
    fn finish(&mut self, plan: &mut Plan, now: Timestamp) {
        if !self.live.is_empty() && !mutant!("finish_ignores_live") {
            return;
        }
        let Some(outcome) = self.outcome() else { return };
        let stopped = self.wish() == Wish::Stop;
        let state = &mut self.execution.state;
        if stopped {
            // Also the tasks that were never begun, and those that waited for a retry.
            let settled = state.counters.succeeded + state.counters.failed;
            state.counters.cancelled = self.template.count.saturating_sub(settled);
        }
        state.waiting_for = None;
        state.completed = Some(Completed { at: now, outcome: outcome.clone() });
        plan.images = Some(ImageRequest::Release(self.uid()));
        plan.why.push(Step::Finished(outcome));
    }

    /// What it comes to once nothing is live; `None` while something is left to begin.
    fn outcome(&self) -> Option<Outcome> {
        // Who was told that it is cancelled finds it cancelled, whatever its tasks came to in the meantime.
        if self.is_unwanted() && !mutant!("cancel_ends_as_failure") {
            return Some(Outcome::Cancelled);
        }
        if let Some(failure) = &self.doomed {
            return Some(Outcome::Failed(failure.clone()));
        }
        let waiting = !self.ready.is_empty() || !self.later.is_empty();
        let state = &self.execution.state;
        // What was done in time stays done.
        let undone = self.not_begun() > 0 || waiting || state.counters.cancelled > 0;
        if self.time == Time::Over && undone {
            return Some(Outcome::Failed(outcome::out_of_time(state.start_time)));
        }
        if self.not_begun() > 0 || (waiting && !mutant!("finish_forgets_retries")) {
            let failed = self.first_failure.is_some() && mutant!("first_failure_ends_all");
            if !failed {
                return None;
            }
        }
        Some(match &self.first_failure {
            Some((_, failure)) => Outcome::Failed(failure.clone()),
            None => Outcome::Succeeded,
        })
    }

    /// A deleted execution that is over is dropped by the backend, then by the journal. In this order: what the journal
    /// no longer knows, nobody would clean up.
    fn delete(&mut self, plan: &mut Plan, now: Timestamp) {
        if !self.over_and_done() {
            return;
        }
        plan.then = match (self.execution.wishes.delete, self.discard) {
            (None, _) => Then::Finished,
            (Some(_), Discard::Asked) => Then::Reap,
            (Some(_), Discard::NotAsked) => {
                self.discard = Discard::Asked;
                plan.actions.push(Action::Discard(self.uid()));
                plan.why.push(Step::Discarded);
                plan.wake(now);
                Then::Keep
            }
        };
    }

    /// The state answers to the latest wish, also to one that came too late to change anything.
    ///
    /// That its images are asked for is written with the answer, where that comes at once: for an image that is here,
    /// one commit less.
    fn answer_clients(&mut self, plan: &mut Plan, now: Timestamp) {
        self.execution.state.observed_generation = self.execution.generation;
        if plan.why == [Step::Accepted, Step::Import] {
            plan.wake(now.saturating_add(ANSWERED_AT_ONCE).unwrap_or(Timestamp::MAX));
            return;
        }
        if self.execution.state != self.written {
            self.written = self.execution.state.clone();
            plan.state = Some(self.written.clone());
        }
    }
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Import => f.write_str("imports its images"),
            Self::Stopped(count) => write!(f, "stops {count} live"),
            Self::Settled(count) => write!(f, "{count} over"),
            Self::Resumed(count) => write!(f, "asks about {count} live"),
            Self::Started(count) => write!(f, "begins {count}"),
            Self::Waits(why) => write!(f, "waits: {why}"),
            Self::OutOfTime => f.write_str("out of time"),
            Self::Finished(Outcome::Succeeded) => f.write_str("succeeded"),
            Self::Finished(Outcome::Failed(failure)) => write!(f, "failed: {}", failure.message),
            Self::Finished(Outcome::Cancelled) => f.write_str("cancelled"),
            Self::Discarded => f.write_str("discarded"),
        }
    }
}
