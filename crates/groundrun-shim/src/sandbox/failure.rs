//! The first step of a start that did not work: whose fault it is, and what a person needs to know.

use std::{fmt::Display, io};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::protocol::Fault;

/// Why a program never ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) whose: Fault,
    pub(crate) why: String,
}

/// Longest text of a failure: it may quote an argument, and travels in a packet.
const WHY_BYTES_MAX: usize = 1024;

impl Failure {
    pub(crate) fn theirs(why: impl Into<String>) -> Self {
        Self::new(Fault::Theirs, why.into())
    }

    pub(crate) fn ours(why: impl Into<String>) -> Self {
        Self::new(Fault::Ours, why.into())
    }

    fn new(whose: Fault, mut why: String) -> Self {
        why.truncate(why.floor_char_boundary(WHY_BYTES_MAX));
        Self { whose, why }
    }
}

/// Names the step that a system call belongs to.
pub(crate) trait Step<T> {
    /// A step that depends on the machine alone.
    fn ours(self, step: impl Display) -> Result<T, Failure>;
    /// A step that depends on the image or the spec, unless the error is want of memory, descriptors or space.
    fn theirs(self, step: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn ours(self, step: impl Display) -> Result<T, Failure> {
        self.map_err(|err| Failure::ours(format!("{step}: {}", words(&err.into()))))
    }

    fn theirs(self, step: impl Display) -> Result<T, Failure> {
        self.map_err(|err| {
            let err = err.into();
            let why = format!("{step}: {}", words(&err));
            if is_want_of_resources(&err) { Failure::ours(why) } else { Failure::theirs(why) }
        })
    }
}

fn is_want_of_resources(err: &io::Error) -> bool {
    let wanting = [Errno::NOMEM, Errno::NFILE, Errno::MFILE, Errno::AGAIN, Errno::IO, Errno::NOSPC];
    Errno::from_io_error(err).is_some_and(|errno| wanting.contains(&errno))
}

/// The kernel's words without the library's number, in lower case.
pub(crate) fn words(err: &io::Error) -> String {
    let text = err.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
