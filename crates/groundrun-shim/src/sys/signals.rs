//! Dispositions of signals.

/// Signals that a careless `pkill groundrun`, a closed terminal or a Ctrl-C would send to spawner and shims as well as
/// to the server that they are meant for. Ignoring SIGPIPE makes a write to a gone peer an error.
const IGNORED: [libc::c_int; 5] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE];

/// The spawner's: what is meant for the server is ignored, ended shims vanish by themselves.
pub(crate) fn for_spawner() {
    IGNORED.into_iter().for_each(|signal| set(signal, libc::SIG_IGN));
    set(libc::SIGCHLD, libc::SIG_IGN);
}

/// The shim's: as the spawner's, but its child waits for it.
pub(crate) fn for_shim() {
    set(libc::SIGCHLD, libc::SIG_DFL);
}

/// A new program's: every disposition the default, nothing blocked.
pub(crate) fn for_program() {
    for signal in 1..=64 {
        // SIGKILL, SIGSTOP and libc's own two refuse: they cannot be changed anyway.
        set(signal, libc::SIG_DFL);
    }
    // SAFETY: an all-zero sigset_t is the empty set on Linux; the call reads it and writes nothing back.
    unsafe {
        let none: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

fn set(signal: libc::c_int, disposition: libc::sighandler_t) {
    // SAFETY: SIG_DFL and SIG_IGN run no code of ours.
    unsafe { libc::signal(signal, disposition) };
}
