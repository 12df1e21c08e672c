//! Cgroups on this machine, for real: an attempt's is killed, seen empty and removed, whatever is in it. Needs root, or a cgroup
//! that was handed over.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use groundrun_core::{id::AttemptId, port::Limits};
use groundrun_host::cgroup::{Cgroups, Demand};
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits { cpu_millis: 500, memory_bytes: 64 << 20 };

/// A parent cgroup of its own, and where it is remembered.
struct Lab {
    cgroups: Cgroups,
    name: String,
    dir: TempDir,
}

impl Lab {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("groundrun-cgroups-{}-{number}", std::process::id());
        let dir = tempfile::tempdir().expect("a directory");
        let cgroups =
            Cgroups::open(&name, &dir.path().join("cgroup"), &demand()).expect("run it as root");
        Self { cgroups, name, dir }
    }

    /// Makes the cgroup of `id` as a shim does.
    fn make(&self, id: AttemptId) {
        for group in self.cgroups.attempt(id, LIMITS).groups {
            fs::create_dir(&group.path).expect("it is made");
            for (file, value) in &group.settings {
                write(&group.path.join(file), value);
            }
        }
    }

    fn put(&self, id: AttemptId, process: &Child) {
        for group in self.cgroups.attempt(id, LIMITS).groups {
            write(&group.path.join("cgroup.procs"), &process.id().to_string());
        }
    }

    fn exists(&self, id: AttemptId) -> bool {
        self.cgroups.attempt(id, LIMITS).groups.iter().any(|group| group.path.exists())
    }

    fn close(self) {
        self.cgroups.remove().expect("nothing is in it");
    }
}

/// An ordinary user starts this in a scope of systemd's and says which.
fn demand() -> Demand {
    Demand { scope: std::env::var("GROUNDRUN_SCOPE").ok(), ..Demand::default() }
}

fn id(task: u32) -> AttemptId {
    let id: AttemptId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/0-0".parse().expect("it is an id");
    AttemptId { task, ..id }
}

fn write(file: &Path, value: &str) {
    let written = fs::OpenOptions::new().write(true).open(file);
    written
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()))
        .unwrap_or_else(|err| panic!("write {value} to {}: {err}", file.display()));
}

fn shell(script: &str) -> Child {
    Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().expect("sh is there")
}

#[test]
fn the_kernel_takes_every_limit() {
    let lab = Lab::new();
    lab.make(id(0));
    for group in lab.cgroups.attempt(id(0), LIMITS).groups {
        for (file, value) in group.settings {
            let read = fs::read_to_string(group.path.join(&file)).expect("it is read");
            assert_eq!(read.trim_end(), value, "{file}");
        }
    }
    assert_eq!(lab.cgroups.present(), [id(0)]);
    lab.cgroups.kill(id(0), BOUND).expect("it is removed");
    assert_eq!(lab.cgroups.present(), []);
    lab.close();
}

#[test]
fn whatever_is_inside_is_killed_before_it_is_called_empty() {
    let lab = Lab::new();
    lab.make(id(0));
    // Ignores SIGTERM, has children, and makes a new one whenever one ends.
    let mut process =
        shell("trap '' TERM; read go; sleep 300 & sleep 300 & while :; do sleep 0.01; done");
    lab.put(id(0), &process);
    drop(process.stdin.take());
    lab.cgroups.kill(id(0), BOUND).expect("it is emptied");
    assert!(!lab.exists(id(0)));
    let status = process.wait().expect("it is our child");
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    lab.close();
}

#[test]
fn nobody_else_is_killed() {
    let lab = Lab::new();
    lab.make(id(0));
    lab.make(id(1));
    // `exec`: a child that the shell made before it was put there would be outside.
    let (mut inside, mut other) = (shell("exec sleep 300"), shell("read end; exit 3"));
    lab.put(id(0), &inside);
    lab.put(id(1), &other);
    lab.cgroups.kill(id(0), BOUND).expect("it is emptied");
    assert_eq!(inside.wait().expect("a child").signal(), Some(Signal::KILL.as_raw()));
    assert!(lab.exists(id(1)));
    drop(other.stdin.take());
    assert_eq!(other.wait().expect("a child").code(), Some(3));
    lab.cgroups.kill(id(1), BOUND).expect("it is removed");
    lab.close();
}

#[test]
fn what_is_not_there_is_empty() {
    let lab = Lab::new();
    lab.cgroups.kill(id(7), BOUND).expect("there is nothing to do");
    lab.close();
}

#[test]
fn a_server_after_this_one_finds_the_same_place() {
    let lab = Lab::new();
    lab.make(id(0));
    let again =
        Cgroups::open("another-name", &lab.dir.path().join("cgroup"), &demand()).expect("it opens");
    assert_eq!(again.present(), [id(0)]);
    assert_eq!(again.attempt(id(0), LIMITS), lab.cgroups.attempt(id(0), LIMITS));
    again.kill(id(0), BOUND).expect("it is removed");
    again.remove().expect("nothing is in it");
    // Nothing of it is left, so the next one makes its own.
    let third =
        Cgroups::open(&lab.name, &lab.dir.path().join("cgroup"), &demand()).expect("it opens");
    assert_eq!(third.present(), []);
    third.remove().expect("nothing is in it");
    lab.close();
}
