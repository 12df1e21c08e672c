//! Exit codes, documented in the README, and the error that every verb ends with.

use std::{fmt, process::ExitCode};

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: all succeeded.
    Succeeded,
    /// 1: the execution failed, or the server refused.
    Failed,
    /// 2: the input is wrong.
    BadInput,
    /// 3: cannot run on this machine.
    CannotRunHere,
    /// 130: cancelled by Ctrl-C, SIGTERM or the end of the terminal.
    Cancelled,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Succeeded => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::CannotRunHere => 3,
            Exit::Cancelled => 130,
        })
    }
}

/// What a person reads when a verb stops early: what was wrong, and what to do.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) exit: Exit,
    pub(crate) lines: Vec<String>,
}

impl Stop {
    pub(crate) fn failed(line: impl fmt::Display) -> Self {
        Self { exit: Exit::Failed, lines: vec![line.to_string()] }
    }

    pub(crate) fn bad_input(line: impl fmt::Display) -> Self {
        Self { exit: Exit::BadInput, lines: vec![line.to_string()] }
    }

    pub(crate) fn cannot_run_here(lines: Vec<String>) -> Self {
        Self { exit: Exit::CannotRunHere, lines }
    }
}
