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
    /// Becomes `exit`, and is still locked then.
    lock: File,
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

/// Space for the exit record: last words, each invalid byte of which takes three, and an error text.
const RECORD_BYTES_MAX: u64 = 16 * 1024;

/// Connections that wait to be taken: one server, and a person with a tool.
const BACKLOG: i32 = 16;

impl Attempt {
    /// Everything that can fail for want of the machine comes before `begun`: then nothing was begun.
    pub(super) fn begin(path: &Path) -> Result<Begin, Failure> {
        let step = |what| format!("{what} of {}", path.display());
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(path, flags, Mode::empty()).ours(step("open the directory"))?;
        // Looked at before anything is made: a late launch of an old attempt leaves no trace in its directory.
        if rustix::fs::statat(&directory, dir::BEGUN, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Ok(Begin::Already);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&directory, dir::LOCK, flags, Mode::from_raw_mode(0o600))
            .ours(step("make the lock"))?;
        match sys::lock::take(lock.as_fd()) {
            Ok(()) => {}
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => return Ok(Begin::Already),
            Err(err) => return Err(err).ours(step("take the lock")),
        }
        // The space for the end is taken at the beginning: a disk that is full by then must not lose it.
        match rustix::fs::fallocate(&lock, FallocateFlags::KEEP_SIZE, 0, RECORD_BYTES_MAX) {
            // Not every file system can; then the end needs space at the end.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(err) => return Err(err).ours(step("take the space for the exit record")),
        }
        let listener = listen(&directory).ours(step("listen in the directory"))?;
        // What decides: of all shims that ever try, one makes this link.
        match rustix::fs::linkat(&directory, dir::LOCK, &directory, dir::BEGUN, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Begin::Already),
            Err(err) => return Err(err).ours(step("begin")),
        }
        Ok(Begin::First(Self { directory, listener, lock: File::from(lock) }))
    }

    pub(super) fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// Writes `exit`, whole or not at all.
    pub(super) fn record(&self, record: &ExitRecord) -> Result<(), Errno> {
        let bytes = dir::encode_exit(record).map_err(|_| Errno::INVAL)?;
        let written = self.lock.write_all_at(&bytes, 0);
        written.map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))?;
        rustix::fs::renameat(&self.directory, dir::LOCK, &self.directory, dir::EXIT)
    }

    /// Tries again for a while where somebody may make room. The lock is held meanwhile, so that nobody calls the attempt
    /// lost. A directory that is gone has nobody who waits for it.
    pub(super) fn record_later(&self, record: &ExitRecord) {
        const EVERY: Duration = Duration::from_secs(1);
        const TIMES_MAX: usize = 600;
        for _ in 0..TIMES_MAX {
            let _ = rustix::event::poll(&mut [], Timespec::try_from(EVERY).ok().as_ref());
            match self.record(record) {
                Err(Errno::NOSPC | Errno::DQUOT | Errno::NOMEM | Errno::IO) => {}
                Ok(()) | Err(_) => return,
            }
        }
    }
}

fn listen(directory: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
    // A shim that died before it began may have left its own: the lock is ours, so nobody listens there.
    match rustix::fs::unlinkat(directory, dir::CONTROL, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(err) => return Err(err),
    }
    let address = SocketAddrUnix::new(connection::control_path(directory.as_fd()))?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
