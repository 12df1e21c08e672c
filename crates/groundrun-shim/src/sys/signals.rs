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
    for signal in 1..=SIGNALS {
        // SIGKILL and SIGSTOP refuse: they cannot be changed anyway.
        set(signal, libc::SIG_DFL);
    }
    let none: u64 = 0;
    // SAFETY: the kernel reads a set of 64 signals and writes nothing back.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
}

/// How many there are.
const SIGNALS: libc::c_int = 64;

/// The kernel's `struct sigaction`.
#[repr(C)]
struct Action {
    handler: libc::sighandler_t,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// By the kernel's own call: libc's keeps two signals to itself, and a program would inherit what they are set to.
fn set(signal: libc::c_int, disposition: libc::sighandler_t) {
    let action = Action { handler: disposition, flags: 0, restorer: 0, mask: 0 };
    // SAFETY: SIG_DFL and SIG_IGN, the only ones given here, run no code of ours, so no restorer is needed; the kernel
    // reads one `struct sigaction` and writes nothing back.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            &raw const action,
            std::ptr::null_mut::<Action>(),
            size_of::<u64>(),
        )
    };
}
