//! Reading jobs.

use std::collections::BTreeMap;

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{Job, Scope},
};
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::View;
use crate::{
    error::StoreError,
    list::{self, ListQuery, Page},
    rows,
};

impl View<'_> {
    /// The job of this name.
    pub fn job(&self, scope: &Scope, name: &str) -> Result<Option<Job>, StoreError> {
        self.one(
            "SELECT jobs.*, specs.spec FROM jobs JOIN specs ON specs.owner = jobs.uid
             WHERE project = ?1 AND region = ?2 AND name = ?3",
            (&scope.project, &scope.region, name),
            rows::job::read,
        )
    }

    /// The job of this identity.
    pub fn job_by_uid(&self, uid: JobUid) -> Result<Option<Job>, StoreError> {
        self.one(
            "SELECT jobs.*, specs.spec FROM jobs JOIN specs ON specs.owner = jobs.uid
             WHERE uid = ?1",
            [uid.0.as_bytes()],
            rows::job::read,
        )
    }

    /// The same with an empty spec, which is not read.
    pub fn job_without_spec(&self, uid: JobUid) -> Result<Option<Job>, StoreError> {
        self.one(
            "SELECT jobs.*, '{}' AS spec FROM jobs WHERE uid = ?1",
            [uid.0.as_bytes()],
            rows::job::read,
        )
    }

    /// The labels of a job or an execution that selectors see.
    pub(crate) fn indexed_labels(
        &self,
        owner: Uuid,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let mut statement =
            self.conn.prepare_cached("SELECT key, value FROM labels WHERE owner = ?1")?;
        let rows = statement.query_map([owner.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A page of jobs, newest first.
    pub fn jobs(&self, query: &ListQuery<'_>) -> Result<Page<Job>, StoreError> {
        list::page(self.conn, &list::JOBS, query, rows::job::read, |job| (job.created, job.uid.0))
    }

    /// Jobs of this scope.
    pub fn job_count(&self, scope: &Scope) -> Result<u32, StoreError> {
        self.count(
            "SELECT count(*) FROM jobs WHERE project = ?1 AND region = ?2",
            (&scope.project, &scope.region),
        )
    }

    /// Jobs that are not known to be ready in their generation, oldest first: a failed one is to be asked about again.
    pub fn jobs_to_check(&self) -> Result<Vec<JobUid>, StoreError> {
        let uids = self.uids(
            "SELECT uid FROM jobs WHERE ready <> 'ready' OR ready_generation <> generation
             ORDER BY created",
            [],
        )?;
        Ok(uids.into_iter().map(|uid| JobUid(uid.0)).collect())
    }

    /// The job that shows this execution as its latest.
    pub(crate) fn job_shown_with(
        &self,
        execution: ExecutionUid,
    ) -> Result<Option<JobUid>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT jobs.uid FROM executions JOIN jobs ON jobs.uid = executions.job_uid
             WHERE executions.uid = ?1 AND jobs.latest_uid = ?1",
        )?;
        let uid = statement.query_one([execution.0.as_bytes()], |row| row.get(0)).optional()?;
        Ok(uid.map(|uid| JobUid(Uuid::from_bytes(uid))))
    }
}
