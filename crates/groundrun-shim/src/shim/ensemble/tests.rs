//! Who starts when, who is stopped when, and what it comes to.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Ensemble, Order, Unstartable, Verdict};
use crate::protocol::{Cause, Exit, Probe, ProbeCheck};

const OK: Exit = Exit::Code(0);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Asked after a second, then every three, with a second for each answer; fails with the second failure.
fn probe() -> Option<Probe> {
    Some(Probe {
        check: ProbeCheck::TcpSocket { port: 80 },
        initial_delay: seconds(1),
        timeout: seconds(1),
        period: seconds(3),
        failure_threshold: 2,
    })
}

/// A minute of time, ten seconds of grace; `at` is seconds from the beginning.
struct Play {
    ensemble: Ensemble,
    begun: Instant,
}

impl Play {
    fn of(containers: Vec<(Vec<usize>, Option<Probe>)>) -> Self {
        let ensemble =
            Ensemble::new(containers, seconds(60), seconds(10)).expect("everybody's turn comes");
        Self { ensemble, begun: Instant::now() }
    }

    /// Without probes.
    fn plain(depends_on: &[&[usize]]) -> Self {
        Self::of(depends_on.iter().map(|others| (others.to_vec(), None)).collect())
    }

    fn at(&self, at: u64) -> Instant {
        self.begun + seconds(at)
    }

    #[track_caller]
    fn orders(&mut self, want: &[Order]) {
        let orders: Vec<Order> = std::iter::from_fn(|| self.ensemble.next_order()).collect();
        assert_eq!(orders, want);
    }

    /// These are ordered to start, and do.
    #[track_caller]
    fn start(&mut self, at: u64, which: &[usize]) {
        self.orders(&which.iter().map(|index| Order::Start(*index)).collect::<Vec<_>>());
        which.iter().for_each(|index| self.ensemble.started(*index, self.at(at)));
    }

    fn exit(&mut self, at: u64, index: usize, exit: Exit) {
        self.ensemble.exited(index, exit, self.at(at));
    }

    fn look(&mut self, at: u64) {
        self.ensemble.look(self.at(at));
    }

    fn answer(&mut self, at: u64, index: usize, answer: Result<(), &str>) {
        self.ensemble.answered(index, answer.map_err(str::to_owned), self.at(at));
    }

    #[track_caller]
    fn came_to(&self, index: usize, exit: Exit, cause: Cause) {
        assert_eq!(self.ensemble.verdict(), Some(Verdict::Exited { index, exit, cause }));
    }
}

#[test]
fn one_container_decides_alone() {
    for exit in [OK, Exit::Code(3), Exit::Signal(9)] {
        let mut play = Play::plain(&[&[]]);
        play.start(0, &[0]);
        assert_eq!(play.ensemble.verdict(), None);
        assert_eq!(play.ensemble.wake_at(), Some(play.at(60)));
        play.exit(1, 0, exit);
        play.orders(&[]);
        play.came_to(0, exit, Cause::OnItsOwn);
    }
}

#[test]
fn a_deadline_stops_all_and_the_end_of_the_grace_kills_what_is_left() {
    let mut play = Play::plain(&[&[], &[]]);
    play.start(0, &[0, 1]);
    play.look(60);
    play.orders(&[Order::Terminate(0), Order::Terminate(1)]);
    play.exit(61, 1, Exit::Code(5));
    play.look(70);
    play.orders(&[Order::Kill(0)]);
    assert_eq!(play.ensemble.verdict(), None);
    play.exit(70, 0, Exit::Signal(9));
    play.came_to(0, Exit::Signal(9), Cause::Deadline);
}

#[test]
fn a_wish_stops_all_and_nothing_starts_after_it() {
    let mut play = Play::of(vec![(vec![1], None), (vec![], probe())]);
    play.start(0, &[1]);
    play.look(1);
    play.orders(&[Order::Ask(1)]);
    play.ensemble.ask(play.at(1), seconds(5));
    play.orders(&[Order::GiveUp(1), Order::Terminate(1)]);
    play.answer(2, 1, Ok(()));
    play.orders(&[]);
    play.exit(2, 1, OK);
    play.came_to(1, OK, Cause::Asked);
}

#[test]
fn without_dependencies_all_must_exit_0() {
    let mut play = Play::plain(&[&[], &[], &[]]);
    play.start(0, &[0, 1, 2]);
    play.exit(1, 1, OK);
    play.exit(2, 0, OK);
    assert_eq!(play.ensemble.verdict(), None);
    play.exit(3, 2, OK);
    play.came_to(2, OK, Cause::OnItsOwn);
}

#[test]
fn one_that_fails_stops_the_others_and_is_what_it_came_to() {
    let mut play = Play::plain(&[&[], &[], &[]]);
    play.start(0, &[0, 1, 2]);
    play.exit(1, 1, Exit::Code(7));
    play.orders(&[Order::Terminate(0), Order::Terminate(2)]);
    play.exit(2, 0, Exit::Signal(15));
    play.look(11);
    play.orders(&[Order::Kill(2)]);
    play.exit(12, 2, Exit::Signal(9));
    play.came_to(1, Exit::Code(7), Cause::OnItsOwn);
}

#[test]
fn sidecars_are_stopped_when_all_others_have_ended_and_no_longer_matter() {
    let mut play = Play::plain(&[&[2], &[2], &[]]);
    play.start(0, &[2]);
    play.start(0, &[0, 1]);
    play.exit(1, 0, OK);
    play.orders(&[]);
    play.exit(2, 1, OK);
    play.orders(&[Order::Terminate(2)]);
    assert_eq!(play.ensemble.verdict(), None);
    play.look(12);
    play.orders(&[Order::Kill(2)]);
    play.exit(12, 2, Exit::Signal(9));
    play.came_to(1, OK, Cause::OnItsOwn);
}

#[test]
fn a_sidecar_may_end_early_with_0_and_not_otherwise() {
    let mut play = Play::plain(&[&[1], &[]]);
    play.start(0, &[1]);
    play.start(0, &[0]);
    play.exit(1, 1, OK);
    play.orders(&[]);
    play.exit(2, 0, OK);
    play.came_to(0, OK, Cause::OnItsOwn);

    let mut play = Play::plain(&[&[1], &[]]);
    play.start(0, &[1]);
    play.start(0, &[0]);
    play.exit(1, 1, Exit::Code(1));
    play.orders(&[Order::Terminate(0)]);
    play.exit(2, 0, OK);
    play.came_to(1, Exit::Code(1), Cause::OnItsOwn);
}

#[test]
fn who_waits_for_a_probe_starts_when_it_succeeds() {
    let mut play = Play::of(vec![(vec![1], None), (vec![], probe())]);
    play.start(0, &[1]);
    assert_eq!(play.ensemble.wake_at(), Some(play.at(1)));
    play.look(0);
    play.orders(&[]);
    play.look(1);
    play.orders(&[Order::Ask(1)]);
    play.answer(1, 1, Err("refused"));
    play.look(3);
    play.orders(&[]);
    play.look(4);
    play.orders(&[Order::Ask(1)]);
    play.answer(4, 1, Ok(()));
    play.start(4, &[0]);
    assert_eq!(play.ensemble.wake_at(), Some(play.at(60)), "it is asked no more");
}

#[test]
fn a_probe_that_fails_too_often_fails_the_attempt_with_its_last_word() {
    let mut play = Play::of(vec![(vec![1], None), (vec![], probe()), (vec![], None)]);
    play.start(0, &[1, 2]);
    play.look(1);
    play.orders(&[Order::Ask(1)]);
    play.look(2);
    play.orders(&[Order::GiveUp(1)]);
    play.answer(2, 1, Ok(()));
    play.orders(&[]);
    play.look(4);
    play.orders(&[Order::Ask(1)]);
    play.answer(4, 1, Err("refused"));
    play.orders(&[Order::Terminate(1), Order::Terminate(2)]);
    play.exit(5, 1, OK);
    play.exit(5, 2, OK);
    let why = "refused".to_owned();
    assert_eq!(play.ensemble.verdict(), Some(Verdict::ProbeFailed { index: 1, why }));
}

#[test]
fn who_is_waited_for_and_ends_before_its_probe_has_failed_it() {
    let mut play = Play::of(vec![(vec![1], None), (vec![], probe())]);
    play.start(0, &[1]);
    play.exit(0, 1, OK);
    let verdict = play.ensemble.verdict();
    assert!(matches!(verdict, Some(Verdict::ProbeFailed { index: 1, .. })), "{verdict:?}");
    // Whom nobody waits for is done when it is done.
    let mut play = Play::of(vec![(vec![], probe())]);
    play.start(0, &[0]);
    play.exit(0, 0, OK);
    play.came_to(0, OK, Cause::OnItsOwn);
}

#[test]
fn one_that_cannot_be_started_stops_the_others() {
    let mut play = Play::plain(&[&[], &[], &[]]);
    assert_eq!(play.ensemble.next_order(), Some(Order::Start(0)));
    play.ensemble.started(0, play.at(0));
    assert_eq!(play.ensemble.next_order(), Some(Order::Start(1)));
    play.ensemble.could_not_start(1, play.at(0));
    play.orders(&[Order::Terminate(0)]);
    play.exit(1, 0, Exit::Signal(15));
    assert_eq!(play.ensemble.verdict(), Some(Verdict::StartFailed { index: 1 }));

    let mut play = Play::plain(&[&[]]);
    play.orders(&[Order::Start(0)]);
    play.ensemble.could_not_start(0, play.at(0));
    assert_eq!(play.ensemble.verdict(), Some(Verdict::StartFailed { index: 0 }));
}

#[test]
fn containers_that_wait_for_each_other_are_refused() {
    let none = |depends_on: &[&[usize]]| {
        let containers = depends_on.iter().map(|others| (others.to_vec(), None));
        Ensemble::new(containers, seconds(1), seconds(1)).err()
    };
    for depends_on in [&[&[1][..], &[0]][..], &[&[0]], &[&[1]], &[]] {
        assert_eq!(none(depends_on), Some(Unstartable), "{depends_on:?}");
    }
}

/// Containers 0 to 9, each depending on some before it in an order of their own; how each is probed and exits.
fn any_attempt() -> impl Strategy<Value = (Vec<(Vec<usize>, bool)>, Vec<Exit>)> {
    let exit = prop_oneof![
        4 => Just(OK),
        1 => (1u8..).prop_map(Exit::Code),
        1 => Just(Exit::Signal(9)),
    ];
    let one = (prop::collection::vec(any::<prop::sample::Index>(), 0..3), any::<bool>(), exit);
    prop::collection::vec(one, 1..=10).prop_map(|all| {
        let one = |(index, (others, is_probed, exit)): (
            usize,
            (Vec<prop::sample::Index>, bool, Exit),
        )| {
            let others = others.into_iter().filter(|_| index > 0);
            let mut others: Vec<usize> = others.map(|other| other.index(index)).collect();
            others.sort_unstable();
            others.dedup();
            ((others, is_probed), exit)
        };
        all.into_iter().enumerate().map(one).unzip()
    })
}

proptest! {
    /// Events in any order: what is ordered is always right, it always ends, and it comes to what the rule says.
    #[test]
    fn whatever_happens_in_whatever_order_the_rule_holds(
        (attempt, exits) in any_attempt(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 400),
    ) {
        let containers: Vec<_> = attempt
            .iter()
            .map(|(others, is_probed)| (others.clone(), probe().filter(|_| *is_probed)))
            .collect();
        let count = containers.len();
        let is_sidecar = |index: usize| attempt.iter().any(|(others, _)| others.contains(&index));
        let mut play = Play::of(containers);
        let mut running = vec![false; count];
        let mut begun = vec![false; count];
        let mut up = vec![false; count];
        let mut asked = vec![false; count];
        let mut stopping = false;
        let mut ended: Vec<(usize, Exit)> = Vec::new();
        // Of each that has ended, the first word on whether the attempt's end tells its.
        let mut told: Vec<Option<bool>> = vec![None; count];
        let mut is_over = vec![false; count];
        let mut second = 0;
        let mut choices = choices.into_iter();
        loop {
            while let Some(order) = play.ensemble.next_order() {
                match order {
                    Order::Start(index) => {
                        prop_assert!(!begun[index] && !stopping);
                        prop_assert!(attempt[index].0.iter().all(|other| up[*other]));
                        begun[index] = true;
                        running[index] = true;
                        up[index] = !attempt[index].1;
                        play.ensemble.started(index, play.at(second));
                    }
                    Order::Ask(index) => {
                        prop_assert!(running[index] && !up[index] && !asked[index]);
                        asked[index] = true;
                    }
                    Order::GiveUp(index) => asked[index] = false,
                    Order::Terminate(index) | Order::Kill(index) => {
                        prop_assert!(running[index]);
                        stopping = true;
                    }
                }
            }
            for index in (0..count).filter(|index| is_over[*index]) {
                told[index] = told[index].or_else(|| play.ensemble.is_the_attempts_end(index));
            }
            if play.ensemble.verdict().is_some() {
                break;
            }
            // One thing that can happen.
            let mut events: Vec<(u8, usize)> = Vec::new();
            events.extend((0..count).filter(|index| running[*index]).map(|index| (0, index)));
            events.extend((0..count).filter(|index| asked[*index]).map(|index| (1, index)));
            events.push((2, 0));
            let choice = choices.next().map_or(0, |choice| choice.index(events.len()));
            match events[choice] {
                (0, index) => {
                    running[index] = false;
                    is_over[index] = true;
                    if !stopping && play.ensemble.why().is_none() {
                        ended.push((index, exits[index]));
                    }
                    play.exit(second, index, exits[index]);
                }
                (1, index) => {
                    asked[index] = false;
                    up[index] = true;
                    play.answer(second, index, Ok(()));
                }
                _ => {
                    second += 1;
                    play.look(second);
                }
            }
        }
        prop_assert!(running.iter().all(|runs| !runs));
        prop_assert!(play.ensemble.next_order().is_none());
        for index in (0..count).filter(|index| is_over[*index]) {
            let decisive = match play.ensemble.verdict() {
                Some(Verdict::Exited { index, .. }) => Some(index),
                _ => None,
            };
            prop_assert_eq!(told[index], Some(decisive == Some(index)), "container {}", index);
        }
        let failure = ended.iter().find(|(_, exit)| *exit != OK);
        match play.ensemble.verdict() {
            Some(Verdict::Exited { index, exit, cause: Cause::OnItsOwn }) => match failure {
                Some(failure) => prop_assert_eq!((index, exit), *failure),
                None => {
                    prop_assert_eq!(exit, OK);
                    prop_assert!(!is_sidecar(index));
                    let mains = (0..count).filter(|index| !is_sidecar(*index));
                    for main in mains {
                        prop_assert!(ended.contains(&(main, OK)), "{main} had not ended");
                    }
                }
            },
            Some(Verdict::Exited { cause: Cause::Deadline, .. }) => prop_assert!(second >= 60),
            Some(Verdict::ProbeFailed { index, .. }) => prop_assert!(!up[index]),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
