//! `namespaces.executions.list`: newest first.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use groundrun_api::selector::{Requirement, Selector};
use groundrun_core::render;
use groundrun_store::View;

use crate::{
    app::{self, App},
    call::{At, Call},
    error::Outcome,
    list::{LIST, Page, Place, Room, Wanted},
    reply,
    watch::{self, Kind},
};

/// Kept of one job; clients that want more follow `continue`.
const LIMIT_DEFAULT: usize = 1000;

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    At(project): At<String>,
    call: Call,
) -> Outcome {
    if watch::is_asked_for(&call) {
        return watch::start(app, Kind::Executions, &project, &call).await;
    }
    let shape = call.shape(&LIST)?;
    let mut wanted = Wanted::read(&call, LIMIT_DEFAULT)?;
    let own = take_own(&mut wanted.selector);
    let place = app.place(&project, call.regions.one())?;
    let region = call.regions.only().map(str::to_owned);
    let text = app
        .read(move |view| {
            let mut page = Page::new("ExecutionsList", wanted.limit);
            let next = fill(view, (&wanted, &own), &place, region.as_deref(), &mut page)?;
            Ok(page.finish(next.as_deref(), wanted.revision(view)?))
        })
        .await?;
    reply::written(text, &shape)
}

/// Fills the page; gives the token of the next one. `own` is what [`take_own`] took.
pub(crate) fn fill(
    view: &View<'_>,
    (wanted, own): (&Wanted, &Selector),
    place: &app::Place,
    region: Option<&str>,
    page: &mut Page,
) -> Outcome<Option<String>> {
    let from = Place { project: &place.scope.project, region };
    wanted.walk(
        page,
        from,
        |query| view.executions(query),
        |page, execution| {
            if !own.matches(&serving_state(execution.state.completed.is_none())) {
                return Ok(Room::Left);
            }
            page.push(&render::execution(execution, &place.context))
        },
    )
}

/// A label that is shown nowhere and selects all the same; gcloud asks for it before it deletes a job (fact: gcloud-wire
/// B.8). It follows the state, so it is in no index: it is tested on each record.
const SERVING_STATE: &str = "run.googleapis.com/servingState";

/// `Active` until the execution has ended.
pub(crate) fn serving_state(active: bool) -> BTreeMap<String, String> {
    active.then(|| (SERVING_STATE.to_owned(), "Active".to_owned())).into_iter().collect()
}

/// Moves out what the store cannot select by.
pub(crate) fn take_own(selector: &mut Selector) -> Selector {
    let is_own = |requirement: &Requirement| requirement.key == SERVING_STATE;
    let all = std::mem::take(&mut selector.requirements);
    let (own, others) = all.into_iter().partition(is_own);
    selector.requirements = others;
    Selector { requirements: own }
}
