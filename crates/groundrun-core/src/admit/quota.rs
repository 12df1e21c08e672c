//! How much there may be of a kind (fact: semantics 6).

use groundrun_api::{ApiError, error::Quota};

use crate::context::Context;

/// Jobs per project and region.
pub const JOBS_PER_REGION: u64 = 1000;

/// Executions that have not ended, per project and region.
pub const RUNNING_EXECUTIONS_PER_REGION: u64 = 1000;

/// May another job be created beside `existing` ones?
///
/// # Errors
/// 429 `RESOURCE_EXHAUSTED`.
pub fn room_for_job(existing: u64, context: &Context) -> Result<(), ApiError> {
    room(existing, JOBS_PER_REGION, ["Jobs", "Jobs per project per region"], context)
}

/// May another execution be created beside `running` ones that have not ended?
///
/// # Errors
/// 429 `RESOURCE_EXHAUSTED`.
pub fn room_for_execution(running: u64, context: &Context) -> Result<(), ApiError> {
    let names = ["Running executions", "Running executions per project per region"];
    room(running, RUNNING_EXECUTIONS_PER_REGION, names, context)
}

fn room(used: u64, limit: u64, names: [&str; 2], context: &Context) -> Result<(), ApiError> {
    let [metric, name] = names;
    if used < limit {
        return Ok(());
    }
    Err(ApiError::quota(Quota { metric, limit: name, project_number: &context.number }))
}
