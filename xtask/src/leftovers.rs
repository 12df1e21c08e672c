//! What the tests left on the machine: processes, mounts, cgroups, namespaces, network links, nftables tables, files. The
//! gate fails on any.
//!
//! The tests get a temporary directory of their own. It marks what is theirs: each process that they started has it in
//! its environment, each mount, socket and file is below it. The rest has names that others may make too, so that a new
//! one counts only if it stays.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::sh;

/// Another run of the tests on this machine has its own cgroups and links; none of its servers lives as long.
pub(crate) const WHILE_OTHERS_RUN: Duration = Duration::from_secs(120);

/// The way out of an ordinary user's router ends when the last that needs it has ended: what waits for that needs its turn.
const LAST_TURN: Duration = Duration::from_secs(5);

/// A session of systemd's is three levels below the mount of a hierarchy, which is one below the top, and a user's
/// services are two levels below that.
const CGROUP_DEPTH: u32 = 8;

/// How the names of our cgroups and nftables tables begin.
const OURS: &str = "groundrun";

/// The machine as it was before the tests.
pub(crate) struct Scene {
    dir: PathBuf,
    shared: BTreeSet<String>,
}

impl Scene {
    /// Makes the tests' temporary directory and looks at what is there.
    pub(crate) fn before() -> Result<Self, String> {
        Self::at(std::env::temp_dir().join(format!("groundrun-gate-{}", std::process::id())))
    }

    /// The same with a temporary directory that is named. Every user may write in it.
    pub(crate) fn at(dir: PathBuf) -> Result<Self, String> {
        fs::create_dir(&dir)
            .and_then(|()| fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)))
            .map_err(|e| format!("make {}: {e}", dir.display()))?;
        Ok(Self { dir, shared: shared() })
    }

    /// For the environment of the tests.
    pub(crate) fn dir(&self) -> String {
        self.dir.display().to_string()
    }

    /// Fails with everything that is there now and was not before.
    pub(crate) fn check(self) -> Result<(), String> {
        match self.left(WHILE_OTHERS_RUN) {
            left if left.is_empty() => Ok(()),
            left => Err(format!("the tests left on this machine:\n  {}", left.join("\n  "))),
        }
    }

    /// Names everything that is there now and was not before; what others may have made only if it stays so long. The
    /// directory goes when nothing is in it.
    pub(crate) fn left(self, patience: Duration) -> Vec<String> {
        let mut left = self.processes_left(LAST_TURN.min(patience));
        left.extend(mounts_below(&self.dir));
        left.extend(sockets_below(&self.dir));
        left.extend(files_in(&self.dir));
        if left.is_empty() {
            let removed = fs::remove_dir(&self.dir);
            left.extend(removed.err().map(|e| format!("{}: {e}", self.dir.display())));
        }
        left.extend(self.shared_left(patience));
        left
    }

    /// Those that stay so long.
    fn processes_left(&self, patience: Duration) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let left = processes_of(&self.dir);
            if left.is_empty() || begun.elapsed() >= patience {
                return left;
            }
            sh::pause();
        }
    }

    fn shared_left(&self, patience: Duration) -> Vec<String> {
        let new = || shared().difference(&self.shared).cloned().collect::<BTreeSet<_>>();
        let mut left = new();
        let begun = Instant::now();
        while !left.is_empty() && begun.elapsed() < patience {
            sh::pause();
            // What came later is not what stayed.
            left = left.intersection(&new()).cloned().collect();
        }
        left.iter().map(|name| format!("{name}{}", holder_of(name).unwrap_or_default())).collect()
    }
}

/// Who is in a namespace, to be told of.
fn holder_of(name: &str) -> Option<String> {
    let namespace = name.strip_prefix("namespace ")?;
    let kind = namespace.split(':').next()?;
    let is_in = |process: &PathBuf| {
        fs::read_link(process.join("ns").join(kind)).is_ok_and(|n| n == Path::new(namespace))
    };
    let process = entries(Path::new("/proc")).find(is_in)?;
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    Some(format!(" of {} {line}", process.display()))
}

/// What is on the machine and may be ours by its name or its kind.
fn shared() -> BTreeSet<String> {
    [cgroups(), namespaces(), links(), tables()].into_iter().flatten().collect()
}

/// Namespaces of every process, and those that a mount keeps.
fn namespaces() -> BTreeSet<String> {
    let of = |process: PathBuf| {
        let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
        kinds.map(|kind| fs::read_link(process.join("ns").join(kind)).ok())
    };
    let kept = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let kept: Vec<String> = kept
        .lines()
        .filter(|line| line.contains(" - nsfs "))
        .filter_map(|line| Some(line.split(' ').nth(3)?.to_owned()))
        .collect();
    let namespaces = entries(Path::new("/proc")).flat_map(of).flatten();
    let namespaces = namespaces.map(|name| name.display().to_string());
    namespaces.chain(kept).map(|name| format!("namespace {name}")).collect()
}

/// Network interfaces whose name says that they are ours.
fn links() -> BTreeSet<String> {
    let names = entries(Path::new("/sys/class/net")).filter(|path| ours(path));
    names.map(|path| format!("link {}", path.display())).collect()
}

/// Tables of nftables that are ours.
fn tables() -> BTreeSet<String> {
    let listing = sh::output(&["nft", "list", "tables"]).unwrap_or_default();
    let is_ours = |line: &&str| line.split(' ').any(|word| ours(Path::new(word)));
    listing.lines().filter(is_ours).map(str::to_owned).collect()
}

/// By its last part.
fn ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(OURS) || is_bridge(&name)
}

/// `gr` and eight digits of a hash: see `groundrun_host::network`.
fn is_bridge(name: &str) -> bool {
    let hash = name.strip_prefix("gr").unwrap_or_default();
    hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Sockets with a path below the directory.
fn sockets_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let dir = dir.display().to_string();
    table.lines().filter(|line| line.contains(&dir)).map(|line| format!("socket {line}")).collect()
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
fn cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut look = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((dir, depth)) = look.pop() {
        for path in entries(&dir).filter(|path| path.is_dir() && !path.is_symlink()) {
            if ours(&path) {
                found.insert(format!("cgroup {}", path.display()));
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
        Scene { dir, shared: shared() }
    }

    #[test]
    fn a_clean_scene_passes_and_goes() {
        let scene = scene("clean");
        let dir = scene.dir.clone();
        // What others make and take away meanwhile is not waited for here.
        let own = |left: &String| left.contains(&dir.display().to_string());
        assert!(!scene.left(Duration::ZERO).iter().any(own));
        assert!(!dir.exists());
    }

    #[test]
    fn our_names_are_known() {
        for name in ["groundrun-a27cfcb2", "gra27cfcb2", "groundrun-server"] {
            assert!(ours(Path::new(name)), "{name}");
        }
        for name in ["gre0", "gretap0", "lo", "groups", "gr"] {
            assert!(!ours(Path::new(name)), "{name}");
        }
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
        let left = scene.left(Duration::ZERO).join("\n");
        sleeper.kill().expect("it can be killed");
        sleeper.wait().expect("it ends");
        fs::remove_dir_all(&dir).expect("removed");
        assert!(left.contains("forgotten"), "{left}");
        assert!(left.contains("forgetful 60"), "{left}");
    }
}
