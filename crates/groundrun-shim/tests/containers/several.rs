//! Several containers in one attempt: in what order they start, what they share, who ends whom, and what it comes to.

use std::{fs, time::Duration};

use groundrun_shim::{
    log::Source,
    protocol::{Cause, End, Exit, Launch, Wish},
};
use rustix::process::{Pid, Signal};

use crate::{
    Test,
    lab::{Attempt, Lab, MIB, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("all_start_and_all_must_succeed", all_start_and_all_must_succeed),
    ("network_ipc_and_host_name_are_shared_and_all_else_is_not", what_is_shared),
    ("a_container_that_fails_ends_the_others", a_container_that_fails_ends_the_others),
    ("a_container_that_is_killed_fails_the_attempt", one_is_killed),
    ("each_container_has_its_own_limit_of_memory", each_has_its_own_limit),
    ("want_of_memory_is_told_of_the_container_that_had_it", want_of_memory_in_one),
    ("a_sidecar_is_stopped_when_the_others_have_ended", sidecar_is_stopped),
    ("a_sidecar_that_does_not_mind_is_killed_and_the_attempt_succeeds", sidecar_is_killed),
    ("a_sidecar_that_fails_early_fails_the_attempt", sidecar_fails),
    ("the_log_tells_the_end_of_each_container_but_the_one_that_ended_the_attempt", ends_in_the_log),
    ("a_container_that_cannot_be_started_ends_the_others", one_cannot_be_started),
    ("a_timeout_ends_all", a_timeout_ends_all),
    ("a_stop_ends_all", a_stop_ends_all),
    ("kill_9_of_a_shim_kills_all_containers", kill_9_of_the_shim),
    ("an_end_of_several_leaves_nothing", an_end_leaves_nothing),
    ("containers_that_wait_for_each_other_are_not_started", a_circle),
];

fn all_start_and_all_must_succeed(lab: &Lab) {
    let names: Vec<String> = (0..10).map(|index| format!("c{index}")).collect();
    let arguments: Vec<[&str; 2]> = names.iter().map(|name| ["args", name.as_str()]).collect();
    let containers: Vec<(&str, &[&str])> =
        names.iter().zip(&arguments).map(|(name, words)| (name.as_str(), &words[..])).collect();
    let outcome = lab.run(&lab.several(&containers));
    assert_eq!((outcome.end_of().1, outcome.end_of().2), (Exit::Code(0), Cause::OnItsOwn));
    for (index, name) in names.iter().enumerate() {
        assert_eq!(outcome.said_by(index), [format!("/job args {name}")]);
    }
}

fn what_is_shared(lab: &Lab) {
    let launch = lab.several(&[("a", &["wait-term", "0"]), ("b", &["wait-term", "0"])]);
    let attempt = lab.start(&launch);
    until("both wait", || attempt.lines().len() == 2);
    let namespaces = |process: &str| {
        ["net", "ipc", "uts", "user", "pid", "mnt", "cgroup"].map(|name| {
            fs::read_link(format!("/proc/{process}/ns/{name}")).expect("the kernel tells")
        })
    };
    let [a, b] = [0, 1].map(|index| namespaces(&lab.processes_of(&launch, index)[0]));
    let own = namespaces("self");
    for index in 0..own.len() {
        assert_ne!(a[index], own[index], "not the machine's");
        assert_eq!(a[index] == b[index], index < 4, "{}", a[index].display());
    }
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    attempt.outcome();
}

fn both_run(lab: &Lab, launch: &Launch, attempt: &Attempt) {
    attempt.started();
    until("both run", || (0..2).all(|index| lab.processes_of(launch, index).len() == 1));
}

fn a_container_that_fails_ends_the_others(lab: &Lab) {
    let launch = lab.several(&[
        ("patient", &["wait-term", "0"]),
        ("other", &["wait-term", "5"]),
        ("failing", &["exit", "7"]),
    ]);
    let outcome = lab.run(&launch);
    assert_eq!(outcome.end_of(), ("failing", Exit::Code(7), Cause::OnItsOwn));
}

fn one_is_killed(lab: &Lab) {
    let launch = lab.several(&[("a", &["sleep", "60"]), ("b", &["wait-term", "0"])]);
    let attempt = lab.start(&launch);
    both_run(lab, &launch, &attempt);
    attempt.says("waiting");
    let init = lab.processes_of(&launch, 0)[0].parse().ok().and_then(Pid::from_raw);
    rustix::process::kill_process(init.expect("a pid"), Signal::KILL).expect("it lives");
    let outcome = attempt.outcome();
    assert_eq!(outcome.end_of(), ("a", Exit::Signal(9), Cause::OnItsOwn));
    assert_eq!(outcome.said_by(1), ["waiting", "told to stop"]);
}

fn each_has_its_own_limit(lab: &Lab) {
    // 64 MiB each: together more than one of them may have.
    let eat: &[&str] = &["eat", "45"];
    let outcome = lab.run(&lab.several(&[("a", eat), ("b", eat), ("c", eat)]));
    assert_eq!(outcome.end_of().1, Exit::Code(0), "{outcome:?}");
}

fn want_of_memory_in_one(lab: &Lab) {
    let launch = lab.several(&[("modest", &["wait-term", "0"]), ("hungry", &["eat", "100"])]);
    let outcome = lab.run(&launch);
    assert_eq!(outcome.end_of(), ("hungry", Exit::Signal(9), Cause::OutOfMemory));
    let End::Of { end, .. } = &outcome.record.end else { panic!("{outcome:?}") };
    let End::Exited { memory_peak: Some(peak), oom_kills: 1.., .. } = **end else {
        panic!("{outcome:?}")
    };
    assert!((32 * MIB..=64 * MIB).contains(&peak), "{peak}");
}

/// `main` depends on `sidecar`.
fn with_sidecar(lab: &Lab, main: &[&str], sidecar: &[&str]) -> Launch {
    let mut launch = lab.several(&[("main", main), ("sidecar", sidecar)]);
    launch.containers[0].depends_on = vec![1];
    launch
}

fn sidecar_is_stopped(lab: &Lab) {
    // What it exits with no longer matters.
    let outcome = lab.run(&with_sidecar(lab, &["sleep", "0.3"], &["wait-term", "3"]));
    assert_eq!(outcome.end_of(), ("main", Exit::Code(0), Cause::OnItsOwn));
    assert_eq!(outcome.said_by(1), ["waiting", "told to stop"]);
}

fn sidecar_is_killed(lab: &Lab) {
    let mut launch = with_sidecar(lab, &["true"], &["sleep", "60"]);
    launch.grace = Duration::from_millis(300);
    let outcome = lab.run(&launch);
    assert_eq!(outcome.end_of(), ("main", Exit::Code(0), Cause::OnItsOwn));
    let started = outcome.record.started.expect("it ran");
    assert!(outcome.record.ended.0 - started.0 >= 300_000_000, "{outcome:?}");
}

fn sidecar_fails(lab: &Lab) {
    let outcome = lab.run(&with_sidecar(lab, &["wait-term", "0"], &["exit", "4"]));
    assert_eq!(outcome.end_of(), ("sidecar", Exit::Code(4), Cause::OnItsOwn));
    let early = lab.run(&with_sidecar(lab, &["sleep", "0.2"], &["exit", "0"]));
    assert_eq!(early.end_of(), ("main", Exit::Code(0), Cause::OnItsOwn));
}

fn ends_in_the_log(lab: &Lab) {
    // Each at its time: behind what the container wrote, before what others wrote later.
    let outcome = lab.run(&with_sidecar(lab, &["sleep", "0.3"], &["wait-term", "3"]));
    assert_eq!(outcome.ends(), [(1, Exit::Code(3))]);
    let last = outcome.lines.last().map(|line| line.source);
    assert_eq!(last, Some(Source::Ended), "{outcome:?}");
    assert!(outcome.lines.last().is_some_and(|line| line.at <= outcome.record.ended));
    let early = lab.run(&with_sidecar(lab, &["drip", "2", "200"], &["exit", "0"]));
    let order: Vec<Source> = early.lines.iter().map(|line| line.source).collect();
    assert_eq!(early.ends(), [(1, Exit::Code(0))]);
    assert_eq!(order.last(), Some(&Source::Stdout), "{early:?}");
    // The failure is the attempt's; those that it stopped are told.
    let mut launch = lab.several(&[("a", &["sleep", "60"]), ("b", &["exit", "7"])]);
    launch.grace = Duration::from_millis(100);
    let outcome = lab.run(&launch);
    assert_eq!(outcome.end_of(), ("b", Exit::Code(7), Cause::OnItsOwn));
    assert_eq!(outcome.ends(), [(0, Exit::Signal(9))]);
    // At a timeout it is the first of them.
    let mut launch = lab.several(&[("a", &["wait-term", "3"]), ("b", &["wait-term", "4"])]);
    launch.timeout = Duration::from_millis(300);
    let outcome = lab.run(&launch);
    assert_eq!(outcome.end_of(), ("a", Exit::Code(3), Cause::Deadline));
    assert_eq!(outcome.ends(), [(1, Exit::Code(4))]);
    // An only one is told by its attempt alone: it has no log for that.
    assert!(lab.run(&lab.launch(&["exit", "1"])).lines.is_empty());
}

fn one_cannot_be_started(lab: &Lab) {
    let mut launch = lab.several(&[("good", &["wait-term", "0"]), ("bad", &[])]);
    launch.containers[1].process.argv = vec!["/no/such/program".into()];
    let outcome = lab.run(&launch);
    let End::Of { container, end } = &outcome.record.end else { panic!("{outcome:?}") };
    assert_eq!(container, "bad");
    assert!(matches!(&**end, End::StartFailed { why, .. } if why.contains("/no/such/program")));
}

fn a_timeout_ends_all(lab: &Lab) {
    let mut launch = lab.several(&[("a", &["wait-term", "3"]), ("b", &["sleep", "60"])]);
    launch.timeout = Duration::from_millis(300);
    launch.grace = Duration::from_millis(300);
    let outcome = lab.run(&launch);
    assert_eq!(outcome.end_of(), ("a", Exit::Code(3), Cause::Deadline));
}

fn a_stop_ends_all(lab: &Lab) {
    let launch = lab.several(&[("a", &["sleep", "60"]), ("b", &["sleep", "60"])]);
    let attempt = lab.start(&launch);
    both_run(lab, &launch, &attempt);
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    assert_eq!(attempt.outcome().end_of(), ("a", Exit::Signal(9), Cause::Asked));
}

fn kill_9_of_the_shim(lab: &Lab) {
    let launch =
        lab.several(&[("a", &["sleep", "60"]), ("b", &["sleep", "60"]), ("c", &["sleep", "60"])]);
    let attempt = lab.start(&launch);
    both_run(lab, &launch, &attempt);
    rustix::process::kill_process(attempt.shim(), Signal::KILL).expect("it lives");
    until("its containers are empty", || {
        (0..3).all(|index| lab.processes_of(&launch, index).is_empty())
    });
    lab.sweep(&launch);
}

fn an_end_leaves_nothing(lab: &Lab) {
    let launch = with_sidecar(lab, &["fork-hold", "60"], &["wait-term", "0"]);
    lab.run(&launch);
    let mut cgroups = launch.containers.iter().flat_map(|container| &container.cgroups);
    until("its cgroups are gone", || cgroups.all(|cgroup| !cgroup.path.exists()));
}

fn a_circle(lab: &Lab) {
    let mut launch = with_sidecar(lab, &["true"], &["true"]);
    launch.containers[1].depends_on = vec![0];
    let outcome = lab.run(&launch);
    assert!(matches!(outcome.record.end, End::StartFailed { .. }), "{outcome:?}");
    assert!(outcome.lines.is_empty());
}
