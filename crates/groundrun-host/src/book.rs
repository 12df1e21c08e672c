//! What is asked and known of each attempt, and what is to be done next. Pure: no disk, no shim, no clock.
//!
//! ```text
//!             ask                  next_job               live
//!   (nothing) ───▶ Waiting ───────────▶ Busy ───────────────▶ Live
//!                     ▲                  │ │                   │ │
//!                     │     later        │ │ over         over │ │ hung_up
//!                     ├──────────────────┘ └──────▶ Over ◀─────┘ │
//!                     └──────────────────────────────────────────┘        Over ──forget──▶ (nothing)
//! ```
//!
//! An end is kept until the engine has it in the journal and says `Forget`: a start that was asked twice is then answered
//! with the end, and never started after it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    port::{AttemptSpec, Observation},
    record::Ending,
};
use jiff::Timestamp;

/// The book, over connections `C`.
///
/// Its queues hold an attempt once each, so they are bounded by the attempts that the engine has in flight.
#[derive(Debug)]
pub(crate) struct Book<C> {
    attempts: BTreeMap<AttemptId, State<C>>,
    /// Asked for again, asked to stop, or hung up: goes before starts, however many those are.
    urgent: Queue,
    starts: Queue,
    later: BTreeSet<(Instant, AttemptId)>,
    chores: VecDeque<Chore>,
}

#[derive(Debug)]
enum State<C> {
    Waiting { wants: Wants },
    Busy { stop: Option<Duration> },
    Live { connection: C, started: Option<Timestamp> },
    Over { at: Timestamp, ending: Ending },
}

/// What is wanted of an attempt that nobody works on yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wants {
    /// To run it, if it was never begun.
    pub(crate) start: Option<Box<AttemptSpec>>,
    /// To stop it, with this grace.
    pub(crate) stop: Option<Duration>,
}

/// What a worker does next.
#[must_use]
#[derive(Debug, PartialEq)]
pub(crate) enum Job {
    /// Look at it, bring it about, and say what came of it through `live`, `over` or `later`.
    Settle { id: AttemptId, wants: Wants },
    /// Say it again.
    Tell { id: AttemptId, seen: Observation },
}

/// A job, or how long there is none.
#[must_use]
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Job(Job),
    /// None before this.
    At(Instant),
    /// None until something is asked.
    Idle,
}

/// Something to clean up.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    Forget(AttemptId),
    Discard(ExecutionUid),
}

#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<AttemptId>,
    members: BTreeSet<AttemptId>,
}

impl<C> Default for Book<C> {
    fn default() -> Self {
        Self {
            attempts: BTreeMap::new(),
            urgent: Queue::default(),
            starts: Queue::default(),
            later: BTreeSet::new(),
            chores: VecDeque::new(),
        }
    }
}

impl<C: Clone> Book<C> {
    /// It is to run, unless it was ever begun; and what became of it is to be told.
    pub(crate) fn start(&mut self, spec: Box<AttemptSpec>) {
        let id = spec.id;
        match self.attempts.get_mut(&id) {
            None => {
                let wants = Wants { start: Some(spec), stop: None };
                self.attempts.insert(id, State::Waiting { wants });
                self.starts.push(id);
            }
            Some(State::Waiting { wants }) => {
                wants.start.get_or_insert(spec);
            }
            Some(State::Busy { .. }) => {}
            Some(State::Live { .. } | State::Over { .. }) => self.urgent.push(id),
        }
    }

    /// What became of it is to be told.
    pub(crate) fn adopt(&mut self, id: AttemptId) {
        match self.attempts.get(&id) {
            None => {
                self.attempts.insert(id, State::Waiting { wants: Wants::default() });
                self.urgent.push(id);
            }
            Some(State::Waiting { .. } | State::Busy { .. }) => {}
            Some(State::Live { .. } | State::Over { .. }) => self.urgent.push(id),
        }
    }

    /// It is to stop. The caller passes the wish on where a connection is given back.
    #[must_use]
    pub(crate) fn stop(&mut self, id: AttemptId, grace: Duration) -> Option<C> {
        let sooner = |stop: &mut Option<Duration>| {
            *stop = Some(stop.map_or(grace, |earlier| earlier.min(grace)));
        };
        match self.attempts.get_mut(&id) {
            None => {
                let wants = Wants { start: None, stop: Some(grace) };
                self.attempts.insert(id, State::Waiting { wants });
                self.urgent.push(id);
            }
            Some(State::Waiting { wants }) => {
                sooner(&mut wants.stop);
                self.urgent.push(id);
            }
            Some(State::Busy { stop }) => sooner(stop),
            Some(State::Live { connection, .. }) => return Some(connection.clone()),
            Some(State::Over { .. }) => self.urgent.push(id),
        }
        None
    }

    /// Its end is in the journal.
    pub(crate) fn forget(&mut self, id: AttemptId) {
        if let Some(State::Over { .. }) = self.attempts.get(&id) {
            self.attempts.remove(&id);
        }
        self.chores.push_back(Chore::Forget(id));
    }

    /// All of the execution is to go. What was asked of it before is not done any more.
    pub(crate) fn discard(&mut self, execution: ExecutionUid) {
        let idle: Vec<AttemptId> = self
            .of(execution)
            .filter(|(_, state)| matches!(state, State::Waiting { .. } | State::Over { .. }))
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            self.attempts.remove(&id);
        }
        self.chores.push_back(Chore::Discard(execution));
    }

    /// What a worker does next, at `now`.
    pub(crate) fn next_job(&mut self, now: Instant) -> Next {
        while let Some((at, id)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, id));
            self.urgent.push(id);
        }
        while let Some(id) = self.urgent.pop().or_else(|| self.starts.pop()) {
            if let Some(job) = self.job(id) {
                return Next::Job(job);
            }
        }
        self.later.first().map_or(Next::Idle, |(at, _)| Next::At(*at))
    }

    fn job(&mut self, id: AttemptId) -> Option<Job> {
        let state = self.attempts.get_mut(&id)?;
        match state {
            State::Waiting { wants } => {
                let wants = std::mem::take(wants);
                *state = State::Busy { stop: wants.stop };
                Some(Job::Settle { id, wants })
            }
            State::Busy { .. } | State::Live { started: None, .. } => None,
            State::Live { started: Some(at), .. } => {
                Some(Job::Tell { id, seen: Observation::Started { at: *at } })
            }
            State::Over { at, ending } => {
                Some(Job::Tell { id, seen: Observation::Ended { at: *at, ending: ending.clone() } })
            }
        }
    }

    /// A chore that can be done: an execution is discarded once nobody works on it and nothing of it runs.
    pub(crate) fn next_chore(&mut self) -> Option<Chore> {
        let ready = self.chores.iter().position(|chore| match chore {
            Chore::Forget(_) => true,
            Chore::Discard(execution) => self.of(*execution).next().is_none(),
        })?;
        self.chores.remove(ready)
    }

    /// It runs, as this connection says. Gives back a wish to stop that came meanwhile, to be passed on.
    #[must_use]
    pub(crate) fn live(
        &mut self,
        id: AttemptId,
        connection: C,
        started: Option<Timestamp>,
    ) -> Option<Duration> {
        match self.attempts.insert(id, State::Live { connection, started }) {
            Some(State::Busy { stop }) => stop,
            _ => None,
        }
    }

    /// Its program runs since `at`.
    pub(crate) fn started(&mut self, id: AttemptId, since: Timestamp) {
        if let Some(State::Live { started, .. }) = self.attempts.get_mut(&id) {
            *started = Some(since);
        }
    }

    /// It is over.
    pub(crate) fn over(&mut self, id: AttemptId, at: Timestamp, ending: Ending) {
        self.attempts.insert(id, State::Over { at, ending });
    }

    /// Its shim hung up without saying how it ended: look again.
    pub(crate) fn hung_up(&mut self, id: AttemptId) {
        self.attempts.insert(id, State::Waiting { wants: Wants::default() });
        self.urgent.push(id);
    }

    /// It could not be settled; once more, not before `when`.
    pub(crate) fn later(&mut self, id: AttemptId, mut wants: Wants, when: Instant) {
        if let Some(State::Busy { stop: Some(grace) }) = self.attempts.get(&id) {
            wants.stop = Some(wants.stop.map_or(*grace, |earlier| earlier.min(*grace)));
        }
        self.attempts.insert(id, State::Waiting { wants });
        self.later.insert((when, id));
    }

    /// Whether nothing runs, is about to, or is waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.attempts.values().all(|state| matches!(state, State::Over { .. }))
    }

    /// Whether it was asked to stop since a worker took it.
    pub(crate) fn stop_asked(&self, id: AttemptId) -> Option<Duration> {
        match self.attempts.get(&id) {
            Some(State::Busy { stop }) => *stop,
            _ => None,
        }
    }

    fn of(&self, execution: ExecutionUid) -> impl Iterator<Item = (&AttemptId, &State<C>)> {
        let bound = |number| AttemptId { execution, task: number, attempt: number };
        self.attempts.range(bound(0)..=bound(u32::MAX))
    }
}

impl Queue {
    fn push(&mut self, id: AttemptId) {
        if self.members.insert(id) {
            self.order.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<AttemptId> {
        let id = self.order.pop_front()?;
        self.members.remove(&id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use groundrun_core::{
        port::ContainerSpec,
        record::{Cause, Exit},
    };

    use super::*;

    /// Connections are named by letters.
    type TestBook = Book<char>;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(task: u32) -> AttemptId {
        let first: AttemptId =
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/0-0".parse().expect("it is an id");
        AttemptId { task, ..first }
    }

    fn spec(task: u32) -> Box<AttemptSpec> {
        Box::new(AttemptSpec {
            id: id(task),
            hostname: String::new(),
            service_account: String::new(),
            containers: vec![ContainerSpec::default()],
            volumes: vec![],
            connection: None,
            timeout: SECOND,
            grace: SECOND,
        })
    }

    fn ending() -> Ending {
        Ending::Exited {
            exit: Exit::Code(0),
            cause: Cause::OnItsOwn,
            memory_peak: None,
            message: None,
            container: None,
        }
    }

    fn settle(task: u32, start: Option<Box<AttemptSpec>>, stop: Option<Duration>) -> Next {
        Next::Job(Job::Settle { id: id(task), wants: Wants { start, stop } })
    }

    fn tell(task: u32, seen: Observation) -> Next {
        Next::Job(Job::Tell { id: id(task), seen })
    }

    fn ended() -> Observation {
        Observation::Ended { at: Timestamp::UNIX_EPOCH, ending: ending() }
    }

    #[test]
    fn a_start_asked_twice_is_one_start() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        book.start(spec(1));
        book.start(spec(1));
        assert_eq!(book.next_job(now), settle(1, Some(spec(1)), None));
        book.start(spec(1));
        assert_eq!(book.next_job(now), Next::Idle);
    }

    #[test]
    fn starts_are_taken_in_the_order_asked() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        [3, 1, 2].into_iter().for_each(|task| book.start(spec(task)));
        for task in [3, 1, 2] {
            assert_eq!(book.next_job(now), settle(task, Some(spec(task)), None));
        }
    }

    #[test]
    fn an_end_is_told_again_until_it_is_forgotten() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        book.start(spec(1));
        assert_eq!(book.next_job(now), settle(1, Some(spec(1)), None));
        assert!(!book.is_idle());
        book.over(id(1), Timestamp::UNIX_EPOCH, ending());
        assert!(book.is_idle());
        book.start(spec(1));
        assert_eq!(book.next_job(now), tell(1, ended()));
        book.adopt(id(1));
        assert_eq!(book.next_job(now), tell(1, ended()));
        assert_eq!(book.stop(id(1), SECOND), None);
        assert_eq!(book.next_job(now), tell(1, ended()));
        book.forget(id(1));
        assert_eq!(book.next_job(now), Next::Idle);
        assert_eq!(book.next_chore(), Some(Chore::Forget(id(1))));
        assert!(book.attempts.is_empty());
    }

    #[test]
    fn a_stop_goes_before_all_starts_and_takes_the_queued_start_with_it() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        [1, 2, 3].into_iter().for_each(|task| book.start(spec(task)));
        assert_eq!(book.stop(id(3), SECOND), None);
        assert_eq!(book.next_job(now), settle(3, Some(spec(3)), Some(SECOND)));
        assert_eq!(book.next_job(now), settle(1, Some(spec(1)), None));
        assert_eq!(book.next_job(now), settle(2, Some(spec(2)), None));
        assert_eq!(book.next_job(now), Next::Idle);
    }

    #[test]
    fn a_stop_during_the_start_is_passed_on_when_it_runs() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        book.start(spec(1));
        assert_eq!(book.next_job(now), settle(1, Some(spec(1)), None));
        assert_eq!(book.stop(id(1), 2 * SECOND), None);
        assert_eq!(book.stop(id(1), SECOND), None);
        assert_eq!(book.stop(id(1), 3 * SECOND), None);
        assert_eq!(book.stop_asked(id(1)), Some(SECOND));
        assert_eq!(book.live(id(1), 'a', None), Some(SECOND));
        assert_eq!(book.stop(id(1), SECOND), Some('a'));
    }

    #[test]
    fn a_stop_before_anybody_looked_is_passed_on_to_what_runs() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        assert_eq!(book.stop(id(1), SECOND), None);
        assert_eq!(book.next_job(now), settle(1, None, Some(SECOND)));
        assert_eq!(book.live(id(1), 'a', None), Some(SECOND));
    }

    #[test]
    fn a_running_attempt_is_told_again_once_it_started() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        book.adopt(id(1));
        assert_eq!(book.next_job(now), settle(1, None, None));
        assert_eq!(book.live(id(1), 'a', None), None);
        book.adopt(id(1));
        assert_eq!(book.next_job(now), Next::Idle);
        book.started(id(1), Timestamp::UNIX_EPOCH);
        book.start(spec(1));
        let started = Observation::Started { at: Timestamp::UNIX_EPOCH };
        assert_eq!(book.next_job(now), tell(1, started));
    }

    #[test]
    fn a_shim_that_hangs_up_is_looked_at_again() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        assert_eq!(book.live(id(1), 'a', None), None);
        book.hung_up(id(1));
        assert_eq!(book.next_job(now), settle(1, None, None));
    }

    #[test]
    fn what_could_not_be_settled_is_tried_later_with_the_stop_that_came_meanwhile() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        book.start(spec(1));
        assert_eq!(book.next_job(now), settle(1, Some(spec(1)), None));
        assert_eq!(book.stop(id(1), SECOND), None);
        let when = now + SECOND;
        book.later(id(1), Wants { start: Some(spec(1)), stop: None }, when);
        assert_eq!(book.next_job(now), Next::At(when));
        assert_eq!(book.next_job(when), settle(1, Some(spec(1)), Some(SECOND)));
    }

    #[test]
    fn discarding_drops_what_waits_and_waits_for_what_runs() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        assert_eq!(book.live(id(1), 'a', None), None);
        book.start(spec(2));
        book.discard(id(1).execution);
        assert_eq!(book.next_job(now), Next::Idle);
        assert_eq!(book.next_chore(), None);
        book.over(id(1), Timestamp::UNIX_EPOCH, ending());
        book.forget(id(1));
        assert_eq!(book.next_chore(), Some(Chore::Discard(id(1).execution)));
    }

    #[test]
    fn ten_thousand_starts_are_ten_thousand_lines_of_the_book() {
        let (mut book, now) = (TestBook::default(), Instant::now());
        (0..10_000).for_each(|task| book.start(spec(task)));
        (0..10_000).for_each(|task| book.start(spec(task)));
        let jobs = std::iter::from_fn(|| match book.next_job(now) {
            Next::Job(job) => Some(job),
            Next::At(_) | Next::Idle => None,
        });
        assert_eq!(jobs.count(), 10_000);
    }
}
