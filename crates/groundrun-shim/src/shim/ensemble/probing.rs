//! When a container is asked whether it has started, and what the answers come to. Decides only.

use std::time::Instant;

use crate::protocol::Probe;

/// How far it is with one container.
#[derive(Debug)]
pub(super) struct Probing {
    /// None: a program that runs has started.
    probe: Option<Probe>,
    phase: Phase,
}

/// A time of `None` never comes: it is beyond what the clock can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The program does not run yet.
    Before,
    /// It is asked next at `at`.
    Between { at: Option<Instant>, failures: u32 },
    /// It has been asked.
    Asked { since: Instant, until: Option<Instant>, failures: u32 },
    /// It has started.
    Up,
    /// Nobody wants to know any more.
    GivenUp,
}

/// What is due.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ask,
    /// No answer came in time. Tell it as one.
    GiveUp(String),
}

/// What came of an answer.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nobody had asked.
    Unasked,
    /// It has started.
    Up,
    /// It will be asked again.
    Again,
    /// It failed as often as it may.
    TooOften(String),
}

impl Probing {
    pub(super) fn new(probe: Option<Probe>) -> Self {
        Self { probe, phase: Phase::Before }
    }

    /// The program runs.
    pub(super) fn begin(&mut self, now: Instant) {
        self.phase = match &self.probe {
            Some(probe) => Phase::Between { at: now.checked_add(probe.initial_delay), failures: 0 },
            None => Phase::Up,
        };
    }

    pub(super) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Between { at, .. } => at,
            Phase::Asked { until, .. } => until,
            Phase::Before | Phase::Up | Phase::GivenUp => None,
        }
    }

    pub(super) fn look(&mut self, now: Instant) -> Due {
        let (Some(probe), Some(at)) = (&self.probe, self.wake_at()) else { return Due::Nothing };
        match self.phase {
            Phase::Between { failures, .. } if at <= now => {
                let until = now.checked_add(probe.timeout);
                self.phase = Phase::Asked { since: now, until, failures };
                Due::Ask
            }
            Phase::Asked { .. } if at <= now => {
                Due::GiveUp(format!("no answer in {:?}", probe.timeout))
            }
            _ => Due::Nothing,
        }
    }

    pub(super) fn answered(&mut self, answer: Result<(), String>, now: Instant) -> Answer {
        let (Some(probe), Phase::Asked { since, failures, .. }) = (&self.probe, self.phase) else {
            return Answer::Unasked;
        };
        let Err(why) = answer else {
            self.phase = Phase::Up;
            return Answer::Up;
        };
        let failures = failures + 1;
        if failures >= probe.failure_threshold {
            self.phase = Phase::GivenUp;
            return Answer::TooOften(why);
        }
        let at = since.checked_add(probe.period).map(|at| at.max(now));
        self.phase = Phase::Between { at, failures };
        Answer::Again
    }

    /// No more asking; whether an answer was being waited for. That it is up stays.
    pub(super) fn give_up(&mut self) -> bool {
        let was_asked = matches!(self.phase, Phase::Asked { .. });
        if self.phase != Phase::Up {
            self.phase = Phase::GivenUp;
        }
        was_asked
    }
}
