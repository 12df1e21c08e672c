//! `secretmanager.googleapis.com/v1`, as far as it is served: secrets and their versions (fact: the client that comes with
//! gcloud 528).
//!
//! Fields that only say what is not honoured here are kept as JSON, so that they can be refused by name.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    check::{Message, Schema},
    time::Time,
};

/// `Secret`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// `projects/{number}/secrets/{secret}`, or with `locations/{location}` between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where Google keeps it; absent for a regional one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication: Option<Replication>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<Time>,
    /// By which lists are filtered.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Other after each change; in quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Numbers of versions, as texts, by alias.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub version_aliases: BTreeMap<String, String>,
    /// What clients keep there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Pub/Sub topics.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Value>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<String>,
    /// Such as `600s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// When topics are told to rotate it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Value>,
    /// From a destroy to the destruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_destroy_ttl: Option<String>,
    /// A key of Cloud KMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_managed_encryption: Option<Value>,
    /// Tags of the Resource Manager.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// `Replication`: one of the two. Of a version, `ReplicationStatus` has the same form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replication {
    /// Wherever Google likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
    /// In these places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_managed: Option<UserManaged>,
}

/// `Automatic`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Automatic {
    /// A key of Cloud KMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_managed_encryption: Option<Value>,
}

/// `UserManaged`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserManaged {
    /// At least one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<Replica>,
}

/// `Replica`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replica {
    /// Such as `us-east1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// A key of Cloud KMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_managed_encryption: Option<Value>,
}

/// `SecretVersion`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretVersion {
    /// `projects/{number}/secrets/{secret}/versions/{number}`.
    pub name: String,
    /// When it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<Time>,
    /// When it was destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destroy_time: Option<Time>,
    /// `ENABLED`, `DISABLED` or `DESTROYED`.
    pub state: String,
    /// As its secret's; absent for a regional one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_status: Option<Replication>,
    /// Other after each change; in quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Whether a checksum came with what it holds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub client_specified_payload_checksum: bool,
}

/// `EnableSecretVersionRequest`, and those that disable and destroy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionStateRequest {
    /// As the path has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// That of the version, if nobody may have been faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// `AddSecretVersionRequest` without its payload, which is read by other means: a fault must not show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddVersionRequest {
    /// As the path has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What is not secret of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Checksum>,
}

/// `SecretPayload` without its data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Checksum {
    /// CRC-32C of the data.
    #[serde(with = "crate::int64", skip_serializing_if = "Option::is_none")]
    pub data_crc32c: Option<i64>,
}

macro_rules! messages {
    ($($message:ty: $name:literal at $at:literal,)*) => {$(
        impl Message for $message {
            const NAME: &'static str = $name;
            const AT: &'static str = $at;

            fn schema() -> &'static Schema {
                schema()
            }
        }
    )*};
}

messages! {
    Secret: "Secret" at "secret",
    VersionStateRequest: "VersionStateRequest" at "",
    AddVersionRequest: "AddVersionRequest" at "",
}

fn schema() -> &'static Schema {
    static TABLE: OnceLock<Schema> = OnceLock::new();
    TABLE.get_or_init(|| TABLE_TEXT.parse().expect("a test parses the same text"))
}

/// What requests may hold, as in `v1/schema.txt`.
const TABLE_TEXT: &str = "\
Secret
  name string
  replication Replication
  createTime timestamp
  labels {string}
  etag string
  versionAliases {int64}
  annotations {string}
  topics [any]
  expireTime string
  ttl string
  rotation any
  versionDestroyTtl string
  customerManagedEncryption any
  tags {string}
Replication
  automatic Automatic
  userManaged UserManaged
Automatic
  customerManagedEncryption any
UserManaged
  replicas [Replica]
Replica
  location string
  customerManagedEncryption any
VersionStateRequest
  name string
  etag string
AddVersionRequest
  parent string
  payload Checksum
Checksum
  dataCrc32c int64
";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::decode;

    #[test]
    fn a_secret_of_gcloud_is_read_in_the_names_of_the_wire() {
        let secret: Secret = decode(json!({
            "replication": {"automatic": {}}, "labels": {"team": "x"}, "topics": [],
            "versionAliases": {"prod": "1", "dev": 2}, "etag": "\"a\"", "annotations": {},
        }))
        .expect("it is one");
        assert_eq!(
            secret.replication.clone().and_then(|r| r.automatic),
            Some(Automatic::default())
        );
        let aliases: Vec<(&str, &str)> =
            secret.version_aliases.iter().map(|(a, n)| (a.as_str(), n.as_str())).collect();
        assert_eq!(aliases, [("dev", "2"), ("prod", "1")]);
        let wanted = json!({
            "replication": {"automatic": {}}, "labels": {"team": "x"}, "etag": "\"a\"",
            "versionAliases": {"prod": "1", "dev": "2"},
        });
        assert_eq!(serde_json::to_value(secret).expect("it is written"), wanted);
    }

    #[test]
    fn what_is_no_secret_is_refused_with_its_path() {
        let document =
            json!({"replication": {"automatic": 1}, "versionAliases": {"a": "b"}, "x": 1});
        let error = decode::<Secret>(document).expect_err("it is none");
        for part in ["secret.replication.automatic", "secret.version_aliases[a]", "\"x\""] {
            assert!(error.message.contains(part), "{error}");
        }
    }
}
