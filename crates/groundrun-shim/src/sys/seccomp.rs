//! Loading a filter of system calls.

use std::io;

/// One instruction, as the kernel takes it.
pub(crate) use libc::sock_filter as Instruction;

/// Confines this thread, and all that it becomes and makes, by `filter`. Needs no_new_privs.
pub(crate) fn load(filter: &[Instruction]) -> io::Result<()> {
    let Ok(length) = u16::try_from(filter.len()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `program` points to `length` instructions, which the kernel copies and does not write.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    super::checked(result).map(drop)
}
