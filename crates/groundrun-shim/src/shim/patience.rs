//! How long programs may run, and what they are sent when that is over. Decides only; time comes in.
//!
//! ```text
//! Running ──timeout or Stop──▶ SIGTERM, Stopping ──grace over──▶ SIGKILL, Killed
//!    └────────── Stop without grace ──────────────────────────────────▲
//! ```

use std::time::{Duration, Instant};

/// What programs are sent.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing now.
    Wait,
    /// SIGTERM to each init.
    Terminate,
    /// SIGKILL to each init, and so to all.
    Kill,
}

/// Why they are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The timeout was over.
    Deadline,
    /// Somebody asked.
    Asked,
    /// Enough has happened among themselves.
    Over,
}

/// The deadline of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    phase: Phase,
    grace: Duration,
}

/// A time of `None` never comes: it is beyond what the clock can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running { until: Option<Instant> },
    Stopping { why: Why, until: Option<Instant> },
    Killed { why: Why },
}

impl Patience {
    pub(super) fn new(now: Instant, timeout: Duration, grace: Duration) -> Self {
        Self { phase: Phase::Running { until: now.checked_add(timeout) }, grace }
    }

    /// When to look again, if nothing else happens.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running { until } | Phase::Stopping { until, .. } => until,
            Phase::Killed { .. } => None,
        }
    }

    /// Why they are being stopped, if they are.
    pub(super) fn why(&self) -> Option<Why> {
        match self.phase {
            Phase::Running { .. } => None,
            Phase::Stopping { why, .. } | Phase::Killed { why } => Some(why),
        }
    }

    /// What is due at `now`.
    pub(super) fn look(&mut self, now: Instant) -> Order {
        let is_due = self.wake_at().is_some_and(|until| until <= now);
        match self.phase {
            Phase::Running { .. } if is_due => self.stop(now, Why::Deadline, self.grace),
            Phase::Stopping { why, .. } if is_due => self.kill(why),
            _ => Order::Wait,
        }
    }

    /// Somebody asks it to stop. While it is stopping already, that may only shorten what is left.
    pub(super) fn ask(&mut self, now: Instant, grace: Duration) -> Order {
        match self.phase {
            Phase::Running { .. } => self.stop(now, Why::Asked, grace),
            Phase::Stopping { why, until } => {
                let sooner = match (until, now.checked_add(grace)) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                self.phase = Phase::Stopping { why, until: sooner };
                self.look(now)
            }
            Phase::Killed { .. } => Order::Wait,
        }
    }

    /// They are to stop now, which they were not yet.
    pub(super) fn stop(&mut self, now: Instant, why: Why, grace: Duration) -> Order {
        if grace.is_zero() {
            return self.kill(why);
        }
        self.phase = Phase::Stopping { why, until: now.checked_add(grace) };
        Order::Terminate
    }

    fn kill(&mut self, why: Why) -> Order {
        self.phase = Phase::Killed { why };
        Order::Kill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A program with a minute, and ten seconds of grace; `start` is second 0.
    fn program() -> (Patience, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Patience::new(start, seconds(60), seconds(10)), move |at| start + seconds(at))
    }

    #[test]
    fn a_deadline_terminates_and_the_end_of_the_grace_kills() {
        let (mut patience, at) = program();
        assert_eq!(patience.look(at(59)), Order::Wait);
        assert_eq!(patience.why(), None);
        assert_eq!(patience.look(at(60)), Order::Terminate);
        assert_eq!(patience.look(at(60)), Order::Wait);
        assert_eq!(patience.wake_at(), Some(at(70)));
        assert_eq!(patience.look(at(70)), Order::Kill);
        assert_eq!(patience.look(at(80)), Order::Wait);
        assert_eq!(patience.why(), Some(Why::Deadline));
        assert_eq!(patience.wake_at(), None);
    }

    #[test]
    fn a_stop_without_grace_kills_at_once() {
        let (mut patience, at) = program();
        assert_eq!(patience.ask(at(1), Duration::ZERO), Order::Kill);
        assert_eq!(patience.why(), Some(Why::Asked));
    }

    #[test]
    fn a_second_stop_shortens_the_grace_and_never_lengthens_it() {
        let (mut patience, at) = program();
        assert_eq!(patience.ask(at(1), seconds(10)), Order::Terminate);
        assert_eq!(patience.ask(at(2), seconds(30)), Order::Wait);
        assert_eq!(patience.wake_at(), Some(at(11)));
        assert_eq!(patience.ask(at(3), seconds(2)), Order::Wait);
        assert_eq!(patience.wake_at(), Some(at(5)));
        assert_eq!(patience.ask(at(4), Duration::ZERO), Order::Kill);
    }

    #[test]
    fn the_first_reason_for_a_stop_stays() {
        let (mut patience, at) = program();
        assert_eq!(patience.look(at(60)), Order::Terminate);
        assert_eq!(patience.ask(at(61), Duration::ZERO), Order::Kill);
        assert_eq!(patience.why(), Some(Why::Deadline));
    }

    #[test]
    fn a_timeout_beyond_the_clock_never_comes() {
        let now = Instant::now();
        let mut patience = Patience::new(now, Duration::MAX, seconds(10));
        assert_eq!(patience.wake_at(), None);
        assert_eq!(patience.look(now + seconds(1_000_000)), Order::Wait);
    }
}
