//! What every backend has to do, shown by running it: scenarios over `dyn Backend`.
//!
//! The world around a backend is a [`Place`]: how it is opened and opened again, what an attempt wrote, and what must not
//! be left over. The image under test holds Groundrun's sample program as its entrypoint. What secrets hold, the backend asks
//! [`Vault`].

mod attempt;
mod begin;
mod confine;
mod end;
mod lost;
mod many;
mod secrets;
mod several;
mod shared;
mod witness;

use std::{sync::Arc, time::Duration};

use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    port::{Backend, Inbox},
};

pub use attempt::{attempt, attempts, bounded};
pub use secrets::Vault;
pub use witness::Witness;

/// How long anything may take that has no reason to take any time. Far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(30);

/// What multiplies every bound, in the environment: a whole number, for machines that are slow for a reason, such as
/// emulated ones.
const PATIENCE: &str = "GROUNDRUN_TEST_PATIENCE";

/// The bound on this machine.
#[must_use]
pub fn patient(bound: Duration) -> Duration {
    let factor = std::env::var(PATIENCE).ok().and_then(|text| text.parse().ok());
    bound * factor.unwrap_or(1)
}

/// [`patient`], for whatever has no reason to take any time.
#[must_use]
pub fn soon() -> Duration {
    patient(SOON)
}

/// The world around a backend.
pub trait Place {
    /// Makes the backend; it is called again after the one before was dropped, on the same data.
    fn open(&mut self, inbox: Arc<dyn Inbox>) -> Box<dyn Backend>;
    /// Digest of the image with the sample program as its entrypoint.
    fn image(&self) -> String;
    /// What the attempt wrote to its standard output, by lines.
    fn lines(&self, id: AttemptId) -> Vec<String>;
    /// Kills whatever watches over the attempt, without warning.
    fn kill_monitor(&self, id: AttemptId);
    /// Kills the attempt's main process from outside of its container.
    fn kill_main(&self, id: AttemptId);
    /// Ends what new attempts are started with, as a crash would. The backend that is open goes on without it.
    fn kill_spawner(&mut self);
    /// Threads and descriptors of this process.
    fn own_resources(&self) -> Resources;
    /// What is there of the attempts of `execution` beyond their logs: processes, mounts, cgroups, files. By name.
    fn leftovers(&self, execution: ExecutionUid) -> Vec<String>;
    /// Every file kept of the execution.
    fn files(&self, execution: ExecutionUid) -> Vec<String>;
}

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Threads.
    pub threads: usize,
    /// Open descriptors.
    pub descriptors: usize,
}

/// A scenario: a sentence about the contract, and its proof.
pub type Scenario = (&'static str, fn(&mut dyn Place));

/// All of them. Each wants a place of its own.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    [
        begin::SCENARIOS,
        confine::SCENARIOS,
        end::SCENARIOS,
        lost::SCENARIOS,
        many::SCENARIOS,
        several::SCENARIOS,
        shared::SCENARIOS,
        secrets::SCENARIOS,
    ]
    .concat()
}
