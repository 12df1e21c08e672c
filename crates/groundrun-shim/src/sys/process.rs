//! Making and ending processes, and what one is.

use std::io;

/// Which of the two a fork returned in.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The caller.
    Parent(rustix::process::Pid),
    /// The new process.
    Child,
}

/// Forks. The caller must have one thread only, or the child may do no more than what is safe in a signal handler.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the callers are single-threaded (the server's main() before its first thread, as it counts; the spawner),
    // so that no lock is copied in a locked state.
    let pid = super::checked(unsafe { libc::fork() }.into())?;
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    Ok(pid.map_or(Fork::Child, Fork::Parent))
}

/// No core of this process, and of those that it forks, is written or handed to a program of the machine's. One byte and
/// not none: a `core_pattern` that is a program would be started and given the core whatever the limit is, but for this
/// one.
pub(crate) fn leave_no_core() {
    let limit = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
    // It may always be lowered; where it is 0 already and may not be raised, a pattern that is a file writes none.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, limit);
}

/// Lets this process, and those that it forks, open as many files as the machine permits, and says how many those are
/// (`None`: any number).
pub(crate) fn may_open_all() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    match rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Ends this process at once, running nothing of its parent's that was copied with it.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// From now on this process acts on files as this user and group: the kernel sends them to servers of files, and takes the
/// rights of root over files away. Others stay.
pub(crate) fn act_on_files_as(uid: u32, gid: u32) {
    // SAFETY: neither touches memory. They answer what was before and cannot fail; for this thread, the only one.
    unsafe { (libc::setfsgid(gid), libc::setfsuid(uid)) };
}

/// Enters a new cgroup namespace, whose root is the caller's cgroup.
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    unshare(libc::CLONE_NEWCGROUP)
}

/// Enters a new user namespace that maps nobody yet.
pub(crate) fn new_user_namespace() -> io::Result<()> {
    unshare(libc::CLONE_NEWUSER)
}

/// Enters a new mount namespace that begins with what is mounted here.
pub(crate) fn new_mount_namespace() -> io::Result<()> {
    unshare(libc::CLONE_NEWNS)
}

/// Enters a new network namespace with a loopback that is down.
pub(crate) fn new_network_namespace() -> io::Result<()> {
    unshare(libc::CLONE_NEWNET)
}

/// Enters new namespaces.
pub(crate) fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: only CLONE_FILES would change what other code of this process can do with its descriptors.
    super::checked(unsafe { libc::unshare(namespaces) }.into()).map(drop)
}
