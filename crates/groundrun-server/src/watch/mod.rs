//! `?watch=true` of the lists: what there is, and then every change, one event a line (an addition of ours, with
//! Kubernetes' conventions).
//!
//! `request` reads what is watched, `stream` waits and sends, `telling` makes events of jobs and executions from changes,
//! `tasks` those of tasks, `event` writes them. A watch remembers how far it has told and nothing else: what a client
//! that comes back with a version gets is what it would have got had it stayed.

pub(crate) mod event;
mod request;
mod stream;
mod tasks;
mod telling;

pub(crate) use request::{Kind, is_asked_for, start};
pub(crate) use stream::stop;
