//! `namespaces.executions.get`.

use std::sync::Arc;

use axum::extract::State;
use groundrun_core::render;

use super::{Path, find};
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
    let execution = app
        .read(move |view| {
            let execution = find(view, &name, &place)??;
            Ok(render::execution(&execution, &place.context))
        })
        .await?;
    reply::json(&execution, &shape)
}
