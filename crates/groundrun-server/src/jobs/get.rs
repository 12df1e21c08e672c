//! `namespaces.jobs.get`.

use std::sync::Arc;

use axum::extract::State;

use super::{Path, find, shown};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
};

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    At((project, name)): At<Path>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let place = app.place(&project, call.regions.one())?;
    let job = app
        .read(move |view| {
            let job = find(view, &name, &place)??;
            Ok(shown(view, &job, &place)?)
        })
        .await?;
    reply::json(&job, &shape)
}
