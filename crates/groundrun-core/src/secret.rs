//! What is true of secrets: the records that the store keeps. The server owns all of it. What a version holds is not
//! here: it is kept sealed, apart.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::record::Revision;

/// Identity of a secret: its name can come back after a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretUid(pub Uuid);

/// By what a secret is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName {
    /// Project id (never the number).
    pub project: String,
    /// Of a regional secret, such as `us-central1`. Names of different locations do not meet.
    pub location: Option<String>,
    /// Letters, digits, `-` and `_`; at most 255.
    pub secret: String,
}

/// A secret, without what its versions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Identity.
    pub uid: SecretUid,
    /// Unique within its project and location.
    pub name: SecretName,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `versionAliases`: numbers of versions by alias.
    pub aliases: BTreeMap<String, i64>,
    /// Where Google would keep it. Here there is one place.
    pub replication: Replication,
    /// When it was created.
    pub created: Timestamp,
    /// Revision of the last write of it, not of its versions: its etag.
    pub revision: Revision,
    /// The newest version's number; 0 before the first.
    pub newest: i64,
}

/// `Secret.replication`, as given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replication {
    /// `automatic`.
    Automatic,
    /// `userManaged`, with the locations of its replicas.
    UserManaged(Vec<String>),
    /// A regional secret has none.
    Regional,
}

/// A version of a secret, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Of which secret.
    pub secret: SecretUid,
    /// From 1.
    pub number: i64,
    /// Whether it can be had.
    pub state: VersionState,
    /// When it was added.
    pub created: Timestamp,
    /// Revision of the last write of it: its etag.
    pub revision: Revision,
    /// Whether a checksum came with what it holds, and was right.
    pub checksum_given: bool,
}

/// Whether what a version holds can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// It can.
    Enabled,
    /// Not until it is enabled again.
    Disabled,
    /// Never again.
    Destroyed {
        /// Since when.
        at: Timestamp,
    },
}

impl VersionState {
    /// As the API names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::Destroyed { .. } => "DESTROYED",
        }
    }
}
