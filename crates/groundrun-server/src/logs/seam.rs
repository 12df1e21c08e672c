//! The seam to what tasks wrote: the front reads it, the binary implements it over the backend.

use std::{io, num::NonZeroUsize};

use groundrun_core::id::AttemptId;
use jiff::Timestamp;

/// What tasks wrote.
pub trait Logs: Send + Sync {
    /// At most `most` lines after `from`, in the order of writing, and where to read on; fewer where lines are long,
    /// none at the end as it is now. An attempt that wrote nothing, or whose log is gone, has no lines.
    fn read(
        &self,
        attempt: AttemptId,
        from: LogPosition,
        most: NonZeroUsize,
    ) -> io::Result<(Vec<LogLine>, LogPosition)>;
}

/// Between two lines of one attempt's log. The default is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// The implementation's own.
    pub offset: u64,
    /// Lines before it.
    pub line: u64,
}

/// One line of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the task.
    pub at: Timestamp,
    /// Where it was written to.
    pub stream: Stream,
    /// Without its line break; bytes that were no UTF-8 are replaced.
    pub text: String,
    /// Its number in the attempt's log, from 0.
    pub sequence: u64,
}

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// By the attempt's monitor: what was dropped.
    Note,
}
