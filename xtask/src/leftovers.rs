//! What the tests left on the machine: processes, mounts, cgroups, files. The gate fails on any.
//!
//! The tests get a temporary directory of their own. It marks what is theirs: each process that they started has it in
//! its environment, each mount and file is below it. Cgroups have names that others may make too, so that a new one
//! counts only if it stays.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::sh;

/// Another run of the tests on this machine has its own cgroups; none of its servers lives as long.
const CGROUPS_OF_OTHERS: Duration = Duration::from_secs(120);

/// A session of systemd's is three levels below the mount of a hierarchy, which is one below the top.
const CGROUP_DEPTH: u32 = 6;

/// The machine as it was before the tests.
pub(crate) struct Scene {
    dir: PathBuf,
    cgroups: BTreeSet<PathBuf>,
}

impl Scene {
    /// Makes the tests' temporary directory and looks at what is there.
    pub(crate) fn before() -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("groundrun-gate-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|e| format!("make {}: {e}", dir.display()))?;
        Ok(Self { dir, cgroups: cgroups() })
    }

    /// For the environment of the tests.
    pub(crate) fn dir(&self) -> String {
        self.dir.display().to_string()
    }

    /// Names everything that is there now and was not before.
    pub(crate) fn check(self) -> Result<(), String> {
        let mut left = processes_of(&self.dir);
        left.extend(mounts_below(&self.dir));
        left.extend(files_in(&self.dir));
        left.extend(self.cgroups_left());
        if left.is_empty() {
            return fs::remove_dir(&self.dir)
                .map_err(|e| format!("remove {}: {e}", self.dir.display()));
        }
        Err(format!("the tests left on this machine:\n  {}", left.join("\n  ")))
    }

    fn cgroups_left(&self) -> Vec<String> {
        let mut new: Vec<PathBuf> = cgroups().difference(&self.cgroups).cloned().collect();
        let begun = Instant::now();
        while !new.is_empty() && begun.elapsed() < CGROUPS_OF_OTHERS {
            sh::pause();
            new.retain(|dir| dir.is_dir());
        }
        new.iter().map(|dir| format!("cgroup {}", dir.display())).collect()
    }
}

/// Processes that have the directory in their environment.
fn processes_of(dir: &Path) -> Vec<String> {
    let mark = format!("TMPDIR={}", dir.display());
    let has = |environment: Vec<u8>| environment.split(|&b| b == 0).any(|e| e == mark.as_bytes());
    entries(Path::new("/proc"))
        .filter(|process| fs::read(process.join("environ")).is_ok_and(has))
        .map(|process| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            format!("{} {}", process.display(), String::from_utf8_lossy(&line).replace('\0', " "))
        })
        .collect()
}

fn mounts_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let dir = dir.display().to_string();
    table.lines().filter(|line| line.contains(&dir)).map(|line| format!("mount {line}")).collect()
}

fn files_in(dir: &Path) -> Vec<String> {
    entries(dir).map(|path| format!("file {}", path.display())).collect()
}

/// Every cgroup whose name says that it is ours, in every hierarchy.
fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut look = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((dir, depth)) = look.pop() {
        for path in entries(&dir).filter(|path| path.is_dir() && !path.is_symlink()) {
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("groundrun-")) {
                found.insert(path);
            } else if depth < CGROUP_DEPTH {
                look.push((path, depth + 1));
            }
        }
    }
    found
}

/// What is in a directory; nothing where it cannot be read.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let listing: io::Result<fs::ReadDir> = fs::read_dir(dir);
    listing.into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt, process::Command};

    use super::*;

    /// A scene of a test's own: its directory is made where the test may write.
    fn scene(name: &str) -> Scene {
        let dir = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir(&dir).expect("a directory");
        Scene { dir, cgroups: cgroups() }
    }

    #[test]
    fn a_clean_scene_passes_and_goes() {
        let scene = scene("clean");
        let dir = scene.dir.clone();
        assert_eq!(scene.check(), Ok(()));
        assert!(!dir.exists());
    }

    #[test]
    fn files_and_processes_that_stay_are_named() {
        let scene = scene("dirty");
        let dir = scene.dir.clone();
        fs::write(dir.join("forgotten"), "").expect("written");
        let mut sleeper = Command::new("sleep")
            .arg0("forgetful")
            .arg("60")
            .env("TMPDIR", &dir)
            .spawn()
            .expect("sleep starts");
        // The kernel shows a program's environment a moment after the program replaced its parent's.
        let begun = Instant::now();
        while processes_of(&dir).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it never shows its environment");
            sh::pause();
        }
        let left = scene.check().expect_err("something is left");
        sleeper.kill().expect("it can be killed");
        sleeper.wait().expect("it ends");
        fs::remove_dir_all(&dir).expect("removed");
        assert!(left.contains("forgotten"), "{left}");
        assert!(left.contains("forgetful 60"), "{left}");
    }
}
