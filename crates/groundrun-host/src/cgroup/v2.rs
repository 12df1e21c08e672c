//! cgroup version 2: one hierarchy, whose controllers must be handed down from directory to directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use groundrun_core::port::Limits;
use groundrun_shim::protocol::{Cgroup, CgroupKind, Counter};

use super::{
    AttemptCgroup, Ceiling, CgroupError, cpu_quota,
    layout::{CONTROLLERS, Place},
    text,
};

/// Our parent directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V2 {
    pub(crate) parent: PathBuf,
}

/// Rounds of moving processes aside: each moves all that it sees, so more than two mean that somebody forks in a loop.
const ASIDE_ROUNDS_MAX: u32 = 8;

impl V2 {
    /// Makes `name` below our own cgroup when systemd handed that to us (`Delegate=yes`), else at the top of the
    /// hierarchy, where a session's end cannot take it away; and hands the controllers down to it.
    pub(crate) fn make(place: &Place, name: &str) -> Result<Self, CgroupError> {
        let above = if is_delegated(&place.own) { &place.own } else { &place.mount };
        let v2 = Self { parent: above.join(name) };
        v2.stand()?;
        Ok(v2)
    }

    /// The parent is there, and controllers are handed down to it and by it.
    pub(crate) fn stand(&self) -> Result<(), CgroupError> {
        let make = |source| CgroupError::Make { dir: self.parent.clone(), source };
        fs::create_dir_all(&self.parent).map_err(make)?;
        let name = self.parent.file_name().unwrap_or_default().to_string_lossy();
        if let Some(above) = self.parent.parent() {
            hand_down(above, &name)?;
        }
        hand_down(&self.parent, &name)
    }

    pub(crate) fn attempt(&self, name: &str, limits: Limits, pids: u64) -> AttemptCgroup {
        let path = self.parent.join(name);
        let (quota, period) = cpu_quota(limits.cpu_millis);
        let mut settings = vec![
            ("memory.max", limits.memory_bytes.to_string()),
            // Cloud Run ends the whole instance when memory is over; version 1 has no such thing, there the kernel
            // picks one process.
            ("memory.oom.group", "1".to_owned()),
            ("cpu.max", format!("{quota} {period}")),
            ("pids.max", pids.to_string()),
        ];
        // There where the kernel counts swap.
        if self.parent.join("memory.swap.max").exists() {
            settings.push(("memory.swap.max", "0".to_owned()));
        }
        let counter =
            |file: &str, key: &str| Counter { path: path.join(file), key: key.to_owned() };
        AttemptCgroup {
            oom_kills: counter("memory.events", "oom_kill"),
            memory_peak: counter("memory.peak", ""),
            groups: vec![Cgroup {
                settings: settings
                    .into_iter()
                    .map(|(file, value)| (file.to_owned(), value))
                    .collect(),
                kind: CgroupKind::V2,
                path,
            }],
        }
    }

    /// What bounds a group of ours from above, seen from the parent's parents.
    pub(crate) fn ceiling(&self) -> Ceiling {
        let cpu = self.parent.ancestors().filter_map(|dir| {
            let line = text(&dir.join("cpu.max"))?;
            let (quota, period) = line.split_once(' ')?;
            Some(quota.parse::<u64>().ok()? * 1000 / period.parse::<u64>().ok()?.max(1))
        });
        let memory = self
            .parent
            .ancestors()
            .filter_map(|dir| text(&dir.join("memory.max"))?.parse::<u64>().ok());
        Ceiling { cpu_millis: cpu.min(), memory_bytes: memory.min() }
    }
}

/// systemd marks what it handed over with an extended attribute.
fn is_delegated(dir: &Path) -> bool {
    let mut value = [0_u8; 8];
    ["trusted.delegate", "user.delegate"].into_iter().any(|name| {
        rustix::fs::getxattr(dir, name, &mut value).is_ok_and(|length| value[..length] == *b"1")
    })
}

/// Whether the controllers can be had in `dir`.
pub(crate) fn offers(dir: &Path) -> Result<(), CgroupError> {
    let available = text(&dir.join("cgroup.controllers")).unwrap_or_default();
    let missing = missing_controllers(&available);
    if missing.is_empty() {
        Ok(())
    } else {
        Err(CgroupError::NoController { missing, dir: dir.to_owned() })
    }
}

/// Enables the controllers for the children of `dir`.
fn hand_down(dir: &Path, name: &str) -> Result<(), CgroupError> {
    offers(dir)?;
    let control = dir.join("cgroup.subtree_control");
    let enabled = text(&control).unwrap_or_default();
    if missing_controllers(&enabled).is_empty() {
        return Ok(());
    }
    let wish = CONTROLLERS.map(|controller| format!("+{controller}")).join(" ");
    let done = fs::write(&control, &wish).or_else(|err| match err.raw_os_error() {
        // Only a directory without processes hands controllers down (the machine's root may always).
        Some(errno) if errno == rustix::io::Errno::BUSY.raw_os_error() => {
            move_aside(dir, &dir.join(format!("{name}-server")))?;
            fs::write(&control, &wish)
        }
        _ => Err(err),
    });
    done.map_err(|source| CgroupError::HandDown { dir: dir.to_owned(), source })
}

/// Moves every process of `from`, ourselves among them, into `to`.
fn move_aside(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for _ in 0..ASIDE_ROUNDS_MAX {
        let processes = fs::read_to_string(from.join("cgroup.procs"))?;
        if processes.is_empty() {
            return Ok(());
        }
        for process in processes.lines() {
            match fs::write(to.join("cgroup.procs"), process) {
                Err(err) if err.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                done => done?,
            }
        }
    }
    Err(io::Error::other("processes keep appearing in it"))
}

/// Those of [`CONTROLLERS`] that a list of words lacks.
fn missing_controllers(list: &str) -> Vec<&'static str> {
    let has = |controller: &&str| list.split_whitespace().any(|word| word == *controller);
    CONTROLLERS.into_iter().filter(|controller| !has(controller)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_the_files_of_one_directory() {
        let v2 = V2 { parent: "/g".into() };
        let cgroup = v2.attempt("a", Limits { cpu_millis: 250, memory_bytes: 512 << 20 }, 100);
        let expected = [
            "/g/a memory.max=536870912",
            "/g/a memory.oom.group=1",
            "/g/a cpu.max=25000 100000",
            "/g/a pids.max=100",
        ];
        assert_eq!(cgroup.lines(), expected);
        assert_eq!(cgroup.memory_peak.path, PathBuf::from("/g/a/memory.peak"));
        assert_eq!(cgroup.oom_kills.path, PathBuf::from("/g/a/memory.events"));
    }

    #[test]
    fn nothing_is_swapped_where_the_kernel_counts_swap() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("memory.swap.max"), "max").expect("it is written");
        let cgroup = V2 { parent: dir.path().into() }.attempt("a", Limits::default(), 1);
        assert!(cgroup.lines().iter().any(|line| line.ends_with(" memory.swap.max=0")));
    }

    #[test]
    fn the_controllers_that_are_missing_are_named() {
        assert!(missing_controllers("cpuset cpu io memory hugetlb pids").is_empty());
        assert_eq!(missing_controllers("cpuset memory"), ["cpu", "pids"]);
        assert_eq!(missing_controllers(""), CONTROLLERS);
    }

    #[test]
    fn the_smallest_bound_above_counts() {
        let top = tempfile::tempdir().expect("a directory");
        let parent = top.path().join("a/b");
        fs::create_dir_all(&parent).expect("it is made");
        fs::write(parent.join("cpu.max"), "max 100000\n").expect("it is written");
        fs::write(parent.join("memory.max"), "max\n").expect("it is written");
        let v2 = V2 { parent };
        assert_eq!(v2.ceiling(), Ceiling::default());
        fs::write(top.path().join("a/cpu.max"), "150000 100000\n").expect("it is written");
        fs::write(top.path().join("a/memory.max"), "4096\n").expect("it is written");
        fs::write(top.path().join("memory.max"), "8192\n").expect("it is written");
        let expected = Ceiling { cpu_millis: Some(1500), memory_bytes: Some(4096) };
        assert_eq!(v2.ceiling(), expected);
    }
}
