//! A full disk: nothing half done, what goes on can end, and all is well when room is back.
//!
//! Runs in a mount namespace of its own, over a small tmpfs that goes away with it.

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use groundrun_core::{
    id::ExecutionUid,
    record::{Attempt, Cause, Ending, Exit},
};
use groundrun_store::{Disk, OpenError, Store, WriteError};

use crate::support::*;

/// Set for the child alone: its directory. Nobody else's mounts are touched.
const CHILD: &str = "GROUNDRUN_STORE_SMALL_DISK";

const MIB: u64 = 1 << 20;

#[test]
fn a_full_disk_loses_nothing() {
    run_on_small_disk("disk::child_fills_the_disk");
}

#[test]
fn a_store_that_cannot_be_made_for_lack_of_room_says_so() {
    run_on_small_disk("disk::child_opens_on_a_full_disk");
}

fn run_on_small_disk(test: &str) {
    let root = rustix::process::geteuid().is_root();
    // Ours: the child cannot remove a directory that is a mount point of its own.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = Command::new("unshare")
        .arg(if root { "-m" } else { "-rm" })
        .arg(env::current_exe().expect("it runs"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .expect("unshare (util-linux) is there");
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(out.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

/// A tmpfs of 48 MiB on the directory that the parent gives, for as long as this process lives.
fn small_disk() -> PathBuf {
    let dir = PathBuf::from(env::var_os(CHILD).expect("the parent sets it"));
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
        .arg(&dir)
        .status()
        .expect("mount is there");
    assert!(done.success());
    dir
}

fn free(dir: &Path) -> u64 {
    let at = rustix::fs::statvfs(dir).expect("it tells");
    at.f_bavail * at.f_frsize
}

/// Writes to `dir/name` until only so much is free.
fn fill(dir: &Path, name: &str, leave: u64) {
    let mut file = File::create(dir.join(name)).expect("it is made");
    let block = vec![1; 4096];
    while free(dir) > leave && file.write_all(&block).is_ok() {}
}

fn ended(of: ExecutionUid, task: u32, message: usize) -> Attempt {
    let ending = Ending::Exited {
        exit: Exit::Code(0),
        cause: Cause::OnItsOwn,
        memory_peak: Some(1),
        message: Some("x".repeat(message)),
        container: None,
    };
    Attempt { ended: Some((at(2), ending)), ..attempt(of, task, 0) }
}

#[test]
#[ignore = "run by a_full_disk_loses_nothing in a mount namespace of its own"]
fn child_fills_the_disk() {
    const TASKS: u32 = 5000;
    let disk = small_disk();
    let dir = disk.join("data");
    let store = Store::open(&dir).expect("it opens");
    assert_eq!(store.disk(), Disk::Roomy);
    assert_eq!(fs::metadata(dir.join("reserve")).expect("it is there").len(), 8 * MIB);
    let kept = keep_job(&store, job("j", 1));
    let uid = keep_execution(&store, execution(&kept, "e", 2)).uid;
    write(&store, at(1), move |tx| {
        let attempts: Vec<_> = (0..TASKS).map(|task| attempt(uid, task, 0)).collect();
        tx.insert_attempts(&attempts)
    });

    // Low: nothing new, but what runs ends.
    fill(&disk, "filler", 8 * MIB);
    refuses_new_things(&store);
    assert_eq!(store.disk(), Disk::Low);
    assert!(dir.join("reserve").exists());
    write(&store, at(2), move |tx| tx.update_attempts([&ended(uid, 0, 10)]));

    // Full: the same, from the reserve.
    fill(&disk, "filler-2", 0);
    assert_eq!(free(&disk), 0);
    for task in 1..2000 {
        write(&store, at(2), move |tx| tx.update_attempts([&ended(uid, task, 10)]));
    }
    assert!(!dir.join("reserve").exists());
    refuses_new_things(&store);

    // Full, the reserve too: a write that needs more than there is fails whole.
    fill(&disk, "filler-3", 0);
    let full: Result<(), WriteError<String>> = store.write(at(2), move |tx| {
        let attempts: Vec<_> = (0..TASKS).map(|task| ended(uid, task, 4000)).collect();
        Ok(tx.update_attempts(&attempts)?)
    });
    assert!(matches!(full, Err(WriteError::DiskFull)), "{full:?}");
    assert_eq!(ends(&store, uid), (2000, 10), "nothing of it was kept");

    // Room is back.
    for name in ["filler", "filler-2", "filler-3"] {
        fs::remove_file(disk.join(name)).expect("it is there");
    }
    write(&store, at(3), move |tx| tx.update_attempts([&ended(uid, 2000, 10)]));
    assert_eq!(store.disk(), Disk::Roomy);
    assert!(dir.join("reserve").exists());
    keep_job(&store, job("k", 3));
    drop(store);
    let store = Store::open(&dir).expect("it opens again");
    assert_eq!(ends(&store, uid), (2001, 10));
    assert_eq!(read(&store, |view| view.job_count(&scope())), 2);
}

fn refuses_new_things(store: &Store) {
    let refused: Result<(), WriteError<String>> =
        store.write(at(2), |tx| Ok(tx.insert_job(&mut job("new", 99), &Labels::new())?));
    assert!(matches!(refused, Err(WriteError::DiskFull)), "{refused:?}");
}

/// How many attempts have ended, and the longest message.
fn ends(store: &Store, uid: ExecutionUid) -> (u32, usize) {
    let (mut count, mut longest) = (0, 0);
    read(store, |view| {
        view.attempts(uid, 0..u32::MAX, |attempt| {
            if let Some((_, Ending::Exited { message: Some(message), .. })) = attempt.ended {
                count += 1;
                longest = longest.max(message.len());
            }
        })
    });
    (count, longest)
}

#[test]
#[ignore = "run by a_store_that_cannot_be_made_for_lack_of_room_says_so in a mount namespace of its own"]
fn child_opens_on_a_full_disk() {
    let disk = small_disk();
    let dir = disk.join("data");
    fs::create_dir(&dir).expect("it is made");
    fill(&disk, "filler", 0);
    let error = Store::open(&dir).expect_err("there is no room");
    assert!(matches!(error, OpenError::DiskFull { .. }), "{error:?}");
    fs::remove_file(disk.join("filler")).expect("it is there");
    keep_job(&Store::open(&dir).expect("there is room"), job("j", 1));

    // One that is there opens on a full disk from its reserve, and takes nothing new in.
    assert!(dir.join("reserve").exists());
    fill(&disk, "filler", 0);
    let store = Store::open(&dir).expect("it opens");
    assert!(!dir.join("reserve").exists());
    assert_eq!(store.disk(), Disk::Low);
    assert_eq!(read(&store, |view| view.job_count(&scope())), 1);
    refuses_new_things(&store);
}
