//! From the journal to a run, at the start of the server and when an execution is new.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    id::BootId,
    mutant,
    observe::Heard,
    progress::{Discard, Import, Run, Stop, Time},
    record::{Attempt, Counters, Ending, Execution, Failure, Fault},
    template::TaskTemplate,
};

impl Run {
    /// What the journal knows of an execution, ready to go on. `attempts` are all of it, in any order.
    ///
    /// Attempts that were intended in another boot of the machine are lost without looking. The others are asked about
    /// by the next plan: `Start` again where nothing was seen of it yet, else `Adopt`.
    #[must_use]
    pub fn restore(
        execution: Execution,
        attempts: Vec<Attempt>,
        boot: BootId,
        now: Timestamp,
    ) -> Self {
        let (template, doomed) = match TaskTemplate::of(&execution) {
            Ok(template) => (template, None),
            Err(fault) => {
                let message = format!("The stored spec cannot be used: {fault}");
                (TaskTemplate::default(), Some(Failure { reason: None, message }))
            }
        };
        let mut run = Self {
            written: execution.state.clone(),
            execution,
            template,
            doomed,
            time: Time::Left,
            import: Import::NotAsked,
            discard: Discard::NotAsked,
            next_index: 0,
            live: BTreeMap::new(),
            stop: Stop::NotAsked,
            ready: BTreeMap::new(),
            later: BTreeSet::new(),
            own_faults: BTreeMap::new(),
            first_failure: None,
            unwritten: BTreeMap::new(),
            over: Vec::new(),
            unasked: BTreeSet::new(),
            visits: 0,
        };
        if !run.over_and_done() {
            run.look_at_clock(now);
            run.retell(attempts);
            run.lose_other_boots(boot, now);
        }
        run
    }

    /// Counts again what was counted when it happened.
    fn retell(&mut self, mut attempts: Vec<Attempt>) {
        attempts.sort_by_key(|attempt| attempt.id);
        self.execution.state.counters = Counters::default();
        for task in attempts.chunk_by(|a, b| a.id.task == b.id.task) {
            self.visits += task.len() as u64;
            let [earlier @ .., last] = task else { unreachable!("no chunk is empty") };
            for attempt in earlier {
                self.retell_failed(attempt);
            }
            self.retell_last(last);
        }
    }

    /// An attempt that was followed by another.
    fn retell_failed(&mut self, attempt: &Attempt) {
        self.count_retry(attempt.id.attempt);
        self.over.push(attempt.id);
        if let Some((_, Ending::StartFailed { whose: Fault::Ours, .. })) = attempt.ended {
            *self.own_faults.entry(attempt.id.task).or_default() += 1;
        }
    }

    fn retell_last(&mut self, attempt: &Attempt) {
        let task = attempt.id.task;
        self.next_index = self.next_index.max(task + 1);
        self.count_retry(attempt.id.attempt);
        if let Some((at, ending)) = &attempt.ended {
            self.count(attempt.id, *at, ending);
            // Whether the last process came to say so to the backend before it died is not known.
            self.over.push(attempt.id);
            return;
        }
        self.execution.state.counters.running += u32::from(attempt.started.is_some());
        self.unasked.insert(task);
        self.live.insert(task, attempt.clone());
    }

    fn lose_other_boots(&mut self, boot: BootId, now: Timestamp) {
        let lost = self.live.iter().filter(|(_, attempt)| attempt.boot != boot);
        let lost: Vec<u32> = lost.map(|(task, _)| *task).collect();
        for task in lost {
            if mutant!("reboot_not_noticed") {
                continue;
            }
            let why = "the machine was restarted".to_owned();
            let Heard::News = self.hear_ended(task, now, Ending::Lost { why }) else {
                unreachable!("the end of a live attempt is news");
            };
        }
    }

    /// A task counts as retried when its first retry begins.
    pub(crate) fn count_retry(&mut self, attempt: u32) {
        if attempt == 1 || (attempt > 1 && mutant!("every_retry_counts")) {
            self.execution.state.counters.retried += 1;
        }
    }
}
