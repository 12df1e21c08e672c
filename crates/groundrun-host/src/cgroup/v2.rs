//! cgroup version 2: one hierarchy, whose controllers must be handed down from directory to directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use groundrun_core::port::Limits;
use groundrun_shim::protocol::{Cgroup, CgroupKind, Counter};
use rustix::{
    event::{Timespec, poll},
    fs::{FlockOperation, flock},
};

use super::{
    AttemptCgroup, Ceiling, CgroupError, Limiting, cpu_quota,
    layout::{CONTROLLERS, Place},
    text,
};

/// Our parent directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V2 {
    pub(crate) parent: PathBuf,
    /// Controllers that cannot be had here; empty unless that is accepted.
    pub(crate) lacking: Vec<&'static str>,
}

/// One directory on the way from the top of the hierarchy to our own cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) dir: PathBuf,
    /// Groups can be made in it, processes moved through it, controllers handed down by it.
    pub(crate) is_writable: bool,
    /// systemd handed it over (`Delegate=yes`).
    pub(crate) is_delegated: bool,
}

/// Rounds of moving processes aside in which some were moved: each moves all that it sees, so more than two mean that
/// somebody forks in a loop.
const ASIDE_ROUNDS_MAX: u32 = 8;

/// Rounds of handing controllers down: another server that ends at the same moment can take them back once, and each that
/// does so ends.
const STAND_ROUNDS_MAX: u32 = 8;

/// Where processes are put that were in the directory which now hands controllers down. One name for all servers, so that
/// the last one to end can put them back.
const ASIDE: &str = "groundrun-server";

impl V2 {
    /// Makes `name` in `above` and hands the controllers down to it. One of `known` that is there already is kept.
    pub(crate) fn make(
        above: &Path,
        name: &str,
        known: &[&Self],
        limiting: Limiting,
    ) -> Result<Self, CgroupError> {
        let lacking = missing_controllers(&text(&above.join(AVAILABLE)).unwrap_or_default());
        if let (Limiting::Required, [_, ..]) = (limiting, lacking.as_slice()) {
            return Err(CgroupError::NoController {
                dir: lost_at(above, &lacking).to_owned(),
                missing: lacking,
            });
        }
        let kept = known.iter().find(|known| known.parent.parent() == Some(above));
        let parent = kept.map_or_else(|| above.join(name), |kept| kept.parent.clone());
        let v2 = Self { parent, lacking };
        v2.stand()?;
        Ok(v2)
    }

    /// The parent is there, and controllers are handed down to it and by it.
    pub(crate) fn stand(&self) -> Result<(), CgroupError> {
        let _lock = self.parent.parent().and_then(lock);
        let mut rounds = 0;
        loop {
            let make = |source| CgroupError::Make { dir: self.parent.clone(), source };
            match fs::create_dir(&self.parent) {
                Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(make(err)),
                Ok(()) | Err(_) => {}
            }
            if let Some(above) = self.parent.parent() {
                self.hand_down(above)?;
            }
            rounds += 1;
            match self.hand_down(&self.parent) {
                Err(CgroupError::NoController { .. }) if rounds < STAND_ROUNDS_MAX => {}
                done => return done,
            }
        }
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
        settings.retain(|(file, _)| {
            self.lacking.iter().all(|controller| file.split('.').next() != Some(*controller))
        });
        let counter = |file: &str, key: &str| {
            let counter = Counter { path: path.join(file), key: key.to_owned() };
            (!self.lacking.contains(&"memory")).then_some(counter)
        };
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

    /// Removes the parent; and where nobody else has a group beside it, puts back what was moved aside.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let _lock = self.parent.parent().and_then(lock);
        match fs::remove_dir(&self.parent) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            Ok(()) | Err(_) => {}
        }
        if let Some(above) = self.parent.parent() {
            put_back(above);
        }
        Ok(())
    }

    /// Enables the controllers for the children of `dir`.
    fn hand_down(&self, dir: &Path) -> Result<(), CgroupError> {
        let wanted = || CONTROLLERS.into_iter().filter(|one| !self.lacking.contains(one));
        let missing = |file: &str| {
            let there = text(&dir.join(file)).unwrap_or_default();
            let missing = missing_controllers(&there);
            wanted().filter(|one| missing.contains(one)).collect::<Vec<_>>()
        };
        let unavailable = missing(AVAILABLE);
        if !unavailable.is_empty() {
            return Err(CgroupError::NoController { missing: unavailable, dir: dir.to_owned() });
        }
        if missing(HANDED_DOWN).is_empty() {
            return Ok(());
        }
        let control = dir.join(HANDED_DOWN);
        let wish = wanted().map(|one| format!("+{one}")).collect::<Vec<_>>().join(" ");
        let done = enable(dir, &control, &wish);
        done.map_err(|source| CgroupError::HandDown { dir: dir.to_owned(), source })
    }
}

/// Only a directory without processes hands controllers down (the machine's root may always): they are moved aside.
fn enable(dir: &Path, control: &Path, wish: &str) -> io::Result<()> {
    let busy = Some(rustix::io::Errno::BUSY.raw_os_error());
    for _ in 0..LOOKS_MAX {
        match fs::write(control, wish) {
            Err(err) if err.raw_os_error() == busy => move_aside(dir, &dir.join(ASIDE))?,
            done => return done,
        }
        match fs::write(control, wish) {
            // One that is just ending is not listed any more, and counts until it has.
            Err(err) if err.raw_os_error() == busy => pause(),
            done => return done,
        }
    }
    fs::write(control, wish)
}

/// Between two looks where the kernel offers nothing to wait for.
fn pause() {
    const EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    let _ = poll(&mut [], Some(&EVERY));
}

/// Looks of 10 ms each: a process that ends and a server that begins take some milliseconds.
const LOOKS_MAX: u32 = 300;

/// The controllers that a directory can hand down.
const AVAILABLE: &str = "cgroup.controllers";

/// Those that it does.
const HANDED_DOWN: &str = "cgroup.subtree_control";

/// What bounds a group in `dir` from above.
pub(crate) fn ceiling(dir: &Path) -> Ceiling {
    let cpu = dir.ancestors().filter_map(|dir| {
        let line = text(&dir.join("cpu.max"))?;
        let (quota, period) = line.split_once(' ')?;
        Some(quota.parse::<u64>().ok()? * 1000 / period.parse::<u64>().ok()?.max(1))
    });
    let memory =
        dir.ancestors().filter_map(|dir| text(&dir.join("memory.max"))?.parse::<u64>().ok());
    Ceiling { cpu_millis: cpu.min(), memory_bytes: memory.min() }
}

/// Looks at every directory from the top of the hierarchy to our own cgroup.
pub(crate) fn levels(place: &Place) -> Vec<Level> {
    let mut dirs: Vec<&Path> =
        place.own.ancestors().take_while(|dir| dir.starts_with(&place.mount)).collect();
    dirs.reverse();
    dirs.into_iter()
        .map(|dir| Level {
            dir: dir.to_owned(),
            is_writable: ["", "cgroup.procs", HANDED_DOWN]
                .iter()
                .all(|file| is_writable(&dir.join(file))),
            is_delegated: is_delegated(dir),
        })
        .collect()
}

/// The directory in which groups may be made: the highest that is ours to write, so that it outlives the session and the
/// unit that the server was started in.
///
/// Below the user's own systemd all is writable and nothing is ours but what it handed over: with a mark (`Delegate=yes`),
/// or as the scope `scope` which we asked it for (it did not always leave a mark).
pub(crate) fn seat<'levels>(
    levels: &'levels [Level],
    scope: Option<&str>,
) -> Option<&'levels Path> {
    let first = levels.iter().position(|level| level.is_writable)?;
    let ours = &levels[first..];
    let is_given =
        |level: &Level| level.is_delegated || scope.is_some_and(|scope| level.dir.ends_with(scope));
    let seat = if is_user_manager(&ours[0].dir) {
        ours[1..].iter().find(|level| level.is_writable && is_given(level))
    } else {
        ours.first()
    };
    seat.map(|level| level.dir.as_path())
}

fn is_user_manager(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("user@") && name.ends_with(".service")
}

fn is_writable(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// systemd marks what it handed over with an extended attribute.
fn is_delegated(dir: &Path) -> bool {
    let mut value = [0_u8; 8];
    ["trusted.delegate", "user.delegate"].into_iter().any(|name| {
        rustix::fs::getxattr(dir, name, &mut value).is_ok_and(|length| value[..length] == *b"1")
    })
}

/// The controllers that cannot be had in `dir`.
pub(crate) fn lacking(dir: &Path) -> Vec<&'static str> {
    missing_controllers(&text(&dir.join(AVAILABLE)).unwrap_or_default())
}

/// The highest directory above `dir`, or itself, that lacks one of `missing`: there it is lost.
pub(crate) fn lost_at<'dir>(dir: &'dir Path, missing: &[&str]) -> &'dir Path {
    let without = |dir: &&Path| {
        text(&dir.join(AVAILABLE))
            .is_some_and(|list| missing_controllers(&list).iter().any(|one| missing.contains(one)))
    };
    dir.ancestors().filter(without).last().unwrap_or(dir)
}

/// Servers that begin and end at the same moment move each other's processes: one at a time. A lock that somebody else keeps
/// holds up nobody for long: what would be wrong the kernel refuses.
fn lock(dir: &Path) -> Option<fs::File> {
    let file = fs::File::open(dir).ok()?;
    for _ in 0..LOOKS_MAX {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(file),
            Err(rustix::io::Errno::WOULDBLOCK) => pause(),
            Err(_) => return None,
        }
    }
    None
}

/// Moves every process of `from`, ourselves among them, into `to`.
fn move_aside(from: &Path, to: &Path) -> io::Result<()> {
    match fs::create_dir(to) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(err),
        Ok(()) | Err(_) => {}
    }
    let (mut rounds, mut looks) = (0, 0);
    while rounds < ASIDE_ROUNDS_MAX && looks < LOOKS_MAX {
        let processes = fs::read_to_string(from.join("cgroup.procs"))?;
        if processes.is_empty() {
            return Ok(());
        }
        let mut some_moved = false;
        for process in processes.lines() {
            match fs::write(to.join("cgroup.procs"), process) {
                Err(err) if err.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                done => some_moved |= done.map(|()| true)?,
            }
        }
        if some_moved {
            rounds += 1;
        } else {
            // Who is just ending is listed until it has, and can be moved no more.
            looks += 1;
            pause();
        }
    }
    Err(io::Error::other("processes keep appearing in it"))
}

/// Undoes [`move_aside`], as far as it can be: with another group in `above` the kernel, or this, leaves all as it is.
fn put_back(above: &Path) {
    let aside = above.join(ASIDE);
    let is_other = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path() != aside && entry.path().is_dir())
    };
    if !aside.is_dir() || fs::read_dir(above).is_ok_and(|mut entries| entries.any(is_other)) {
        return;
    }
    let back = CONTROLLERS.map(|controller| format!("-{controller}")).join(" ");
    if fs::write(above.join(HANDED_DOWN), back).is_err() {
        return;
    }
    for process in text(&aside.join("cgroup.procs")).unwrap_or_default().lines() {
        // Whoever is gone need not be moved, and a server that begins just now may want them aside again.
        let _ = fs::write(above.join("cgroup.procs"), process);
    }
    let _ = fs::remove_dir(aside);
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
        let v2 = V2 { parent: "/g".into(), lacking: vec![] };
        let cgroup = v2.attempt("a", Limits { cpu_millis: 250, memory_bytes: 512 << 20 }, 100);
        let expected = [
            "/g/a memory.max=536870912",
            "/g/a memory.oom.group=1",
            "/g/a cpu.max=25000 100000",
            "/g/a pids.max=100",
        ];
        assert_eq!(cgroup.lines(), expected);
        let path = |counter: Option<Counter>| counter.expect("it is counted").path;
        assert_eq!(path(cgroup.memory_peak), PathBuf::from("/g/a/memory.peak"));
        assert_eq!(path(cgroup.oom_kills), PathBuf::from("/g/a/memory.events"));
    }

    #[test]
    fn nothing_is_swapped_where_the_kernel_counts_swap() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("memory.swap.max"), "max").expect("it is written");
        let cgroup =
            V2 { parent: dir.path().into(), lacking: vec![] }.attempt("a", Limits::default(), 1);
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
        assert_eq!(ceiling(&parent), Ceiling::default());
        fs::write(top.path().join("a/cpu.max"), "150000 100000\n").expect("it is written");
        fs::write(top.path().join("a/memory.max"), "4096\n").expect("it is written");
        fs::write(top.path().join("memory.max"), "8192\n").expect("it is written");
        let expected = Ceiling { cpu_millis: Some(1500), memory_bytes: Some(4096) };
        assert_eq!(ceiling(&parent), expected);
    }

    #[test]
    fn without_a_controller_its_limits_are_left_out_and_the_others_hold() {
        let limits = Limits { cpu_millis: 250, memory_bytes: 4096 };
        let of = |lacking| V2 { parent: "/g".into(), lacking }.attempt("a", limits, 9);
        assert_eq!(of(vec!["cpu", "memory"]).lines(), ["/g/a pids.max=9"]);
        assert_eq!(of(vec!["memory"]).oom_kills, None);
        assert!(of(vec!["cpu"]).oom_kills.is_some());
    }

    /// `w` is writable, `d` is writable and delegated, `-` is neither.
    fn way(levels: &[(&str, char)]) -> Vec<Level> {
        let level = |(dir, kind): &(&str, char)| Level {
            dir: dir.into(),
            is_writable: *kind != '-',
            is_delegated: *kind == 'd',
        };
        levels.iter().map(level).collect()
    }

    #[track_caller]
    fn check_seat(levels: &[(&str, char)], expected: Option<&str>) {
        assert_eq!(seat(&way(levels), Some("groundrun-1.scope")), expected.map(Path::new));
    }

    #[test]
    fn root_sits_at_the_top_wherever_it_was_started() {
        check_seat(&[("/c", 'w')], Some("/c"));
        check_seat(&[("/c", 'w'), ("/c/s.slice", 'w'), ("/c/s.slice/g.service", 'd')], Some("/c"));
    }

    #[test]
    fn a_subtree_that_was_given_to_the_user_is_found_from_below() {
        check_seat(&[("/c", '-'), ("/c/lab", 'w'), ("/c/lab/me", 'w')], Some("/c/lab"));
        check_seat(&[("/c", '-'), ("/c/lab", '-'), ("/c/lab/me", 'w')], Some("/c/lab/me"));
        check_seat(&[("/c", '-'), ("/c/session-1.scope", '-')], None);
    }

    #[test]
    fn of_what_the_users_systemd_has_only_what_it_handed_over_is_used() {
        let (top, user) = (("/c", '-'), ("/c/user@1000.service", 'w'));
        check_seat(&[top, user], None);
        check_seat(&[top, user, ("/c/user@1000.service/vte.scope", 'w')], None);
        let given = "/c/user@1000.service/app.slice/x.scope";
        check_seat(&[top, user, (given, 'd')], Some(given));
        let asked = "/c/user@1000.service/app.slice/groundrun-1.scope";
        check_seat(&[top, user, (asked, 'w')], Some(asked));
    }

    #[test]
    fn a_controller_is_lost_at_the_highest_directory_that_lacks_it() {
        let top = tempfile::tempdir().expect("a directory");
        let dirs = [top.path().to_owned(), top.path().join("a"), top.path().join("a/b")];
        for (dir, list) in dirs.iter().zip(["cpu memory pids", "memory pids", "pids"]) {
            fs::create_dir_all(dir).expect("it is made");
            fs::write(dir.join(AVAILABLE), list).expect("it is written");
        }
        assert_eq!(lost_at(&dirs[2], &["cpu"]), dirs[1]);
        assert_eq!(lost_at(&dirs[2], &["memory"]), dirs[2]);
        assert_eq!(lacking(&dirs[2]), ["memory", "cpu"]);
    }
}
