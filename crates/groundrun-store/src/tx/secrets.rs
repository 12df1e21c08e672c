//! Writing secrets, their versions, and what those hold: sealed.

use groundrun_core::secret::{Secret, SecretUid, Version, VersionState};
use rusqlite::named_params;

use super::Tx;
use crate::{
    error::StoreError,
    rows::{micros, secret::state, to_json},
    view::{Fingerprint, Policy},
};

/// What a version holds, sealed, and with which key.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// As it is kept.
    pub bytes: &'a [u8],
    /// All values of a store are sealed with one key.
    pub key: Fingerprint,
}

impl Tx<'_> {
    /// A new secret; sets its revision. Its name must be free (ask [`secret`](crate::View::secret) first). `DiskFull` while
    /// the disk is low.
    pub fn insert_secret(&mut self, secret: &mut Secret) -> Result<(), StoreError> {
        self.ask_for_room()?;
        secret.revision = self.revision;
        self.execute(
            "INSERT INTO secrets (uid, project, location, name, created, revision, labels, annotations, aliases,
                replication, newest)
             VALUES (:uid, :project, :location, :name, :created, :revision, :labels, :annotations, :aliases,
                :replication, :newest)",
            named_params! {
                ":uid": secret.uid.0.as_bytes(),
                ":project": secret.name.project,
                ":location": secret.name.location.as_deref().unwrap_or_default(),
                ":name": secret.name.secret,
                ":created": micros(secret.created),
                ":revision": secret.revision.0,
                ":labels": to_json("labels", &secret.labels)?,
                ":annotations": to_json("annotations", &secret.annotations)?,
                ":aliases": to_json("aliases", &secret.aliases)?,
                ":replication": to_json("replication", &secret.replication)?,
                ":newest": secret.newest,
            },
        )?;
        Ok(())
    }

    /// What a client changed of a secret, read in this same write: labels, annotations, aliases; sets its revision.
    /// `DiskFull` while the disk is low.
    pub fn update_secret(&mut self, secret: &mut Secret) -> Result<(), StoreError> {
        self.ask_for_room()?;
        secret.revision = self.revision;
        let rows = self.execute(
            "UPDATE secrets SET revision = :revision, labels = :labels, annotations = :annotations, aliases = :aliases
             WHERE uid = :uid",
            named_params! {
                ":uid": secret.uid.0.as_bytes(),
                ":revision": secret.revision.0,
                ":labels": to_json("labels", &secret.labels)?,
                ":annotations": to_json("annotations", &secret.annotations)?,
                ":aliases": to_json("aliases", &secret.aliases)?,
            },
        )?;
        there(rows, "secrets", secret.uid)
    }

    /// Removes a secret with its versions and all that they hold.
    pub fn delete_secret(&mut self, secret: SecretUid) -> Result<(), StoreError> {
        let uid = secret.0.as_bytes();
        let rows = self.execute("DELETE FROM secrets WHERE uid = ?1", [uid])?;
        there(rows, "secrets", secret)?;
        self.execute("DELETE FROM secret_versions WHERE secret = ?1", [uid])?;
        self.execute(
            "UPDATE secret_values SET sealed = zeroblob(length(sealed)) WHERE secret = ?1",
            [uid],
        )?;
        self.execute("DELETE FROM secret_values WHERE secret = ?1", [uid])?;
        self.forget_key()
    }

    /// A new version with what it holds; sets its revision. Its number is one more than the secret's newest, which it
    /// becomes. `DiskFull` while the disk is low.
    ///
    /// The key must be that of the values that are there already (ask [`secret_key`](crate::View::secret_key) first).
    pub fn insert_secret_version(
        &mut self,
        version: &mut Version,
        sealed: Sealed<'_>,
    ) -> Result<(), StoreError> {
        self.ask_for_room()?;
        version.revision = self.revision;
        let uid = version.secret.0.as_bytes();
        let rows = self.execute(
            "UPDATE secrets SET newest = ?2 WHERE uid = ?1 AND newest = ?2 - 1",
            (uid, version.number),
        )?;
        there(rows, "secrets", version.secret)?;
        let (word, destroyed) = state(version.state);
        self.execute(
            "INSERT INTO secret_versions (secret, number, state, created, destroyed, revision, checksum_given)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                uid,
                version.number,
                word,
                micros(version.created),
                destroyed,
                version.revision.0,
                version.checksum_given,
            ),
        )?;
        self.execute(
            "INSERT INTO secret_values (secret, number, sealed) VALUES (?1, ?2, ?3)",
            (uid, version.number, sealed.bytes),
        )?;
        self.execute(
            "INSERT OR IGNORE INTO secret_key (id, fingerprint) VALUES (1, ?1)",
            [sealed.key],
        )?;
        Ok(())
    }

    /// The state of a version, read in this same write; sets its revision. What a destroyed version held is gone: it is
    /// overwritten before its pages are given back.
    pub fn set_version_state(&mut self, version: &mut Version) -> Result<(), StoreError> {
        version.revision = self.revision;
        let key = (version.secret.0.as_bytes(), version.number);
        let (word, destroyed) = state(version.state);
        let rows = self.execute(
            "UPDATE secret_versions SET state = ?3, destroyed = ?4, revision = ?5 WHERE secret = ?1 AND number = ?2",
            (key.0, key.1, word, destroyed, version.revision.0),
        )?;
        there(rows, "secret_versions", version.secret)?;
        if let VersionState::Destroyed { .. } = version.state {
            self.execute(
                "UPDATE secret_values SET sealed = zeroblob(length(sealed)) WHERE secret = ?1 AND number = ?2",
                key,
            )?;
            self.execute("DELETE FROM secret_values WHERE secret = ?1 AND number = ?2", key)?;
            self.forget_key()?;
        }
        Ok(())
    }

    /// Replaces the policy of a secret. It goes with the secret.
    pub fn set_secret_policy(
        &mut self,
        secret: SecretUid,
        policy: &Policy,
    ) -> Result<(), StoreError> {
        let rows = self.execute(
            "UPDATE secrets SET policy = ?2, policy_etag = ?3 WHERE uid = ?1",
            (secret.0.as_bytes(), &policy.json, &policy.etag),
        )?;
        there(rows, "secrets", secret)
    }

    /// With the last value goes what its key is known by: another key may seal the next one.
    fn forget_key(&mut self) -> Result<(), StoreError> {
        self.execute("DELETE FROM secret_key WHERE NOT EXISTS (SELECT 1 FROM secret_values)", [])?;
        Ok(())
    }
}

fn there(rows: usize, table: &'static str, secret: SecretUid) -> Result<(), StoreError> {
    if rows == 0 {
        return Err(StoreError::NoSuchRow { table, id: secret.0.to_string() });
    }
    Ok(())
}
