//! One execution on its way: its record, and what must be known of its tasks to go on.
//!
//! ```text
//!              grant                started                 ended
//!  not begun ────────▶ Intended ───────────▶ Running ───────────────▶ succeeded, failed, cancelled
//!                         ▲  └──────────────────┴── failed, retries left ──▶ ready (at once)
//!                         │                                                  later (back-off) ──▶ ready
//!                         └──────────────────────────────────────────────────────────────┘
//! ```
//! Tasks are begun in the order of their index, so the ones not begun are a number. Only live tasks and those that wait
//! for a retry have an entry; a task that is over is a count. Nothing here ever walks all tasks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    allot::{Demand, Urgency},
    id::{AttemptId, ExecutionUid},
    mutant,
    observe::Heard,
    outcome::Wish,
    record::{Attempt, Execution, ExecutionState, Failure, ImagesState, Wishes, is_over},
    template::TaskTemplate,
};

/// A delayed execution begins within this time of its creation, and is over within it from there on (fact: Google's page
/// "Delay execution of a job").
pub const DELAY_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// An execution that is not over, in memory. Made by [`Run::restore`], moved by `observe` and `plan`.
#[derive(Debug)]
pub struct Run {
    pub(crate) execution: Execution,
    /// The state as the last plan had it written.
    pub(crate) written: ExecutionState,
    pub(crate) template: TaskTemplate,
    /// Why it cannot go on, whatever its tasks do.
    pub(crate) doomed: Option<Failure>,
    /// Whether the time of a delayed execution is over.
    pub(crate) time: Time,
    pub(crate) import: Import,
    pub(crate) discard: Discard,

    /// The first task that was never begun.
    pub(crate) next_index: u32,
    /// By task: its attempt that is intended or runs.
    pub(crate) live: BTreeMap<u32, Attempt>,
    /// Whether everything live was told to stop.
    pub(crate) stop: Stop,
    /// Task and attempt number of the retries that wait for nothing but room.
    pub(crate) ready: BTreeMap<u32, u32>,
    /// The same of those that wait for a time.
    pub(crate) later: BTreeSet<(Timestamp, u32, u32)>,
    /// How many starts of a task the machine has failed so far; only of tasks that are not over.
    pub(crate) own_faults: BTreeMap<u32, u32>,
    /// The failed task of the lowest index, and what the execution will say of it.
    pub(crate) first_failure: Option<(u32, Failure)>,

    /// Attempts that the next plan writes.
    pub(crate) unwritten: BTreeMap<AttemptId, Attempt>,
    /// Attempts whose end the next plan writes.
    pub(crate) over: Vec<AttemptId>,
    /// Attempts that a restart left behind, to be asked about by the next plan.
    pub(crate) unasked: BTreeSet<u32>,
    /// Entries of tasks looked at so far: the cost of all that was done, in a unit that does not depend on the machine.
    pub(crate) visits: u64,
}

/// The time of a delayed execution. A regular one has enough of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    Left,
    Over,
}

/// Whether the live attempts were told to stop by this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    NotAsked,
    Asked,
}

/// Whether the images were asked for by this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Import {
    NotAsked,
    Asked,
    Answered,
}

/// How far a deleted execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    NotAsked,
    Asked,
}

impl Run {
    /// Identity.
    #[must_use]
    pub fn uid(&self) -> ExecutionUid {
        self.execution.uid
    }

    /// The record, with its newest state.
    #[must_use]
    pub fn execution(&self) -> &Execution {
        &self.execution
    }

    /// Takes over what clients changed: the wishes, and the generation that goes with them.
    pub fn hear_clients(&mut self, generation: i32, wishes: Wishes) -> Heard {
        if (generation, wishes) == (self.execution.generation, self.execution.wishes) {
            return Heard::Known;
        }
        self.execution.generation = generation;
        self.execution.wishes = wishes;
        Heard::News
    }

    /// What it occupies and wants.
    #[must_use]
    pub fn demand(&mut self, now: Timestamp) -> Demand {
        let wants = self.wants(now);
        // Once it has begun it goes on as others do: from there on its time runs.
        let begun = self.execution.state.provisioned.is_some();
        let urgency = if begun { Urgency::Regular } else { self.template.urgency };
        Demand {
            execution: self.uid(),
            urgency,
            task: self.template.limits,
            live: self.live(),
            wants,
        }
    }

    /// When the time of a delayed execution is over.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let Execution { created, state, .. } = &self.execution;
        let from = state.start_time.unwrap_or(*created);
        let deadline = from.saturating_add(DELAY_MAX).unwrap_or(Timestamp::MAX);
        (self.template.urgency == Urgency::Delayed).then_some(deadline)
    }

    /// How many attempts could begin now if there were room.
    pub(crate) fn wants(&mut self, now: Timestamp) -> u32 {
        self.retries_come_due(now);
        if self.wish() == Wish::Stop && !mutant!("cancel_starts_pending_tasks") {
            return 0;
        }
        if self.doomed.is_some() || self.over_and_done() || !self.has_images() {
            return 0;
        }
        let retries = u32::try_from(self.ready.len()).expect("retries are part of a u32 count");
        let limit =
            if mutant!("parallelism_ignored") { u32::MAX } else { self.template.parallelism };
        limit.saturating_sub(self.live()).min(retries + self.not_begun())
    }

    /// Entries of tasks looked at since the run was made.
    #[must_use]
    pub fn visits(&self) -> u64 {
        self.visits
    }

    /// Moves the retries whose time has come, and says when the next one comes.
    pub(crate) fn retries_come_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some(&(at, task, attempt)) = self.later.first() {
            if !is_over(at, now) && !mutant!("backoff_ignored") {
                return Some(at);
            }
            self.visits += 1;
            self.later.pop_first();
            self.ready.insert(task, attempt);
        }
        None
    }

    /// The task to begin next, and its attempt number: the lowest index first, so retries before new tasks.
    pub(crate) fn take_next(&mut self) -> Option<(u32, u32)> {
        self.visits += 1;
        if let Some(retry) = self.ready.pop_first() {
            return Some(retry);
        }
        let task = self.next_index;
        (task < self.template.count).then(|| {
            self.next_index += 1;
            (task, 0)
        })
    }

    fn live(&self) -> u32 {
        u32::try_from(self.live.len()).expect("live tasks are part of a u32 count")
    }

    pub(crate) fn wish(&self) -> Wish {
        let over = self.time == Time::Over;
        if self.is_unwanted() || over { Wish::Stop } else { Wish::GoOn }
    }

    /// Was it cancelled or deleted?
    pub(crate) fn is_unwanted(&self) -> bool {
        let Wishes { cancel, delete } = self.execution.wishes;
        cancel.is_some() || delete.is_some()
    }

    pub(crate) fn not_begun(&self) -> u32 {
        self.template.count.saturating_sub(self.next_index)
    }

    pub(crate) fn has_images(&self) -> bool {
        matches!(self.execution.state.images, ImagesState::Imported { .. })
    }

    /// Is the terminal fact there?
    pub(crate) fn over_and_done(&self) -> bool {
        self.execution.state.completed.is_some()
    }

    /// Asks again about everything that is live, and for images that never came: news may have been lost. The cost is
    /// that of what is live, so this is for now and then.
    pub fn resync(&mut self) {
        self.visits += self.live.len() as u64;
        self.unasked = self.live.keys().copied().collect();
        self.stop = Stop::NotAsked;
        if !self.has_images() {
            self.import = Import::NotAsked;
        }
    }
}
