//! System log lines.

use groundrun_api::v1;
use serde_json::json;

use crate::{
    record::{Cause, Ending, Exit, Fault},
    render::system_log,
    samples::{attempt, execution, execution_of, exited, least, with},
};

fn spec() -> v1::TaskSpec {
    execution(4).spec.template.as_ref().and_then(|template| template.spec.clone()).expect("a task")
}

#[track_caller]
fn check(ending: Ending, expected: &[&str]) {
    let lines: Vec<_> = system_log(&attempt(0, Some(ending)), &spec())
        .into_iter()
        .map(|line| format!("{} {}", line.severity.as_str(), line.text))
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn the_system_says_how_a_container_ended() {
    check(exited(Exit::Code(0), Cause::OnItsOwn), &["INFO Container called exit(0)."]);
    check(exited(Exit::Code(1), Cause::OnItsOwn), &["WARNING Container called exit(1)."]);
    check(exited(Exit::Signal(9), Cause::OnItsOwn), &["WARNING Container terminated on signal 9."]);
    check(exited(Exit::Signal(15), Cause::Asked), &["WARNING Container terminated on signal 15."]);
    check(
        exited(Exit::Signal(15), Cause::Deadline),
        &[
            "ERROR Terminating task because it has reached the maximum timeout of 600 seconds. To change this limit, \
             see https://cloud.google.com/run/docs/configuring/task-timeout",
            "WARNING Container terminated on signal 15.",
        ],
    );
    let ending = Ending::Exited {
        exit: Exit::Signal(9),
        cause: Cause::OutOfMemory,
        memory_peak: Some((520 << 20) - 1),
        message: None,
        container: None,
    };
    check(
        ending,
        &[
            "ERROR Memory limit of 512 MiB exceeded with 520 MiB used. Consider increasing the memory limit, see \
             https://cloud.google.com/run/docs/configuring/memory-limits",
            "WARNING Container terminated on signal 9.",
        ],
    );
    check(
        Ending::StartFailed {
            whose: Fault::Theirs,
            why: "exec /x: no such file".to_owned(),
            container: None,
        },
        &["ERROR Container could not be started: exec /x: no such file"],
    );
    check(
        Ending::Lost { why: "the machine was restarted".to_owned() },
        &["ERROR Container was lost: the machine was restarted"],
    );
}

#[test]
fn nothing_is_said_of_a_running_container() {
    assert!(system_log(&attempt(0, None), &spec()).is_empty());
}

/// A program and the database that it waits for, which has 768 MiB.
fn two() -> v1::TaskSpec {
    let pointer = "/spec/template/spec/template/spec/containers";
    let containers = json!([
        {"image": "a", "name": "main"},
        {
            "image": "b", "name": "db", "resources": {"limits": {"memory": "768Mi"}},
            "startupProbe": {"httpGet": {"port": 81}, "failureThreshold": 12},
        },
    ]);
    let execution = execution_of(with(least(), pointer, containers));
    execution.spec.template.as_ref().and_then(|template| template.spec.clone()).expect("a task")
}

#[track_caller]
fn of_two(ending: Ending, expected: &str) {
    let lines = system_log(&attempt(0, Some(ending)), &two());
    let first = lines.first().map(|line| format!("{}: {}", line.container, line.text));
    assert_eq!(first.as_deref(), Some(expected));
}

#[test]
fn of_several_containers_the_system_names_the_one_that_ended_the_attempt() {
    let ended = |exit, cause| Ending::Exited {
        exit,
        cause,
        memory_peak: None,
        message: None,
        container: Some("db".to_owned()),
    };
    of_two(ended(Exit::Code(3), Cause::OnItsOwn), "db: Container called exit(3).");
    of_two(
        ended(Exit::Signal(9), Cause::OutOfMemory),
        "db: Memory limit of 768 MiB exceeded with 768 MiB used. Consider increasing the memory limit, see \
         https://cloud.google.com/run/docs/configuring/memory-limits",
    );
    of_two(
        Ending::ProbeFailed { container: "db".to_owned(), why: "connection refused".to_owned() },
        "db: STARTUP HTTP probe failed 12 times consecutively for container \"db\" on port 81 path \"/\". \
         The instance was not started.\nconnection refused",
    );
    of_two(
        Ending::StartFailed {
            whose: Fault::Theirs,
            why: "exec /x: no such file".to_owned(),
            container: Some("db".to_owned()),
        },
        "db: Container could not be started: exec /x: no such file",
    );
    of_two(Ending::Lost { why: "reboot".to_owned() }, "main: Container was lost: reboot");
}

#[test]
fn a_container_without_a_name_is_called_worker() {
    let lines = system_log(&attempt(0, Some(exited(Exit::Code(0), Cause::OnItsOwn))), &spec());
    assert_eq!(lines[0].container, "worker");
}
