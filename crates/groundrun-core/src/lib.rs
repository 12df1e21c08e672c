//! What should happen to jobs, executions, tasks and attempts.
//!
//! Everything here is a function of its arguments: no clock, no random, no I/O, no waiting. The manifest keeps it so.

pub mod admit;
pub mod allot;
mod chain;
mod containers;
pub mod context;
pub mod id;
pub mod log;
pub mod mutants;
pub mod needs;
pub mod observe;
pub mod outcome;
pub mod plan;
pub mod port;
pub mod process;
pub mod progress;
pub mod quantity;
pub mod readiness;
pub mod record;
pub mod render;
mod restore;
pub mod secret;
pub mod template;
pub mod token;

pub use chain::chain;

#[cfg(test)]
mod samples;
