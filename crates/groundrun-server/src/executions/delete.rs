//! `namespaces.executions.delete`: gone at once; stopped and removed behind it.

use std::sync::Arc;

use axum::extract::State;
use groundrun_store::WriteError;

use super::{Path, find};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    query::Parameter::Ignored,
    reply,
};

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    At((project, name)): At<Path>,
    call: Call,
) -> Outcome {
    // Unlike jobs.delete this method has no dryRun: it is refused as unknown, never ignored.
    let own = [Ignored("apiVersion"), Ignored("kind"), Ignored("propagationPolicy")];
    let shape = call.shape(&own)?;
    let place = app.place(&project, call.regions.one())?;
    let execution = app
        .write(move |tx| {
            let execution = find(tx, &name, &place)?.map_err(WriteError::Refused)?;
            // It was found in this same write.
            let _ = tx.delete_execution(execution.uid)?;
            Ok(execution)
        })
        .await?;
    reply::deleted("executions", &execution.name, execution.uid.to_string(), &shape)
}
