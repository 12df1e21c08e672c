//! A new execution of a job, by `:run` or by a token: one row, whatever its task count.

use groundrun_api::ApiError;
use groundrun_core::{
    admit::{self, AdmittedRun},
    id::ExecutionUid,
    record::{Author, Execution, ExecutionState, Job, JobSnapshot, Revision, Wishes},
};
use groundrun_store::{Tx, View, WriteError};

use crate::{app::Place, executions};

/// What is drawn for an execution before the write.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) uid: ExecutionUid,
    pub(super) author: Author,
}

/// Is there room for another execution that runs?
pub(super) fn room(view: &View<'_>, place: &Place) -> Result<(), WriteError<ApiError>> {
    let running = u64::from(view.running_count(&place.scope)?);
    admit::room_for_execution(running, &place.context).map_err(WriteError::Refused)
}

/// Is there room for the execution of a token, and is its name free?
pub(super) fn room_for_token(
    view: &View<'_>,
    name: &str,
    place: &Place,
) -> Result<(), WriteError<ApiError>> {
    if view.execution(&place.scope, name)?.is_some() {
        return Err(WriteError::Refused(ApiError::already_exists(name)));
    }
    room(view, place)
}

/// Makes it; `name` is free.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    job: &Job,
    name: String,
    admitted: AdmittedRun,
    fresh: Fresh,
) -> Result<Execution, WriteError<ApiError>> {
    let AdmittedRun { labels, annotations, spec } = admitted;
    let mut execution = Execution {
        uid: fresh.uid,
        scope: job.scope.clone(),
        name,
        job: JobSnapshot {
            uid: job.uid,
            name: job.name.clone(),
            generation: job.generation,
            revision: job.revision,
        },
        generation: 1,
        created: tx.now(),
        revision: Revision::default(),
        labels,
        annotations,
        author: fresh.author,
        spec,
        wishes: Wishes::default(),
        state: ExecutionState::default(),
    };
    let labels = executions::indexed_labels(&execution);
    tx.insert_execution(&mut execution, &labels)?;
    Ok(execution)
}

/// Makes the execution `name` that the token of a job asks for, and gives the job with it. The job was written in this
/// same transaction.
pub(super) fn insert_of_token(
    tx: &mut Tx<'_>,
    job: Job,
    name: String,
    fresh: Fresh,
) -> Result<Job, WriteError<ApiError>> {
    let admitted = admit::run(&job, Default::default()).map_err(WriteError::Refused)?;
    insert(tx, &job, name, admitted, fresh)?;
    Ok(tx.job_by_uid(job.uid)?.unwrap_or(job))
}

/// The job as it would be with the execution `name`, which is not made.
pub(super) fn imagine(job: &mut Job, name: String, fresh: &Fresh) {
    job.execution_count = job.execution_count.saturating_add(1);
    let created = job.updated;
    job.latest_execution =
        Some(groundrun_core::record::LatestExecution { uid: fresh.uid, name, created });
}
