//! `namespaces.jobs.list`: newest first; of every region when the host names none.

use std::sync::Arc;

use axum::extract::State;
use groundrun_store::View;

use super::shown;
use crate::{
    app::{self, App},
    call::{At, Call},
    error::Outcome,
    list::{LIST, Page, Place, Wanted},
    reply,
    watch::{self, Kind},
};

/// gcloud follows no `continue` of this list (fact: gcloud-wire B.7): ten regions' worth of jobs fit.
const LIMIT_DEFAULT: usize = 10_000;

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    At(project): At<String>,
    call: Call,
) -> Outcome {
    if watch::is_asked_for(&call) {
        return watch::start(app, Kind::Jobs, &project, &call).await;
    }
    let shape = call.shape(&LIST)?;
    let wanted = Wanted::read(&call, LIMIT_DEFAULT)?;
    let place = app.place(&project, call.regions.one())?;
    let region = call.regions.only().map(str::to_owned);
    let text = app
        .read(move |view| {
            let mut page = Page::new("JobsList", wanted.limit);
            let next = fill(view, &wanted, &place, region.as_deref(), &mut page)?;
            Ok(page.finish(next.as_deref(), wanted.revision(view)?))
        })
        .await?;
    reply::written(text, &shape)
}

/// Fills the page; gives the token of the next one.
pub(crate) fn fill(
    view: &View<'_>,
    wanted: &Wanted,
    place: &app::Place,
    region: Option<&str>,
    page: &mut Page,
) -> Outcome<Option<String>> {
    let from = Place { project: &place.scope.project, region };
    wanted.walk(
        page,
        from,
        |query| view.jobs(query),
        |page, job| page.push(&shown(view, job, place)?),
    )
}
