//! `namespaces.tasks`: rendered from executions and attempts; there is no other record of a task.

mod get;
mod list;
mod walk;

pub(crate) use get::get;
pub(crate) use get::split;
pub(crate) use list::list;
pub(crate) use walk::{RUNNING_STATE, Walk, task_count};
