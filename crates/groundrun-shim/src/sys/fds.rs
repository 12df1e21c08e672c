//! Descriptors by number: what a forked process keeps and what it closes.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

/// Closes every descriptor but `kept` and the standard ones. The caller's own values for the others must never be used or dropped again: it is
/// for a process that was just forked and keeps only what it names.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        if first < fd {
            close_range(first, fd - 1, 0)?;
        }
        first = fd + 1;
    }
    close_range(first, RawFd::MAX, 0)
}

/// Marks every descriptor from 3 on to be closed by exec.
pub(crate) fn close_on_exec_from_3() -> io::Result<()> {
    close_range(3, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: closing descriptors touches no memory; who may still name them is the contract of `close_all_but`.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    super::checked(result).map(drop)
}

/// Makes 0, 1 and 2 lead nowhere.
pub(crate) fn silence_standard() -> io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    (0..3).try_for_each(|number| become_standard(null.as_fd(), number))
}

/// Makes `from` the standard descriptor `number` (0, 1 or 2), not closed by exec.
pub(crate) fn become_standard(from: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2 onto 0, 1 or 2, which no owned value of this program's own stands for.
    super::checked(unsafe { libc::dup2(from.as_raw_fd(), number) }.into()).map(drop)
}
