//! `projects.locations.jobs.testIamPermissions`: nothing is enforced yet, so whoever may call has them all.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, FieldViolation, v1};

use super::{Path, find, place};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
};

pub(crate) async fn test(
    State(app): State<Arc<App>>,
    At((project, region, name)): At<Path>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let permissions = permissions(call.message(&app).await?)?;
    let place = place(&app, &project, &region)?;
    app.read(move |view| Ok(find(view, &name, &place)??)).await?;
    reply::json(&v1::TestIamPermissionsResponse { permissions }, &shape)
}

/// The permissions that are asked about, which are had.
pub(crate) fn permissions(request: v1::TestIamPermissionsRequest) -> Result<Vec<String>, ApiError> {
    let v1::TestIamPermissionsRequest { permissions } = request;
    let wild = permissions.iter().enumerate().filter(|(_, permission)| permission.contains('*'));
    let faults: Vec<FieldViolation> = wild
        .map(|(index, _)| {
            FieldViolation::new(
                format!("permissions[{index}]"),
                "Permissions with wildcards are not allowed.",
            )
        })
        .collect();
    if faults.is_empty() { Ok(permissions) } else { Err(ApiError::invalid(faults)) }
}
