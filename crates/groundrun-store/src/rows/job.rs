//! A job as a row of `jobs` and one of `specs`.

use std::sync::Arc;

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{Author, Failure, Job, LatestExecution, Readiness, ReadinessState, Revision, Scope},
};
use rusqlite::Row;

use super::Reading;
use crate::error::StoreError;

/// Reads a row of `SELECT jobs.*, specs.spec`.
pub(crate) fn read(row: &Row<'_>) -> Result<Job, StoreError> {
    let row = Reading { table: "jobs", row };
    Ok(Job {
        uid: JobUid(row.uuid("uid")?),
        scope: Scope { project: row.get("project")?, region: row.get("region")? },
        name: row.get("name")?,
        generation: row.get("generation")?,
        created: row.time("created")?,
        updated: row.time("updated")?,
        revision: Revision(row.get("revision")?),
        written: Revision(row.get("written")?),
        labels: row.json("labels")?,
        annotations: row.json("annotations")?,
        author: read_author(&row)?,
        spec: Arc::new(row.json("spec")?),
        execution_count: row.get("execution_count")?,
        latest_execution: read_latest(&row)?,
        readiness: read_readiness(&row)?,
    })
}

pub(super) fn read_author(row: &Reading<'_>) -> Result<Author, StoreError> {
    Ok(Author {
        creator: row.get("creator")?,
        last_modifier: row.get("last_modifier")?,
        operation_id: row.get("operation_id")?,
    })
}

fn read_latest(row: &Reading<'_>) -> Result<Option<LatestExecution>, StoreError> {
    if row.get::<Option<[u8; 16]>>("latest_uid")?.is_none() {
        return Ok(None);
    }
    Ok(Some(LatestExecution {
        uid: ExecutionUid(row.uuid("latest_uid")?),
        name: row.get("latest_name")?,
        created: row.time("latest_created")?,
    }))
}

fn read_readiness(row: &Reading<'_>) -> Result<Readiness, StoreError> {
    let state = match row.get::<Box<str>>("ready")?.as_ref() {
        "checking" => ReadinessState::Checking,
        "ready" => ReadinessState::Ready,
        "failed" => ReadinessState::Failed(Failure {
            reason: row.get("ready_reason")?,
            message: row.some("ready_message", row.get("ready_message")?)?,
        }),
        other => return Err(row.bad("ready", format_args!("unknown word {other:?}"))),
    };
    Ok(Readiness {
        generation: row.get("ready_generation")?,
        since: row.time("ready_since")?,
        state,
    })
}

/// Readiness as columns: `ready`, `ready_reason`, `ready_message`.
pub(crate) fn readiness(state: &ReadinessState) -> (&'static str, Option<&str>, Option<&str>) {
    match state {
        ReadinessState::Checking => ("checking", None, None),
        ReadinessState::Ready => ("ready", None, None),
        ReadinessState::Failed(failure) => {
            ("failed", failure.reason.as_deref(), Some(&failure.message))
        }
    }
}
