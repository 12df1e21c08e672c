//! Records for tests: small, whole, and different where it matters.

use std::{collections::BTreeMap, sync::Arc};

use groundrun_api::v1;
use groundrun_core::{
    id::{AttemptId, BootId, ExecutionUid, JobUid},
    record::{
        Attempt, Author, Execution, ExecutionState, Job, JobSnapshot, Readiness, ReadinessState,
        Revision, Scope, Wishes,
    },
};
use groundrun_store::{Store, StoreError, Tx, View, WriteError};
use jiff::Timestamp;
use uuid::Uuid;

pub(crate) type Labels = BTreeMap<String, String>;

/// 2026-01-01 and so many microseconds.
pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(1_767_225_600_000_000 + micros).expect("it is in range")
}

pub(crate) fn scope() -> Scope {
    Scope { project: "p".to_owned(), region: "r".to_owned() }
}

pub(crate) fn job(name: &str, number: u128) -> Job {
    Job {
        uid: JobUid(Uuid::from_u128(number)),
        scope: scope(),
        name: name.to_owned(),
        generation: 1,
        created: at(0),
        updated: at(0),
        revision: Revision(0),
        written: Revision(0),
        labels: Labels::new(),
        annotations: Labels::new(),
        author: Author::default(),
        spec: Arc::new(v1::JobSpec::default()),
        execution_count: 0,
        latest_execution: None,
        readiness: Readiness { generation: 1, since: at(0), state: ReadinessState::Checking },
    }
}

pub(crate) fn execution(of: &Job, name: &str, number: u128) -> Execution {
    Execution {
        uid: ExecutionUid(Uuid::from_u128(number)),
        scope: of.scope.clone(),
        name: name.to_owned(),
        job: JobSnapshot {
            uid: of.uid,
            name: of.name.clone(),
            generation: of.generation,
            revision: of.revision,
        },
        generation: 1,
        created: at(0),
        revision: Revision(0),
        labels: Labels::new(),
        annotations: Labels::new(),
        author: Author::default(),
        spec: Arc::new(v1::ExecutionSpec::default()),
        wishes: Wishes::default(),
        state: ExecutionState::default(),
    }
}

pub(crate) fn attempt(of: ExecutionUid, task: u32, attempt: u32) -> Attempt {
    Attempt {
        id: AttemptId { execution: of, task, attempt },
        boot: BootId(Uuid::from_u128(7)),
        intended: at(1),
        started: None,
        ended: None,
    }
}

pub(crate) fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path()).expect("it opens");
    (dir, store)
}

/// A write that the store should not fail.
pub(crate) fn write<T: Send + 'static>(
    store: &Store,
    now: Timestamp,
    body: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    let done: Result<T, WriteError<String>> = store.write(now, |tx| Ok(body(tx)?));
    done.expect("the write holds")
}

/// A read that the store should not fail.
pub(crate) fn read<T>(store: &Store, read: impl FnOnce(&View<'_>) -> Result<T, StoreError>) -> T {
    store.read(read).expect("the read holds")
}

/// The job, kept.
pub(crate) fn keep_job(store: &Store, mut job: Job) -> Job {
    write(store, at(0), move |tx| {
        tx.insert_job(&mut job, &Labels::new())?;
        Ok(job)
    })
}

/// The execution, kept.
pub(crate) fn keep_execution(store: &Store, mut execution: Execution) -> Execution {
    write(store, at(0), move |tx| {
        tx.insert_execution(&mut execution, &Labels::new())?;
        Ok(execution)
    })
}
