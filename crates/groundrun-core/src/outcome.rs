//! What an ending means: for the attempt, for its task, for its execution. Codes and texts as Google words them.
//!
//! The engine counts by it and the API objects are rendered by it, so the two cannot disagree.

use jiff::Timestamp;

use crate::{
    needs::SecretVersion,
    port::{
        CheckFault, ImageFault, ImageFaultKind, NeedFault, NeedKind, SecretFault, SecretFaultKind,
    },
    record::{Cause, Ending, Exit, Failure, Fault},
};

/// `google.rpc.Code` values that an attempt can have.
mod code {
    pub(super) const OK: i32 = 0;
    pub(super) const CANCELLED: i32 = 1;
    pub(super) const DEADLINE_EXCEEDED: i32 = 4;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const ABORTED: i32 = 10;
    pub(super) const INTERNAL: i32 = 13;
}

/// The reason of a failed execution whose task exited with an error; no other failure has one (fact: semantics 4.2).
pub const NON_ZERO_EXIT_CODE: &str = "NonZeroExitCode";

/// Reason of a delayed execution that has not begun (fact: v2's `DELAYED_START_PENDING`).
pub const DELAYED_START_PENDING: &str = "DelayedStartPending";

/// Reason of a delayed execution whose time is over (fact: v2's `DELAYED_EXECUTION_EXCEEDING_DURATION_LIMIT`).
pub const DELAYED_EXECUTION_TOO_LONG: &str = "DelayedExecutionExceedingDurationLimit";

/// Reason of a job or an execution whose image is not there or cannot be used.
pub const CONTAINER_MISSING: &str = "ContainerMissing";

/// Reason of a job or an execution whose image may not be read.
pub const CONTAINER_PERMISSION_DENIED: &str = "ContainerPermissionDenied";

/// As Cloud Run says it of a service's container.
const PROBE_FAILED: &str =
    "The user-provided container failed the configured startup probe checks.";

/// `lastAttemptResult` of a task, in parts (fact: semantics 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptStatus {
    /// `status.code`, a `google.rpc.Code`; 0 is success, and then the message is empty and `status` is `{}`.
    pub code: i32,
    /// `status.message`.
    pub message: String,
    /// `exitCode`, where the container ended by itself with a code other than 0.
    pub exit_code: Option<i32>,
    /// `termSignal`, where a signal ended it. At most one of the two is there.
    pub term_signal: Option<i32>,
}

/// What an attempt's ending says in the API.
#[must_use]
pub fn attempt_status(ending: &Ending) -> AttemptStatus {
    let (exit, cause, note, container) = match ending {
        Ending::Exited { exit, cause, message, container, .. } => {
            (exit, cause, message.as_deref(), container)
        }
        Ending::ProbeFailed { container, why } => {
            return told(code::ABORTED, format!("{PROBE_FAILED} Container: {container}. {why}"));
        }
        Ending::StartFailed { whose: Fault::Theirs, why, container } => {
            let text = named("Application failed to start:".to_owned(), container);
            return told(code::ABORTED, format!("{text} {why}"));
        }
        // Google's text first, then what the owner of this machine can act on.
        Ending::StartFailed { whose: Fault::Ours, why, container } => {
            let text = named("Internal error running task.".to_owned(), container);
            return told(code::INTERNAL, format!("{text} {why}"));
        }
        Ending::Lost { .. } => return told(code::INTERNAL, "Internal error running task.".into()),
    };
    let (code, text) = match (cause, exit) {
        (Cause::OnItsOwn, Exit::Code(0)) => return told(code::OK, String::new()),
        (Cause::OnItsOwn, Exit::Code(_)) => {
            (code::ABORTED, "The container exited with an error.".to_owned())
        }
        (Cause::OnItsOwn, Exit::Signal(signal)) => {
            (code::ABORTED, format!("Container terminated on signal {signal}."))
        }
        (Cause::Deadline, _) => {
            (code::DEADLINE_EXCEEDED, "The configured timeout was reached.".into())
        }
        (Cause::Asked, _) => (code::CANCELLED, "Cancelled by user.".into()),
        (Cause::OutOfMemory, _) => {
            (code::RESOURCE_EXHAUSTED, "The configured memory limit was reached.".into())
        }
    };
    // Time and the user end the task as a whole, whichever container was the first to be gone.
    let text = match cause {
        Cause::Deadline | Cause::Asked => text,
        Cause::OnItsOwn | Cause::OutOfMemory => named(text, container),
    };
    let message = match note.map(str::trim).filter(|note| !note.is_empty()) {
        Some(note) => format!("{text} {note}"),
        None => text,
    };
    let (exit_code, term_signal) = match (cause, exit) {
        (Cause::OnItsOwn, Exit::Code(code)) => (Some(i32::from(*code)), None),
        (Cause::OnItsOwn, Exit::Signal(signal)) => (None, Some(*signal)),
        // Google shows no exit code for what it ended itself (fact: semantics 4.2, timeout and memory).
        _ => (None, None),
    };
    AttemptStatus { code, message, exit_code, term_signal }
}

/// Google's text, and of several containers the one that is meant: an addition of ours, as no sample of Google's has several.
fn named(text: String, container: &Option<String>) -> String {
    match container {
        Some(name) => format!("{text} Container: {name}."),
        None => text,
    }
}

fn told(code: i32, message: String) -> AttemptStatus {
    AttemptStatus { code, message, exit_code: None, term_signal: None }
}

/// The terminal message of an execution whose task `task` failed with `ending` (fact: semantics 4.2).
#[must_use]
pub fn task_failure(execution: &str, task: u32, ending: &Ending) -> Failure {
    let status = attempt_status(ending);
    let code = match (status.exit_code, status.term_signal) {
        (Some(code), _) => code,
        // As a shell shows a signal. Decided by us: no sample of Google's has one.
        (None, Some(signal)) => 128 + signal,
        (None, None) => 0,
    };
    let exited = matches!(ending, Ending::Exited { cause: Cause::OnItsOwn, .. });
    Failure {
        reason: exited.then(|| NON_ZERO_EXIT_CODE.to_owned()),
        message: format!(
            "Task {execution}-task{task} failed with exit code: {code} and message: {}",
            status.message
        ),
    }
}

/// What a delayed execution says whose time is over. The words are ours: no sample of Google's has one.
#[must_use]
pub fn out_of_time(begun: Option<Timestamp>) -> Failure {
    let message = match begun {
        None => "The delayed execution could not start within 12 hours of its creation.",
        Some(_) => "The delayed execution did not complete within 12 hours of its start.",
    };
    Failure { reason: Some(DELAYED_EXECUTION_TOO_LONG.to_owned()), message: message.to_owned() }
}

/// Whether a failed attempt may be followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// The attempt's number is below `maxRetries`.
    Left,
    /// It was the last.
    Exhausted,
}

impl Retries {
    /// After attempt number `attempt`, from 0.
    #[must_use]
    pub fn after(attempt: u32, max_retries: u32) -> Self {
        if attempt < max_retries { Self::Left } else { Self::Exhausted }
    }
}

/// Whether the execution is meant to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nobody asked for its end.
    GoOn,
    /// It was cancelled or deleted.
    Stop,
}

/// What became of a task by the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// `Succeeded`.
    Succeeded,
    /// `Failed`: out of retries.
    Failed,
    /// `Cancelled`: stopped, or its retry never comes, because its execution was cancelled.
    Cancelled,
    /// It will be tried again.
    Retry,
}

/// What becomes of a task whose attempt ended so.
///
/// The end is judged by what the container did, not by when the cancel came: one that exits 0 by itself after a cancel
/// succeeded ("the last attempt succeeded", fact: semantics 4.4), one that was told to stop and exits 0 is cancelled
/// ("got stopped because its parent execution has been aborted").
pub fn settled(ending: &Ending, retries: Retries, wish: Wish) -> Settled {
    match (ending, retries, wish) {
        (Ending::Exited { exit: Exit::Code(0), cause: Cause::OnItsOwn, .. }, ..) => {
            Settled::Succeeded
        }
        (Ending::Exited { cause: Cause::Asked, .. }, _, Wish::Stop) => Settled::Cancelled,
        (_, Retries::Exhausted, _) => Settled::Failed,
        (_, Retries::Left, Wish::Stop) => Settled::Cancelled,
        (_, Retries::Left, Wish::GoOn) => Settled::Retry,
    }
}

/// Why a job is not ready or an execution cannot start, when its image cannot be had.
///
/// Google has no reason for an image that exists and cannot be used, or whose registry does not answer: the first is
/// `ContainerMissing` with the fault in the message (a usable one is missing), the second has a message only.
#[must_use]
pub fn image_failure(fault: &ImageFault) -> Failure {
    let ImageFault { kind, image, message } = fault;
    let (reason, message) = match kind {
        ImageFaultKind::Missing => (Some(CONTAINER_MISSING), format!("Image '{image}' not found.")),
        ImageFaultKind::PermissionDenied => (
            Some(CONTAINER_PERMISSION_DENIED),
            format!("Permission denied on image '{image}': {message}"),
        ),
        ImageFaultKind::Unusable => {
            (Some(CONTAINER_MISSING), format!("Image '{image}' cannot be used: {message}"))
        }
        ImageFaultKind::Unreachable => {
            (None, format!("Image '{image}' could not be fetched: {message}"))
        }
    };
    Failure { reason: reason.map(str::to_owned), message }
}

/// Why a version of a secret cannot be used by tasks that run as `service_account`, as Cloud Run words it of services and
/// jobs alike (fact: semantics 4.1; "was not found" as Cloud Run's users report it, also where a secret has no version).
#[must_use]
pub fn secret_fault(version: &SecretVersion, service_account: &str, fault: &SecretFault) -> String {
    match fault.kind {
        SecretFaultKind::Missing => format!("Secret {version} was not found"),
        SecretFaultKind::Denied => format!(
            "Permission denied on secret: {version} for Revision service account {service_account}. The service account \
             used must be granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the \
             secret, project or higher level."
        ),
        SecretFaultKind::Disabled | SecretFaultKind::Unavailable => {
            format!("Secret {version} cannot be accessed: {}", fault.message)
        }
    }
}

/// Why a job is not ready.
#[must_use]
pub fn check_failure(fault: &CheckFault) -> Failure {
    match fault {
        CheckFault::Image(fault) => image_failure(fault),
        CheckFault::Need(NeedFault { kind, message }) => {
            let reason = match kind {
                NeedKind::Secret => "SecretsAccessCheckFailed",
                NeedKind::CloudSqlInstance => "CloudSqlInstanceNotMapped",
                NeedKind::Network => "VpcNetworkNotFound",
                NeedKind::Authorization => "ContainerImageUnauthorized",
                NeedKind::Policy => "ContainerImageAuthorizationCheckFailed",
                NeedKind::Files => "VolumeNotMapped",
            };
            Failure { reason: Some(reason.to_owned()), message: message.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(exit: Exit, cause: Cause) -> Ending {
        Ending::Exited { exit, cause, memory_peak: None, message: None, container: None }
    }

    #[test]
    fn failures_are_worded_as_google_does() {
        let cases = [
            (
                exited(Exit::Code(1), Cause::OnItsOwn),
                Some(NON_ZERO_EXIT_CODE),
                "Task e-task3 failed with exit code: 1 and message: The container exited with an error.",
            ),
            (
                exited(Exit::Code(0), Cause::Deadline),
                None,
                "Task e-task3 failed with exit code: 0 and message: The configured timeout was reached.",
            ),
            (
                exited(Exit::Signal(9), Cause::OutOfMemory),
                None,
                "Task e-task3 failed with exit code: 0 and message: The configured memory limit was reached.",
            ),
            (
                Ending::Lost { why: "reboot".into() },
                None,
                "Task e-task3 failed with exit code: 0 and message: Internal error running task.",
            ),
        ];
        for (ending, reason, message) in cases {
            let failure = task_failure("e", 3, &ending);
            assert_eq!((failure.reason.as_deref(), failure.message.as_str()), (reason, message));
        }
    }

    #[test]
    fn an_attempt_shows_at_most_one_of_exit_code_and_signal() {
        let status = attempt_status(&exited(Exit::Signal(11), Cause::OnItsOwn));
        assert_eq!((status.exit_code, status.term_signal, status.code), (None, Some(11), 10));
        let status = attempt_status(&exited(Exit::Code(7), Cause::OnItsOwn));
        assert_eq!((status.exit_code, status.term_signal, status.code), (Some(7), None, 10));
        let status = attempt_status(&exited(Exit::Code(0), Cause::OnItsOwn));
        assert_eq!(status, told(0, String::new()));
        let status = attempt_status(&exited(Exit::Code(0), Cause::Asked));
        assert_eq!(status, told(1, "Cancelled by user.".into()));
    }

    #[test]
    fn a_termination_message_follows_the_text() {
        let ending = Ending::Exited {
            exit: Exit::Code(2),
            cause: Cause::OnItsOwn,
            memory_peak: None,
            message: Some("disk quota\n".into()),
            container: None,
        };
        assert_eq!(
            attempt_status(&ending).message,
            "The container exited with an error. disk quota"
        );
    }

    #[test]
    fn of_several_containers_the_one_that_ended_the_attempt_is_named() {
        let ending = Ending::Exited {
            exit: Exit::Code(3),
            cause: Cause::OnItsOwn,
            memory_peak: None,
            message: Some("no such table".into()),
            container: Some("main".into()),
        };
        let failure = task_failure("e", 0, &ending);
        assert_eq!(failure.reason.as_deref(), Some(NON_ZERO_EXIT_CODE));
        assert_eq!(
            failure.message,
            "Task e-task0 failed with exit code: 3 and message: The container exited with an error. \
             Container: main. no such table"
        );
        let ending = Ending::ProbeFailed { container: "db".into(), why: "refused".into() };
        let failure = task_failure("e", 0, &ending);
        assert_eq!(failure.reason, None);
        assert_eq!(
            failure.message,
            "Task e-task0 failed with exit code: 0 and message: The user-provided container failed the configured \
             startup probe checks. Container: db. refused"
        );
        assert_eq!(settled(&ending, Retries::Left, Wish::GoOn), Settled::Retry);
        assert_eq!(settled(&ending, Retries::Exhausted, Wish::GoOn), Settled::Failed);
        let ending = Ending::StartFailed {
            whose: Fault::Theirs,
            why: "no such program".into(),
            container: Some("db".into()),
        };
        assert_eq!(
            attempt_status(&ending).message,
            "Application failed to start: Container: db. no such program"
        );
    }

    #[test]
    fn what_ends_all_containers_names_none() {
        let said = |cause| {
            let ending = Ending::Exited {
                exit: Exit::Signal(9),
                cause,
                memory_peak: None,
                message: None,
                container: Some("main".into()),
            };
            attempt_status(&ending).message
        };
        assert_eq!(said(Cause::Deadline), "The configured timeout was reached.");
        assert_eq!(said(Cause::Asked), "Cancelled by user.");
        assert_eq!(
            said(Cause::OutOfMemory),
            "The configured memory limit was reached. Container: main."
        );
    }

    #[test]
    fn exit_0_after_a_cancel_is_success_only_when_nobody_asked_it_to_stop() {
        let settle = |cause| settled(&exited(Exit::Code(0), cause), Retries::Left, Wish::Stop);
        assert_eq!(settle(Cause::OnItsOwn), Settled::Succeeded);
        assert_eq!(settle(Cause::Asked), Settled::Cancelled);
    }
}
