//! `namespaces.jobs.run`: one row, also for 10,000 tasks. The request ends when it is on disk; the engine sees it there.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, v1};
use groundrun_core::{
    admit::{self, Suffix, execution_name},
    id::ExecutionUid,
    record::{Execution, Job},
    render,
};
use groundrun_store::{StoreError, Tx, WriteError};

use super::{Path, author, execution, find, invocation};
use crate::{
    app::{App, Place},
    call::{At, Call},
    error::Outcome,
    reply,
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
        execution: execution::Fresh { uid: ExecutionUid(app.uuid()), author: author(&app, None) },
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
    execution: execution::Fresh,
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
    execution::room(tx, place)?;
    let name = free_name(tx, &job, &fresh.suffixes)?;
    let execution = execution::insert(tx, &job, name, admitted, fresh.execution)?;
    if let Some(key) = fresh.invocation {
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
