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
    io::{self, Read, Seek, SeekFrom},
    os::{fd::AsFd, unix::fs::FileExt},
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

/// The init of a container without a cgroup, by what is never said of another process in this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    /// In the machine's own process namespace.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: when it began, in clock ticks since the boot.
    pub started: u64,
}

/// Where inits stand in `begun`, behind all that `exit` may become: a file of their own would cost an inode.
const INITS_AT: u64 = 16 * 1024;

/// A process id and a time, little-endian.
const INIT_BYTES: usize = 4 + 8;

/// More than an attempt has containers.
const INITS_MAX: u64 = 64;

/// Writes down who the calling process is, the init of the container at `index`: where it has no cgroup this is how it is
/// found when its shim is dead.
pub(crate) fn write_init(dir: &Path, index: usize) -> io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let Init { pid, started } = read_stat(&stat)
        .ok_or_else(|| io::Error::other("/proc/self/stat is not as it is documented"))?;
    let begun = File::options().write(true).open(dir.join(BEGUN))?;
    let bytes = [&pid.to_le_bytes()[..], &started.to_le_bytes()].concat();
    begun.write_all_at(&bytes, INITS_AT + (index * INIT_BYTES) as u64)
}

/// The inits that were written down in an attempt's directory; none where containers have cgroups.
///
/// # Errors
/// When `begun` is there and cannot be read.
pub fn inits(dir: &Path) -> io::Result<Vec<Init>> {
    let mut begun = match File::open(dir.join(BEGUN)) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    begun.seek(SeekFrom::Start(INITS_AT))?;
    let mut bytes = Vec::new();
    begun.take(INITS_MAX * INIT_BYTES as u64).read_to_end(&mut bytes)?;
    let init = |bytes: &[u8]| {
        let (pid, started) = bytes.split_first_chunk::<4>()?;
        let init = Init {
            pid: i32::from_le_bytes(*pid),
            started: u64::from_le_bytes(*started.first_chunk::<8>()?),
        };
        (init.pid > 0).then_some(init)
    };
    Ok(bytes.chunks(INIT_BYTES).filter_map(init).collect())
}

/// Reads the text of a `/proc/PID/stat`. The name of a process, in parentheses, may hold blanks and parentheses.
#[must_use]
pub fn read_stat(stat: &str) -> Option<Init> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(") ")?;
    // The first of `rest` is field 3.
    let started = rest.split(' ').nth(22 - 3)?;
    Some(Init { pid: pid.parse().ok()?, started: started.trim().parse().ok()? })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inits_are_read_back_also_from_behind_a_record() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(inits(dir.path()).expect("nothing was begun"), []);
        std::fs::write(dir.path().join(BEGUN), b"").expect("it is written");
        assert_eq!(inits(dir.path()).expect("none is written down"), []);
        write_init(dir.path(), 2).expect("it is written");
        let found = inits(dir.path()).expect("they are read");
        let own = i32::try_from(std::process::id()).expect("the kernel's ids fit");
        assert_eq!(found.iter().map(|init| init.pid).collect::<Vec<_>>(), [own]);
        assert!(found[0].started > 0);
    }

    #[test]
    fn a_name_that_looks_like_the_end_of_a_name_is_read_over() {
        let fields: Vec<String> = (4..30).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) R 1 (b) S {}", fields.join(" "));
        assert_eq!(read_stat(&stat), Some(Init { pid: 7, started: 22 }));
        assert_eq!(read_stat("odd"), None);
    }
}
