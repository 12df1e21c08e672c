//! A machine with containers and their monitors. It outlives the server; what it knows of an attempt it keeps until told
//! to forget it.

use std::collections::{BTreeMap, BTreeSet};

use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    port::{Action, Observation},
    record::{Cause, Ending, Exit, Fault},
};
use jiff::Timestamp;

use super::random::Random;

/// What the machine has.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) containers: BTreeMap<AttemptId, Container>,
    /// Every attempt that ever had a process.
    pub(super) born: BTreeSet<AttemptId>,
    /// What does not hold.
    pub(super) faults: Vec<String>,
}

/// What there is of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Container {
    Runs { since: Timestamp, stop: Stop },
    Over { at: Timestamp, ending: Ending },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    NotAsked,
    Asked,
}

/// What follows from an action.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// This is to be told.
    Tell(AttemptId, Observation),
    /// It runs, and ends by itself some time.
    Runs(AttemptId),
    /// It was told to stop, and does within the grace.
    Stops(AttemptId),
}

impl Machine {
    pub(super) fn apply(
        &mut self,
        action: &Action,
        random: &mut Random,
        now: Timestamp,
    ) -> Vec<Effect> {
        match action {
            Action::Start(spec) => self.start(spec.id, random, now),
            Action::Adopt(id) => vec![self.known_or_lost(*id, now)],
            Action::Stop { id, .. } => self.stop(*id, now),
            Action::Forget(id) => {
                if matches!(self.containers.get(id), Some(Container::Runs { .. })) {
                    self.faults.push(format!("{id} is forgotten while it runs"));
                }
                self.containers.remove(id);
                Vec::new()
            }
            Action::Discard(uid) => {
                self.discard(*uid);
                Vec::new()
            }
        }
    }

    fn start(&mut self, id: AttemptId, random: &mut Random, now: Timestamp) -> Vec<Effect> {
        if self.containers.contains_key(&id) {
            return vec![self.known_or_lost(id, now)];
        }
        if self.born.contains(&id) {
            self.faults.push(format!("{id} starts a second time"));
        }
        let fault = [Fault::Ours, Fault::Theirs][usize::from(random.per_mille(300))];
        if random.per_mille(120) {
            let ending =
                Ending::StartFailed { whose: fault, why: "no luck".to_owned(), container: None };
            return vec![self.end(id, now, ending)];
        }
        self.born.insert(id);
        self.containers.insert(id, Container::Runs { since: now, stop: Stop::NotAsked });
        vec![Effect::Tell(id, Observation::Started { at: now }), Effect::Runs(id)]
    }

    fn stop(&mut self, id: AttemptId, now: Timestamp) -> Vec<Effect> {
        match self.containers.get_mut(&id) {
            Some(Container::Runs { stop, .. }) => {
                *stop = Stop::Asked;
                vec![Effect::Stops(id)]
            }
            _ => vec![self.known_or_lost(id, now)],
        }
    }

    /// What is known of it. Of what was never heard of here nothing can run, and it may not begin any more.
    fn known_or_lost(&mut self, id: AttemptId, now: Timestamp) -> Effect {
        match self.containers.get(&id) {
            Some(Container::Runs { since, .. }) => {
                Effect::Tell(id, Observation::Started { at: *since })
            }
            Some(Container::Over { at, ending }) => {
                Effect::Tell(id, Observation::Ended { at: *at, ending: ending.clone() })
            }
            None => self.end(id, now, Ending::Lost { why: "no trace of it".to_owned() }),
        }
    }

    fn discard(&mut self, uid: ExecutionUid) {
        let of_it: Vec<AttemptId> =
            self.containers.keys().filter(|id| id.execution == uid).copied().collect();
        for id in of_it {
            if let Some(Container::Runs { .. }) = self.containers.remove(&id) {
                self.faults.push(format!("{id} is discarded while it runs"));
            }
        }
    }

    /// It ends by itself, if it still runs. One that was told to stop may do so, or not notice in time.
    pub(super) fn ends(
        &mut self,
        id: AttemptId,
        random: &mut Random,
        now: Timestamp,
    ) -> Option<Effect> {
        let Some(Container::Runs { stop, .. }) = self.containers.get(&id) else { return None };
        let asked = *stop == Stop::Asked && random.per_mille(700);
        let (exit, cause) = match (asked, random.below(10)) {
            (true, 0..5) => (Exit::Code(0), Cause::Asked),
            (true, _) => (Exit::Signal(9), Cause::Asked),
            (false, 0..6) => (Exit::Code(0), Cause::OnItsOwn),
            (false, 6) => (Exit::Signal(9), Cause::OutOfMemory),
            (false, 7) => (Exit::Signal(15), Cause::Deadline),
            (false, _) => (Exit::Code(1), Cause::OnItsOwn),
        };
        Some(self.end(
            id,
            now,
            Ending::Exited { exit, cause, memory_peak: None, message: None, container: None },
        ))
    }

    /// The monitor of a container is killed, and its container by that.
    pub(super) fn kill_one(&mut self, random: &mut Random, now: Timestamp) -> Option<Effect> {
        let running: Vec<AttemptId> = self.running().collect();
        let id = random.pick(&running)?;
        Some(self.end(id, now, Ending::Lost { why: "its monitor was killed".to_owned() }))
    }

    /// Nothing runs any more; what was written of ends is still there.
    pub(super) fn reboot(&mut self) {
        self.containers.retain(|_, container| matches!(container, Container::Over { .. }));
    }

    /// What a monitor left behind and nobody has asked to forget.
    pub(super) fn leftovers(&self) -> Vec<Effect> {
        let over = |(id, container): (&AttemptId, &Container)| match container {
            Container::Over { at, ending } => {
                let seen = Observation::Ended { at: *at, ending: ending.clone() };
                Some(Effect::Tell(*id, seen))
            }
            Container::Runs { .. } => None,
        };
        self.containers.iter().filter_map(over).collect()
    }

    pub(super) fn running(&self) -> impl Iterator<Item = AttemptId> {
        self.containers
            .iter()
            .filter(|(_, container)| matches!(container, Container::Runs { .. }))
            .map(|(id, _)| *id)
    }

    fn end(&mut self, id: AttemptId, at: Timestamp, ending: Ending) -> Effect {
        self.containers.insert(id, Container::Over { at, ending: ending.clone() });
        Effect::Tell(id, Observation::Ended { at, ending })
    }
}
