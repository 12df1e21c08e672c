//! `run.googleapis.com/v1`: messages as the discovery document (revision 20261031) names them.
//!
//! Empty lists and maps and absent values are left out, as proto3 JSON does.

mod container;
mod execution;
mod iam;
mod job;
mod location;
mod meta;
mod task;
mod volume;

pub use container::*;
pub use execution::*;
pub use iam::*;
pub use job::*;
pub use location::*;
pub use meta::*;
pub use task::*;
pub use volume::*;
