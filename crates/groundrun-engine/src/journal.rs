//! What the brain needs of the records: one commit per tick, and a few reads.

use std::sync::Arc;

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{Attempt, Execution, ExecutionState, Job, Readiness},
};
use jiff::Timestamp;

/// Where the engine's part of the truth is kept: the store, or the memory of a simulation.
pub trait Journal {
    /// Why something could not be read or written; for a log.
    type Error: std::error::Error;

    /// Writes all of it, durably, or nothing.
    fn commit(&mut self, now: Timestamp, commit: Arc<Commit>) -> Result<Committed, Self::Error>;

    /// All that is not over: what to take up at the start, and after changes were missed.
    fn open_ends(&mut self) -> Result<OpenEnds, Self::Error>;

    /// An execution, also a deleted one; `None` when it is reaped.
    fn execution(&mut self, uid: ExecutionUid) -> Result<Option<Execution>, Self::Error>;

    /// All attempts of an execution.
    fn attempts(&mut self, uid: ExecutionUid) -> Result<Vec<Attempt>, Self::Error>;

    /// A job.
    fn job(&mut self, uid: JobUid) -> Result<Option<Job>, Self::Error>;

    /// The oldest completed executions of a job beyond the `keep` newest, at most `limit`.
    fn beyond_retention(
        &mut self,
        job: JobUid,
        keep: u32,
        limit: u32,
    ) -> Result<Vec<ExecutionUid>, Self::Error>;
}

/// What a tick writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// New attempts: intents.
    pub begun: Vec<Attempt>,
    /// Attempts that started or ended.
    pub changed: Vec<Attempt>,
    /// How far executions are. A completed state answers to the generation that is there when it is written: a wish that
    /// came too late for the brain came too late for good, and who waits for its answer must get one.
    pub states: Vec<(ExecutionUid, ExecutionState)>,
    /// Whether jobs could run, if they are still of that generation.
    pub readiness: Vec<(JobUid, Readiness)>,
    /// Executions to be deleted as a client would: nobody keeps that many.
    pub deleted: Vec<ExecutionUid>,
    /// Deleted executions that are over: rows to be removed, a batch of each.
    pub reaped: Vec<ExecutionUid>,
}

/// What a commit says beyond that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Of those to be reaped: the ones that have rows left.
    pub unreaped: Vec<ExecutionUid>,
}

/// All that is not over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenEnds {
    /// Executions that are not completed, or are deleted and not reaped.
    pub executions: Vec<ExecutionUid>,
    /// Jobs whose readiness is not known, or that are not ready.
    pub jobs: Vec<JobUid>,
}

impl Commit {
    /// Is there nothing to write?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
