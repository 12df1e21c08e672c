//! `jobs.replaceJob`: a whole document in the place of a job.

use std::{collections::BTreeMap, sync::Arc};

use groundrun_api::{ApiError, error::Versions, v1};

use super::{
    faults::Faults,
    job::{Content, content},
};
use crate::{context::Context, record::Job, render::resource_version};

/// What a job becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Replacement {
    /// Without the server's.
    pub labels: BTreeMap<String, String>,
    /// Without the server's.
    pub annotations: BTreeMap<String, String>,
    /// The old one itself where nothing in it changed.
    pub spec: Arc<v1::JobSpec>,
    /// One more where the spec changed: only then is the job to be checked again.
    pub generation: i32,
}

/// What `old` becomes by `document`.
///
/// # Errors
/// 400 `INVALID_ARGUMENT` with every fault; 409 `ABORTED` where the document names a version that is not the current.
pub fn replacement(
    old: &Job,
    document: v1::Job,
    context: &Context,
) -> Result<Replacement, ApiError> {
    let metadata = document.metadata.clone().unwrap_or_default();
    let mut faults = Faults::default();
    let renamed = metadata.name.filter(|name| !name.is_empty() && *name != old.name);
    if let Some(name) = renamed {
        faults.add("metadata.name", format!("cannot be changed from '{}' to '{name}'.", old.name));
    }
    let Content { labels, annotations, spec } = content(document, context, &mut faults);
    faults.or(())?;

    let current = resource_version(old.revision);
    let given = metadata.resource_version.unwrap_or_default();
    if !given.is_empty() && given.trim_end_matches('=') != current {
        return Err(ApiError::conflict(&old.name, Versions { given: &given, current: &current }));
    }
    let (spec, generation) = if spec == *old.spec {
        (Arc::clone(&old.spec), old.generation)
    } else {
        (Arc::new(spec), old.generation.saturating_add(1))
    };
    Ok(Replacement { labels, annotations, spec, generation })
}
