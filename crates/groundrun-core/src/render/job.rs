//! `Job`: what the client gave, what the server knows, and a status computed at read time.

use std::collections::BTreeMap;

use groundrun_api::v1;

use super::{
    meta::{API_VERSION, Common, LAST_UPDATED, annotations, labels},
    words::{Truth, condition, saying},
};
use crate::{
    context::Context,
    record::{Completed, Execution, Job, Outcome, ReadinessState},
    token::{self, Progress, Token, Until},
};

/// The job as the API shows it. `latest` is the row of its latest execution, where it is still there.
#[must_use]
pub fn job(job: &Job, latest: Option<&Execution>, context: &Context) -> v1::Job {
    let common = Common {
        collection: "jobs",
        name: &job.name,
        created: job.created,
        revision: job.revision,
    };
    let metadata = v1::ObjectMeta {
        uid: Some(job.uid.to_string()),
        generation: Some(job.generation),
        labels: job_labels(job),
        annotations: annotations(&job.annotations, &job.author),
        ..common.render(context)
    };
    v1::Job {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some("Job".to_owned()),
        metadata: Some(metadata),
        spec: Some(token::shown(job)),
        status: Some(status(job, latest)),
    }
}

/// `metadata.labels` as shown: what selectors select by.
#[must_use]
pub fn job_labels(job: &Job) -> BTreeMap<String, String> {
    let updated = groundrun_api::time::Time(job.updated).to_string();
    labels(&job.labels, &job.scope, [(LAST_UPDATED, updated)])
}

fn status(job: &Job, latest: Option<&Execution>) -> v1::JobStatus {
    v1::JobStatus {
        conditions: vec![ready(job, latest)],
        execution_count: (job.execution_count > 0).then_some(job.execution_count),
        latest_created_execution: latest_created(job, latest),
        observed_generation: Some(job.readiness.generation),
    }
}

/// A job that can run, and whose token's execution has come to what the token waits for.
fn ready(job: &Job, latest: Option<&Execution>) -> v1::Condition {
    let ready = able(job);
    // Of an execution that was deleted nothing more is known: the job is what it is without it.
    let token = Token::current(job).filter(|_| ready.status.as_deref() == Some("True"));
    let row = row(job, latest).filter(|execution| execution.wishes.delete.is_none());
    let (Some(token), Some(execution)) = (token, row) else { return ready };
    let name = &execution.name;
    match token.progress(execution) {
        Progress::Done(at) => condition("Ready", Truth::True, job.readiness.since.max(at)),
        Progress::Open => {
            let until = match token.until {
                Until::Started => "to start",
                Until::Succeeded => "to complete",
            };
            let unknown = condition("Ready", Truth::Unknown, execution.created);
            saying(unknown, format!("Waiting for execution '{name}' {until}."))
        }
        Progress::Failed(at, failure) => v1::Condition {
            reason: failure.reason,
            message: Some(format!("Execution '{name}' failed: {}", failure.message)),
            ..condition("Ready", Truth::False, at)
        },
    }
}

/// A check of an earlier generation says nothing about this one: clients see `Unknown`, and an observed generation
/// that is not theirs.
fn able(job: &Job) -> v1::Condition {
    let readiness = &job.readiness;
    let state = match &readiness.state {
        _ if readiness.generation != job.generation => &ReadinessState::Checking,
        state => state,
    };
    match state {
        ReadinessState::Checking => condition("Ready", Truth::Unknown, job.updated),
        ReadinessState::Ready => condition("Ready", Truth::True, readiness.since),
        ReadinessState::Failed(failure) => v1::Condition {
            reason: failure.reason.clone(),
            message: Some(failure.message.clone()),
            ..condition("Ready", Truth::False, readiness.since)
        },
    }
}

fn latest_created(job: &Job, latest: Option<&Execution>) -> Option<v1::ExecutionReference> {
    let kept = job.latest_execution.as_ref()?;
    let row = row(job, latest);
    let completed = row.and_then(|execution| execution.state.completed.as_ref());
    Some(v1::ExecutionReference {
        name: Some(kept.name.clone()),
        creation_timestamp: Some(kept.created.into()),
        completion_timestamp: completed.map(|completed| completed.at.into()),
        completion_status: row.map(|execution| completion_status(execution).to_owned()),
        deletion_timestamp: row.and_then(|execution| execution.wishes.delete).map(Into::into),
    })
}

/// The row of the job's latest execution.
fn row<'a>(job: &Job, latest: Option<&'a Execution>) -> Option<&'a Execution> {
    let kept = job.latest_execution.as_ref()?;
    latest.filter(|execution| execution.uid == kept.uid)
}

fn completion_status(execution: &Execution) -> &'static str {
    match &execution.state.completed {
        Some(Completed { outcome: Outcome::Succeeded, .. }) => "EXECUTION_SUCCEEDED",
        Some(Completed { outcome: Outcome::Failed(_), .. }) => "EXECUTION_FAILED",
        Some(Completed { outcome: Outcome::Cancelled, .. }) => "EXECUTION_CANCELLED",
        None if execution.state.start_time.is_some() => "EXECUTION_RUNNING",
        None => "EXECUTION_PENDING",
    }
}
