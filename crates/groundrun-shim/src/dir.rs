//! The attempt's directory: what is in it, and what that says about the attempt.
//!
//! | file | made | means |
//! |---|---|---|
//! | `lock` | by the shim, first | write-locked (open file description lock) as long as its shim lives; becomes `exit` |
//! | `begun` | by the shim, a link to `lock`, before any effect | the attempt was begun; it never will be again |
//! | `control.sock` | by the shim | where [`crate::Connection::open`] connects |
//! | `log` | by the shim, with the first line | see [`crate::log`] |
//! | `exit` | by the shim, `lock` renamed | [`ExitRecord`]: it is over and nothing of it runs |
//!
//! Three of them are one file: making an inode can cost half of a start (ext4 passes over every inode that was deleted
//! lately), a link or a rename next to nothing. No fsync: a reboot makes the attempt lost anyway. The server removes the
//! directory.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use crate::{protocol::ExitRecord, sys};

/// Held by the living shim.
pub const LOCK: &str = "lock";
/// The attempt was begun.
pub const BEGUN: &str = "begun";
/// The shim's listening socket.
pub const CONTROL: &str = "control.sock";
/// The log.
pub const LOG: &str = "log";
/// The exit record.
pub const EXIT: &str = "exit";

/// What an attempt's directory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Never begun.
    NotBegun,
    /// Its shim lives.
    Running,
    /// It is over.
    Ended(ExitRecord),
    /// It was begun, its shim is dead and left no record: what is left in its cgroups is to be killed and seen empty,
    /// then it is lost.
    Vanished,
}

/// Reads an attempt's directory. Harmless beside a living shim.
///
/// # Errors
/// When the directory or one of its files cannot be read, or `exit` is not an exit record.
pub fn standing(dir: &Path) -> Result<Standing, DirError> {
    let fault = |what: &'static str| {
        let path = dir.join(what);
        move |err| DirError { path, err }
    };
    // Whether it was begun, before all else: from then on the lock is held until it has become `exit`, or the shim is dead.
    // The other way round an attempt that begins between two looks would seem to have vanished.
    let begun = match std::fs::symlink_metadata(dir.join(BEGUN)) {
        Ok(_) => true,
        Err(err) if err.kind() == io::ErrorKind::NotFound => false,
        Err(err) => return Err(fault(BEGUN)(err)),
    };
    if is_locked(dir).map_err(fault(LOCK))? {
        return Ok(Standing::Running);
    }
    match std::fs::read(dir.join(EXIT)) {
        Ok(bytes) => {
            let record = decode_exit(&bytes).map_err(io::Error::other).map_err(fault(EXIT))?;
            return Ok(Standing::Ended(record));
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(fault(EXIT)(err)),
    }
    Ok(if begun { Standing::Vanished } else { Standing::NotBegun })
}

/// A file of an attempt's directory could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub struct DirError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub err: io::Error,
}

/// Asks without taking the lock, so that a shim that is just being made never finds it taken.
fn is_locked(dir: &Path) -> io::Result<bool> {
    match File::open(dir.join(LOCK)) {
        Ok(file) => Ok(sys::lock::is_held(file.as_fd())?),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

/// The record behind one byte of version.
pub(crate) fn encode_exit(record: &ExitRecord) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(record, vec![EXIT_VERSION])
}

fn decode_exit(bytes: &[u8]) -> Result<ExitRecord, ExitFault> {
    match bytes.split_first() {
        Some((&EXIT_VERSION, record)) => Ok(postcard::from_bytes(record)?),
        Some((&version, _)) => Err(ExitFault::Version(version)),
        None => Err(ExitFault::Empty),
    }
}

const EXIT_VERSION: u8 = 1;

#[derive(Debug, thiserror::Error)]
enum ExitFault {
    #[error("exit record of unknown version {0}")]
    Version(u8),
    #[error("empty exit record")]
    Empty,
    #[error("garbled exit record")]
    Garbled(#[from] postcard::Error),
}
