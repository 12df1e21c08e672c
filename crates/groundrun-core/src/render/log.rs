//! The system log lines of an attempt: what the service says about a container, beside what the container says
//! (fact: semantics 5.4).

use groundrun_api::v1;
use jiff::Timestamp;

use crate::{
    admit::{container_limits, task_limits},
    containers,
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
    /// Of which container: label `container_name`.
    pub container: String,
    /// `textPayload`.
    pub text: String,
}

/// What the service says about `attempt` of a task with `spec`, oldest first; nothing while it runs. Of several containers
/// it tells the end of the one by which the attempt ended; those of the others are in its log
/// ([`Stream::Ended`](crate::log::Stream::Ended)).
#[must_use]
pub fn system_log(attempt: &Attempt, spec: &v1::TaskSpec) -> Vec<LogLine> {
    let Some((at, ending)) = &attempt.ended else { return Vec::new() };
    let lines = match ending {
        Ending::Exited { exit, cause, memory_peak, container, .. } => {
            let limit_reached = match cause {
                Cause::OnItsOwn | Cause::Asked => None,
                Cause::Deadline => Some(timeout_reached(spec)),
                Cause::OutOfMemory => {
                    Some(memory_exceeded(spec, container.as_deref(), *memory_peak))
                }
            };
            limit_reached
                .map(|text| (Severity::Error, text))
                .into_iter()
                .chain([container_ended(*exit)])
                .collect()
        }
        Ending::StartFailed { why, .. } => {
            vec![(Severity::Error, format!("Container could not be started: {why}"))]
        }
        Ending::ProbeFailed { container, why } => {
            vec![(Severity::Error, probe_failed(spec, container, why))]
        }
        Ending::Lost { why } => vec![(Severity::Error, format!("Container was lost: {why}"))],
    };
    let container = container_of(ending).map_or_else(|| first_name(spec), str::to_owned);
    let line = |(severity, text)| LogLine { at: *at, severity, container: container.clone(), text };
    lines.into_iter().map(line).collect()
}

/// Which container an attempt of several ended by.
fn container_of(ending: &Ending) -> Option<&str> {
    match ending {
        Ending::Exited { container, .. } | Ending::StartFailed { container, .. } => {
            container.as_deref()
        }
        Ending::ProbeFailed { container, .. } => Some(container),
        Ending::Lost { .. } => None,
    }
}

/// The names of a task's containers as logs have them, in the order of the spec.
pub fn container_names(spec: &v1::TaskSpec) -> impl Iterator<Item = String> {
    spec.containers.iter().map(containers::name)
}

fn first_name(spec: &v1::TaskSpec) -> String {
    container_names(spec).next().unwrap_or_default()
}

/// As Cloud Run's log has it (observed of services), and then what was seen here.
fn probe_failed(spec: &v1::TaskSpec, name: &str, why: &str) -> String {
    let container = spec.containers.iter().find(|one| containers::name(one) == name);
    let probe = container.and_then(|one| one.startup_probe.clone()).unwrap_or_default();
    let count = probe.failure_threshold.unwrap_or_default();
    let times = if count == 1 { "time" } else { "times" };
    let (kind, port, path) = match probe {
        v1::Probe { http_get: Some(action), .. } => {
            let path = action.path.map(|path| format!(" path {path:?}"));
            ("HTTP", action.port, path.unwrap_or_default())
        }
        v1::Probe { grpc: Some(action), .. } => ("GRPC", action.port, String::new()),
        v1::Probe { tcp_socket, .. } => {
            ("TCP", tcp_socket.and_then(|action| action.port), String::new())
        }
    };
    let port = port.unwrap_or_default();
    format!(
        "STARTUP {kind} probe failed {count} {times} consecutively for container {name:?} on port {port}{path}. \
         The instance was not started.\n{why}"
    )
}

/// What the service says of the end of a container.
#[must_use]
pub fn container_ended(exit: Exit) -> (Severity, String) {
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

/// The kernel stops a container at its limit, so the peak is seldom above it: then the limit is what was used. A
/// container of several has a limit of its own.
fn memory_exceeded(spec: &v1::TaskSpec, container: Option<&str>, peak: Option<u64>) -> String {
    let own = spec.containers.iter().find(|one| Some(containers::name(one).as_str()) == container);
    let limit = own.map_or_else(|| task_limits(spec), container_limits).memory_bytes;
    let used = peak.unwrap_or(limit).max(limit).div_ceil(MIB);
    format!(
        "Memory limit of {} MiB exceeded with {used} MiB used. \
         Consider increasing the memory limit, see {MEMORY_HELP}",
        limit / MIB
    )
}
