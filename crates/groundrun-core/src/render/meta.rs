//! What the metadata of all kinds has in common: names of the server's labels and annotations, links, versions.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use groundrun_api::v1::ObjectMeta;
use jiff::Timestamp;

use crate::{
    context::Context,
    record::{Author, Revision, Scope},
};

pub(super) const API_VERSION: &str = "run.googleapis.com/v1";

pub(super) const LOCATION: &str = "cloud.googleapis.com/location";
pub(super) const LAST_UPDATED: &str = "run.googleapis.com/lastUpdatedTime";
pub(super) const JOB: &str = "run.googleapis.com/job";
pub(super) const JOB_UID: &str = "run.googleapis.com/jobUid";
pub(super) const JOB_GENERATION: &str = "run.googleapis.com/jobGeneration";
pub(super) const JOB_RESOURCE_VERSION: &str = "run.googleapis.com/jobResourceVersion";
pub(super) const CANCEL_TIME: &str = "run.googleapis.com/cancelTime";
pub(super) const EXECUTION: &str = "run.googleapis.com/execution";
pub(super) const EXECUTION_NAME: &str = "run.googleapis.com/execution_name";
pub(super) const TASK_INDEX: &str = "run.googleapis.com/task_index";
pub(super) const RUNNING_STATE: &str = "run.googleapis.com/runningState";

pub(super) const CREATOR: &str = "run.googleapis.com/creator";
pub(super) const LAST_MODIFIER: &str = "run.googleapis.com/lastModifier";
pub(super) const OPERATION_ID: &str = "run.googleapis.com/operation-id";
pub(super) const SCHEDULED_TIME: &str = "run.googleapis.com/scheduled-time";

/// `metadata.resourceVersion` of a revision: 8 bytes, big-endian, in base64 without padding (fact: semantics 1.3).
#[must_use]
pub fn resource_version(revision: Revision) -> String {
    STANDARD_NO_PAD.encode(revision.0.to_be_bytes())
}

/// The revision of a `metadata.resourceVersion`. None where it is none of ours.
#[must_use]
pub fn parse_resource_version(text: &str) -> Option<Revision> {
    let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    bytes.try_into().ok().map(|bytes| Revision(i64::from_be_bytes(bytes)))
}

/// What every object's metadata has.
pub(super) struct Common<'a> {
    /// Plural, as in paths.
    pub(super) collection: &'a str,
    pub(super) name: &'a str,
    pub(super) created: Timestamp,
    pub(super) revision: Revision,
}

impl Common<'_> {
    pub(super) fn render(&self, context: &Context) -> ObjectMeta {
        let Self { collection, name, created, revision } = *self;
        let number = &context.number;
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(number.clone()),
            self_link: Some(format!("/apis/{API_VERSION}/namespaces/{number}/{collection}/{name}")),
            creation_timestamp: Some(created.into()),
            resource_version: Some(resource_version(revision)),
            ..ObjectMeta::default()
        }
    }
}

/// `given`, with what the server knows of the author laid over it.
pub(super) fn annotations(
    given: &BTreeMap<String, String>,
    author: &Author,
) -> BTreeMap<String, String> {
    let Author { creator, last_modifier, operation_id } = author;
    let known = [(CREATOR, creator), (LAST_MODIFIER, last_modifier), (OPERATION_ID, operation_id)];
    let known = known.into_iter().filter(|(_, value)| !value.is_empty());
    let known = known.map(|(key, value)| (key.to_owned(), value.clone()));
    given.clone().into_iter().chain(known).collect()
}

/// `given`, with the server's own labels laid over it.
pub(super) fn labels<const N: usize>(
    given: &BTreeMap<String, String>,
    scope: &Scope,
    own: [(&str, String); N],
) -> BTreeMap<String, String> {
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let mut labels: BTreeMap<_, _> = given.clone().into_iter().chain(own).collect();
    labels.insert(LOCATION.to_owned(), scope.region.clone());
    labels
}

/// A link to the logs that these labels select, as the real console writes it (fact: semantics 5.4).
pub(super) fn log_uri(
    context: &Context,
    job: &str,
    region: &str,
    labels: &[(&str, String)],
) -> String {
    let mut filter = format!(
        "resource.type=\"cloud_run_job\"\nresource.labels.job_name=\"{job}\"\nresource.labels.location=\"{region}\""
    );
    for (key, value) in labels {
        filter.push_str("\nlabels.\"");
        filter.push_str(key);
        filter.push_str("\"=\"");
        filter.push_str(value);
        filter.push('"');
    }
    let filter = filter.replace('=', "%3D").replace('"', "%22").replace('\n', "%0A");
    format!("{}/logs/viewer?project={}&advancedFilter={filter}", context.console, context.project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_version_is_eleven_characters_that_hold_the_revision() {
        let text = resource_version(Revision(0x0006_5432_1fff_0001));
        assert_eq!(text, "AAZUMh//AAE");
        assert_eq!(parse_resource_version(&text), Some(Revision(0x0006_5432_1fff_0001)));
        for foreign in ["", "7", "AAZUMh//AAEA", "not base64!"] {
            assert_eq!(parse_resource_version(foreign), None, "{foreign:?}");
        }
    }
}
