//! Drives one run and keeps its journal.

use std::collections::BTreeMap;

use groundrun_core::{
    allot::{Turn, allot},
    id::{AttemptId, BootId},
    observe::{Heard, observe},
    plan::{Plan, plan},
    port::{ImportedImage, Limits, News, Observation},
    progress::Run,
    record::{Attempt, Cause, Ending, Execution, Exit},
};
use jiff::Timestamp;
use testkit::sample::{self, Shape};
use uuid::Uuid;

pub(crate) struct Driver {
    pub(crate) run: Run,
    pub(crate) execution: Execution,
    pub(crate) attempts: BTreeMap<AttemptId, Attempt>,
    pub(crate) now: Timestamp,
    budget: Limits,
    turn: Turn,
}

impl Driver {
    /// A run whose images are here. The budget has room for `room` of its tasks.
    pub(crate) fn new(shape: &Shape, room: u64) -> Self {
        let now = Timestamp::UNIX_EPOCH;
        let execution = sample::execution(shape, 1, now);
        let run = Run::restore(execution.clone(), Vec::new(), boot(), now);
        let budget = Limits { cpu_millis: room * 1000, memory_bytes: room << 29 };
        let attempts = BTreeMap::new();
        let turn = Turn::default();
        let mut driver = Self { run, execution, attempts, now, budget, turn };
        let _ = driver.tick();
        driver.import();
        driver
    }

    pub(crate) fn tick(&mut self) -> Plan {
        let demand = self.run.demand(self.now);
        let grant = allot(self.budget, &[demand], &mut self.turn).swap_remove(0);
        let plan = plan(&mut self.run, grant, boot(), self.now);
        for attempt in plan.changed.iter().chain(&plan.begun) {
            self.attempts.insert(attempt.id, attempt.clone());
        }
        if let Some(state) = &plan.state {
            self.execution.state = state.clone();
        }
        plan
    }

    /// What a server knows that was killed now.
    pub(crate) fn restored(&self) -> Run {
        let attempts = self.attempts.values().cloned().collect();
        Run::restore(self.execution.clone(), attempts, boot(), self.now)
    }

    pub(crate) fn hear(&mut self, id: AttemptId, seen: Observation) -> Heard {
        observe(&mut self.run, News::Attempt { id, seen }, self.now)
    }

    pub(crate) fn cancel(&mut self) {
        self.execution.wishes.cancel = Some(self.now);
        self.execution.generation += 1;
        let Execution { generation, wishes, .. } = self.execution;
        assert_eq!(self.run.hear_clients(generation, wishes), Heard::News);
    }

    pub(crate) fn id(&self, task: u32, attempt: u32) -> AttemptId {
        AttemptId { execution: self.execution.uid, task, attempt }
    }

    pub(crate) fn live(&self) -> Vec<AttemptId> {
        let live = self.attempts.values().filter(|attempt| attempt.ended.is_none());
        live.map(|attempt| attempt.id).collect()
    }

    fn import(&mut self) {
        let image = ImportedImage { digest: "sha256:1".to_owned(), stale: None };
        let news = News::Imported { execution: self.execution.uid, result: Ok(vec![image]) };
        assert_eq!(observe(&mut self.run, news, self.now), Heard::News);
    }
}

pub(crate) fn exited(code: u8) -> Ending {
    let (exit, cause) = (Exit::Code(code), Cause::OnItsOwn);
    Ending::Exited { exit, cause, memory_peak: None, message: None, container: None }
}

fn boot() -> BootId {
    BootId(Uuid::from_u128(1))
}
