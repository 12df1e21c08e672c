//! `projects.get` of the Resource Manager: the number of a project. gcloud asks for it when a file names a namespace.

use std::sync::Arc;

use axum::extract::State;
use groundrun_core::context::Context;
use serde_json::json;

use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
};

pub(crate) async fn project(
    State(app): State<Arc<App>>,
    At(project): At<String>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let Context { project, number, .. } = app.context(&project)?;
    reply::json(
        &json!({"projectId": project, "projectNumber": number, "name": project, "lifecycleState": "ACTIVE"}),
        &shape,
    )
}
