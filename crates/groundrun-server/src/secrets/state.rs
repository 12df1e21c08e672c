//! `versions.enable`, `versions.disable` and `versions.destroy`.

use std::sync::Arc;

use axum::extract;
use groundrun_api::secretmanager::VersionStateRequest;
use groundrun_core::secret::VersionState;
use groundrun_secrets::{VersionId, lookup};
use groundrun_store::WriteError;

use super::{Named, Path, check_etag};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
};

/// What becomes of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It can be had again.
    Enabled,
    /// It cannot be had until it is enabled.
    Disabled,
    /// What it holds is gone.
    Destroyed,
}

/// By its number alone, as at Google. Where it is so already its etag changes all the same; what is destroyed stays so.
pub(crate) async fn set(
    extract::State(app): extract::State<Arc<App>>,
    At(path): At<Path>,
    call: Call,
    state: State,
) -> Outcome {
    let shape = call.shape(&[])?;
    let request: VersionStateRequest = call.message(&app).await?;
    let named = Named::of(&app, &path)?;
    let id = named.version(&path)?;
    if !matches!(id, VersionId::Number(_)) {
        return Err(named.no_version_id(&path.version));
    }
    let answer = app
        .write(move |tx| {
            let found = lookup::version(tx, &named.shown(), &id)?.map_err(WriteError::Refused)?;
            let (secret, mut version) = found;
            check_etag(request.etag.as_deref(), version.revision).map_err(WriteError::Refused)?;
            if let VersionState::Destroyed { .. } = version.state {
                return Err(WriteError::Refused(lookup::in_state(&named.shown(), &version)));
            }
            version.state = match state {
                State::Enabled => VersionState::Enabled,
                State::Disabled => VersionState::Disabled,
                State::Destroyed => VersionState::Destroyed { at: tx.now() },
            };
            tx.set_version_state(&mut version)?;
            Ok(named.version_of(&secret, &version))
        })
        .await?;
    reply::json(&answer, &shape)
}
