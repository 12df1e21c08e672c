//! How attempts end: by themselves, at the timeout, because they are asked to, for want of memory.

use std::time::{Duration, Instant};

use groundrun_shim::protocol::{Cause, End, Exit, Launch, Wish};

use crate::{
    Test,
    lab::{Lab, MIB},
};

pub(crate) const TESTS: &[Test] = &[
    ("an_exit_code_is_kept", an_exit_code_is_kept),
    ("a_signal_is_kept_as_a_signal", a_signal_is_kept_as_a_signal),
    ("a_timeout_terminates_first", a_timeout_terminates_first),
    ("a_timeout_kills_what_does_not_mind", a_timeout_kills_what_does_not_mind),
    ("a_stop_terminates_first", a_stop_terminates_first),
    ("a_stop_without_grace_kills", a_stop_without_grace_kills),
    ("a_later_server_can_listen_and_stop", a_later_server_can_listen_and_stop),
    ("want_of_memory_is_told_as_such", want_of_memory_is_told_as_such),
    ("want_of_memory_in_a_child_ends_the_container", want_of_memory_in_a_child),
    ("files_count_as_memory", files_count_as_memory),
    ("the_peak_of_memory_is_told", the_peak_of_memory_is_told),
    (
        "a_grandchild_that_holds_the_output_holds_nothing_up",
        a_grandchild_that_holds_the_output_holds_nothing_up,
    ),
    ("nobody_inside_can_hold_up_a_kill", nobody_inside_can_hold_up_a_kill),
    ("times_are_in_order", times_are_in_order),
];

fn check(lab: &Lab, launch: &Launch, exit: Exit, cause: Cause) {
    let outcome = lab.run(launch);
    assert_eq!(outcome.exit(), (exit, cause), "{outcome:?}");
}

fn an_exit_code_is_kept(lab: &Lab) {
    for code in [0, 1, 42, 137, 255] {
        let launch = lab.launch(&["exit", &code.to_string()]);
        check(lab, &launch, Exit::Code(code), Cause::OnItsOwn);
    }
}

fn a_signal_is_kept_as_a_signal(lab: &Lab) {
    // From outside: the kernel spares a process 1 what it does not handle.
    let attempt = lab.start(&lab.launch(&["sleep", "60"]));
    attempt.started();
    let init = only_child_of(attempt.shim());
    rustix::process::kill_process(init, rustix::process::Signal::KILL).expect("it lives");
    assert_eq!(attempt.outcome().exit(), (Exit::Signal(9), Cause::OnItsOwn));
}

fn a_timeout_terminates_first(lab: &Lab) {
    let mut launch = lab.launch(&["wait-term", "7"]);
    launch.timeout = Duration::from_millis(300);
    check(lab, &launch, Exit::Code(7), Cause::Deadline);
}

fn a_timeout_kills_what_does_not_mind(lab: &Lab) {
    let mut launch = lab.launch(&["sleep", "60"]);
    launch.timeout = Duration::from_millis(200);
    launch.grace = Duration::from_millis(300);
    let begun = Instant::now();
    check(lab, &launch, Exit::Signal(9), Cause::Deadline);
    assert!(begun.elapsed() >= Duration::from_millis(500));
}

fn a_stop_terminates_first(lab: &Lab) {
    let attempt = lab.start(&lab.launch(&["wait-term", "9"]));
    attempt.says("waiting");
    let wish = Wish::Stop { grace: Duration::from_secs(20) };
    attempt.connection().send(wish).expect("the shim hears");
    assert_eq!(attempt.outcome().exit(), (Exit::Code(9), Cause::Asked));
}

fn a_stop_without_grace_kills(lab: &Lab) {
    let attempt = lab.start(&lab.launch(&["wait-term", "9"]));
    attempt.says("waiting");
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    assert_eq!(attempt.outcome().exit(), (Exit::Signal(9), Cause::Asked));
}

fn a_later_server_can_listen_and_stop(lab: &Lab) {
    let first = lab.start(&lab.launch(&["sleep", "60"]));
    first.started();
    let second = first.again();
    // The first hangs up, as a killed server does.
    drop(first);
    second.started();
    second.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    assert_eq!(second.outcome().exit(), (Exit::Signal(9), Cause::Asked));
}

fn want_of_memory_is_told_as_such(lab: &Lab) {
    let outcome = lab.run(&lab.launch(&["eat", "100"]));
    assert_eq!(outcome.exit(), (Exit::Signal(9), Cause::OutOfMemory));
    assert!(matches!(outcome.record.end, End::Exited { oom_kills: 1.., .. }), "{outcome:?}");
    // Killed by us while memory is short is killed by us.
    let mut launch = lab.launch(&["sleep", "60"]);
    launch.timeout = Duration::ZERO;
    launch.grace = Duration::ZERO;
    check(lab, &launch, Exit::Signal(9), Cause::Deadline);
}

/// Whether its program goes on after that child or ends by itself at once.
fn want_of_memory_in_a_child(lab: &Lab) {
    for seconds in ["60", "0"] {
        let outcome = lab.run(&lab.launch(&["fork-eat", "100", seconds]));
        assert_eq!(outcome.exit(), (Exit::Signal(9), Cause::OutOfMemory), "{outcome:?}");
        assert!(matches!(outcome.record.end, End::Exited { oom_kills: 1.., .. }), "{outcome:?}");
    }
}

fn files_count_as_memory(lab: &Lab) {
    let outcome = lab.run(&lab.launch(&["write-file", "/tmp/large", "100"]));
    assert_eq!(outcome.exit(), (Exit::Signal(9), Cause::OutOfMemory), "{outcome:?}");
}

fn the_peak_of_memory_is_told(lab: &Lab) {
    let outcome = lab.run(&lab.launch(&["eat", "20"]));
    let End::Exited { memory_peak: Some(peak), oom_kills: 0, .. } = outcome.record.end else {
        panic!("{outcome:?}");
    };
    assert!((20 * MIB..64 * MIB).contains(&peak), "{peak}");
}

fn a_grandchild_that_holds_the_output_holds_nothing_up(lab: &Lab) {
    let begun = Instant::now();
    check(lab, &lab.launch(&["fork-hold", "60"]), Exit::Code(0), Cause::OnItsOwn);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// A process that is killed waits for whoever traces its exit: two that trace each other could never be ended.
fn nobody_inside_can_hold_up_a_kill(lab: &Lab) {
    let attempt = lab.start(&lab.launch(&["hold-exit"]));
    attempt.says("errno 1");
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    assert_eq!(attempt.outcome().exit(), (Exit::Signal(9), Cause::Asked));
}

fn times_are_in_order(lab: &Lab) {
    let outcome = lab.run(&lab.launch(&["sleep", "0.1"]));
    let started = outcome.record.started.expect("it ran");
    let ran = Duration::from_nanos(
        u64::try_from(outcome.record.ended.0 - started.0).expect("it ended later"),
    );
    assert!(ran >= Duration::from_millis(100), "{ran:?}");
}

fn only_child_of(shim: rustix::process::Pid) -> rustix::process::Pid {
    let shim = shim.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{shim}/task/{shim}/children"));
    let children = children.expect("the kernel lists children");
    children.trim().parse().ok().and_then(rustix::process::Pid::from_raw).expect("a shim has one")
}
