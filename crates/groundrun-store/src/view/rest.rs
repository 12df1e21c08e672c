//! Reading policies and invocations.

use std::time::Duration;

use groundrun_core::id::{ExecutionUid, JobUid};
use jiff::Timestamp;
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::View;
use crate::{error::StoreError, rows::micros};

/// How long a `:run` is remembered (fact: semantics 11).
pub(crate) const INVOCATION_KEPT: Duration = Duration::from_secs(60);

/// The IAM policy of a job: kept, not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The policy as JSON text.
    pub json: String,
    /// Its etag.
    pub etag: String,
}

impl View<'_> {
    /// The policy of a job, if one was ever set.
    pub fn policy(&self, job: JobUid) -> Result<Option<Policy>, StoreError> {
        self.one("SELECT policy, etag FROM policies WHERE job = ?1", [job.0.as_bytes()], |row| {
            Ok(Policy { json: row.get(0)?, etag: row.get(1)? })
        })
    }

    /// The execution that this `:run` made less than 60 s before `now`. It may be deleted by now.
    pub fn invocation(
        &self,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<ExecutionUid>, StoreError> {
        let kept = i64::try_from(INVOCATION_KEPT.as_micros()).expect("a minute fits");
        let mut statement = self
            .conn
            .prepare_cached("SELECT execution FROM invocations WHERE key = ?1 AND at > ?2")?;
        let uid = statement.query_one((key, micros(now) - kept), |row| row.get(0)).optional()?;
        Ok(uid.map(|uid| ExecutionUid(Uuid::from_bytes(uid))))
    }
}
