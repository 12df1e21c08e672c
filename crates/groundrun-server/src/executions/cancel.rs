//! `namespaces.executions.cancel`: a wish in the record; the engine sees it there.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, v1};
use groundrun_core::{record::Author, render};
use groundrun_store::WriteError;

use super::{Path, find, indexed_labels};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
};

pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    At((project, name)): At<Path>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let place = app.place(&project, call.regions.one())?;
    let v1::CancelExecutionRequest {} = call.message(&app).await?;
    let (account, operation) = (app.config.account.clone(), app.uuid().to_string());
    let execution = app
        .write(move |tx| {
            let mut execution = find(tx, &name, &place)?.map_err(WriteError::Refused)?;
            if execution.state.completed.is_some() {
                return Err(WriteError::Refused(ApiError::cannot_cancel(&name)));
            }
            execution.wishes.cancel = Some(tx.now());
            execution.generation = execution.generation.saturating_add(1);
            let creator = std::mem::take(&mut execution.author.creator);
            execution.author = Author { creator, last_modifier: account, operation_id: operation };
            let labels = indexed_labels(&execution);
            tx.update_wishes(&mut execution, &labels)?;
            Ok(render::execution(&execution, &place.context))
        })
        .await?;
    reply::json(&execution, &shape)
}
