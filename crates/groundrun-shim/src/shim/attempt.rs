//! The attempt's directory from the shim's side: begins it at most once, ever, and records its end.

use std::{
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    time::Duration,
};

use rustix::{
    event::Timespec,
    fs::{AtFlags, FallocateFlags, Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use super::Failure;
use crate::{connection, dir, protocol::ExitRecord, sandbox::Step, sys};

/// A begun attempt. Its lock is held as long as this lives, which is as long as the shim.
#[derive(Debug)]
pub(super) struct Attempt {
    directory: OwnedFd,
    listener: OwnedFd,
    /// Becomes `exit`. Its space is taken at the beginning: a disk that is full at the end must not lose the end.
    record: File,
    _lock: OwnedFd,
}

/// Whether an attempt was begun by this shim.
#[must_use]
#[derive(Debug)]
pub(super) enum Begin {
    /// It was, and nobody else ever will.
    First(Attempt),
    /// Another did, now or earlier.
    Already,
}

/// Name of the record before it is whole.
const UNFINISHED: &str = "exit.unfinished";

/// Space that an exit record may take.
const RECORD_BYTES_MAX: u64 = connection::PACKET_BYTES_MAX as u64;

/// Connections that wait to be taken: one server, and a person with a tool.
const BACKLOG: i32 = 16;

impl Attempt {
    /// Everything that can fail for want of the machine comes before `begun`: then nothing was begun.
    pub(super) fn begin(path: &Path) -> Result<Begin, Failure> {
        let step = |what| format!("{what} of {}", path.display());
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(path, flags, Mode::empty()).ours(step("open the directory"))?;
        let make = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let private = Mode::from_raw_mode(0o600);
        let lock =
            rustix::fs::openat(&directory, dir::LOCK, make, private).ours(step("make the lock"))?;
        match sys::lock::take(lock.as_fd()) {
            Ok(()) => {}
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => return Ok(Begin::Already),
            Err(err) => return Err(err).ours(step("take the lock")),
        }
        // Looked at before anything else is made: a late launch of an old attempt leaves no trace in its directory.
        if rustix::fs::statat(&directory, dir::BEGUN, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Ok(Begin::Already);
        }
        let record = rustix::fs::openat(&directory, UNFINISHED, make, private)
            .ours(step("make the exit record"))?;
        match rustix::fs::fallocate(&record, FallocateFlags::KEEP_SIZE, 0, RECORD_BYTES_MAX) {
            // Not every file system can; then the end needs space at the end.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(err) => return Err(err).ours(step("take the space for the exit record")),
        }
        match rustix::fs::openat(&directory, dir::BEGUN, make | OFlags::EXCL, private) {
            Ok(_) => {}
            Err(Errno::EXIST) => return Ok(Begin::Already),
            Err(err) => return Err(err).ours(step("begin")),
        }
        let listener = listen(&directory).ours(step("listen in the directory"))?;
        Ok(Begin::First(Self { directory, listener, record: File::from(record), _lock: lock }))
    }

    pub(super) fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// Writes `exit`, whole or not at all. Whether that worked.
    pub(super) fn record(&self, record: &ExitRecord) -> bool {
        let Ok(bytes) = dir::encode_exit(record) else {
            return false;
        };
        let written = self.record.write_all_at(&bytes, 0).is_ok();
        written
            && rustix::fs::renameat(&self.directory, UNFINISHED, &self.directory, dir::EXIT).is_ok()
    }

    /// Tries again for a while: somebody may make room. The lock is held meanwhile, so nobody calls the attempt lost.
    pub(super) fn record_later(&self, record: &ExitRecord) {
        const EVERY: Duration = Duration::from_secs(1);
        const TIMES_MAX: usize = 600;
        for _ in 0..TIMES_MAX {
            let _ = rustix::event::poll(&mut [], Timespec::try_from(EVERY).ok().as_ref());
            if self.record(record) {
                return;
            }
        }
    }
}

fn listen(directory: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
    let address = SocketAddrUnix::new(connection::control_path(directory.as_fd()))?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
