//! Kills all that is in a cgroup, waits until it is seen empty, and removes it.
//!
//! Version 2 does it in one write. Version 1 cannot: there no new process is let in or forked first (`pids.max` 0), then
//! every process is killed through a pidfd, so that a number used again by another process is never signalled.

use std::{
    collections::HashSet,
    fs,
    io::{self, Write as _},
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::CgroupError;

/// A directory without processes can be busy for a moment while the kernel lets go of the last one.
const REMOVE_EVERY: Duration = Duration::from_millis(5);

/// Kills what is in `dirs`, the directories of one attempt, and removes them. Missing ones are as good as empty.
pub(super) fn all(dirs: &[PathBuf], wait: Duration) -> Result<(), CgroupError> {
    let deadline = Instant::now() + wait;
    for dir in dirs {
        let failed = |source| CgroupError::Kill { dir: dir.clone(), source };
        let emptied = match write(&dir.join("cgroup.kill"), "1") {
            Ok(()) => match until_unpopulated(dir, deadline) {
                // Its shim, which ends at the same time, removed it.
                Err(err) if is_absent(&err) => Ok(()),
                done => done,
            },
            Err(err) if is_absent(&err) => one_by_one(dir, deadline),
            Err(err) => Err(err),
        };
        match emptied.and_then(|()| remove(dir, deadline)) {
            Err(err) if err.kind() == io::ErrorKind::TimedOut => {
                return Err(CgroupError::NotEmpty { dir: dir.clone(), waited: wait });
            }
            done => done.map_err(failed)?,
        }
    }
    Ok(())
}

/// Version 2: the kernel tells by a poll event when the last process is gone.
fn until_unpopulated(dir: &Path, deadline: Instant) -> io::Result<()> {
    let path = dir.join("cgroup.events");
    loop {
        let file = fs::File::open(&path)?;
        if io::read_to_string(&file)?.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        wait_for(&file, PollFlags::PRI, deadline)?;
    }
}

/// Version 1, and kernels before `cgroup.kill`.
fn one_by_one(dir: &Path, deadline: Instant) -> io::Result<()> {
    match write(&dir.join("pids.max"), "0") {
        Err(err) if !is_absent(&err) => return Err(err),
        _ => {}
    }
    loop {
        let Some(seen) = processes(dir)? else { return Ok(()) };
        if seen.is_empty() {
            return Ok(());
        }
        let mut handles = Vec::with_capacity(seen.len());
        for pid in seen {
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(handle) => handles.push((pid, handle)),
                Err(Errno::SRCH) => {}
                Err(err) => return Err(err.into()),
            }
        }
        // Only what is still listed now is surely what the handle refers to.
        let listed = processes(dir)?.unwrap_or_default();
        handles.retain(|(pid, _)| listed.contains(pid));
        for (_, handle) in &handles {
            match pidfd_send_signal(handle, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(err) => return Err(err.into()),
            }
        }
        for (_, handle) in &handles {
            wait_for(handle, PollFlags::IN, deadline)?;
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// `None` when the directory is not there.
fn processes(dir: &Path) -> io::Result<Option<HashSet<Pid>>> {
    let text = match fs::read_to_string(dir.join("cgroup.procs")) {
        Err(err) if is_absent(&err) => return Ok(None),
        read => read?,
    };
    let number = |line: &str| line.parse().ok().and_then(Pid::from_raw);
    Ok(Some(text.lines().filter_map(number).collect()))
}

fn remove(dir: &Path, deadline: Instant) -> io::Result<()> {
    loop {
        match fs::remove_dir(dir) {
            Err(err) if is_absent(&err) => return Ok(()),
            Err(err) if err.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                let now = Instant::now();
                if now >= deadline {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                pause(REMOVE_EVERY.min(deadline - now))?;
            }
            done => return done,
        }
    }
}

/// The kernel offers nothing to wait for here.
fn pause(span: Duration) -> io::Result<()> {
    match poll(&mut [], Some(&timespec(span))) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(err) => Err(err.into()),
    }
}

fn wait_for(fd: &impl AsFd, event: PollFlags, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut [PollFd::new(fd, event)], Some(&timespec(left))) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
}

fn timespec(span: Duration) -> Timespec {
    Timespec::try_from(span).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}

/// Unlike `fs::write` does not ask to create it, which the kernel answers with a permission error.
fn write(file: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

/// A file of a cgroup that was removed while it was open answers ENODEV.
fn is_absent(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(Errno::NODEV.raw_os_error())
}
