//! `namespaces.tasks`: rendered from executions and attempts; there is no other record of a task.

mod get;
mod list;
mod walk;

pub(crate) use get::get;
pub(crate) use list::list;
