//! The kernel. Every unsafe line of this crate, and every system call that rustix lacks, by topic, each with its reason.
#![expect(unsafe_code, reason = "the one place of this crate where it may be")]

pub(crate) mod clone;
pub(crate) mod exec;
pub(crate) mod fds;
pub(crate) mod lock;
pub(crate) mod loop_device;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod net;
pub(crate) mod process;
pub(crate) mod seccomp;
pub(crate) mod signals;

use std::io;

/// The result of a system call made through libc.
fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
