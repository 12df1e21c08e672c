//! Who a task is, and the world that the answers depend on.

use std::sync::Arc;

use groundrun_core::id::{AttemptId, ExecutionUid};
use jiff::Timestamp;

/// What a task may know about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskIdentity {
    /// Project id.
    pub project: String,
    /// Project number.
    pub project_number: u64,
    /// Region, such as `us-central1`.
    pub region: String,
    /// E-mail address of the service account that the task runs as.
    pub service_account: String,
    /// Name of the execution.
    pub execution: String,
}

/// Looks up who the tasks of an execution are. `None`: there is no such execution (any more). May block for a moment.
pub type Lookup = Arc<dyn Fn(ExecutionUid) -> Option<TaskIdentity> + Send + Sync>;

/// Reads the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The inputs that are neither requests nor records.
#[derive(Clone)]
pub struct World {
    /// Reads the time.
    pub clock: Clock,
    /// Fills a buffer with random bytes.
    pub random: Random,
}

/// One attempt of a task and who it is.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) id: AttemptId,
    pub(crate) identity: TaskIdentity,
}
