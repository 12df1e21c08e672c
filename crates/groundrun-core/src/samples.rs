//! Documents and records of our own for the tests of admission and rendering.

use std::sync::Arc;

use groundrun_api::v1;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    admit::{self, AdmittedJob, Suffix},
    context::Context,
    id::{AttemptId, BootId, ExecutionUid, JobUid},
    record::{
        Attempt, Author, Cause, Completed, Ending, Execution, ExecutionState, Exit, Failure,
        ImagesState, Job, JobSnapshot, Outcome, Readiness, ReadinessState, Revision, Scope, Wishes,
    },
};

/// The path of the only container.
pub(crate) const CONTAINER: &str = "/spec/template/spec/template/spec/containers/0";

pub(crate) fn context() -> Context {
    Context {
        project: "acme".to_owned(),
        number: "420000000042".to_owned(),
        console: "http://console.example".to_owned(),
    }
}

/// The least that is a job.
pub(crate) fn least() -> Value {
    json!({
        "metadata": {"name": "sieve"},
        "spec": {"template": {"spec": {"template": {"spec": {"containers": [{"image": "registry.example/sieve:1"}]}}}}},
    })
}

/// What gcloud sends (fact: gcloud-wire B.1), with names of our own.
pub(crate) fn by_gcloud() -> Value {
    let client = json!({"run.googleapis.com/client-name": "gcloud", "run.googleapis.com/client-version": "528.0.0"});
    json!({
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"annotations": client, "labels": {}, "name": "sieve", "namespace": "acme"},
        "spec": {"template": {
            "metadata": {"annotations": client, "labels": {"client.knative.dev/nonce": "rum_tak_pol"}},
            "spec": {"template": {"spec": {
                "containers": [{"image": "registry.example/sieve:1", "name": ""}],
                "nodeSelector": {},
            }}},
        }},
        "status": {"latestCreatedExecution": {}},
    })
}

/// `document` with `value` at `pointer`, whose parents are made where they are missing. The last index past the end of
/// a list adds to it.
pub(crate) fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let mut place = &mut document;
    for step in pointer.trim_start_matches('/').split('/') {
        let step = step.replace("~1", "/");
        place = match (step.parse::<usize>(), place) {
            (Ok(index), place) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let list = place.as_array_mut().expect("an index goes into a list");
                if index == list.len() {
                    list.push(Value::Null);
                }
                &mut list[index]
            }
            (Err(_), place) => {
                if place.is_null() {
                    *place = json!({});
                }
                place
                    .as_object_mut()
                    .expect("a name goes into an object")
                    .entry(step)
                    .or_insert(Value::Null)
            }
        };
    }
    *place = value;
    document
}

pub(crate) fn decode(document: Value) -> v1::Job {
    groundrun_api::decode(document).expect("the document is one of its type")
}

pub(crate) fn admitted(document: Value) -> AdmittedJob {
    admit::job(decode(document), &Suffix::new(0), &context()).expect("it is admitted")
}

/// All faults, one a line: `field: description`.
pub(crate) fn faults(document: Value) -> Vec<String> {
    match admit::job(decode(document), &Suffix::new(0), &context()) {
        Ok(_) => Vec::new(),
        Err(error) => error.violations().map(ToString::to_string).collect(),
    }
}

/// Seconds after the job's creation.
pub(crate) fn at(seconds: f64) -> Timestamp {
    let start: Timestamp = "2026-03-01T06:30:00.25Z".parse().expect("a timestamp");
    start + SignedDuration::from_secs_f64(seconds)
}

fn scope() -> Scope {
    Scope { project: "acme".to_owned(), region: "europe-north1".to_owned() }
}

fn author(operation: u128) -> Author {
    Author {
        creator: "ada@acme.example".to_owned(),
        last_modifier: "bob@acme.example".to_owned(),
        operation_id: Uuid::from_u128(operation).to_string(),
    }
}

/// The record of a job that was just created from `document`.
pub(crate) fn job(document: Value) -> Job {
    let AdmittedJob { name, labels, annotations, spec } = admitted(document);
    Job {
        uid: JobUid(Uuid::from_u128(0xa)),
        scope: scope(),
        name,
        generation: 1,
        created: at(0.0),
        updated: at(0.0),
        revision: Revision(1_772_346_600_250_000),
        written: Revision(1_772_346_600_250_000),
        labels,
        annotations,
        author: author(1),
        spec,
        execution_count: 0,
        latest_execution: None,
        readiness: Readiness { generation: 1, since: at(0.1), state: ReadinessState::Ready },
    }
}

/// The record of an execution with `tasks` tasks, 60 seconds after its job.
pub(crate) fn execution(tasks: u32) -> Execution {
    execution_of(with(by_gcloud(), "/spec/template/spec/taskCount", json!(tasks)))
}

/// The record of an execution of the job that `document` describes, 60 seconds after it.
pub(crate) fn execution_of(document: Value) -> Execution {
    let job = job(document);
    let run = admit::run(&job, v1::RunJobRequest::default()).expect("it is admitted");
    Execution {
        uid: ExecutionUid(Uuid::from_u128(0xe)),
        scope: scope(),
        name: "sieve-k7m2x".to_owned(),
        job: JobSnapshot {
            uid: job.uid,
            name: job.name,
            generation: job.generation,
            revision: job.revision,
        },
        generation: 1,
        created: at(60.0),
        revision: Revision(1_772_346_660_250_000),
        labels: run.labels,
        annotations: run.annotations,
        author: author(2),
        spec: Arc::clone(&run.spec),
        wishes: Wishes::default(),
        state: ExecutionState::default(),
    }
}

pub(crate) fn accepted(tasks: u32) -> Execution {
    let state = ExecutionState {
        accepted: Some(at(60.05)),
        observed_generation: 1,
        ..ExecutionState::default()
    };
    Execution { state, ..execution(tasks) }
}

pub(crate) fn imported(tasks: u32) -> Execution {
    let mut execution = accepted(tasks);
    execution.state.images = ImagesState::Imported {
        at: at(104.918),
        digests: vec![format!("sha256:{}", "0".repeat(64))],
        stale: None,
    };
    execution
}

pub(crate) fn begun(tasks: u32) -> Execution {
    let mut execution = imported(tasks);
    execution.state.provisioned = Some(at(106.618));
    execution.state.start_time = Some(at(106.7));
    execution
}

pub(crate) fn running(tasks: u32) -> Execution {
    let mut execution = begun(tasks);
    execution.state.started = Some(at(106.9));
    execution.state.counters.running = tasks;
    execution
}

/// `execution`, ended so after `seconds`.
pub(crate) fn ended(mut execution: Execution, seconds: f64, outcome: Outcome) -> Execution {
    execution.state.counters.running = 0;
    execution.state.waiting_for = None;
    execution.state.completed = Some(Completed { at: at(seconds), outcome });
    execution
}

pub(crate) fn failure(reason: Option<&str>, message: &str) -> Outcome {
    Outcome::Failed(Failure { reason: reason.map(str::to_owned), message: message.to_owned() })
}

/// Attempt `number` of task 3: begun at `number` minutes after the job's execution.
pub(crate) fn attempt(number: u32, ending: Option<Ending>) -> Attempt {
    let begun = 107.0 + 60.0 * f64::from(number);
    let failed_start = matches!(ending, Some(Ending::StartFailed { .. }));
    Attempt {
        id: AttemptId { execution: execution(4).uid, task: 3, attempt: number },
        boot: BootId(Uuid::from_u128(0xb)),
        intended: at(begun),
        started: (!failed_start).then(|| at(begun + 0.5)),
        ended: ending.map(|ending| (at(begun + 30.0), ending)),
    }
}

pub(crate) fn exited(exit: Exit, cause: Cause) -> Ending {
    Ending::Exited { exit, cause, memory_peak: None, message: None, container: None }
}
