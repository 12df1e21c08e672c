//! The conditions of an execution, in the real service's order: Completed, ResourcesAvailable, Started,
//! ContainerReady, Retry (fact: semantics 4.2).
//!
//! Two rules are for gcloud (fact: gcloud-wire C.2, F.5). A Completed condition is there from the first reply on. And
//! when Completed is no longer Unknown, neither is Started: an execution that ended before it started says False.

use groundrun_api::v1::Condition;
use jiff::Timestamp;

use super::words::{Truth, condition, duration, saying, took};
use crate::{
    outcome::{CONTAINER_MISSING, CONTAINER_PERMISSION_DENIED, DELAYED_START_PENDING},
    record::{Completed, Execution, ExecutionState, Failure, ImagesState, Outcome},
};

const STALE: &str = "The registry could not be asked, an earlier digest of the tag is used:";

/// All of them.
pub(super) fn conditions(execution: &Execution) -> Vec<Condition> {
    let Some(accepted) = execution.state.accepted else {
        return vec![completed(execution)];
    };
    let phase = Phase { execution, state: &execution.state, accepted };
    let later = [
        phase.resources_available(),
        Some(phase.started()),
        phase.container_ready(),
        phase.retry(),
    ];
    std::iter::once(completed(execution)).chain(later.into_iter().flatten()).collect()
}

fn completed(execution: &Execution) -> Condition {
    let state = &execution.state;
    let unknown = |since| condition("Completed", Truth::Unknown, since);
    match (&state.completed, execution.wishes.cancel, state.started) {
        (Some(Completed { at, outcome }), ..) => match ended(outcome) {
            Some(failure) => failed("Completed", *at, &failure),
            None => {
                let since = state.start_time.unwrap_or(execution.created);
                let message =
                    format!("Execution completed successfully in {}.", duration(since, *at));
                saying(condition("Completed", Truth::True, *at), message)
            }
        },
        (None, Some(asked), _) => saying(unknown(asked), "Waiting for execution to be cancelled."),
        (None, None, Some(started)) => {
            saying(unknown(started), "Waiting for execution to complete.")
        }
        (None, None, None) => {
            let unknown = unknown(state.accepted.unwrap_or(execution.created));
            let delayed = execution.spec.delay_execution == Some(true);
            if !delayed || state.accepted.is_none() || state.provisioned.is_some() {
                return unknown;
            }
            let unknown = saying(unknown, "A delayed execution is waiting for a start time.");
            Condition { reason: Some(DELAYED_START_PENDING.to_owned()), ..unknown }
        }
    }
}

/// Why it did not succeed.
fn ended(outcome: &Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Succeeded => None,
        Outcome::Failed(failure) => Some(failure.clone()),
        Outcome::Cancelled => Some(Failure {
            reason: Some("Cancelled".to_owned()),
            message: "Cancelled by user.".to_owned(),
        }),
    }
}

fn failed(kind: &str, since: Timestamp, failure: &Failure) -> Condition {
    let Failure { reason, message } = failure.clone();
    Condition { reason, message: Some(message), ..condition(kind, Truth::False, since) }
}

/// What an execution failed at before its first task was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Images,
    Capacity,
}

/// An execution that the engine has seen.
struct Phase<'a> {
    execution: &'a Execution,
    state: &'a ExecutionState,
    accepted: Timestamp,
}

impl Phase<'_> {
    fn imported(&self) -> Option<Timestamp> {
        match self.state.images {
            ImagesState::Imported { at, .. } => Some(at),
            ImagesState::Importing | ImagesState::Retrying { .. } => None,
        }
    }

    /// When and why it ended without success.
    fn failure(&self) -> Option<(Timestamp, Failure)> {
        let Completed { at, outcome } = self.state.completed.as_ref()?;
        Some((*at, ended(outcome)?))
    }

    /// The same, by what was at fault. A cancel says nothing about images or capacity.
    fn fault(&self) -> Option<(At, Timestamp, Failure)> {
        let Completed { at, outcome: Outcome::Failed(failure) } = self.state.completed.as_ref()?
        else {
            return None;
        };
        let of_image =
            |reason: &str| [CONTAINER_MISSING, CONTAINER_PERMISSION_DENIED].contains(&reason);
        let fault = match &self.state.images {
            ImagesState::Importing if failure.reason.as_deref().is_some_and(of_image) => At::Images,
            ImagesState::Retrying { .. } => At::Images,
            // A task larger than the machine fails before its images are asked for.
            ImagesState::Importing => At::Capacity,
            ImagesState::Imported { .. } if self.state.provisioned.is_none() => At::Capacity,
            ImagesState::Imported { .. } => return None,
        };
        Some((fault, *at, failure.clone()))
    }

    /// Absent until the images are here. What waits for capacity says so, also after the first task had its room.
    fn resources_available(&self) -> Option<Condition> {
        if let Some((At::Capacity, at, failure)) = self.fault() {
            return Some(failed("ResourcesAvailable", at, &failure));
        }
        let imported = self.imported()?;
        let waiting = self.state.waiting_for.as_deref().filter(|_| self.state.completed.is_none());
        let waiting = waiting.map(|why| format!("Waiting for {why}."));
        let Some(provisioned) = self.state.provisioned else {
            let unknown = condition("ResourcesAvailable", Truth::Unknown, imported);
            return Some(Condition { message: waiting, ..unknown });
        };
        let mut message = took("Provisioned imported containers", imported, provisioned);
        if let Some(why) = waiting {
            message.push(' ');
            message.push_str(&why);
        }
        Some(saying(condition("ResourcesAvailable", Truth::True, provisioned), message))
    }

    fn started(&self) -> Condition {
        if let Some(started) = self.state.started {
            let since = self.state.provisioned.unwrap_or(self.accepted);
            let message = took("Started deployed execution", since, started);
            return saying(condition("Started", Truth::True, started), message);
        }
        if let Some((at, failure)) = self.failure() {
            return failed("Started", at, &failure);
        }
        match self.imported() {
            None => saying(
                condition("Started", Truth::Unknown, self.accepted),
                "Container image import in progress.",
            ),
            Some(imported) => saying(
                condition("Started", Truth::Unknown, self.state.provisioned.unwrap_or(imported)),
                "Waiting for execution to start.",
            ),
        }
    }

    /// Absent while the first import is under way.
    fn container_ready(&self) -> Option<Condition> {
        match (&self.state.images, self.fault()) {
            (ImagesState::Imported { at, stale, .. }, _) => {
                let ready = condition("ContainerReady", Truth::True, *at);
                let message = took("Imported container image", self.execution.created, *at);
                Some(match stale {
                    None => saying(ready, message),
                    Some(why) => Condition {
                        severity: Some("Warning".to_owned()),
                        ..saying(ready, format!("{message} {STALE} {why}."))
                    },
                })
            }
            (_, Some((At::Images, at, failure))) => Some(failed("ContainerReady", at, &failure)),
            (ImagesState::Retrying { message, .. }, _) => {
                Some(saying(condition("ContainerReady", Truth::Unknown, self.accepted), message))
            }
            (ImagesState::Importing, _) => None,
        }
    }

    /// The real service's poll, and our next try at the images. Gone once the execution has ended.
    fn retry(&self) -> Option<Condition> {
        if self.state.completed.is_some() {
            return None;
        }
        let (since, reason, wait, why) = match (&self.state.images, self.state.started) {
            (ImagesState::Retrying { failures, next, .. }, _) => {
                let seconds = next.duration_since(self.accepted).as_secs().max(0);
                let wait = format!("{:02}:{:02}", seconds / 60, seconds % 60);
                (self.accepted, "PostponedRetry", wait, format!("attempt {failures}."))
            }
            (_, Some(started)) => {
                (started, "WaitingForOperation", "10:00".to_owned(), "polling interval".to_owned())
            }
            (_, None) => (
                self.accepted,
                "WaitingForOperation",
                "00:01".to_owned(),
                "polling interval".to_owned(),
            ),
        };
        Some(Condition {
            severity: Some("Info".to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(format!(
                "System will retry after {wait} from lastTransitionTime for {why}"
            )),
            ..condition("Retry", Truth::True, since)
        })
    }
}
