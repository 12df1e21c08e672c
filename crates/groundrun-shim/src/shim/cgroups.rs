//! The attempt's cgroups: made before the container, seen empty after it, removed last.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, Timespec, eventfd},
    fs::{Mode, OFlags},
    process::{Pid, Signal},
};

use crate::{
    protocol::{Cgroup, CgroupKind, Counter},
    sandbox::{Failure, Step},
    sys::clone::Birthplace,
};

/// Cgroups that were made.
#[derive(Debug)]
pub(super) struct Cgroups {
    directories: Vec<PathBuf>,
    /// The version 1 files to write 0 to.
    tasks: Vec<OwnedFd>,
    /// The version 2 directory to be born in.
    birthplace: Option<OwnedFd>,
    /// Readable when memory was not enough, where the kernel does not end the whole container then.
    want_of_memory: Option<OwnedFd>,
}

impl Cgroups {
    /// Makes them all, or none.
    pub(super) fn make(wanted: &[Cgroup]) -> Result<Self, Failure> {
        let mut made = Self {
            directories: Vec::new(),
            tasks: Vec::new(),
            birthplace: None,
            want_of_memory: None,
        };
        for cgroup in wanted {
            if let Err(failure) = made.add(cgroup) {
                made.remove();
                return Err(failure);
            }
        }
        Ok(made)
    }

    fn add(&mut self, cgroup: &Cgroup) -> Result<(), Failure> {
        let path = &cgroup.path;
        make_fresh(path).ours(format_args!("make the cgroup {}", path.display()))?;
        self.directories.push(path.clone());
        for (name, value) in &cgroup.settings {
            write_setting(&path.join(name), value)
                .ours(format_args!("write {value:?} to {}", path.join(name).display()))?;
        }
        match cgroup.kind {
            CgroupKind::V1 { ref controllers } => {
                if controllers.split(',').any(|controller| controller == "memory") {
                    self.want_of_memory = tell_want_of_memory(path);
                }
                let tasks = path.join("tasks");
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                let file = rustix::fs::open(&tasks, flags, Mode::empty())
                    .ours(format_args!("open {}", tasks.display()))?;
                self.tasks.push(file);
            }
            CgroupKind::V2 => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = rustix::fs::open(path, flags, Mode::empty())
                    .ours(format_args!("open {}", path.display()))?;
                self.birthplace = Some(directory);
            }
        }
        Ok(())
    }

    pub(super) fn tasks(&self) -> &[OwnedFd] {
        &self.tasks
    }

    /// Readable when memory was not enough; none where the kernel sees to all that follows from it.
    pub(super) fn want_of_memory(&self) -> Option<BorrowedFd<'_>> {
        self.want_of_memory.as_ref().map(AsFd::as_fd)
    }

    /// From here on it is readable when that happens again.
    pub(super) fn hear_want_of_memory(&self) {
        if let Some(event) = &self.want_of_memory {
            // How often it happened, or that it did not: neither matters.
            let _ = rustix::io::read(event, &mut [0; 8]);
        }
    }

    pub(super) fn birthplace(&self) -> Birthplace<'_> {
        match &self.birthplace {
            Some(directory) => Birthplace::Cgroup(directory.as_fd()),
            None => Birthplace::Parents,
        }
    }

    /// Looks that no process is left, and kills what is. With the init all of its pid namespace ended, so this finds
    /// something only if somebody put a process there from outside.
    pub(super) fn see_empty(&self) {
        for directory in &self.directories {
            eventually(|| {
                let left = processes(directory);
                for pid in &left {
                    let _ = rustix::process::kill_process(*pid, Signal::KILL);
                }
                left.is_empty()
            });
        }
    }

    /// Removes them, the last made first.
    pub(super) fn remove(self) {
        for directory in self.directories.iter().rev() {
            // EBUSY for a moment after the last process is gone. What stays is swept by the server.
            eventually(|| match fs::remove_dir(directory) {
                Err(err) => err.kind() != io::ErrorKind::ResourceBusy,
                Ok(()) => true,
            });
        }
    }
}

/// Version 1 alone tells of it, and leaves it at the one process that it kills; version 2 has `memory.oom.group`. Where the
/// kernel was built without, it stays at that.
fn tell_want_of_memory(cgroup: &Path) -> Option<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
    let of = File::open(cgroup.join("memory.oom_control")).ok()?;
    let wish = format!("{} {}", event.as_raw_fd(), of.as_raw_fd());
    write_setting(&cgroup.join("cgroup.event_control"), &wish).ok()?;
    Some(event)
}

/// A leftover of an attempt that was never begun would carry its counters over: away with it.
fn make_fresh(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_dir(path)?;
            fs::create_dir(path)
        }
        other => other,
    }
}

fn write_setting(path: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(value.as_bytes())
}

fn processes(directory: &Path) -> Vec<Pid> {
    let listed = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}

/// Tries at once, then for five seconds every 10 ms: there is no event to wait for in version 1.
fn eventually(mut is_done: impl FnMut() -> bool) {
    const EVERY: Duration = Duration::from_millis(10);
    const TIMES_MAX: usize = 500;
    for _ in 0..TIMES_MAX {
        if is_done() {
            return;
        }
        let _ = rustix::event::poll(&mut [], Timespec::try_from(EVERY).ok().as_ref());
    }
}

/// The number that a counter says, if it can be read.
pub(super) fn read(counter: &Counter) -> Option<u64> {
    number_in(&fs::read_to_string(&counter.path).ok()?, &counter.key)
}

fn number_in(text: &str, key: &str) -> Option<u64> {
    if key.is_empty() {
        return text.trim().parse().ok();
    }
    text.lines().find_map(|line| {
        let (name, number) = line.split_once(' ')?;
        if name == key { number.trim().parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::number_in;

    #[test]
    fn a_counter_is_found_by_its_whole_key() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(number_in(text, "oom_kill"), Some(3));
        assert_eq!(number_in(text, "oom"), None);
        assert_eq!(number_in("4096\n", ""), Some(4096));
    }
}
