//! Attempts to try a backend with.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    port::{AttemptSpec, ContainerSpec, Limits},
};
use uuid::Uuid;

use super::{Place, patient, soon};

/// Attempt 0 of task 0 of a new execution, running the sample program with `args`.
#[must_use]
pub fn attempt(place: &dyn Place, args: &[&str]) -> AttemptSpec {
    AttemptSpec {
        id: AttemptId { execution: new_execution(), task: 0, attempt: 0 },
        hostname: "conformance".to_owned(),
        service_account: "tasks@conformance.example".to_owned(),
        containers: vec![ContainerSpec {
            name: "main".to_owned(),
            image: place.image(),
            args: args.iter().map(|word| (*word).to_owned()).collect(),
            env: vec![("CLOUD_RUN_TASK_INDEX".to_owned(), "0".into())],
            limits: Limits { cpu_millis: 1000, memory_bytes: 128 << 20 },
            ..ContainerSpec::default()
        }],
        volumes: Vec::new(),
        connection: None,
        timeout: patient(Duration::from_secs(300)),
        grace: patient(Duration::from_secs(10)),
    }
}

/// Each place is of its own, so that a number that is new in this process is enough.
fn new_execution() -> ExecutionUid {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    ExecutionUid(Uuid::from_u128(NEXT.fetch_add(1, Ordering::Relaxed).into()))
}

/// As many tasks of one new execution.
#[must_use]
pub fn attempts(place: &dyn Place, count: u32, args: &[&str]) -> Vec<AttemptSpec> {
    let first = attempt(place, args);
    let numbered = |task| AttemptSpec { id: AttemptId { task, ..first.id }, ..first.clone() };
    (0..count).map(numbered).collect()
}

/// Looks again and again until `look` says `Ok`.
///
/// # Panics
/// With what it last said, when it does not in time.
pub fn bounded<T, E: std::fmt::Debug>(mut look: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + soon();
    loop {
        match look() {
            Ok(found) => return found,
            Err(err) => assert!(Instant::now() < deadline, "{err:?}"),
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
