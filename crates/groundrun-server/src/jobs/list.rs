//! `namespaces.jobs.list`: newest first; of every region when the host names none.

use std::sync::Arc;

use axum::extract::State;

use super::shown;
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    list::{LIST, Page, Place, Wanted},
    reply,
};

/// gcloud follows no `continue` of this list (fact: gcloud-wire B.7): ten regions' worth of jobs fit.
const LIMIT_DEFAULT: usize = 10_000;

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    At(project): At<String>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&LIST)?;
    let wanted = Wanted::read(&call, LIMIT_DEFAULT)?;
    let place = app.place(&project, call.regions.one())?;
    let region = call.regions.only().map(str::to_owned);
    let text = app
        .read(move |view| {
            let mut page = Page::new("JobsList", wanted.limit);
            let from = Place { project: &place.scope.project, region: region.as_deref() };
            let next = wanted.walk(
                &mut page,
                from,
                |query| view.jobs(query),
                |page, job| page.push(&shown(view, job, &place)?),
            )?;
            Ok(page.finish(next.as_deref()))
        })
        .await?;
    reply::written(text, &shape)
}
