//! System log lines.

use groundrun_api::v1;

use crate::{
    record::{Cause, Ending, Exit, Fault},
    render::system_log,
    samples::{attempt, execution, exited},
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
