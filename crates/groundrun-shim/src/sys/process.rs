//! Making and ending processes.

use std::io;

/// Which of the two a fork returned in.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The caller.
    Parent,
    /// The new process.
    Child,
}

/// Forks. The caller must have one thread only, or the child may do no more than what is safe in a signal handler.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the callers are single-threaded (the server's main() before its first thread, as it counts; the spawner),
    // so that no lock is copied in a locked state.
    let pid = super::checked(unsafe { libc::fork() }.into())?;
    Ok(if pid == 0 { Fork::Child } else { Fork::Parent })
}

/// Ends this process at once, running nothing of its parent's that was copied with it.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}
