//! What the metadata of all kinds has in common: names of the server's labels and annotations, links, versions.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use groundrun_api::v1::ObjectMeta;
use jiff::Timestamp;
use uuid::Uuid;

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

/// A place in the stream of all changes, from which a watch goes on: what a `metadata.resourceVersion` says.
///
/// Many things may change at one revision, and be told together with what changed before: then the version of each event but
/// the last says how far the telling was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangePlace {
    /// All changes up to this revision were told.
    After(Revision),
    /// Of what changed after `since`, as it was at `until`, all was told up to this.
    Within {
        /// Where that begins.
        since: Revision,
        /// The revision of the snapshot that was told.
        until: Revision,
        /// The last that was told: by the revision of its change, then by itself.
        last: (Revision, Told),
    },
}

/// What was told: a job or an execution, and of a task its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// Of the job or execution.
    pub uid: Uuid,
    /// 0 unless it is a task.
    pub task: u32,
}

impl ChangePlace {
    /// The revision of the object that has this version.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::After(revision) | Self::Within { last: (revision, _), .. } => *revision,
        }
    }

    /// The `metadata.resourceVersion`. Its first 8 bytes are the revision.
    #[must_use]
    pub fn resource_version(&self) -> String {
        let Self::Within { since, until, last: (revision, told) } = self else {
            return resource_version(self.revision());
        };
        let mut bytes = Vec::with_capacity(WITHIN_BYTES);
        for revision in [revision, since, until] {
            bytes.extend(revision.0.to_be_bytes());
        }
        bytes.extend(told.uid.as_bytes());
        bytes.extend(told.task.to_be_bytes());
        STANDARD_NO_PAD.encode(bytes)
    }
}

const WITHIN_BYTES: usize = 3 * 8 + 16 + 4;

/// The place of a `metadata.resourceVersion`. None where it is none of ours.
#[must_use]
pub fn parse_resource_version(text: &str) -> Option<ChangePlace> {
    let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let (revision, rest) = split_revision(&bytes)?;
    if rest.is_empty() {
        return Some(ChangePlace::After(revision));
    }
    let (since, rest) = split_revision(rest)?;
    let (until, rest) = split_revision(rest)?;
    let (uid, task) = rest.split_first_chunk::<16>()?;
    let told =
        Told { uid: Uuid::from_bytes(*uid), task: u32::from_be_bytes(task.try_into().ok()?) };
    Some(ChangePlace::Within { since, until, last: (revision, told) })
}

fn split_revision(bytes: &[u8]) -> Option<(Revision, &[u8])> {
    let (revision, rest) = bytes.split_first_chunk::<8>()?;
    Some((Revision(i64::from_be_bytes(*revision)), rest))
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
        let place = ChangePlace::After(Revision(0x0006_5432_1fff_0001));
        assert_eq!(parse_resource_version(&text), Some(place));
        assert_eq!(parse_resource_version(&format!("{text}=")), Some(place));
        for foreign in ["", "7", "AAZUMh//AAEA", "not base64!"] {
            assert_eq!(parse_resource_version(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_place_among_changes_is_a_version_too() {
        let told = Told { uid: Uuid::from_u128(7), task: 9 };
        let last = (Revision(3), told);
        let place = ChangePlace::Within { since: Revision(1), until: Revision(5), last };
        let text = place.resource_version();
        assert_eq!(parse_resource_version(&text), Some(place));
        assert_eq!(place.revision(), Revision(3));
        assert_eq!(text[..10], resource_version(Revision(3))[..10]);
        assert_eq!(parse_resource_version(&text[..text.len() - 4]), None);
    }
}
