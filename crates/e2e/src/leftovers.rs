//! The witness: what a server may have left on the machine outside its data directory.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
};

use groundrun_host::{
    default_cgroup,
    network::{clear_left_of, left_of},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Fails the test when a process, a mount, a namespace kept by a mount, a cgroup, a link or a table of nftables of the server
/// on `data_dir` is left after that stopped in order. Other labs of the same run may come and go: only what belongs to this one is asked for.
pub fn assert_none_of(data_dir: &Path) {
    wait::until("no process is left", || processes_of(data_dir).is_empty().then_some(()));
    let mounts = mounts_below(data_dir);
    assert!(mounts.is_empty(), "mounts left: {mounts:?}");
    let cgroups = cgroups_of(data_dir);
    assert!(cgroups.is_empty(), "cgroups left: {cgroups:?}");
    let network = left_of(data_dir).expect("the kernel and nft tell");
    assert!(network.is_empty(), "links and tables left: {network:?}");
}

/// For a test that failed half-way, or killed its server: no task goes on, its cgroups go as far as they can, and its links
/// and tables go.
pub fn clear(data_dir: &Path) {
    for pid in processes_of(data_dir).into_iter().filter_map(Pid::from_raw) {
        kill_process(pid, Signal::KILL).ok();
    }
    for parent in cgroups_of(data_dir) {
        let attempts = fs::read_dir(&parent).into_iter().flatten().flatten();
        for attempt in attempts.map(|e| e.path()).filter(|path| path.is_dir()) {
            let members = fs::read_to_string(attempt.join("cgroup.procs")).unwrap_or_default();
            for pid in members.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
                kill_process(pid, Signal::KILL).ok();
            }
            fs::remove_dir(attempt).ok();
        }
        fs::remove_dir(parent).ok();
    }
    // The last of them has gone when its namespace has.
    let cleared = clear_left_of(data_dir);
    assert!(cleared.is_ok() || thread::panicking(), "its network is left over: {cleared:?}");
}

/// Whether a process of a task of that server's lives.
pub fn runs_a_task(data_dir: &Path) -> bool {
    let parents = cgroups_of(data_dir);
    let mut attempts =
        parents.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    attempts.any(|attempt| {
        fs::read_to_string(attempt.path().join("cgroup.procs")).is_ok_and(|pids| !pids.is_empty())
    })
}

/// Lines of this process's mount table that name something below the directory.
fn mounts_below(dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string();
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the kernel tells mounts");
    table.lines().filter(|line| line.contains(&dir)).map(str::to_owned).collect()
}

/// The parent cgroup of that server's attempts, in every hierarchy that has it.
fn cgroups_of(data_dir: &Path) -> Vec<PathBuf> {
    let name = default_cgroup(data_dir);
    let mut found = Vec::new();
    let mut look = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((dir, depth)) = look.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_str() == Some(&name) {
                found.push(entry.path());
            } else if depth < CGROUP_DEPTH {
                look.push((entry.path(), depth + 1));
            }
        }
    }
    found
}

/// Below the mount of a hierarchy: a session of systemd's is three levels down.
const CGROUP_DEPTH: u32 = 5;

/// Shims of a server: what works in its data directory besides the server itself.
pub fn shims_of(data_dir: &Path, server: u32) -> Vec<i32> {
    let attempts = data_dir.join("attempts");
    processes_of(&attempts).into_iter().filter(|pid| pid.unsigned_abs() != server).collect()
}

/// Processes that hold a file below the directory open, work in it or were told of it: the server and its attempts'
/// shims.
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
                .any(|fd| inside(fd.path()))
            || fs::read(base.join("cmdline")).is_ok_and(|line| {
                line.split(|&byte| byte == 0).any(|word| word == dir.as_os_str().as_bytes())
            });
        if holds {
            found.push(pid);
        }
    }
    found
}
