//! `jobs.replaceJob`: a whole document in the place of a job.

use std::{collections::BTreeMap, sync::Arc};

use groundrun_api::{ApiError, error::Versions, v1};

use super::{
    faults::Faults,
    job::{Content, content},
};
use crate::{
    context::Context,
    mutant,
    needs::authorization,
    record::Job,
    render::{parse_resource_version, resource_version},
    token::{self, Token},
};

/// What a job becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Replacement {
    /// Without the server's.
    pub labels: BTreeMap<String, String>,
    /// Without the server's.
    pub annotations: BTreeMap<String, String>,
    /// The old one itself where nothing in it changed.
    pub spec: Arc<v1::JobSpec>,
    /// One more where the spec changed, or the policy for its images: only then is the job to be checked again.
    pub generation: i32,
    /// The execution that a new token asks for, by its name.
    pub execution: Option<String>,
}

/// What `old` becomes by `document`.
///
/// # Errors
/// 400 `INVALID_ARGUMENT` with every fault; 409 `ABORTED` where the document names a version from before the last change by
/// a client.
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
    let Content { labels, annotations, spec } = content(&old.name, document, context, &mut faults);
    faults.or(())?;

    let given = metadata.resource_version.unwrap_or_default();
    // A step of an execution changes the version, too, and nothing that a client could overwrite: `gcloud run jobs update`
    // does not fail because a run ended meanwhile.
    let known = parse_resource_version(&given)
        .is_some_and(|place| (old.written..=old.revision).contains(&place.revision()));
    if !given.is_empty() && !known {
        let current = resource_version(old.revision);
        return Err(ApiError::conflict(&old.name, Versions { given: &given, current: &current }));
    }
    let execution = new_execution(old, &spec);
    let changed = spec != shown(old) || !authorization::is_same(&old.annotations, &annotations);
    let spec = if spec == *old.spec { Arc::clone(&old.spec) } else { Arc::new(spec) };
    let generation = old.generation.saturating_add(i32::from(changed));
    Ok(Replacement { labels, annotations, spec, generation, execution })
}

/// What a client could know: a token of the past is not in it.
fn shown(old: &Job) -> v1::JobSpec {
    if mutant!("past_token_is_a_change") { old.spec.as_ref().clone() } else { token::shown(old) }
}

/// The execution that the token of `spec` asks for, unless it is the token that `old` has.
fn new_execution(old: &Job, spec: &v1::JobSpec) -> Option<String> {
    let token = Token::of(spec)?;
    let known = Token::current(old).is_some_and(|current| current.text == token.text);
    let again = known && !mutant!("same_token_runs_again");
    (!again).then(|| token.execution(&old.name))
}
