//! Identities. Outside the API everything is named by these, never by a name that can come back after a delete.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// `metadata.uid` of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobUid(pub Uuid);

/// `metadata.uid` of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionUid(pub Uuid);

/// One attempt of one task of one execution. It runs at most once, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The execution.
    pub execution: ExecutionUid,
    /// Index of the task, from 0: `CLOUD_RUN_TASK_INDEX`.
    pub task: u32,
    /// Number of the attempt, from 0: `CLOUD_RUN_TASK_ATTEMPT`.
    pub attempt: u32,
}

impl AttemptId {
    /// What tells its container from all others: long hexadecimal digits, as Google's. The label `instanceId` of its log
    /// entries, and `instance/id` of its metadata.
    pub fn instance(&self) -> String {
        format!("{}{:08x}{:08x}", self.execution.0.simple(), self.task, self.attempt)
    }
}

/// What the kernel calls this boot of the machine (`/proc/sys/kernel/random/boot_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub Uuid);

impl fmt::Display for JobUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ExecutionUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `{execution}/{task}-{attempt}`: also the path of the attempt's directory below `attempts/`.
impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.execution, self.task, self.attempt)
    }
}

/// The text is not `{execution}/{task}-{attempt}`.
#[derive(Debug, thiserror::Error)]
#[error("not an attempt id: {0:?}")]
pub struct NotAnAttemptId(String);

impl FromStr for AttemptId {
    type Err = NotAnAttemptId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (execution, rest) = text.split_once('/')?;
            let (task, attempt) = rest.split_once('-')?;
            Some(Self {
                execution: ExecutionUid(execution.parse().ok()?),
                task: task.parse().ok()?,
                attempt: attempt.parse().ok()?,
            })
        };
        parse().ok_or_else(|| NotAnAttemptId(text.to_owned()))
    }
}
