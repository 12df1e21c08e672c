//! A task for one test, a clock that the test moves, and randomness that is the same in every run.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use groundrun_core::id::{AttemptId, ExecutionUid};
use jiff::Timestamp;

use crate::{
    identity::{Asker, Lookup, TaskIdentity, World},
    token::Mint,
};

/// Where the tests' server says it is.
pub(crate) const ISSUER: &str = "http://127.0.0.1:8080";

/// When the tests begin.
pub(crate) const START: i64 = 1_750_000_000;

pub(crate) fn id() -> AttemptId {
    AttemptId { execution: ExecutionUid(uuid::Uuid::from_u128(0x42)), task: 3, attempt: 1 }
}

pub(crate) fn identity() -> TaskIdentity {
    TaskIdentity {
        project: "demo".to_owned(),
        project_number: 420_000_000_042,
        region: "us-central1".to_owned(),
        service_account: "420000000042-compute@developer.gserviceaccount.com".to_owned(),
        execution: "j1-abcde".to_owned(),
    }
}

pub(crate) fn asker() -> Asker {
    Asker { id: id(), identity: identity() }
}

pub(crate) fn lookup() -> Lookup {
    Arc::new(|execution| (execution == id().execution).then(identity))
}

/// The clock of a test.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

pub(crate) fn world() -> (World, Clock) {
    let clock = Clock(Arc::new(AtomicI64::new(START)));
    let now = clock.clone();
    let state = Mutex::new(0x9e37_79b9_7f4a_7c15_u64);
    let random = move |bytes: &mut [u8]| {
        let mut state = state.lock().expect("nobody panics with it");
        for byte in bytes {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            *byte = state.to_be_bytes()[0];
        }
    };
    let world = World {
        clock: Arc::new(move || {
            Timestamp::from_second(now.0.load(Ordering::Relaxed)).expect("a time")
        }),
        random: Arc::new(random),
    };
    (world, clock)
}

pub(crate) fn mint(dir: &Path, world: &World) -> Mint {
    let mint = Mint::new(dir.join("keys"), world.clone());
    mint.issue_as(ISSUER);
    mint
}
