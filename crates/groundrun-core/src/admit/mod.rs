//! What is accepted, with which defaults; and what is not, with every fault of a document at once.
//!
//! Paths are spelled as Google spells them in the message at hand: ranges of the spec by the internal path
//! (`spec.template.spec.task_spec.timeout`), the rest by the JSON path (fact: semantics 2.1). What is refused only here
//! (see [`FIELDS`]) is named by its JSON path, where the client finds it in its own document.

mod annotations;
mod connections;
mod container;
mod dependencies;
mod faults;
mod fields;
mod image;
mod instances;
mod job;
mod limits;
mod name;
mod probe;
mod quota;
mod replacement;
mod rule;
mod run;
mod secret;
mod shared;
mod task;
mod unsupported;
mod volume;

pub(crate) use dependencies::{Dependencies, dependencies, has_cycle};
pub use fields::{FIELDS, FieldRule, Standing};
pub use instances::is_instance as is_cloud_sql_instance;
pub use job::{AdmittedJob, job};
pub(crate) use limits::{container_limits, task_limits};
pub use name::{Suffix, execution_name};
pub use quota::{JOBS_PER_REGION, RUNNING_EXECUTIONS_PER_REGION, room_for_execution, room_for_job};
pub use replacement::{Replacement, replacement};
pub use run::{AdmittedRun, run};
pub(crate) use volume::clean;

#[cfg(test)]
mod tests;
