//! An execution as a row of `executions` and one of `specs`.

use std::sync::Arc;

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{
        Completed, Counters, Execution, ExecutionState, Failure, ImagesState, JobSnapshot, Outcome,
        Revision, Scope, Wishes,
    },
};
use jiff::Timestamp;
use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::{Reading, job::read_author, micros, to_json};
use crate::error::StoreError;

/// Reads a row of `SELECT executions.*, specs.spec`.
pub(crate) fn read(row: &Row<'_>) -> Result<Execution, StoreError> {
    let row = Reading { table: "executions", row };
    Ok(Execution {
        uid: ExecutionUid(row.uuid("uid")?),
        scope: Scope { project: row.get("project")?, region: row.get("region")? },
        name: row.get("name")?,
        job: JobSnapshot {
            uid: JobUid(row.uuid("job_uid")?),
            name: row.get("job_name")?,
            generation: row.get("job_generation")?,
            revision: Revision(row.get("job_revision")?),
        },
        generation: row.get("generation")?,
        created: row.time("created")?,
        revision: Revision(row.get("revision")?),
        labels: row.json("labels")?,
        annotations: row.json("annotations")?,
        author: read_author(&row)?,
        spec: Arc::new(row.json("spec")?),
        wishes: Wishes {
            cancel: row.maybe_time("cancel_wish")?,
            delete: row.maybe_time("delete_wish")?,
        },
        state: read_state(&row)?,
    })
}

fn read_state(row: &Reading<'_>) -> Result<ExecutionState, StoreError> {
    Ok(ExecutionState {
        accepted: row.maybe_time("accepted")?,
        observed_generation: row.get("observed_generation")?,
        images: read_images(row)?,
        waiting_for: row.get("waiting_for")?,
        provisioned: row.maybe_time("provisioned")?,
        start_time: row.maybe_time("start_time")?,
        started: row.maybe_time("started")?,
        completed: read_completed(row)?,
        counters: Counters {
            running: row.get("running")?,
            succeeded: row.get("succeeded")?,
            failed: row.get("failed")?,
            cancelled: row.get("cancelled")?,
            retried: row.get("retried")?,
        },
    })
}

fn read_completed(row: &Reading<'_>) -> Result<Option<Completed>, StoreError> {
    let Some(at) = row.maybe_time("completed")? else { return Ok(None) };
    let outcome = match row.get::<Box<str>>("outcome")?.as_ref() {
        "succeeded" => Outcome::Succeeded,
        "cancelled" => Outcome::Cancelled,
        "failed" => Outcome::Failed(Failure {
            reason: row.get("failure_reason")?,
            message: row.some("failure_message", row.get("failure_message")?)?,
        }),
        other => return Err(row.bad("outcome", format_args!("unknown word {other:?}"))),
    };
    Ok(Some(Completed { at, outcome }))
}

/// An outcome as columns: `outcome`, `failure_reason`, `failure_message`.
pub(crate) fn outcome(
    completed: Option<&Completed>,
) -> (Option<&'static str>, Option<&str>, Option<&str>) {
    match completed.map(|completed| &completed.outcome) {
        None => (None, None, None),
        Some(Outcome::Succeeded) => (Some("succeeded"), None, None),
        Some(Outcome::Cancelled) => (Some("cancelled"), None, None),
        Some(Outcome::Failed(failure)) => {
            (Some("failed"), failure.reason.as_deref(), Some(&failure.message))
        }
    }
}

/// Column `images`. Times in microseconds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ImagesColumn {
    Importing,
    Retrying { failures: u32, next: i64, message: String },
    Imported { at: i64, digests: Vec<String>, stale: Option<String> },
}

/// The state of the images as column `images`.
pub(crate) fn images(state: &ImagesState) -> Result<String, StoreError> {
    let column = match state.clone() {
        ImagesState::Importing => ImagesColumn::Importing,
        ImagesState::Retrying { failures, next, message } => {
            ImagesColumn::Retrying { failures, next: micros(next), message }
        }
        ImagesState::Imported { at, digests, stale } => {
            ImagesColumn::Imported { at: micros(at), digests, stale }
        }
    };
    to_json("the state of the images", &column)
}

fn read_images(row: &Reading<'_>) -> Result<ImagesState, StoreError> {
    let time = |at| Timestamp::from_microsecond(at).map_err(|error| row.bad("images", error));
    Ok(match row.json("images")? {
        ImagesColumn::Importing => ImagesState::Importing,
        ImagesColumn::Retrying { failures, next, message } => {
            ImagesState::Retrying { failures, next: time(next)?, message }
        }
        ImagesColumn::Imported { at, digests, stale } => {
            ImagesState::Imported { at: time(at)?, digests, stale }
        }
    })
}
