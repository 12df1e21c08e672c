//! What is true: the records that the store keeps. One owner per field, named in its comment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use groundrun_api::v1;
use jiff::Timestamp;

use crate::id::{AttemptId, BootId, ExecutionUid, JobUid};

/// The journal's counter, raised by every commit; `metadata.resourceVersion` is its encoding.
/// max(last + 1, now in microseconds), so that it also reads as Google's does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

/// Where a name lives: names are unique per project, region and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Project id (never the number).
    pub project: String,
    /// Region, such as `us-central1`.
    pub region: String,
}

/// A job. Owner: the server, except `readiness` (the engine).
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Identity.
    pub uid: JobUid,
    /// Where its name lives.
    pub scope: Scope,
    /// `metadata.name`.
    pub name: String,
    /// Raised by each change of the spec.
    pub generation: i32,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last written by a client.
    pub updated: Timestamp,
    /// Revision of the last write by a client or of its executions.
    pub revision: Revision,
    /// Revision of the last write by a client.
    pub written: Revision,
    /// `metadata.labels` as the client gave them, without the server's.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`, likewise.
    pub annotations: BTreeMap<String, String>,
    /// Who did it.
    pub author: Author,
    /// As given plus defaults.
    pub spec: Arc<v1::JobSpec>,
    /// Raised by each `:run`; never lowered.
    pub execution_count: i32,
    /// Set by each `:run`; stays after that execution is deleted.
    pub latest_execution: Option<LatestExecution>,
    /// Owner: the engine.
    pub readiness: Readiness,
}

/// Who made and last changed a thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// Annotation `run.googleapis.com/creator`.
    pub creator: String,
    /// Annotation `run.googleapis.com/lastModifier`.
    pub last_modifier: String,
    /// Annotation `run.googleapis.com/operation-id`: a uuid, new at each mutation.
    pub operation_id: String,
}

/// The job's last execution, as kept with the job.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestExecution {
    /// Its identity.
    pub uid: ExecutionUid,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
}

/// Whether the job could run, for which generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Readiness {
    /// The generation that was checked.
    pub generation: i32,
    /// When the state became what it is.
    pub since: Timestamp,
    /// What came of the check.
    pub state: ReadinessState,
}

/// What came of the readiness check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadinessState {
    /// Not known yet.
    Checking,
    /// `Ready` True.
    Ready,
    /// `Ready` False.
    Failed(Failure),
}

/// A condition's reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Google's word, such as `ContainerMissing`; absent where Google gives none.
    pub reason: Option<String>,
    /// For a person.
    pub message: String,
}

/// An execution: a snapshot of its job, the wishes about it, and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Identity.
    pub uid: ExecutionUid,
    /// Where its name lives.
    pub scope: Scope,
    /// `metadata.name`.
    pub name: String,
    /// The job as it was at `:run`.
    pub job: JobSnapshot,
    /// 1, and one more for each cancel. Owner: the server.
    pub generation: i32,
    /// When it was created.
    pub created: Timestamp,
    /// Revision of its last change.
    pub revision: Revision,
    /// `spec.template.metadata.labels` of the job, without the server's.
    pub labels: BTreeMap<String, String>,
    /// `spec.template.metadata.annotations` of the job, without the server's.
    pub annotations: BTreeMap<String, String>,
    /// Who did it.
    pub author: Author,
    /// Overrides merged in. Immutable.
    pub spec: Arc<v1::ExecutionSpec>,
    /// Owner: the server.
    pub wishes: Wishes,
    /// Owner: the engine.
    pub state: ExecutionState,
}

/// The job that an execution was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSnapshot {
    /// Its identity.
    pub uid: JobUid,
    /// Its name.
    pub name: String,
    /// Its generation then.
    pub generation: i32,
    /// Its revision then.
    pub revision: Revision,
}

/// What clients asked of an execution after its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `:cancel` was called, last at this time.
    pub cancel: Option<Timestamp>,
    /// It was deleted: already invisible to clients, to be stopped and reaped.
    pub delete: Option<Timestamp>,
}

/// How far an execution is. Everything that its conditions and counters are computed from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecutionState {
    /// The engine has seen it (`observedGeneration` follows).
    pub accepted: Option<Timestamp>,
    /// The generation that this state answers to.
    pub observed_generation: i32,
    /// Import of the images.
    pub images: ImagesState,
    /// Why nothing can start at the moment: the capacity that is missing, in words.
    pub waiting_for: Option<String>,
    /// Room was granted for the first attempt.
    pub provisioned: Option<Timestamp>,
    /// `status.startTime`: the first attempt was handed to the backend.
    pub start_time: Option<Timestamp>,
    /// `Started` True: the first process ran.
    pub started: Option<Timestamp>,
    /// Terminal.
    pub completed: Option<Completed>,
    /// Counters of tasks.
    pub counters: Counters,
}

/// Import of an execution's images.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ImagesState {
    /// Under way, or not begun.
    #[default]
    Importing,
    /// Under way again after this failure.
    Retrying {
        /// How many imports failed so far.
        failures: u32,
        /// Not before.
        next: Timestamp,
        /// Why the last one failed.
        message: String,
    },
    /// Here.
    Imported {
        /// When.
        at: Timestamp,
        /// One digest per container.
        digests: Vec<String>,
        /// A Warning: an earlier digest was used.
        stale: Option<String>,
    },
}

/// The terminal fact of an execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// `status.completionTime`.
    pub at: Timestamp,
    /// How it came out.
    pub outcome: Outcome,
}

/// How an execution came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every task succeeded.
    Succeeded,
    /// At least one task failed, or it could not start at all.
    Failed(Failure),
    /// `Cancelled by user.`
    Cancelled,
}

/// Counters of tasks: `status.*Count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tasks with a process now.
    pub running: u32,
    /// Tasks whose last attempt succeeded.
    pub succeeded: u32,
    /// Tasks out of retries.
    pub failed: u32,
    /// Tasks stopped by a cancel, or never started because of it.
    pub cancelled: u32,
    /// Tasks that have retried at least once.
    pub retried: u32,
}

/// One attempt. Owner: the engine. Written first as intended, before anything happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Identity.
    pub id: AttemptId,
    /// The boot in which it was intended: in another boot it is lost without looking.
    pub boot: BootId,
    /// When it was intended.
    pub intended: Timestamp,
    /// When its process ran.
    pub started: Option<Timestamp>,
    /// When and how it ended.
    pub ended: Option<(Timestamp, Ending)>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Its main process ended.
    Exited {
        /// The kernel's word.
        exit: Exit,
        /// Why.
        cause: Cause,
        /// Peak memory of its cgroup in bytes, where the kernel tells.
        memory_peak: Option<u64>,
        /// The first 4 KiB of its termination message file, if it wrote one.
        message: Option<String>,
        /// Which of several containers all of this is of; absent where there is one.
        container: Option<String>,
    },
    /// Its process never ran.
    StartFailed {
        /// Whose fault.
        whose: Fault,
        /// Step and error, for a person.
        why: String,
        /// Which of several containers; absent where there is one.
        container: Option<String>,
    },
    /// A container was asked whether it has started, and did not say so often enough.
    ProbeFailed {
        /// Which.
        container: String,
        /// What came of the last time, for a person.
        why: String,
    },
    /// Nobody knows how it ended; it was seen to be gone.
    Lost {
        /// How it was noticed.
        why: String,
    },
}

/// Whose fault a failed start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The image's or the spec's: no such program, not executable, unknown user. Retries are counted, no back-off.
    Theirs,
    /// The machine's: no memory, no descriptors, no cgroup. Backs off 1, 2, 4 … 60 s.
    Ours,
}

/// A wait status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `_exit(code)`.
    Code(u8),
    /// Killed by a signal.
    Signal(i32),
}

/// Why an attempt's main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// By itself, or by somebody inside.
    OnItsOwn,
    /// `timeoutSeconds` was over and it was told to stop.
    Deadline,
    /// It was asked to stop: cancel or delete.
    Asked,
    /// SIGKILL, and the kernel counted an out-of-memory kill in its cgroup.
    OutOfMemory,
}

/// Nothing is put off for longer.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Back-off after the n-th failed start of our own (n from 0): 1, 2, 4 … 60 s.
pub fn backoff(failures: u32) -> Duration {
    WAIT_MAX.min(Duration::from_secs(1 << failures.min(6)))
}

/// Whether a wait until `at` is over. One that seems longer than [`WAIT_MAX`] is over too: it was begun before the clock was
/// set back, and would else last for as long as that was.
#[must_use]
pub fn is_over(at: Timestamp, now: Timestamp) -> bool {
    at <= now || now.saturating_add(WAIT_MAX).is_ok_and(|latest| at > latest)
}
