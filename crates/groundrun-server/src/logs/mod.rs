//! `POST /v2/entries:list` of Cloud Logging, over what tasks wrote and how their attempts ended.
//!
//! `list` reads the request and fills a page; `sources` finds the executions that the filter leaves; `tree` opens them,
//! their attempts and their logs as `merge` asks for them; `entry` gives a line its form. `viewer` shows the same
//! to a browser. `tail` begins with the same and then goes on with what comes, which `live` reads.

mod entry;
mod list;
mod live;
mod merge;
mod reading;
mod seam;
mod sources;
mod structured;
mod tail;
mod token;
mod tree;
mod viewer;

pub(crate) use list::list;
pub use seam::{Grown, Logs};
pub(crate) use tail::tail;
pub(crate) use viewer::viewer;
