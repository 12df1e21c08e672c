//! `namespaces.jobs.replaceJob`: the whole document in the place of the job.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::v1;
use groundrun_core::{
    admit::{self, Replacement},
    id::ExecutionUid,
    record::{Author, Job, Readiness, ReadinessState},
    render,
};
use groundrun_store::WriteError;
use jiff::Timestamp;

use super::{
    Path, author,
    execution::{self, Fresh},
    find, readiness, shown,
};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    query::{Parameter::Taken, Run},
    reply,
};

pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    At((project, name)): At<Path>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[Taken("dryRun")])?;
    let run = call.query.dry_run()?;
    let place = app.place(&project, call.regions.one())?;
    let document: v1::Job = call.message(&app).await?;
    let (author, now) = (author(&app, None), app.now());
    let fresh = Fresh { uid: ExecutionUid(app.uuid()), author: author.clone() };
    let answer = match run {
        Run::Dry => {
            app.read(move |view| {
                let old = find(view, &name, &place)??;
                let mut replacement = admit::replacement(&old, document, &place.context)?;
                let token = replacement.execution.take();
                let mut job = replaced(old, replacement, author, now);
                if let Some(name) = token {
                    execution::room_for_token(view, &name, &place)?;
                    execution::imagine(&mut job, name, &fresh);
                }
                Ok(shown(view, &job, &place)?)
            })
            .await?
        }
        Run::Real => {
            let watcher = app.store.watch();
            let (job, place) = app
                .write(move |tx| {
                    let old = find(tx, &name, &place)?.map_err(WriteError::Refused)?;
                    let mut replacement = admit::replacement(&old, document, &place.context)
                        .map_err(WriteError::Refused)?;
                    let token = replacement.execution.take();
                    let mut job = replaced(old, replacement, author, now);
                    let labels = render::job_labels(&job);
                    tx.update_job(&mut job, &labels)?;
                    if let Some(name) = token {
                        execution::room_for_token(tx, &name, &place)?;
                        job = execution::insert_of_token(tx, job, name, fresh)?;
                    }
                    Ok((job, place))
                })
                .await?;
            let job = readiness::settled(&app, watcher, job).await?;
            app.read(move |view| Ok(shown(view, &job, &place)?)).await?
        }
    };
    reply::json(&answer, &shape)
}

/// Another generation is checked again, and so is a job that was not ready: whoever sends it once more has done something
/// about it, such as to push its image. Else what is known of the job stays.
fn replaced(old: Job, replacement: Replacement, author: Author, now: Timestamp) -> Job {
    let Replacement { labels, annotations, spec, generation, execution: _ } = replacement;
    let failed = matches!(old.readiness.state, ReadinessState::Failed(_));
    let readiness = if generation == old.generation && !failed {
        old.readiness
    } else {
        Readiness { generation, since: now, state: ReadinessState::Checking }
    };
    let author = Author { creator: old.author.creator, ..author };
    Job { generation, updated: now, labels, annotations, author, spec, readiness, ..old }
}
