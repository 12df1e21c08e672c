//! The policy of a job: stored and given back. Who may do what is not enforced yet.

mod get;
mod set;
mod test;

pub(crate) use get::get;
pub(crate) use set::{Change, set};
pub(crate) use test::{permissions, test};

use groundrun_api::{ApiError, v1};
use groundrun_core::record::Job;
use groundrun_store::{Policy, StoreError, View};

use crate::{
    app::{App, Place},
    error::{Outcome, Refusal},
};

/// The etag of a job without a policy, as the real service has it (fact: gcloud-wire B.15).
const NO_POLICY: &str = "ACAB";

/// Project, region and job of the path.
type Path = (String, String, String);

fn place(app: &App, project: &str, region: &str) -> Outcome<Place> {
    if crate::place::is_region(region) {
        return app.place(project, region);
    }
    Err(Refusal::invalid(format!("'{region}' is not a region")))
}

/// The job that the path names, or 404.
fn find(view: &View<'_>, name: &str, place: &Place) -> Result<Result<Job, ApiError>, StoreError> {
    let found = view.job(&place.scope, name)?;
    Ok(found.ok_or_else(|| ApiError::job_not_found(name, place.words())))
}

/// The policy as it is answered.
pub(crate) fn shown(policy: Option<Policy>) -> Result<v1::Policy, ApiError> {
    let Some(Policy { json, etag }) = policy else {
        return Ok(v1::Policy { etag: Some(NO_POLICY.to_owned()), ..v1::Policy::default() });
    };
    let kept: v1::Policy = serde_json::from_str(&json)
        .map_err(|error| ApiError::internal(format_args!("reading a stored policy: {error}")))?;
    Ok(v1::Policy { etag: Some(etag), ..kept })
}
