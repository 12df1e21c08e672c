//! The log of an attempt: one frame per line, written by the shim, read by anybody at any time. It is made with its first
//! line: an attempt that printed nothing has none.
//!
//! ```text
//! "GRLOG\0\0\x01"  then frames:  text length u32 │ time i64 │ source u8 │ text        little endian, time in ns since 1970
//! ```
//!
//! The lower half of the source byte says which stream, the upper half which container: 0 in an attempt of one. In the log
//! of several containers there are also their ends ([`Source::Ended`]), but for the one that the exit record tells.
//!
//! A line's text is without its newline and at most as long as the launch says; what was dropped, of a line or at the
//! end of a log that is full, is said in the text of the line or in a line of source [`Source::Note`]. A frame that is
//! not yet whole is the end, for now.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{LogError, Reader};
pub(crate) use writer::{Stream, Writer};

use crate::protocol::{Exit, UnixNanos};

/// One line of an attempt's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its first byte was read from the program.
    pub at: UnixNanos,
    /// Where it came from.
    pub source: Source,
    /// Place of the container that it came from among those of the launch.
    pub container: usize,
    /// Without the newline. Any bytes.
    pub text: Vec<u8>,
}

impl Line {
    /// Of one of [`Source::Ended`]: how.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        (self.source == Source::Ended).then(|| postcard::from_bytes(&self.text).ok()).flatten()
    }
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The program's standard output.
    Stdout,
    /// The program's standard error.
    Stderr,
    /// The shim: what was dropped.
    Note,
    /// The shim: the container ended. The text is an [`Exit`], for [`Line::exit`].
    Ended,
}

impl Source {
    fn code(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Note => 3,
            Self::Ended => 4,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        let all = [Self::Stdout, Self::Stderr, Self::Note, Self::Ended];
        all.into_iter().find(|source| source.code() == code)
    }
}

/// Containers that a log can tell apart. An attempt has at most 10.
pub(crate) const CONTAINERS_MAX: usize = 16;

/// The source byte of a frame.
fn source_byte(source: Source, container: usize) -> u8 {
    // Below CONTAINERS_MAX, as the shim sees to.
    let container = u8::try_from(container % CONTAINERS_MAX).unwrap_or_default();
    container << 4 | source.code()
}

fn of_source_byte(byte: u8) -> Option<(Source, usize)> {
    Some((Source::of_code(byte & 0xf)?, usize::from(byte >> 4)))
}

/// Name and version at the start of the file.
const MAGIC: [u8; 8] = *b"GRLOG\0\0\x01";

/// Bytes of a frame before its text.
const HEADER_BYTES: usize = 4 + 8 + 1;

/// A reader takes a longer frame for garbage. Far above any sensible bound of a line.
const TEXT_BYTES_MAX: u32 = 16 * 1024 * 1024;
