//! The witness: what a server may have left on the machine outside its data directory.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::wait;

/// What of groundrun's is on the machine: processes, mounts, cgroups, namespaces kept by a file.
#[derive(Debug, Default)]
pub struct Leftovers {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
}

impl Leftovers {
    /// What is there now.
    pub fn now() -> Self {
        Self { mounts: mounts(), cgroups: cgroups() }
    }

    /// Waits until nothing is there that was not there at `self`, and no process works below `data_dir`.
    /// Other labs of the same run may come and go: only what belongs to this data directory is asked for.
    pub fn assert_nothing_new(&self, data_dir: &Path) {
        wait::until("no process is left", || processes_of(data_dir).is_empty().then_some(()));
        let ours = |text: &str| text.contains(&data_dir.display().to_string());
        let mounts: Vec<String> =
            mounts().difference(&self.mounts).filter(|m| ours(m)).cloned().collect();
        assert!(mounts.is_empty(), "mounts left: {mounts:?}");
    }

    /// Cgroups of ours that were not there at `self`.
    pub fn new_cgroups(&self) -> Vec<PathBuf> {
        cgroups().difference(&self.cgroups).cloned().collect()
    }

    /// For a test that failed half-way: no task may go on.
    pub fn kill_tasks_of(data_dir: &Path) {
        for pid in processes_of(data_dir) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
    }
}

fn mounts() -> BTreeSet<String> {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Every cgroup directory whose name says that it is ours, in every hierarchy, two levels deep.
fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut look: Vec<(PathBuf, u32)> = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((dir, depth)) = look.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with("groundrun") {
                found.insert(path.clone());
            }
            if depth < 4 {
                look.push((path, depth + 1));
            }
        }
    }
    found
}

/// Shims of a server: what works in its data directory besides the server itself.
pub fn shims_of(data_dir: &Path, server: u32) -> Vec<i32> {
    let attempts = data_dir.join("attempts");
    processes_of(&attempts).into_iter().filter(|pid| pid.unsigned_abs() != server).collect()
}

/// Processes that hold a file below the directory open, or work in it: shims of its attempts.
fn processes_of(dir: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let base = entry.path();
        let inside =
            |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(dir));
        let holds = inside(base.join("cwd"))
            || fs::read_dir(base.join("fd"))
                .into_iter()
                .flatten()
                .flatten()
                .any(|fd| inside(fd.path()));
        if holds {
            found.push(pid);
        }
    }
    found
}
