//! Where the members of a plain archive are, for one that is read in any order.

use std::io::Read;

use super::{
    UnpackFault,
    decode::Stream,
    entries::{Entries, Kind},
};
use crate::settings::Limits;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// Its content is there.
    File { offset: u64, size: u64 },
    /// Points to another.
    Symlink { target: String },
    /// A directory, or what has no content.
    Other,
}

/// Walks a plain archive.
pub(crate) struct Members<'r>(Entries<'r>);

impl<'r> Members<'r> {
    pub(crate) fn new(archive: impl Read + 'r, size: u64, limits: &'r Limits) -> Self {
        Self(Entries::new(Stream::plain(archive, size, limits), limits))
    }

    /// The next member and its name.
    pub(crate) fn next(&mut self) -> Result<Option<(String, Member)>, UnpackFault> {
        let Some(head) = self.0.next()? else { return Ok(None) };
        let member = match head.kind {
            Kind::File => Member::File { offset: self.0.position(), size: head.size },
            Kind::Symlink => {
                Member::Symlink { target: String::from_utf8_lossy(&head.target).into_owned() }
            }
            Kind::Directory | Kind::HardLink | Kind::Fifo | Kind::Device { .. } => Member::Other,
        };
        Ok(Some((String::from_utf8_lossy(&head.path).into_owned(), member)))
    }
}
