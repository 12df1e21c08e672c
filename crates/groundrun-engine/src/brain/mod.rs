//! One tick: what was heard goes in, what is to be done comes out, and in between it is written down.
//!
//! Synchronous, without a clock, a thread or a channel, so that a simulation drives the same code as the engine does.
//!
//! ```text
//! think: read what clients changed ─▶ hear news ─▶ allot room ─▶ plan each that is concerned ─▶ images to ask for
//! write: commit once ─▶ what to do
//! ```
//! A commit that fails is kept and tried again; until it holds, nothing more is planned and nothing is done.

mod decide;
mod hear;
mod read;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use groundrun_core::{
    allot::Turn,
    id::{AttemptId, BootId, ExecutionUid, JobUid},
    port::{Action, ImageRequest, Limits, News},
    progress::Run,
    readiness::Checks,
    record::Readiness,
};
use jiff::Timestamp;

use crate::journal::{Commit, Journal};

/// What the brain is told once.
#[derive(Clone, Copy, Debug)]
pub struct BrainConfig {
    /// What the machine gives to tasks; CPU with the overcommit in it.
    pub budget: Limits,
    /// This boot of the machine.
    pub boot: BootId,
    /// How often everything that is live is asked about again.
    pub resync: Duration,
    /// Completed executions kept per job; older ones are deleted.
    pub retained_per_job: u32,
}

/// What happened since the last tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// From backend and images.
    pub news: Vec<News>,
    /// From the journal.
    pub changes: Changes,
}

/// Which records were changed, by clients or by the engine itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Changes {
    /// These.
    Of {
        /// Executions.
        executions: BTreeSet<ExecutionUid>,
        /// Jobs.
        jobs: BTreeSet<JobUid>,
    },
    /// More than anybody kept count of.
    Missed,
}

impl Default for Changes {
    fn default() -> Self {
        Self::Of { executions: BTreeSet::new(), jobs: BTreeSet::new() }
    }
}

/// What is to be done once it is written.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Tick {
    /// For the images.
    pub images: Vec<ImageRequest>,
    /// For the backend. All of it is on disk as intended.
    pub actions: Vec<Action>,
    /// When to tick again if nothing happens before.
    pub wake_at: Timestamp,
}

/// Everything that is not over, and the way to the records.
#[derive(Debug)]
pub struct Brain<J> {
    journal: J,
    config: BrainConfig,
    runs: BTreeMap<ExecutionUid, Run>,
    turn: Turn,
    checks: Checks,
    /// Executions to be planned for another reason than room.
    concerned: BTreeSet<ExecutionUid>,
    wakes: BTreeMap<ExecutionUid, Timestamp>,
    /// Records that are to be read again.
    unread: Unread,
    /// Answers about jobs, to be written.
    readiness: Vec<(JobUid, Readiness)>,
    /// Attempts whose end was told although it is in the journal: the backend does not know that it may forget them.
    known_ends: BTreeSet<AttemptId>,
    /// Deleted executions with rows left.
    reaping: BTreeSet<ExecutionUid>,
    /// Jobs of which an execution completed, and that may have too many.
    retention: BTreeSet<JobUid>,
    /// What was decided and is not written yet.
    undone: Option<Undone>,
    next_resync: Timestamp,
}

#[derive(Debug)]
struct Unread {
    executions: BTreeSet<ExecutionUid>,
    jobs: BTreeSet<JobUid>,
    all: All,
    failures: u32,
    not_before: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum All {
    Read,
    Unread,
}

/// A draft on its way to the journal.
#[derive(Debug)]
struct Undone {
    draft: Draft,
    /// How often that failed.
    failures: u32,
    not_before: Timestamp,
}

/// What a tick decided.
#[derive(Debug, Default)]
struct Draft {
    commit: Arc<Commit>,
    images: Vec<ImageRequest>,
    actions: Vec<Action>,
    finished: Vec<ExecutionUid>,
}

impl<J: Journal> Brain<J> {
    /// A brain that has read nothing yet: its first tick takes up all that the journal has open.
    pub fn new(journal: J, config: BrainConfig, now: Timestamp) -> Self {
        Self {
            journal,
            config,
            runs: BTreeMap::new(),
            turn: Turn::default(),
            checks: Checks::default(),
            concerned: BTreeSet::new(),
            wakes: BTreeMap::new(),
            unread: Unread {
                executions: BTreeSet::new(),
                jobs: BTreeSet::new(),
                all: All::Unread,
                failures: 0,
                not_before: Timestamp::MIN,
            },
            readiness: Vec::new(),
            known_ends: BTreeSet::new(),
            reaping: BTreeSet::new(),
            retention: BTreeSet::new(),
            undone: None,
            next_resync: now.saturating_add(config.resync).unwrap_or(Timestamp::MAX),
        }
    }

    /// Takes in what happened, decides, and says which images to ask for. Those may be asked for at once: it changes
    /// nothing that must be remembered. What else was decided waits for [`write`](Self::write).
    #[must_use]
    pub fn think(&mut self, events: Events, now: Timestamp) -> Vec<ImageRequest> {
        self.note_changes(events.changes);
        self.read_changes(now);
        for news in events.news {
            self.hear(news, now);
        }
        self.resync_if_due(now);
        let mut asked = self.checks.due(now);
        if self.undone.is_none() {
            let draft = self.draft(&mut asked, now);
            self.undone = Some(Undone { draft, failures: 0, not_before: now });
        }
        asked
    }

    /// Writes what was decided and says what to do, or keeps it for later.
    pub fn write(&mut self, now: Timestamp) -> Tick {
        let mut tick = self.write_undone(now);
        tick.wake_at = self.wake_at(now);
        tick
    }

    /// The journal.
    pub fn journal(&mut self) -> &mut J {
        &mut self.journal
    }

    /// Executions in memory.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
