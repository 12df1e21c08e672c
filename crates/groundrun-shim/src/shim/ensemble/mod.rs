//! What becomes of the containers of one attempt: who starts when, who is stopped when, and what the attempt came to.
//! Decides only; events and time come in, orders go out.
//!
//! ```text
//! each   Waiting ──all that it depends on are up──▶ Starting ──▶ Running (not up ──probe succeeds──▶ up) ──▶ Ended
//! all    at work ──deadline, wish, a failure, all that are no sidecars ended──▶ SIGTERM to all ──grace──▶ SIGKILL to all
//! ```
//! A container that others depend on is a sidecar. An attempt is over when all others have ended; sidecars are stopped
//! then, and what they exit with no longer matters. One that fails before that fails the attempt.

mod probing;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use self::probing::{Due, Probing};
use super::patience::{self, Patience, Why};
use crate::protocol::{Cause, Exit, Probe};

/// What the monitor is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Start the container at this place, and say what came of it.
    Start(usize),
    /// Ask it whether it has started, and say what came of it.
    Ask(usize),
    /// Give up asking.
    GiveUp(usize),
    /// SIGTERM to its init.
    Terminate(usize),
    /// SIGKILL to its init, and so to all of it.
    Kill(usize),
}

/// What an attempt came to, with the place of the container that made it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Of a container that ran.
    Exited { index: usize, exit: Exit, cause: Cause },
    /// Of one that could not be started.
    StartFailed { index: usize },
    /// Of one that did not say in time that it has started.
    ProbeFailed { index: usize, why: String },
}

/// The containers of one attempt.
#[derive(Debug)]
pub(super) struct Ensemble {
    members: Vec<Member>,
    timeout: Duration,
    grace: Duration,
    /// From the first start on.
    patience: Option<Patience>,
    /// What decided. The first one stays; none when the attempt was stopped from outside.
    verdict: Option<Verdict>,
    orders: VecDeque<Order>,
}

#[derive(Debug)]
struct Member {
    depends_on: Vec<usize>,
    is_sidecar: bool,
    probing: Probing,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Starting,
    Running,
    Ended {
        exit: Exit,
        stopped: Stopped,
    },
    /// It could not be started.
    Unstarted,
}

/// Whether a container ended after all were told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Yes,
    No,
}

/// Containers that wait for each other, or for one that is not there, would wait for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unstartable;

impl Ensemble {
    /// Containers by what each depends on and how it is asked whether it has started; those that depend on nothing are
    /// ordered to start.
    pub(super) fn new(
        containers: impl IntoIterator<Item = (Vec<usize>, Option<Probe>)>,
        timeout: Duration,
        grace: Duration,
    ) -> Result<Self, Unstartable> {
        let member = |(depends_on, probe)| Member {
            depends_on,
            is_sidecar: false,
            probing: Probing::new(probe),
            state: State::Waiting,
        };
        let mut members: Vec<Member> = containers.into_iter().map(member).collect();
        for index in 0..members.len() {
            for other in members[index].depends_on.clone() {
                members.get_mut(other).ok_or(Unstartable)?.is_sidecar = true;
            }
        }
        if !all_can_start(&members) {
            return Err(Unstartable);
        }
        let orders = VecDeque::new();
        let mut ensemble = Self { members, timeout, grace, patience: None, verdict: None, orders };
        ensemble.start_ready();
        Ok(ensemble)
    }

    /// What is to be done next, until nothing is.
    pub(super) fn next_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// When to look again, if nothing else happens.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let probes = self.members.iter().filter_map(|member| member.probing.wake_at());
        probes.chain(self.patience.as_ref().and_then(Patience::wake_at)).min()
    }

    /// What it came to, once nothing of it runs and nothing will.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let lives = |member: &Member| matches!(member.state, State::Starting | State::Running);
        if self.members.iter().any(lives) {
            return None;
        }
        match (&self.verdict, self.why()) {
            (Some(verdict), _) => Some(verdict.clone()),
            (None, Some(Why::Deadline)) => Some(self.stopped(Cause::Deadline)),
            (None, Some(Why::Asked)) => Some(self.stopped(Cause::Asked)),
            (None, None | Some(Why::Over)) => None,
        }
    }

    /// Whether what the attempt comes to tells the end of this container, which has ended; none while that is open.
    pub(super) fn is_the_attempts_end(&self, index: usize) -> Option<bool> {
        match (self.verdict.clone().or_else(|| self.verdict()), self.why()) {
            (Some(Verdict::Exited { index: decisive, .. }), _) => Some(decisive == index),
            (Some(_), _) => Some(false),
            // One of those that are being stopped will.
            (None, Some(_)) => None,
            (None, None) => Some(false),
        }
    }

    pub(super) fn started(&mut self, index: usize, now: Instant) {
        let (timeout, grace) = (self.timeout, self.grace);
        self.patience.get_or_insert_with(|| Patience::new(now, timeout, grace));
        let member = &mut self.members[index];
        member.state = State::Running;
        member.probing.begin(now);
        self.start_ready();
    }

    pub(super) fn could_not_start(&mut self, index: usize, now: Instant) {
        self.members[index].state = State::Unstarted;
        self.decide(Verdict::StartFailed { index }, now);
    }

    pub(super) fn exited(&mut self, index: usize, exit: Exit, now: Instant) {
        let is_stopping = self.why().is_some();
        let stopped = if is_stopping { Stopped::Yes } else { Stopped::No };
        let member = &mut self.members[index];
        member.state = State::Ended { exit, stopped };
        let was_up = member.probing.is_up();
        if member.probing.give_up() {
            self.orders.push_back(Order::GiveUp(index));
        }
        if is_stopping {
            return;
        }
        if exit != Exit::Code(0) || self.all_are_done() {
            self.decide(Verdict::Exited { index, exit, cause: Cause::OnItsOwn }, now);
        } else if !was_up && self.members[index].is_sidecar {
            let why = "it exited with code 0 before the probe succeeded".to_owned();
            self.decide(Verdict::ProbeFailed { index, why }, now);
        }
    }

    /// What came of an [`Order::Ask`]. Of one that was given up it is not heard.
    pub(super) fn answered(&mut self, index: usize, answer: Result<(), String>, now: Instant) {
        match self.members[index].probing.answered(answer, now) {
            probing::Answer::Unasked | probing::Answer::Again => {}
            probing::Answer::Up => self.start_ready(),
            probing::Answer::TooOften(why) => {
                self.decide(Verdict::ProbeFailed { index, why }, now);
            }
        }
    }

    /// Somebody asks it to stop. While it is stopping already, that may only shorten what is left.
    pub(super) fn ask(&mut self, now: Instant, grace: Duration) {
        let fresh = Patience::new(now, self.timeout, self.grace);
        let order = self.patience.get_or_insert(fresh).ask(now, grace);
        self.pass_on(order);
    }

    /// Time has passed.
    pub(super) fn look(&mut self, now: Instant) {
        if let Some(patience) = &mut self.patience {
            let order = patience.look(now);
            self.pass_on(order);
        }
        for index in 0..self.members.len() {
            match self.members[index].probing.look(now) {
                Due::Nothing => {}
                Due::Ask => self.orders.push_back(Order::Ask(index)),
                Due::GiveUp(why) => {
                    self.orders.push_back(Order::GiveUp(index));
                    self.answered(index, Err(why), now);
                }
            }
        }
    }

    fn why(&self) -> Option<Why> {
        self.patience.as_ref().and_then(Patience::why)
    }

    /// Orders what waits for nothing any more.
    fn start_ready(&mut self) {
        if self.why().is_some() || self.verdict.is_some() {
            return;
        }
        let is_up = |other: &usize| {
            let other = &self.members[*other];
            matches!(other.state, State::Running | State::Ended { .. }) && other.probing.is_up()
        };
        let ready =
            |member: &Member| member.state == State::Waiting && member.depends_on.iter().all(is_up);
        let ready: Vec<usize> =
            (0..self.members.len()).filter(|index| ready(&self.members[*index])).collect();
        for index in ready {
            self.members[index].state = State::Starting;
            self.orders.push_back(Order::Start(index));
        }
    }

    /// Whether all that are no sidecars have ended.
    fn all_are_done(&self) -> bool {
        let mut mains = self.members.iter().filter(|member| !member.is_sidecar);
        mains.all(|member| matches!(member.state, State::Ended { .. }))
    }

    /// The attempt came to this, unless it came to something before: what still runs is to stop.
    fn decide(&mut self, verdict: Verdict, now: Instant) {
        if self.verdict.is_some() || self.why().is_some() {
            return;
        }
        self.verdict = Some(verdict);
        if let Some(patience) = &mut self.patience {
            let order = patience.stop(now, Why::Over, self.grace);
            self.pass_on(order);
        }
        self.withdraw_starts();
    }

    fn pass_on(&mut self, order: patience::Order) {
        let order: fn(usize) -> Order = match order {
            patience::Order::Wait => return,
            patience::Order::Terminate => Order::Terminate,
            patience::Order::Kill => Order::Kill,
        };
        self.withdraw_starts();
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.probing.give_up() {
                self.orders.push_back(Order::GiveUp(index));
            }
            if member.state == State::Running {
                self.orders.push_back(order(index));
            }
        }
    }

    /// Nothing begins any more.
    fn withdraw_starts(&mut self) {
        for member in &mut self.members {
            if member.state == State::Starting {
                member.state = State::Waiting;
            }
        }
        self.orders.retain(|order| !matches!(order, Order::Start(_)));
    }

    /// Stopped from outside, it came to what became of the first container that was stopped, rather one that is no sidecar.
    /// One that had not started is as if it had been terminated the moment it did.
    fn stopped(&self, cause: Cause) -> Verdict {
        let by_duty = [false, true].into_iter().flat_map(|sidecars| {
            let members = self.members.iter().enumerate();
            members.filter(move |(_, member)| member.is_sidecar == sidecars)
        });
        let ended = by_duty.filter_map(|(index, member)| match member.state {
            State::Ended { exit, stopped: Stopped::Yes } => Some((index, exit)),
            _ => None,
        });
        let (index, exit) = ended.take(1).next().unwrap_or((0, Exit::Signal(libc::SIGTERM)));
        Verdict::Exited { index, exit, cause }
    }
}

/// Whether everybody's turn comes.
fn all_can_start(members: &[Member]) -> bool {
    let mut up = vec![false; members.len()];
    for _ in 0..members.len() {
        for (index, member) in members.iter().enumerate() {
            up[index] = up[index] || member.depends_on.iter().all(|other| up[*other]);
        }
    }
    !members.is_empty() && up.into_iter().all(|is_up| is_up)
}
