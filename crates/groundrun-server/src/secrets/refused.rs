//! What Secret Manager offers and is not here: refused by name, never dropped.

use groundrun_api::{
    FieldViolation,
    secretmanager::{Replication, Secret},
};
use serde_json::Value;

/// What each field that is not honoured would ask for.
const WHY: [(&str, &str); 7] = [
    ("topics", "no Pub/Sub topic is told of changes here"),
    ("expire_time", "secrets do not expire here: delete it when its time has come"),
    ("ttl", "secrets do not expire here: delete it when its time has come"),
    ("rotation", "nobody is told to rotate a secret here"),
    ("version_destroy_ttl", "a version is destroyed at once here"),
    ("customer_managed_encryption", "values are sealed with this server's own key alone"),
    ("tags", "there are no tags of the Resource Manager here"),
];

/// Adds a fault for each field of a new secret that is not honoured.
pub(super) fn fields(secret: &Secret, faults: &mut Vec<FieldViolation>) {
    let given = [
        ("topics", !secret.topics.is_empty()),
        ("expire_time", secret.expire_time.is_some()),
        ("ttl", secret.ttl.is_some()),
        ("rotation", secret.rotation.as_ref().is_some_and(says_something)),
        ("version_destroy_ttl", secret.version_destroy_ttl.is_some()),
        (
            "customer_managed_encryption",
            secret.customer_managed_encryption.as_ref().is_some_and(says_something),
        ),
        ("tags", !secret.tags.is_empty()),
    ];
    for (field, _) in given.into_iter().filter(|(_, given)| *given) {
        faults.extend(path(field).map(|why| FieldViolation::new(format!("secret.{field}"), why)));
    }
    keys(secret.replication.as_ref(), faults);
}

/// Adds a fault for each key of Cloud KMS.
pub(super) fn keys(replication: Option<&Replication>, faults: &mut Vec<FieldViolation>) {
    if let Some(replication) = replication {
        let automatic = replication
            .automatic
            .iter()
            .map(|automatic| ("automatic".to_owned(), &automatic.customer_managed_encryption));
        let replicas = replication.user_managed.iter().flat_map(|managed| &managed.replicas);
        let replicas = replicas.enumerate().map(|(index, replica)| {
            (format!("user_managed.replicas[{index}]"), &replica.customer_managed_encryption)
        });
        for (at, key) in automatic.chain(replicas) {
            if key.as_ref().is_some_and(says_something) {
                let at = format!("secret.replication.{at}.customer_managed_encryption");
                faults.extend(
                    path("customer_managed_encryption").map(|why| FieldViolation::new(at, why)),
                );
            }
        }
    }
}

/// Why the field at this path of a mask is not honoured, if that is so: `rotation.next_rotation_time`, `topics`.
pub(super) fn path(path: &str) -> Option<String> {
    let first = path.split('.').next().unwrap_or_default();
    let why = WHY.iter().find(|(field, _)| *field == first)?.1;
    Some(format!("not honoured: {why}"))
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(members) => !members.is_empty(),
        _ => true,
    }
}
