//! Reading secrets, their versions, and what those hold: sealed.

use std::num::NonZeroU32;

use groundrun_core::secret::{Secret, SecretName, SecretUid, Version};
use rusqlite::OptionalExtension;

use super::{Policy, View};
use crate::{
    error::StoreError,
    list::{Continue, Page},
    rows,
};

/// What tells one key from another, and nothing of the key.
pub type Fingerprint = [u8; 16];

impl View<'_> {
    /// The secret of this name.
    pub fn secret(&self, name: &SecretName) -> Result<Option<Secret>, StoreError> {
        self.one(
            "SELECT * FROM secrets WHERE project = ?1 AND location = ?2 AND name = ?3",
            (&name.project, location(name.location.as_deref()), &name.secret),
            rows::secret::read,
        )
    }

    /// A page of the secrets of a project, global or of one location, newest first.
    pub fn secrets(
        &self,
        project: &str,
        of: Option<&str>,
        after: Option<Continue>,
        limit: NonZeroU32,
    ) -> Result<Page<Secret>, StoreError> {
        let (created, uid) = after.map_or((i64::MAX, [0xff; 16]), |after| {
            let (created, uid) = after.position();
            (created, uid.into_bytes())
        });
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM secrets WHERE project = ?1 AND location = ?2 AND (created, uid) < (?3, ?4)
             ORDER BY created DESC, uid DESC LIMIT ?5",
        )?;
        let wanted = u64::from(limit.get()) + 1;
        let mut rows =
            statement.query((project, location(of), created, uid, wanted.cast_signed()))?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            items.push(rows::secret::read(row)?);
        }
        let more = items.len() > limit.get() as usize;
        items.truncate(limit.get() as usize);
        let last = items.last().filter(|_| more);
        let next = last.map(Continue::after);
        Ok(Page { items, next })
    }

    /// Secrets of a project, global or of one location.
    pub fn secret_count(&self, project: &str, of: Option<&str>) -> Result<u32, StoreError> {
        self.count(
            "SELECT count(*) FROM secrets WHERE project = ?1 AND location = ?2",
            (project, location(of)),
        )
    }

    /// Ids of the projects that have secrets.
    pub fn secret_projects(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT DISTINCT project FROM secrets")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A version by its number.
    pub fn secret_version(
        &self,
        secret: SecretUid,
        number: i64,
    ) -> Result<Option<Version>, StoreError> {
        self.one(
            "SELECT * FROM secret_versions WHERE secret = ?1 AND number = ?2",
            (secret.0.as_bytes(), number),
            rows::secret::read_version,
        )
    }

    /// Versions below the number `before`, newest first.
    pub fn secret_versions(
        &self,
        secret: SecretUid,
        before: Option<i64>,
        limit: NonZeroU32,
    ) -> Result<Vec<Version>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM secret_versions WHERE secret = ?1 AND number < ?2
             ORDER BY number DESC LIMIT ?3",
        )?;
        let before = before.unwrap_or(i64::MAX);
        let mut rows = statement.query((secret.0.as_bytes(), before, limit.get()))?;
        let mut versions = Vec::new();
        while let Some(row) = rows.next()? {
            versions.push(rows::secret::read_version(row)?);
        }
        Ok(versions)
    }

    /// Versions that hold something: all that are not destroyed.
    pub fn live_version_count(&self, secret: SecretUid) -> Result<u32, StoreError> {
        self.count(
            "SELECT count(*) FROM secret_versions WHERE secret = ?1 AND state <> 'destroyed'",
            [secret.0.as_bytes()],
        )
    }

    /// What a version holds, sealed; nothing where it is destroyed.
    pub fn sealed_value(
        &self,
        secret: SecretUid,
        number: i64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.one(
            "SELECT sealed FROM secret_values WHERE secret = ?1 AND number = ?2",
            (secret.0.as_bytes(), number),
            |row| Ok(row.get(0)?),
        )
    }

    /// Of the key that all values are sealed with; nothing while there are none.
    pub fn secret_key(&self) -> Result<Option<Fingerprint>, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT fingerprint FROM secret_key")?;
        Ok(statement.query_one([], |row| row.get(0)).optional()?)
    }

    /// The policy of a secret, if one was ever set.
    pub fn secret_policy(&self, secret: SecretUid) -> Result<Option<Policy>, StoreError> {
        self.one(
            "SELECT policy, policy_etag FROM secrets WHERE uid = ?1 AND policy IS NOT NULL",
            [secret.0.as_bytes()],
            |row| Ok(Policy { json: row.get(0)?, etag: row.get(1)? }),
        )
    }
}

/// As the column has it.
pub(crate) fn location(of: Option<&str>) -> &str {
    of.unwrap_or_default()
}
