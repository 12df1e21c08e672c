//! `namespaces.jobs.delete`: the job is gone at once; its executions are stopped and removed behind it.

use std::sync::Arc;

use axum::extract::State;
use groundrun_store::WriteError;

use super::{Path, find};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    query::{
        Parameter::{Ignored, Taken},
        Run,
    },
    reply,
};

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    At((project, name)): At<Path>,
    call: Call,
) -> Outcome {
    let own =
        [Taken("dryRun"), Ignored("apiVersion"), Ignored("kind"), Ignored("propagationPolicy")];
    let shape = call.shape(&own)?;
    let run = call.query.dry_run()?;
    let place = app.place(&project, call.regions.one())?;
    let job = match run {
        Run::Dry => app.read(move |view| Ok(find(view, &name, &place)??)).await?,
        Run::Real => {
            app.write(move |tx| {
                let job = find(tx, &name, &place)?.map_err(WriteError::Refused)?;
                // It was found in this same write.
                let _ = tx.delete_job(job.uid)?;
                Ok(job)
            })
            .await?
        }
    };
    reply::deleted("jobs", &job.name, job.uid.to_string(), &shape)
}
