//! An attempt as a row of `attempts`.

use groundrun_core::{
    id::{AttemptId, BootId, ExecutionUid},
    record::{Attempt, Cause, Ending, Exit, Fault},
};
use jiff::Timestamp;
use rusqlite::Row;

use super::{Reading, micros};
use crate::error::StoreError;

/// The columns of an ending; all empty while there is none.
#[derive(Default)]
pub(crate) struct EndingColumns<'a> {
    pub(crate) ended: Option<i64>,
    pub(crate) ending: Option<&'static str>,
    /// Of which container of several.
    pub(crate) container: Option<&'a str>,
    pub(crate) exit_code: Option<u8>,
    pub(crate) exit_signal: Option<i32>,
    pub(crate) cause: Option<&'static str>,
    /// The same 64 bits: SQLite knows signed integers only.
    pub(crate) memory_peak: Option<i64>,
    pub(crate) fault: Option<&'static str>,
    /// The termination message, or why.
    pub(crate) message: Option<&'a str>,
}

/// An ending as columns.
pub(crate) fn ending(ended: Option<&(Timestamp, Ending)>) -> EndingColumns<'_> {
    let Some((at, ending)) = ended else { return EndingColumns::default() };
    let columns = EndingColumns { ended: Some(micros(*at)), ..EndingColumns::default() };
    match ending {
        Ending::Exited { exit, cause, memory_peak, message, container } => EndingColumns {
            ending: Some("exited"),
            container: container.as_deref(),
            exit_code: if let Exit::Code(code) = exit { Some(*code) } else { None },
            exit_signal: if let Exit::Signal(signal) = exit { Some(*signal) } else { None },
            cause: Some(match cause {
                Cause::OnItsOwn => "on-its-own",
                Cause::Deadline => "deadline",
                Cause::Asked => "asked",
                Cause::OutOfMemory => "out-of-memory",
            }),
            memory_peak: memory_peak.map(u64::cast_signed),
            message: message.as_deref(),
            ..columns
        },
        Ending::StartFailed { whose, why, container } => EndingColumns {
            ending: Some("start-failed"),
            container: container.as_deref(),
            fault: Some(match whose {
                Fault::Theirs => "theirs",
                Fault::Ours => "ours",
            }),
            message: Some(why),
            ..columns
        },
        Ending::ProbeFailed { container, why } => EndingColumns {
            ending: Some("probe-failed"),
            container: Some(container),
            message: Some(why),
            ..columns
        },
        Ending::Lost { why } => {
            EndingColumns { ending: Some("lost"), message: Some(why), ..columns }
        }
    }
}

/// Reads a row of `SELECT *`.
pub(crate) fn read(row: &Row<'_>) -> Result<Attempt, StoreError> {
    let row = Reading { table: "attempts", row };
    Ok(Attempt {
        id: AttemptId {
            execution: ExecutionUid(row.uuid("execution")?),
            task: row.get("task")?,
            attempt: row.get("attempt")?,
        },
        boot: BootId(row.uuid("boot")?),
        intended: row.time("intended")?,
        started: row.maybe_time("started")?,
        ended: match row.maybe_time("ended")? {
            None => None,
            Some(at) => Some((at, read_ending(&row)?)),
        },
    })
}

fn read_ending(row: &Reading<'_>) -> Result<Ending, StoreError> {
    let message: Option<String> = row.get("message")?;
    let container: Option<String> = row.get("container")?;
    match row.get::<Box<str>>("ending")?.as_ref() {
        "exited" => Ok(Ending::Exited {
            exit: read_exit(row)?,
            cause: read_cause(row)?,
            memory_peak: row.get::<Option<i64>>("memory_peak")?.map(i64::cast_unsigned),
            message,
            container,
        }),
        "start-failed" => Ok(Ending::StartFailed {
            whose: read_fault(row)?,
            why: row.some("message", message)?,
            container,
        }),
        "probe-failed" => Ok(Ending::ProbeFailed {
            container: row.some("container", container)?,
            why: row.some("message", message)?,
        }),
        "lost" => Ok(Ending::Lost { why: row.some("message", message)? }),
        other => Err(row.bad("ending", format_args!("unknown word {other:?}"))),
    }
}

fn read_exit(row: &Reading<'_>) -> Result<Exit, StoreError> {
    match (row.get("exit_code")?, row.get("exit_signal")?) {
        (Some(code), None) => Ok(Exit::Code(code)),
        (None, Some(signal)) => Ok(Exit::Signal(signal)),
        _ => Err(row.bad("exit_code", "an exit is either a code or a signal")),
    }
}

fn read_cause(row: &Reading<'_>) -> Result<Cause, StoreError> {
    match row.get::<Box<str>>("cause")?.as_ref() {
        "on-its-own" => Ok(Cause::OnItsOwn),
        "deadline" => Ok(Cause::Deadline),
        "asked" => Ok(Cause::Asked),
        "out-of-memory" => Ok(Cause::OutOfMemory),
        other => Err(row.bad("cause", format_args!("unknown word {other:?}"))),
    }
}

fn read_fault(row: &Reading<'_>) -> Result<Fault, StoreError> {
    match row.get::<Box<str>>("fault")?.as_ref() {
        "theirs" => Ok(Fault::Theirs),
        "ours" => Ok(Fault::Ours),
        other => Err(row.bad("fault", format_args!("unknown word {other:?}"))),
    }
}
