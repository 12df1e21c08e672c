//! The loopback interface of a new network namespace.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Sets `lo` up, by any socket of the namespace.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an ifreq is plain bytes, for which all zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    // SAFETY: the ioctl reads and writes one ifreq, and fills the flags that are read next.
    unsafe {
        super::checked(
            libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request).into(),
        )?;
        request.ifr_ifru.ifru_flags |= UP;
        super::checked(
            libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request).into(),
        )?;
    }
    Ok(())
}

/// IFF_UP in the width of `ifr_flags`.
const UP: libc::c_short = 1;
