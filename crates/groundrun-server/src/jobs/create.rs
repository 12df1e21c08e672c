//! `namespaces.jobs.create`.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, v1};
use groundrun_core::{
    admit::{self, AdmittedJob},
    id::{ExecutionUid, JobUid},
    record::{Job, Readiness, ReadinessState, Revision},
    render,
    token::Token,
};
use groundrun_store::{View, WriteError};

use super::{
    author,
    execution::{self, Fresh},
    readiness, shown,
};
use crate::{
    app::{App, Place},
    call::{At, Call},
    error::Outcome,
    query::{Parameter::Taken, Run},
    reply,
};

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    At(project): At<String>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[Taken("dryRun")])?;
    let run = call.query.dry_run()?;
    let place = app.place(&project, call.regions.one())?;
    let document: v1::Job = call.message(&app).await?;
    let mut job = new_job(&app, &place, admit::job(document, &app.suffix(), &place.context)?);
    let token = Token::of(&job.spec).map(|token| {
        let fresh = Fresh { uid: ExecutionUid(app.uuid()), author: job.author.clone() };
        (token.execution(&job.name), fresh)
    });
    let answer = match run {
        Run::Dry => {
            app.read(move |view| {
                room(view, &job, &place)?;
                if let Some((name, fresh)) = token {
                    execution::room_for_token(view, &name, &place)?;
                    execution::imagine(&mut job, name, &fresh);
                }
                Ok(render::job(&job, None, &place.context))
            })
            .await?
        }
        Run::Real => {
            let watcher = app.store.watch();
            let (job, place) = app
                .write(move |tx| {
                    room(tx, &job, &place)?;
                    let labels = render::job_labels(&job);
                    tx.insert_job(&mut job, &labels)?;
                    if let Some((name, fresh)) = token {
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

fn new_job(app: &App, place: &Place, admitted: AdmittedJob) -> Job {
    let AdmittedJob { name, labels, annotations, spec } = admitted;
    let now = app.now();
    Job {
        uid: JobUid(app.uuid()),
        scope: place.scope.clone(),
        name,
        generation: 1,
        created: now,
        updated: now,
        revision: Revision::default(),
        written: Revision::default(),
        labels,
        annotations,
        author: author(app, None),
        spec,
        execution_count: 0,
        latest_execution: None,
        readiness: Readiness { generation: 1, since: now, state: ReadinessState::Checking },
    }
}

/// Is the name free, and is there room for another job?
fn room(view: &View<'_>, job: &Job, place: &Place) -> Result<(), WriteError<ApiError>> {
    if view.job(&job.scope, &job.name)?.is_some() {
        return Err(WriteError::Refused(ApiError::already_exists(&job.name)));
    }
    let existing = u64::from(view.job_count(&job.scope)?);
    admit::room_for_job(existing, &place.context).map_err(WriteError::Refused)
}
