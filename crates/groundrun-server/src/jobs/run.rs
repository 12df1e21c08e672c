//! `namespaces.jobs.run`: one row, also for 10,000 tasks. The request ends when it is on disk; the engine sees it there.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, v1};
use groundrun_core::{
    admit::{self, AdmittedRun, Suffix, execution_name},
    id::ExecutionUid,
    record::{Author, Execution, ExecutionState, Job, JobSnapshot, Revision, Wishes},
    render,
};
use groundrun_store::{StoreError, Tx, WriteError};

use super::{Path, author, find, invocation};
use crate::{
    app::{App, Place},
    call::{At, Call},
    error::Outcome,
    executions, reply,
};

/// Names tried. There are 14 million per job, and at most some thousands are taken: one collision is rare, 16 in a row
/// mean that the randomness is broken.
const NAMES_MAX: usize = 16;

pub(crate) async fn run(
    State(app): State<Arc<App>>,
    At((project, name)): At<Path>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let place = app.place(&project, call.regions.one())?;
    let request: v1::RunJobRequest = call.message(&app).await?;
    let fresh = Fresh {
        uid: ExecutionUid(app.uuid()),
        author: author(&app, None),
        suffixes: (0..NAMES_MAX).map(|_| app.suffix()).collect(),
        invocation: invocation::key(&call, &place.scope.project, &place.scope.region),
    };
    let execution = app
        .write(move |tx| {
            let execution = commit(tx, &name, &place, request, fresh)?;
            Ok(render::execution(&execution, &place.context))
        })
        .await?;
    reply::json(&execution, &shape)
}

/// What is new about an execution, drawn before the write.
struct Fresh {
    uid: ExecutionUid,
    author: Author,
    suffixes: Vec<Suffix>,
    invocation: Option<String>,
}

fn commit(
    tx: &mut Tx<'_>,
    name: &str,
    place: &Place,
    request: v1::RunJobRequest,
    fresh: Fresh,
) -> Result<Execution, WriteError<ApiError>> {
    if let Some(known) = repeated(tx, &fresh)? {
        return Ok(known);
    }
    let job = find(tx, name, place)?.map_err(WriteError::Refused)?;
    let admitted = admit::run(&job, request).map_err(WriteError::Refused)?;
    let running = u64::from(tx.running_count(&place.scope)?);
    admit::room_for_execution(running, &place.context).map_err(WriteError::Refused)?;
    let name = free_name(tx, &job, &fresh.suffixes)?;
    let key = fresh.invocation.clone();
    let mut execution = new_execution(tx, job, name, admitted, fresh);
    let labels = executions::indexed_labels(&execution);
    tx.insert_execution(&mut execution, &labels)?;
    if let Some(key) = key {
        tx.remember_invocation(&key, execution.uid)?;
    }
    Ok(execution)
}

/// The execution that the same command made a moment ago. One that is deleted by now is not it any more.
fn repeated(tx: &Tx<'_>, fresh: &Fresh) -> Result<Option<Execution>, StoreError> {
    let Some(key) = &fresh.invocation else { return Ok(None) };
    let Some(uid) = tx.invocation(key, tx.now())? else { return Ok(None) };
    Ok(tx.execution_by_uid(uid)?.filter(|execution| execution.wishes.delete.is_none()))
}

fn free_name(tx: &Tx<'_>, job: &Job, suffixes: &[Suffix]) -> Result<String, WriteError<ApiError>> {
    for suffix in suffixes {
        let name = execution_name(&job.name, suffix);
        if tx.execution(&job.scope, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(WriteError::Refused(ApiError::internal("no free name was found for the execution")))
}

fn new_execution(
    tx: &Tx<'_>,
    job: Job,
    name: String,
    admitted: AdmittedRun,
    fresh: Fresh,
) -> Execution {
    let AdmittedRun { labels, annotations, spec } = admitted;
    Execution {
        uid: fresh.uid,
        scope: job.scope,
        name,
        job: JobSnapshot {
            uid: job.uid,
            name: job.name,
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
    }
}
