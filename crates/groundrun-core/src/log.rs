//! What an attempt wrote: the words in which the backend that reads it and the front that shows it agree.

use jiff::Timestamp;

use crate::record::Exit;

/// Between two lines of one attempt's log. The default is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// The backend's own; on this machine, bytes of the file before it.
    pub offset: u64,
    /// Lines before it.
    pub line: u64,
}

/// One line of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When its first byte was read from the program.
    pub at: Timestamp,
    /// Where it was written to.
    pub stream: Stream,
    /// Place of the container that wrote it among those of the spec; 0 for the monitor's notes.
    pub container: usize,
    /// Without its line break; what is not UTF-8 is replaced. Empty where a container ended.
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
    /// By the monitor, of several containers: this one ended. The line has no text.
    Ended(Exit),
}
