//! Finding the secret or the version that a name means, or Google's words for why there is none.

use groundrun_api::{ApiError, Code};
use groundrun_core::secret::{Secret, Version, VersionState};
use groundrun_store::{Fingerprint, StoreError, View};

use crate::names::{Shown, VersionId};

/// What was found, or what to answer.
pub type Found<T> = Result<Result<T, ApiError>, StoreError>;

/// What a version holds, as it is kept.
pub struct Held {
    /// Of which secret.
    pub secret: Secret,
    /// The version.
    pub version: Version,
    /// Sealed.
    pub sealed: Vec<u8>,
    /// With the key of this fingerprint.
    pub key: Fingerprint,
}

/// The secret of that name.
///
/// # Errors
/// The store's.
pub fn secret(view: &View<'_>, shown: &Shown<'_>) -> Found<Secret> {
    Ok(view.secret(shown.name)?.ok_or_else(|| secret_not_found(shown)))
}

/// The version that is meant, whatever its state.
///
/// # Errors
/// The store's.
pub fn version(view: &View<'_>, shown: &Shown<'_>, id: &VersionId) -> Found<(Secret, Version)> {
    let missing = || Ok(Err(version_not_found(shown, id)));
    let Some(secret) = view.secret(shown.name)? else {
        return match id {
            VersionId::Latest => Ok(Err(no_versions(shown))),
            VersionId::Number(_) | VersionId::Alias(_) => missing(),
        };
    };
    let number = match id {
        VersionId::Number(number) => *number,
        VersionId::Latest if secret.newest == 0 => return Ok(Err(no_versions(shown))),
        VersionId::Latest => secret.newest,
        VersionId::Alias(alias) => match secret.aliases.get(alias) {
            Some(number) => *number,
            None => return missing(),
        },
    };
    match view.secret_version(secret.uid, number)? {
        Some(version) => Ok(Ok((secret, version))),
        None => missing(),
    }
}

/// What the version that is meant holds.
///
/// # Errors
/// The store's.
pub fn held(view: &View<'_>, shown: &Shown<'_>, id: &VersionId) -> Found<Held> {
    let (secret, version) = match version(view, shown, id)? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if version.state != VersionState::Enabled {
        return Ok(Err(in_state(shown, &version)));
    }
    let sealed = view.sealed_value(version.secret, version.number)?;
    Ok(match (sealed, view.secret_key()?) {
        (Some(sealed), Some(key)) => Ok(Held { secret, version, sealed, key }),
        _ => Err(ApiError::internal("reading what a version holds: it is not there")),
    })
}

/// There is no such secret.
#[must_use]
pub fn secret_not_found(shown: &Shown<'_>) -> ApiError {
    ApiError::new(Code::NotFound, format!("Secret [{}] not found.", shown.secret()))
}

fn no_versions(shown: &Shown<'_>) -> ApiError {
    let text = format!("Secret [{}] not found or has no versions.", shown.secret());
    ApiError::new(Code::NotFound, text)
}

fn version_not_found(shown: &Shown<'_>, id: &VersionId) -> ApiError {
    let id = match id {
        VersionId::Number(number) => number.to_string(),
        VersionId::Latest => "latest".to_owned(),
        VersionId::Alias(alias) => alias.clone(),
    };
    ApiError::new(Code::NotFound, format!("Secret Version [{}] not found.", shown.version(id)))
}

/// The version's state does not allow it.
#[must_use]
pub fn in_state(shown: &Shown<'_>, version: &Version) -> ApiError {
    let (name, state) = (shown.version(version.number), version.state.word());
    ApiError::new(Code::FailedPrecondition, format!("Secret Version [{name}] is in {state} state."))
}
