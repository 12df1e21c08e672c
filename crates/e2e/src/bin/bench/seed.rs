//! Fills a stopped server's journal with completed executions, as the engine would have left them.

use std::{path::Path, sync::Arc};

use groundrun_api::v1;
use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{
        Author, Completed, Counters, Execution, ExecutionState, ImagesState, Job, JobSnapshot,
        Outcome, Readiness, ReadinessState, Revision, Scope, Wishes,
    },
    render,
};
use groundrun_store::{Store, StoreError, WriteError};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// Executions per write: as many as a transaction takes without growing the log of the journal far.
const BATCH: usize = 1000;

/// Executions per job: what retention keeps.
const PER_JOB: usize = 1000;

/// Writes `count` executions, the newest last.
pub(crate) fn executions(data_dir: &Path, count: usize) {
    let store = Store::open(data_dir).expect("the server is stopped");
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    for batch in 0..count / BATCH {
        store
            .write(begin, move |tx| {
                let mut job = job(batch * BATCH / PER_JOB, begin);
                if tx.job(&job.scope, &job.name)?.is_none() {
                    let labels = render::job_labels(&job);
                    tx.insert_job(&mut job, &labels)?;
                }
                for number in 0..BATCH {
                    let created =
                        begin + SignedDuration::from_secs((batch * BATCH + number) as i64);
                    let mut execution = execution(&job, batch * BATCH + number, created);
                    let labels = render::execution_labels(&execution);
                    tx.insert_execution(&mut execution, &labels)?;
                    tx.set_execution_state(execution.uid, &execution.state)?;
                }
                Ok::<_, WriteError<StoreError>>(())
            })
            .expect("written");
    }
}

fn scope() -> Scope {
    Scope { project: e2e::lab::PROJECT.into(), region: e2e::lab::REGION.into() }
}

fn spec() -> v1::ExecutionSpec {
    let container =
        v1::Container { image: Some("builtin.groundrun/job".into()), ..v1::Container::default() };
    let task = v1::TaskSpec {
        containers: vec![container],
        max_retries: Some(3),
        timeout_seconds: Some(600),
        ..v1::TaskSpec::default()
    };
    v1::ExecutionSpec {
        task_count: Some(1),
        parallelism: Some(1),
        template: Some(v1::TaskTemplateSpec { spec: Some(task) }),
        ..v1::ExecutionSpec::default()
    }
}

fn job(number: usize, at: Timestamp) -> Job {
    let template =
        v1::ExecutionTemplateSpec { metadata: Some(v1::ObjectMeta::default()), spec: Some(spec()) };
    Job {
        uid: JobUid(Uuid::from_u128(1 << 100 | number as u128)),
        scope: scope(),
        name: format!("seeded-{number}"),
        generation: 1,
        created: at,
        updated: at,
        revision: Revision::default(),
        written: Revision::default(),
        labels: Default::default(),
        annotations: Default::default(),
        author: Author::default(),
        spec: Arc::new(v1::JobSpec { template: Some(template), ..v1::JobSpec::default() }),
        execution_count: 0,
        latest_execution: None,
        readiness: Readiness { generation: 1, since: at, state: ReadinessState::Ready },
    }
}

fn execution(job: &Job, number: usize, created: Timestamp) -> Execution {
    let at = created + SignedDuration::from_millis(20);
    Execution {
        uid: ExecutionUid(Uuid::from_u128(2 << 100 | number as u128)),
        scope: scope(),
        name: format!("{}-{number}", job.name),
        job: JobSnapshot {
            uid: job.uid,
            name: job.name.clone(),
            generation: 1,
            revision: job.revision,
        },
        generation: 1,
        created,
        revision: Revision::default(),
        labels: Default::default(),
        annotations: Default::default(),
        author: Author::default(),
        spec: Arc::new(spec()),
        wishes: Wishes::default(),
        state: ExecutionState {
            accepted: Some(created),
            observed_generation: 1,
            images: ImagesState::Imported {
                at,
                digests: vec![format!("sha256:{:064x}", 1)],
                stale: None,
            },
            waiting_for: None,
            provisioned: Some(at),
            start_time: Some(at),
            started: Some(at),
            completed: Some(Completed { at, outcome: Outcome::Succeeded }),
            counters: Counters { succeeded: 1, ..Counters::default() },
        },
    }
}
