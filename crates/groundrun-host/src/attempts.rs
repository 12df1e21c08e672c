//! The directories of attempts: `attempts/{execution}/{task}-{attempt}`, what is dropped of them and when.
//!
//! What is in one, and what that says, is the shim's (`groundrun_shim::dir`).

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use groundrun_core::id::{AttemptId, ExecutionUid};
use groundrun_shim::dir;

use crate::{
    launch::{VOLUMES, WRITABLE},
    removal::remove_all,
};

/// Nobody but the server looks in: logs may hold anything.
const MODE: u32 = 0o700;

/// All attempts' directories.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    live: PathBuf,
    trash: PathBuf,
}

/// Whether an end could be put before a beginning.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It will never begin.
    Now,
    /// Somebody began it before: look again.
    TooLate,
}

impl Attempts {
    /// Below `data_dir`, which exists.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let attempts =
            Self { live: data_dir.join("attempts"), trash: data_dir.join("attempts.trash") };
        make(&attempts.live)?;
        make(&attempts.trash)?;
        Ok(attempts)
    }

    pub(crate) fn dir(&self, id: AttemptId) -> PathBuf {
        self.live.join(id.to_string())
    }

    /// Makes the directory, for a launch or a tombstone. It may be there.
    pub(crate) fn make(&self, id: AttemptId) -> io::Result<PathBuf> {
        let dir = self.dir(id);
        make(&dir)?;
        Ok(dir)
    }

    /// Says that an attempt that was never begun never will be: a launch that is still on its way finds the mark.
    pub(crate) fn close(&self, id: AttemptId) -> io::Result<Closed> {
        let mark = self.make(id)?.join(dir::BEGUN);
        match OpenOptions::new().write(true).create_new(true).open(mark) {
            Ok(_) => Ok(Closed::Now),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(Closed::TooLate),
            Err(err) => Err(err),
        }
    }

    /// Drops everything but the log and the mark that it was begun, so that no late start runs it again.
    pub(crate) fn forget(&self, id: AttemptId) -> io::Result<()> {
        let dir = self.dir(id);
        for name in [dir::EXIT, dir::LOCK, dir::CONTROL] {
            unless_absent(fs::remove_file(dir.join(name)))?;
        }
        // The same file as the record's, by another name, with the space that was kept for it.
        let mark = OpenOptions::new().write(true).open(dir.join(dir::BEGUN));
        unless_absent(mark.and_then(|mark| mark.set_len(0)))?;
        remove_all(&dir.join(WRITABLE))?;
        remove_all(&dir.join(VOLUMES))
    }

    /// Takes all of an execution away in one step; [`Attempts::empty_trash`] deletes it.
    pub(crate) fn discard(&self, execution: ExecutionUid) -> io::Result<()> {
        let name = execution.to_string();
        let trash = self.trash.join(&name);
        remove_all(&trash)?;
        unless_absent(fs::rename(self.live.join(&name), trash))
    }

    /// Deletes what was discarded, here or by a server that did not get to it.
    pub(crate) fn empty_trash(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.trash)? {
            remove_all(&entry?.path())?;
        }
        Ok(())
    }
}

/// Makes a directory and those above it. It may be there.
pub(crate) fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(dir)
}

fn unless_absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AttemptId {
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/12-3".parse().expect("it is an id")
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("it is there");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("it is read").file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn forgetting_keeps_the_log_and_the_mark_alone() {
        let data = tempfile::tempdir().expect("a directory");
        let attempts = Attempts::open(data.path()).expect("it opens");
        let dir = attempts.make(id()).expect("it is made");
        for name in [WRITABLE, VOLUMES] {
            make(&dir.join(name)).expect("it is made");
        }
        let files = [dir::LOCK, dir::BEGUN, dir::LOG, dir::EXIT, "writable/file", "volumes/file"];
        for name in files {
            fs::write(dir.join(name), "something").expect("it is written");
        }
        attempts.forget(id()).expect("it is forgotten");
        assert_eq!(fs::read(dir.join(dir::BEGUN)).expect("it is kept"), b"");
        assert_eq!(names(&dir), [dir::BEGUN, dir::LOG]);
        attempts.forget(id()).expect("again is harmless");
    }

    #[test]
    fn discarding_leaves_nothing() {
        let data = tempfile::tempdir().expect("a directory");
        let attempts = Attempts::open(data.path()).expect("it opens");
        fs::write(attempts.make(id()).expect("it is made").join(dir::LOG), "").expect("written");
        attempts.discard(id().execution).expect("it is discarded");
        assert!(names(&data.path().join("attempts")).is_empty());
        attempts.discard(id().execution).expect("again is harmless");
        attempts.empty_trash().expect("it is emptied");
        assert_eq!(names(&data.path().join("attempts.trash")), Vec::<String>::new());
    }

    #[test]
    fn an_attempt_is_closed_once() {
        let data = tempfile::tempdir().expect("a directory");
        let attempts = Attempts::open(data.path()).expect("it opens");
        assert_eq!(attempts.close(id()).expect("it is closed"), Closed::Now);
        assert_eq!(attempts.close(id()).expect("it is there"), Closed::TooLate);
    }

    /// A directory in a directory, and so on: far more than a process may open files or a thread may call itself.
    fn make_deep(top: &Path, depth: usize) {
        use rustix::fs::{Mode, OFlags, mkdirat, openat};
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut parent = rustix::fs::open(top, flags, Mode::empty()).expect("it is there");
        for _ in 0..depth {
            mkdirat(&parent, "d", Mode::from_raw_mode(0o700)).expect("it is made");
            parent = openat(&parent, "d", flags, Mode::empty()).expect("it is there");
        }
    }

    #[test]
    fn what_a_task_left_on_disk_is_dropped_however_deep_it_is() {
        // In memory, where so many are made fast.
        let data = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let attempts = Attempts::open(data.path()).expect("it opens");
        let dir = attempts.dir(id());
        make(&dir.join(WRITABLE)).expect("it is made");
        make_deep(&dir.join(WRITABLE), 20_000);
        attempts.forget(id()).expect("it is forgotten");
        assert_eq!(names(&dir), Vec::<String>::new());
    }
}
