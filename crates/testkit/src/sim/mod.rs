//! A seeded world around the engine's brain: records in memory, a backend, a registry, clients, and what goes wrong.
//!
//! The brain is the real one. Everything that could be timing is a random number of the seed, so a seed that fails
//! fails again: `cargo run --release -p testkit --bin sim -- --seed N`.
//!
//! | what goes wrong | how |
//! |---|---|
//! | the server is killed | before a commit, after it, or between any two things that it does |
//! | the machine restarts | another boot; nothing runs any more |
//! | a monitor is killed | its container is killed, and called lost once it is gone |
//! | news | is lost, repeated, late, contradicts what was said first, or is about nobody |
//! | the disk is full, records cannot be read | for a while |
//! | the registry does not answer | now and then |
//! | changes of records | more than were kept count of |
//!
//! Meanwhile clients run, cancel and delete executions, and write their job, with tokens old and new. Then all of it stops, and
//! within a bounded time everything must be over and in order.

mod backend;
mod check;
mod clients;
mod happen;
mod random;
mod records;
mod registry;
mod server;
mod world;

use std::fmt;

use jiff::Timestamp;

pub use world::{Trace, run};

/// What a world saw that was in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Ticks of the brain.
    pub ticks: u64,
    /// Attempts that ran.
    pub starts: u64,
    /// Kills of the server, and restarts of the machine.
    pub crashes: u64,
    /// Commits that failed.
    pub failed_commits: u64,
    /// Executions that completed.
    pub completed: u64,
    /// Executions that tokens asked for.
    pub tokens: u64,
    /// Tokens of the past that were sent again.
    pub conflicts: u64,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.ticks += other.ticks;
        self.starts += other.starts;
        self.crashes += other.crashes;
        self.failed_commits += other.failed_commits;
        self.completed += other.completed;
        self.tokens += other.tokens;
        self.conflicts += other.conflicts;
    }
}

/// What was out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The seed that shows it again.
    pub seed: u64,
    /// When in the world's time.
    pub at: Timestamp,
    /// The sentence that does not hold.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, what } = self;
        let millis = at.as_millisecond();
        write!(
            f,
            "seed {seed}, after {millis} ms: {what}\n\
             again: cargo run --release -p testkit --bin sim -- --seed {seed}"
        )
    }
}
