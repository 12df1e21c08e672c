//! A secret as a row of `secrets`, and a version of it as one of `secret_versions`.

use groundrun_core::{
    record::Revision,
    secret::{Secret, SecretName, SecretUid, Version, VersionState},
};
use rusqlite::Row;

use super::{Reading, micros};
use crate::error::StoreError;

/// Reads a row of `SELECT * FROM secrets`.
pub(crate) fn read(row: &Row<'_>) -> Result<Secret, StoreError> {
    let row = Reading { table: "secrets", row };
    let location: String = row.get("location")?;
    Ok(Secret {
        uid: SecretUid(row.uuid("uid")?),
        name: SecretName {
            project: row.get("project")?,
            location: (!location.is_empty()).then_some(location),
            secret: row.get("name")?,
        },
        labels: row.json("labels")?,
        annotations: row.json("annotations")?,
        aliases: row.json("aliases")?,
        replication: row.json("replication")?,
        created: row.time("created")?,
        revision: Revision(row.get("revision")?),
        newest: row.get("newest")?,
    })
}

/// Reads a row of `SELECT * FROM secret_versions`.
pub(crate) fn read_version(row: &Row<'_>) -> Result<Version, StoreError> {
    let row = Reading { table: "secret_versions", row };
    Ok(Version {
        secret: SecretUid(row.uuid("secret")?),
        number: row.get("number")?,
        state: match row.get::<Box<str>>("state")?.as_ref() {
            "enabled" => VersionState::Enabled,
            "disabled" => VersionState::Disabled,
            "destroyed" => VersionState::Destroyed { at: row.time("destroyed")? },
            other => return Err(row.bad("state", format_args!("unknown word {other:?}"))),
        },
        created: row.time("created")?,
        revision: Revision(row.get("revision")?),
        checksum_given: row.get("checksum_given")?,
    })
}

/// A state as columns: `state`, `destroyed`.
pub(crate) fn state(state: VersionState) -> (&'static str, Option<i64>) {
    match state {
        VersionState::Enabled => ("enabled", None),
        VersionState::Disabled => ("disabled", None),
        VersionState::Destroyed { at } => ("destroyed", Some(micros(at))),
    }
}
