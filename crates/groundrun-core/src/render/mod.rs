//! API objects from records. Nothing here is stored, and nothing here decides: the same records give the same objects.

mod execution;
mod execution_conditions;
mod job;
mod log;
mod meta;
mod task;
mod words;

pub use execution::{execution, execution_labels};
pub use job::{job, job_labels};
pub use log::{LogLine, Severity, container_ended, container_names, system_log};
pub use meta::{ChangePlace, Told, parse_resource_version, resource_version};
pub use task::{RunningState, running_state, task, task_labels};

#[cfg(test)]
mod tests;
