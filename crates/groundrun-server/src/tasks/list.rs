//! `namespaces.tasks.list`: by execution, newest first, and then by index.

use std::sync::Arc;

use axum::extract::State;

use super::walk::Walk;
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    list::{LIST, Page, Wanted},
    reply,
    watch::{self, Kind},
};

/// The tasks of the largest execution; the page's bytes are bounded besides.
const LIMIT_DEFAULT: usize = 10_000;

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    At(project): At<String>,
    call: Call,
) -> Outcome {
    if watch::is_asked_for(&call) {
        return watch::start(app, Kind::Tasks, &project, &call).await;
    }
    let shape = call.shape(&LIST)?;
    let wanted = Wanted::read(&call, LIMIT_DEFAULT)?;
    let place = app.place(&project, call.regions.one())?;
    let region = call.regions.only().map(str::to_owned);
    let text = app
        .read(move |view| {
            let mut page = Page::new("TasksList", wanted.limit);
            let next = Walk::new(view, &place, region.as_deref(), &wanted)?.fill(&mut page)?;
            Ok(page.finish(next.as_deref(), wanted.revision(view)?))
        })
        .await?;
    reply::written(text, &shape)
}
