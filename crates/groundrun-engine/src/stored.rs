//! The journal in the store.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{Attempt, Execution, Job},
};
use groundrun_store::{
    Applied, Changed, Reaped, Seen, Store, StoreError, Subject, Tx, Watcher, WriteError,
};
use jiff::Timestamp;

use crate::{
    brain::Changes,
    journal::{Commit, Committed, Journal, OpenEnds},
};

/// Attempts removed of one execution in one commit: some milliseconds.
const REAPED_AT_ONCE: u32 = 1000;

/// The store as the engine uses it.
#[derive(Debug)]
pub(crate) struct Stored(pub(crate) Store);

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct StoredError(#[from] WriteError<Infallible>);

impl From<StoreError> for StoredError {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl Journal for Stored {
    type Error = StoredError;

    fn commit(&mut self, now: Timestamp, commit: Arc<Commit>) -> Result<Committed, StoredError> {
        Ok(self.0.write(now, move |tx| Ok(write(tx, &commit)?))?)
    }

    fn open_ends(&mut self) -> Result<OpenEnds, StoredError> {
        self.0.read(|view| {
            let mut executions = view.unfinished()?;
            executions.extend(view.to_delete()?);
            Ok(OpenEnds { executions, jobs: view.jobs_to_check()? })
        })
    }

    fn execution(&mut self, uid: ExecutionUid) -> Result<Option<Execution>, StoredError> {
        self.0.read(|view| Ok(view.execution_by_uid(uid)?))
    }

    fn attempts(&mut self, uid: ExecutionUid) -> Result<Vec<Attempt>, StoredError> {
        self.0.read(|view| {
            let mut attempts = Vec::new();
            view.attempts(uid, 0..u32::MAX, |attempt| attempts.push(attempt))?;
            Ok(attempts)
        })
    }

    fn job(&mut self, uid: JobUid) -> Result<Option<Job>, StoredError> {
        self.0.read(|view| Ok(view.job_by_uid(uid)?))
    }

    fn beyond_retention(
        &mut self,
        job: JobUid,
        keep: u32,
        limit: u32,
    ) -> Result<Vec<ExecutionUid>, StoredError> {
        self.0.read(|view| Ok(view.beyond_retention(job, keep, limit)?))
    }
}

fn write(tx: &mut Tx<'_>, commit: &Commit) -> Result<Committed, StoreError> {
    tx.insert_attempts(&commit.begun)?;
    tx.update_attempts(&commit.changed)?;
    for (uid, state) in &commit.states {
        let mut state = state.clone();
        if state.completed.is_some()
            && let Some(execution) = tx.execution_by_uid(*uid)?
        {
            state.observed_generation = execution.generation;
        }
        tx.set_execution_state(*uid, &state)?;
    }
    for (job, readiness) in &commit.readiness {
        match tx.set_readiness(*job, readiness)? {
            // The next check of the job that it is now answers for it.
            Applied::Yes | Applied::Outdated => {}
        }
    }
    for uid in &commit.deleted {
        match tx.delete_execution(*uid)? {
            // A client was faster.
            Applied::Yes | Applied::Outdated => {}
        }
    }
    let mut unreaped = Vec::new();
    for uid in &commit.reaped {
        match tx.reap_execution(*uid, REAPED_AT_ONCE)? {
            Reaped::All => {}
            Reaped::More => unreaped.push(*uid),
        }
    }
    Ok(Committed { unreaped })
}

/// What the watch saw, as the brain takes it; `None` when the store is closed.
pub(crate) fn changes(watcher: &mut Watcher) -> Option<Changes> {
    match watcher.poll() {
        Seen::Nothing => Some(Changes::default()),
        Seen::Missed => Some(Changes::Missed),
        Seen::Closed => None,
        Seen::Changes(changes) => {
            let (mut executions, mut jobs) = (BTreeSet::new(), BTreeSet::new());
            for Changed { subject, .. } in changes {
                match subject {
                    Subject::Execution(uid) => executions.insert(uid),
                    Subject::Job(uid) => jobs.insert(uid),
                };
            }
            Some(Changes::Of { executions, jobs })
        }
    }
}
