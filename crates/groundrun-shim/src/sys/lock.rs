//! Open file description locks: they belong to the descriptor, die with its last copy, and can be asked about without
//! being taken (flock cannot, and rustix has only the kind that any close of the file drops).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Takes the write lock, or fails with EAGAIN when another holds it.
pub(crate) fn take(file: BorrowedFd<'_>) -> io::Result<()> {
    call(file, libc::F_OFD_SETLK).map(drop)
}

/// Whether another holds it.
pub(crate) fn is_held(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(call(file, libc::F_OFD_GETLK)?.l_type != unlocked())
}

fn call(file: BorrowedFd<'_>, command: libc::c_int) -> io::Result<libc::flock> {
    let mut lock = libc::flock {
        l_type: write_lock(),
        // Both constants are 0 and fit any width.
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open as long as it is borrowed, and `lock` is a whole `struct flock` that the kernel
    // reads and, for F_OFD_GETLK, writes.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
    super::checked(result.into())?;
    Ok(lock)
}

#[expect(clippy::cast_possible_truncation, reason = "F_WRLCK is 1")]
fn write_lock() -> libc::c_short {
    libc::F_WRLCK as libc::c_short
}

#[expect(clippy::cast_possible_truncation, reason = "F_UNLCK is 2")]
fn unlocked() -> libc::c_short {
    libc::F_UNLCK as libc::c_short
}
