//! Reading executions.

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{Execution, Scope},
};

use super::View;
use crate::{
    error::StoreError,
    list::{self, ListQuery, Page},
    rows,
};

impl View<'_> {
    /// The execution of this name, unless it is deleted.
    pub fn execution(&self, scope: &Scope, name: &str) -> Result<Option<Execution>, StoreError> {
        self.one(
            "SELECT executions.*, specs.spec
             FROM executions JOIN specs ON specs.owner = executions.uid
             WHERE project = ?1 AND region = ?2 AND name = ?3 AND delete_wish IS NULL",
            (&scope.project, &scope.region, name),
            rows::execution::read,
        )
    }

    /// The execution of this identity, **also a deleted one** until it is reaped.
    pub fn execution_by_uid(&self, uid: ExecutionUid) -> Result<Option<Execution>, StoreError> {
        self.one(
            "SELECT executions.*, specs.spec
             FROM executions JOIN specs ON specs.owner = executions.uid
             WHERE uid = ?1",
            [uid.0.as_bytes()],
            rows::execution::read,
        )
    }

    /// The same without its spec, of which only `task_count` is read: for those who need no more.
    pub fn execution_without_spec(
        &self,
        uid: ExecutionUid,
    ) -> Result<Option<Execution>, StoreError> {
        self.one(
            "SELECT executions.*, json_object('taskCount', json_extract(specs.spec, '$.taskCount')) AS spec
             FROM executions JOIN specs ON specs.owner = executions.uid
             WHERE uid = ?1",
            [uid.0.as_bytes()],
            rows::execution::read,
        )
    }

    /// A page of executions, newest first, without deleted ones.
    pub fn executions(&self, query: &ListQuery<'_>) -> Result<Page<Execution>, StoreError> {
        list::page(self.conn, &list::EXECUTIONS, query, rows::execution::read, |execution| {
            (execution.created, execution.uid.0)
        })
    }

    /// Executions of a job, without deleted ones.
    pub fn execution_count(&self, job: JobUid) -> Result<u32, StoreError> {
        self.count(
            "SELECT count(*) FROM executions WHERE job_uid = ?1 AND delete_wish IS NULL",
            [job.0.as_bytes()],
        )
    }

    /// Executions of this scope that are not completed, without deleted ones.
    pub fn running_count(&self, scope: &Scope) -> Result<u32, StoreError> {
        self.count(
            "SELECT count(*) FROM executions
             WHERE project = ?1 AND region = ?2 AND completed IS NULL AND delete_wish IS NULL",
            (&scope.project, &scope.region),
        )
    }

    /// Everything that is not completed, oldest first, without deleted ones: what the engine takes up at its start.
    pub fn unfinished(&self) -> Result<Vec<ExecutionUid>, StoreError> {
        // Left to itself, SQLite reads through another index, with everything that is completed.
        self.uids(
            "SELECT uid FROM executions INDEXED BY executions_unfinished
             WHERE completed IS NULL AND delete_wish IS NULL ORDER BY created, uid",
            [],
        )
    }

    /// Everything that is deleted and not reaped yet, longest deleted first.
    pub fn to_delete(&self) -> Result<Vec<ExecutionUid>, StoreError> {
        self.uids(
            "SELECT uid FROM executions WHERE delete_wish IS NOT NULL ORDER BY delete_wish, uid",
            [],
        )
    }

    /// The completed executions of a job beyond the `keep` that completed last, first of all the one that is over for longest,
    /// at most `limit`. So what has just completed can be read, however long it ran.
    pub fn beyond_retention(
        &self,
        job: JobUid,
        keep: u32,
        limit: u32,
    ) -> Result<Vec<ExecutionUid>, StoreError> {
        let completed = self.count(
            "SELECT count(*) FROM executions
             WHERE job_uid = ?1 AND delete_wish IS NULL AND completed IS NOT NULL",
            [job.0.as_bytes()],
        )?;
        self.uids(
            "SELECT uid FROM executions
             WHERE job_uid = ?1 AND delete_wish IS NULL AND completed IS NOT NULL
             ORDER BY completed, uid LIMIT ?2",
            (job.0.as_bytes(), completed.saturating_sub(keep).min(limit)),
        )
    }
}
