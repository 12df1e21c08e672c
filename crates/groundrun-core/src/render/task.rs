//! `Task`: rendered from its execution and its attempts, also where it has none yet or never will.

use std::collections::BTreeMap;

use groundrun_api::{time::Time, v1};
use jiff::Timestamp;

use super::{
    meta::{
        API_VERSION, Common, EXECUTION, EXECUTION_NAME, JOB, LOCATION, RUNNING_STATE,
        SCHEDULED_TIME, TASK_INDEX, log_uri,
    },
    words::{Truth, condition, count, duration, saying},
};
use crate::{
    context::Context,
    outcome::{self, NON_ZERO_EXIT_CODE, Retries, Settled, Wish, attempt_status},
    record::{Attempt, Cause, Completed, Ending, Execution, Outcome},
};

/// Label `run.googleapis.com/runningState` (fact: semantics 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunningState {
    /// Not started yet.
    Pending,
    /// An attempt runs, or will shortly.
    Running,
    /// The last attempt succeeded.
    Succeeded,
    /// The last attempt failed, and no retry is left.
    Failed,
    /// It was running and got stopped, or its retry never comes.
    Cancelled,
    /// It never started and never will.
    Abandoned,
}

impl RunningState {
    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Abandoned => "Abandoned",
        }
    }
}

/// Task `index` of the execution as the API shows it. `attempts` are all of this task, by number.
#[must_use]
pub fn task(
    execution: &Execution,
    index: u32,
    attempts: &[Attempt],
    context: &Context,
) -> v1::Task {
    let name = format!("{}-task{index}", execution.name);
    let common = Common {
        collection: "tasks",
        name: &name,
        created: execution.created,
        revision: execution.revision,
    };
    let state = running_state(execution, attempts);
    let scheduled = attempts.first().map(|first| Time(first.intended).to_string());
    let metadata = v1::ObjectMeta {
        generation: Some(1),
        labels: task_labels(execution, state),
        annotations: scheduled.map(|time| (SCHEDULED_TIME.to_owned(), time)).into_iter().collect(),
        ..common.render(context)
    };
    let spec = execution.spec.template.as_ref().and_then(|template| template.spec.clone());
    v1::Task {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some("Task".to_owned()),
        metadata: Some(metadata),
        spec,
        status: Some(View { execution, index, attempts, state }.status(context)),
    }
}

/// What selectors select tasks by: the labels shown.
#[must_use]
pub fn task_labels(execution: &Execution, state: RunningState) -> BTreeMap<String, String> {
    [
        (LOCATION, execution.scope.region.as_str()),
        (EXECUTION, &execution.name),
        (JOB, &execution.job.name),
        (RUNNING_STATE, state.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Where a task with these attempts, by number, stands.
#[must_use]
pub fn running_state(execution: &Execution, attempts: &[Attempt]) -> RunningState {
    let over = execution.state.completed.is_some();
    let Some(last) = attempts.last() else {
        return if over { RunningState::Abandoned } else { RunningState::Pending };
    };
    let Some((_, ending)) = &last.ended else {
        return RunningState::Running;
    };
    let stopped = execution.wishes.cancel.is_some() || execution.wishes.delete.is_some();
    let wish = if stopped || over { Wish::Stop } else { Wish::GoOn };
    let retries = Retries::after(last.id.attempt, max_retries(execution));
    match outcome::settled(ending, retries, wish) {
        Settled::Succeeded => RunningState::Succeeded,
        Settled::Failed => RunningState::Failed,
        Settled::Cancelled => RunningState::Cancelled,
        Settled::Retry => RunningState::Running,
    }
}

/// An admitted spec always says it.
fn max_retries(execution: &Execution) -> u32 {
    let task = execution.spec.template.as_ref().and_then(|template| template.spec.as_ref());
    task.and_then(|task| task.max_retries).and_then(|number| number.try_into().ok()).unwrap_or(0)
}

struct View<'a> {
    execution: &'a Execution,
    index: u32,
    attempts: &'a [Attempt],
    state: RunningState,
}

impl View<'_> {
    fn status(&self, context: &Context) -> v1::TaskStatus {
        let Self { execution, index, attempts, .. } = self;
        let retried = attempts.len().saturating_sub(1);
        let named = [(EXECUTION_NAME, execution.name.clone()), (TASK_INDEX, index.to_string())];
        v1::TaskStatus {
            conditions: self.conditions(),
            index: count(*index),
            retried: count(u32::try_from(retried).unwrap_or(u32::MAX)),
            observed_generation: Some(1),
            start_time: self.started().map(Into::into),
            completion_time: self.final_ending().map(|(at, _)| at.into()),
            last_attempt_result: self.last_ending().map(|(_, ending)| attempt_result(ending)),
            log_uri: Some(log_uri(context, &execution.job.name, &execution.scope.region, &named)),
        }
    }

    fn started(&self) -> Option<Timestamp> {
        self.attempts.iter().find_map(|attempt| attempt.started)
    }

    /// Of the last attempt that ended, also while a later one runs.
    fn last_ending(&self) -> Option<(Timestamp, &Ending)> {
        let ended = |attempt: &Attempt| attempt.ended.is_some();
        let last = self.attempts.iter().rfind(|attempt| ended(attempt))?;
        last.ended.as_ref().map(|(at, ending)| (*at, ending))
    }

    fn final_ending(&self) -> Option<(Timestamp, &Ending)> {
        match self.state {
            RunningState::Succeeded | RunningState::Failed | RunningState::Cancelled => {
                self.last_ending()
            }
            RunningState::Pending | RunningState::Running | RunningState::Abandoned => None,
        }
    }

    fn conditions(&self) -> Vec<v1::Condition> {
        let completed = self.completed();
        let started = self.started_condition(&completed);
        [Some(completed), Some(self.resources_available()), Some(started), self.retry()]
            .into_iter()
            .flatten()
            .collect()
    }

    fn completed(&self) -> v1::Condition {
        if let Some((at, ending)) = self.final_ending() {
            return self.ended(at, ending);
        }
        match (&self.execution.state.completed, self.state) {
            (Some(Completed { at, outcome }), RunningState::Abandoned) => {
                never_started(*at, outcome)
            }
            _ => {
                let since =
                    self.attempts.first().map_or(self.execution.created, |first| first.intended);
                condition("Completed", Truth::Unknown, since)
            }
        }
    }

    fn ended(&self, at: Timestamp, ending: &Ending) -> v1::Condition {
        let failed = |reason: Option<&str>, message: String| v1::Condition {
            reason: reason.map(str::to_owned),
            message: Some(message),
            ..condition("Completed", Truth::False, at)
        };
        match self.state {
            RunningState::Succeeded => {
                let took = duration(self.started().unwrap_or(at), at);
                let message = format!("Task completed successfully in {took}.");
                saying(condition("Completed", Truth::True, at), message)
            }
            RunningState::Cancelled => failed(Some("Cancelled"), "Cancelled by user.".to_owned()),
            _ => {
                let exited = matches!(ending, Ending::Exited { cause: Cause::OnItsOwn, .. });
                failed(exited.then_some(NON_ZERO_EXIT_CODE), attempt_status(ending).message)
            }
        }
    }

    fn resources_available(&self) -> v1::Condition {
        match (self.attempts.first(), &self.execution.state.waiting_for) {
            (Some(first), _) => condition("ResourcesAvailable", Truth::True, first.intended),
            (None, Some(why)) if self.state == RunningState::Pending => {
                let unknown =
                    condition("ResourcesAvailable", Truth::Unknown, self.execution.created);
                saying(unknown, format!("Waiting for {why}."))
            }
            (None, _) => condition("ResourcesAvailable", Truth::Unknown, self.execution.created),
        }
    }

    /// A task that ended without a process did not start, for the same reason.
    fn started_condition(&self, completed: &v1::Condition) -> v1::Condition {
        if let Some(started) = self.started() {
            return condition("Started", Truth::True, started);
        }
        if completed.status.as_deref() == Some("False") {
            return v1::Condition { r#type: Some("Started".to_owned()), ..completed.clone() };
        }
        v1::Condition { r#type: Some("Started".to_owned()), message: None, ..completed.clone() }
    }

    /// Between two attempts.
    fn retry(&self) -> Option<v1::Condition> {
        let last = self.attempts.last()?;
        let (at, _) = last.ended.as_ref().filter(|_| self.state == RunningState::Running)?;
        let next = last.id.attempt.saturating_add(1);
        let message =
            format!("System will retry after 00:00 from lastTransitionTime for attempt {next}.");
        Some(v1::Condition {
            severity: Some("Info".to_owned()),
            reason: Some("ImmediateRetry".to_owned()),
            ..saying(condition("Retry", Truth::True, *at), message)
        })
    }
}

fn never_started(at: Timestamp, outcome: &Outcome) -> v1::Condition {
    let (reason, message) = match outcome {
        Outcome::Failed(failure) => (failure.reason.clone(), failure.message.clone()),
        // A success has no task that never started.
        Outcome::Cancelled | Outcome::Succeeded => {
            (Some("Cancelled".to_owned()), "Cancelled by user.".to_owned())
        }
    };
    v1::Condition { reason, message: Some(message), ..condition("Completed", Truth::False, at) }
}

/// `status` is always there: gcloud fails without it (fact: gcloud-wire F.6).
fn attempt_result(ending: &Ending) -> v1::TaskAttemptResult {
    let status = attempt_status(ending);
    let wire = v1::RpcStatus {
        code: (status.code != 0).then_some(status.code),
        message: (!status.message.is_empty()).then_some(status.message),
        details: Vec::new(),
    };
    v1::TaskAttemptResult {
        exit_code: status.exit_code,
        term_signal: status.term_signal,
        status: Some(wire),
    }
}
