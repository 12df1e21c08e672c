//! `projects.locations.jobs.getIamPolicy`.

use std::sync::Arc;

use axum::extract::State;

use super::{Path, find, place, shown};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    query::Parameter::Taken,
    reply,
};

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    At((project, region, name)): At<Path>,
    call: Call,
) -> Outcome {
    // Conditions are given whatever version was asked for, as version 3 has them.
    let shape = call.shape(&[Taken("options.requestedPolicyVersion")])?;
    call.query.number("options.requestedPolicyVersion")?;
    let place = place(&app, &project, &region)?;
    let policy = app
        .read(move |view| {
            let job = find(view, &name, &place)??;
            Ok(shown(view.policy(job.uid)?)?)
        })
        .await?;
    reply::json(&policy, &shape)
}
