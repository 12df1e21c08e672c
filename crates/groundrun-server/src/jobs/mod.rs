//! `namespaces.jobs`: one file per method.

mod create;
mod delete;
mod execution;
mod get;
mod invocation;
mod list;
mod readiness;
mod replace;
mod run;

pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use get::get;
pub(crate) use list::{fill, list};
pub(crate) use replace::replace;
pub(crate) use run::run;

use groundrun_api::{ApiError, v1};
use groundrun_core::{
    record::{Author, Job},
    render,
};
use groundrun_store::{StoreError, View};

use crate::app::{App, Place};

/// Project and job of the path.
type Path = (String, String);

/// The job of this name, or 404.
fn find(view: &View<'_>, name: &str, place: &Place) -> Result<Result<Job, ApiError>, StoreError> {
    let found = view.job(&place.scope, name)?;
    Ok(found.ok_or_else(|| ApiError::job_not_found(name, place.words())))
}

/// The job as it is answered.
pub(crate) fn shown(view: &View<'_>, job: &Job, place: &Place) -> Result<v1::Job, StoreError> {
    let latest = job.latest_execution.as_ref().map(|latest| view.execution_by_uid(latest.uid));
    let latest = latest.transpose()?.flatten();
    Ok(render::job(job, latest.as_ref(), &place.context))
}

/// Who a change is by: the account of this server, under an operation of its own.
fn author(app: &App, creator: Option<String>) -> Author {
    let account = app.config.account.clone();
    Author {
        creator: creator.unwrap_or_else(|| account.clone()),
        last_modifier: account,
        operation_id: app.uuid().to_string(),
    }
}
