//! The system log lines of an attempt: what the service says about a container, beside what the container says
//! (fact: semantics 5.4).

use groundrun_api::v1;
use jiff::Timestamp;

use crate::{
    admit::task_limits,
    record::{Attempt, Cause, Ending, Exit},
};

const TIMEOUT_HELP: &str = "https://cloud.google.com/run/docs/configuring/task-timeout";
const MEMORY_HELP: &str = "https://cloud.google.com/run/docs/configuring/memory-limits";
const MIB: u64 = 1 << 20;

/// `severity` of a log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It went as it should.
    Info,
    /// The container's own failure.
    Warning,
    /// A limit was reached, or the machine failed.
    Error,
}

impl Severity {
    /// As in `LogEntry.severity`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }
}

/// One entry of the log `run.googleapis.com/varlog/system`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// How bad.
    pub severity: Severity,
    /// `textPayload`.
    pub text: String,
}

/// What the service says about `attempt` of a task with `spec`, oldest first; nothing while it runs.
#[must_use]
pub fn system_log(attempt: &Attempt, spec: &v1::TaskSpec) -> Vec<LogLine> {
    let Some((at, ending)) = &attempt.ended else { return Vec::new() };
    let lines = match ending {
        Ending::Exited { exit, cause, memory_peak, .. } => {
            let limit_reached = match cause {
                Cause::OnItsOwn | Cause::Asked => None,
                Cause::Deadline => Some(timeout_reached(spec)),
                Cause::OutOfMemory => Some(memory_exceeded(spec, *memory_peak)),
            };
            limit_reached
                .map(|text| (Severity::Error, text))
                .into_iter()
                .chain([called_exit(*exit)])
                .collect()
        }
        Ending::StartFailed { why, .. } => {
            vec![(Severity::Error, format!("Container could not be started: {why}"))]
        }
        Ending::ProbeFailed { container, why } => {
            vec![(Severity::Error, probe_failed(container, why))]
        }
        Ending::Lost { why } => vec![(Severity::Error, format!("Container was lost: {why}"))],
    };
    lines.into_iter().map(|(severity, text)| LogLine { at: *at, severity, text }).collect()
}

fn probe_failed(container: &str, why: &str) -> String {
    format!("Container {container:?} failed its startup probe: {why}")
}

fn called_exit(exit: Exit) -> (Severity, String) {
    match exit {
        Exit::Code(0) => (Severity::Info, "Container called exit(0).".to_owned()),
        Exit::Code(code) => (Severity::Warning, format!("Container called exit({code}).")),
        Exit::Signal(signal) => {
            (Severity::Warning, format!("Container terminated on signal {signal}."))
        }
    }
}

fn timeout_reached(spec: &v1::TaskSpec) -> String {
    let seconds = spec.timeout_seconds.unwrap_or_default();
    format!(
        "Terminating task because it has reached the maximum timeout of {seconds} seconds. \
         To change this limit, see {TIMEOUT_HELP}"
    )
}

/// The kernel stops a container at its limit, so the peak is seldom above it: then the limit is what was used.
fn memory_exceeded(spec: &v1::TaskSpec, peak: Option<u64>) -> String {
    let limit = task_limits(spec).memory_bytes;
    let used = peak.unwrap_or(limit).max(limit).div_ceil(MIB);
    format!(
        "Memory limit of {} MiB exceeded with {used} MiB used. \
         Consider increasing the memory limit, see {MEMORY_HELP}",
        limit / MIB
    )
}
