//! The cgroups of attempts: where they are, what bounds them, and how one is killed and seen empty.
//!
//! Version 1 and version 2 differ in names and in how all of a group is killed; both are behind [`Cgroups`]. A group is
//! made, joined and measured by the attempt's shim; this module tells it how, and cleans up after a shim that died.

mod kill;
mod layout;
mod survey;
mod v1;
mod v2;

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use groundrun_core::{id::AttemptId, port::Limits};
use groundrun_shim::protocol::{Cgroup, Counter};

use self::{
    layout::{CONTROLLERS, Layout},
    v1::{Parent, V1},
    v2::V2,
};

pub use self::survey::{Lost, Survey, lost, survey};

/// Period over which a share of CPU is counted: the kernel's default, short enough that a throttled task does not stall
/// for long.
const CPU_PERIOD_US: u64 = 100_000;

/// The kernel refuses a quota below one millisecond.
const CPU_QUOTA_MIN_US: u64 = 1_000;

/// Processes and threads of one attempt. A fork bomb stays inside; a thread pool per core of a large machine fits.
const PIDS_MAX: u64 = 32_768;

/// Containers of one attempt, as Cloud Run has it.
const CONTAINERS_MAX: usize = 10;

/// Where attempts are put, and how their limits are said.
#[derive(Clone, Debug)]
pub struct Cgroups {
    /// For new attempts; none where none can be had and that is accepted.
    current: Option<Hierarchy>,
    /// Of servers before, which another session's end may take away: nothing new is put there, and what is there is found.
    earlier: Vec<Hierarchy>,
    unenforced: Option<Unenforced>,
    ceiling: Ceiling,
    pids_max: u64,
}

/// What is asked of the machine's cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Whether limits must hold.
    pub limiting: Limiting,
    /// The scope that we asked the user's systemd for and were started in, such as `groundrun-1f.scope`.
    pub scope: Option<String>,
}

/// Whether limits must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limiting {
    /// Without memory, cpu and pids there is no start.
    #[default]
    Required,
    /// What can be limited is; the rest is not.
    Waived,
}

/// Limits that do not hold here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenforced {
    /// Of which controllers.
    pub controllers: Vec<&'static str>,
    /// Why.
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hierarchy {
    V1(V1),
    V2(V2),
}

/// What bounds everything of ours from above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Thousandths of a CPU; absent when unbounded.
    pub cpu_millis: Option<u64>,
    /// Bytes; absent when unbounded.
    pub memory_bytes: Option<u64>,
}

/// All there is to know about the cgroup of one attempt, as its shim is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptCgroup {
    /// One per hierarchy, in the order of joining.
    pub groups: Vec<Cgroup>,
    /// Out-of-memory kills so far, where they are counted.
    pub oom_kills: Option<Counter>,
    /// Peak of memory use in bytes, where it is measured.
    pub memory_peak: Option<Counter>,
}

/// Why cgroups cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The kernel's own tables could not be read.
    #[error("read {file}")]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No hierarchy has these.
    #[error("no cgroup hierarchy has the controller {}", missing.join(", "))]
    NotMounted {
        /// Controllers.
        missing: Vec<&'static str>,
    },
    /// They are not handed down to us.
    #[error("the cgroup {} lacks the controller {}", dir.display(), missing.join(", "))]
    NoController {
        /// Controllers.
        missing: Vec<&'static str>,
        /// The highest directory that lacks one of them.
        dir: PathBuf,
    },
    /// None is ours to write.
    #[error("no cgroup from {} upwards was handed over to this user", own.display())]
    NotDelegated {
        /// The one that this process is in.
        own: PathBuf,
    },
    /// The parent directory could not be made.
    #[error("make the cgroup {}", dir.display())]
    Make {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Controllers could not be enabled for children.
    #[error("hand controllers down from {}", dir.display())]
    HandDown {
        /// From where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The place could not be written down for the next server.
    #[error("remember the cgroup's place in {}", file.display())]
    Remember {
        /// Where.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Processes are still there after the bound.
    #[error("{} still has processes {}s after SIGKILL", dir.display(), waited.as_secs())]
    NotEmpty {
        /// Which.
        dir: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// Its processes could not be signalled or listed.
    #[error("kill what is in {}", dir.display())]
    Kill {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Cgroups {
    /// Finds or makes our parent cgroup `name`.
    ///
    /// A server that starts in another session has another cgroup of its own, but must find the attempts of the ones
    /// before: their places are therefore remembered in the file `remembered`, as long as they exist.
    ///
    /// # Errors
    /// When a controller is missing or the parent cannot be made, unless `demand` waives that.
    pub fn open(name: &str, remembered: &Path, demand: &Demand) -> Result<Self, CgroupError> {
        let known = recall(remembered);
        let (current, unenforced) = match (make(name, &known, demand), demand.limiting) {
            (Ok(made), _) => (Some(made.0), made.1),
            (Err(err), Limiting::Waived) => {
                let why = groundrun_core::chain(&err);
                (None, Some(Unenforced { controllers: CONTROLLERS.to_vec(), why }))
            }
            (Err(err), Limiting::Required) => return Err(err),
        };
        let is_current = |one: &Hierarchy| {
            current.as_ref().is_some_and(|current| current.parents() == one.parents())
        };
        let earlier: Vec<Hierarchy> = known.into_iter().filter(|one| !is_current(one)).collect();
        write_down(remembered, current.iter().chain(&earlier))
            .map_err(|source| CgroupError::Remember { file: remembered.to_owned(), source })?;
        let pid_max =
            text(Path::new("/proc/sys/kernel/pid_max")).and_then(|text| text.parse().ok());
        let ceiling = current.as_ref().map_or_else(own_ceiling, Hierarchy::ceiling);
        Ok(Self { current, earlier, unenforced, ceiling, pids_max: pids_max(pid_max) })
    }

    /// Makes our parent again where it is gone: an empty cgroup may be removed by whoever cleans up on the machine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stand(&self) -> Result<(), CgroupError> {
        self.current.as_ref().map_or(Ok(()), Hierarchy::stand)
    }

    /// What the cgroup of `id` is, an attempt of one container, under `limits`.
    #[must_use]
    pub fn attempt(&self, id: AttemptId, limits: Limits) -> AttemptCgroup {
        self.named(&name(id), limits)
    }

    /// What the cgroup of the container at `index` is in an attempt of several. Each has one of its own.
    #[must_use]
    pub fn container(&self, id: AttemptId, index: usize, limits: Limits) -> AttemptCgroup {
        self.named(&format!("{}.{index}", name(id)), limits)
    }

    fn named(&self, name: &str, limits: Limits) -> AttemptCgroup {
        match &self.current {
            Some(Hierarchy::V1(v1)) => v1.attempt(name, limits, self.pids_max, self.ceiling),
            Some(Hierarchy::V2(v2)) => v2.attempt(name, limits, self.pids_max),
            None => AttemptCgroup { groups: Vec::new(), oom_kills: None, memory_peak: None },
        }
    }

    /// The limits that do not hold; they were waived.
    #[must_use]
    pub fn unenforced(&self) -> Option<&Unenforced> {
        self.unenforced.as_ref()
    }

    /// What bounds all attempts together.
    #[must_use]
    pub fn ceiling(&self) -> Ceiling {
        self.ceiling
    }

    /// Kills all of an attempt's processes and returns once none is left and its directories are gone.
    ///
    /// # Errors
    /// When a process outlives SIGKILL for `wait` (uninterruptible I/O), or the kernel refuses.
    pub fn kill(&self, id: AttemptId, wait: Duration) -> Result<(), CgroupError> {
        kill::all(&self.dirs(id), wait)
    }

    /// Attempts whose directories are there, in no order.
    #[must_use]
    pub fn present(&self) -> Vec<AttemptId> {
        let entries = self.parents().filter_map(|dir| fs::read_dir(dir).ok()).flatten();
        let mut found: Vec<AttemptId> =
            entries.filter_map(|entry| id(entry.ok()?.file_name().to_str()?)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Removes our parents, if no attempt is in them any more, so that nothing is left behind.
    ///
    /// # Errors
    /// When the kernel refuses: something is in one.
    pub fn remove(&self) -> io::Result<()> {
        self.places().try_for_each(Hierarchy::remove)
    }

    /// In the order of killing, which is the reverse of that of joining.
    fn dirs(&self, id: AttemptId) -> Vec<PathBuf> {
        let name = name(id);
        let mut parents: Vec<&Path> = self.parents().collect();
        parents.reverse();
        parents
            .into_iter()
            .flat_map(|parent| {
                let of_containers = (0..CONTAINERS_MAX).map(|index| format!("{name}.{index}"));
                // Most attempts have one container, and no directory of these.
                let found = of_containers.map(|name| parent.join(name)).filter(|dir| dir.is_dir());
                std::iter::once(parent.join(&name)).chain(found)
            })
            .collect()
    }

    fn places(&self) -> impl Iterator<Item = &Hierarchy> {
        self.current.iter().chain(&self.earlier)
    }

    fn parents(&self) -> impl Iterator<Item = &Path> {
        self.places().flat_map(Hierarchy::parents)
    }
}

impl Hierarchy {
    /// Our parent is there, and hands its controllers down.
    fn stand(&self) -> Result<(), CgroupError> {
        for dir in self.parents().into_iter().filter(|dir| !dir.is_dir()) {
            match self {
                Self::V1(_) => fs::create_dir_all(dir)
                    .map_err(|source| CgroupError::Make { dir: dir.to_owned(), source })?,
                Self::V2(v2) => v2.stand()?,
            }
        }
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        match self {
            Self::V2(v2) => v2.remove(),
            Self::V1(_) => {
                self.parents().into_iter().try_for_each(|dir| match fs::remove_dir(dir) {
                    Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
                    done => done,
                })
            }
        }
    }

    fn ceiling(&self) -> Ceiling {
        match self {
            Self::V1(v1) => v1.ceiling(),
            Self::V2(v2) => v2::ceiling(&v2.parent),
        }
    }

    /// Our parent in each hierarchy, each once.
    fn parents(&self) -> Vec<&Path> {
        match self {
            Self::V1(v1) => v1.parents().into_iter().map(|parent| parent.dir.as_path()).collect(),
            Self::V2(v2) => vec![&v2.parent],
        }
    }
}

#[cfg(test)]
impl AttemptCgroup {
    /// One line per setting, for comparison.
    fn lines(&self) -> Vec<String> {
        let line = |group: &Cgroup| {
            let dir = group.path.display().to_string();
            group
                .settings
                .iter()
                .map(move |(file, value)| format!("{dir} {file}={value}"))
                .collect()
        };
        self.groups.iter().flat_map(|group| -> Vec<String> { line(group) }).collect()
    }
}

/// `{execution}.{task}-{attempt}`, and `.{container}` behind it where there are several: one level, so that one `rmdir` per
/// hierarchy removes it.
fn name(id: AttemptId) -> String {
    format!("{}.{}-{}", id.execution, id.task, id.attempt)
}

fn id(name: &str) -> Option<AttemptId> {
    let (execution, rest) = name.split_once('.')?;
    let attempt = match rest.split_once('.') {
        Some((attempt, container)) => {
            container.parse::<usize>().ok()?;
            attempt
        }
        None => rest,
    };
    AttemptId::from_str(&format!("{execution}/{attempt}")).ok()
}

/// Quota and period in microseconds.
fn cpu_quota(millis: u64) -> (u64, u64) {
    ((millis.saturating_mul(CPU_PERIOD_US) / 1000).max(CPU_QUOTA_MIN_US), CPU_PERIOD_US)
}

/// At most half of what the machine has, so that one attempt cannot take them all.
fn pids_max(machine: Option<u64>) -> u64 {
    machine.map_or(PIDS_MAX, |all| PIDS_MAX.min(all / 2))
}

fn layout() -> Result<Layout, CgroupError> {
    let read = |file: &str| {
        fs::read_to_string(file)
            .map_err(|source| CgroupError::Read { file: PathBuf::from(file), source })
    };
    Layout::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
        .map_err(|missing| CgroupError::NotMounted { missing })
}

/// Makes our parent, or keeps one of `known`; and says what is not enforced there.
fn make(
    name: &str,
    known: &[Hierarchy],
    demand: &Demand,
) -> Result<(Hierarchy, Option<Unenforced>), CgroupError> {
    match layout()? {
        Layout::V1(places) => {
            let kept = known.iter().find(|known| matches!(known, Hierarchy::V1(_))).cloned();
            let hierarchy = kept.unwrap_or_else(|| {
                let [memory, cpu, pids] = places.map(|place| Parent {
                    dir: place.own.join(name),
                    controllers: place.controllers,
                });
                Hierarchy::V1(V1 { memory, cpu, pids })
            });
            hierarchy.stand()?;
            Ok((hierarchy, None))
        }
        Layout::V2(place) => {
            let levels = v2::levels(&place);
            let Some(seat) = v2::seat(&levels, demand.scope.as_deref()) else {
                return Err(CgroupError::NotDelegated { own: place.own });
            };
            let known = known.iter().filter_map(|known| match known {
                Hierarchy::V2(v2) => Some(v2),
                Hierarchy::V1(_) => None,
            });
            let v2 = V2::make(seat, name, &known.collect::<Vec<_>>(), demand.limiting)?;
            let unenforced = (!v2.lacking.is_empty()).then(|| {
                let (missing, dir) = (v2.lacking.clone(), v2::lost_at(seat, &v2.lacking));
                let why = CgroupError::NoController { missing, dir: dir.to_owned() }.to_string();
                Unenforced { controllers: v2.lacking.clone(), why }
            });
            Ok((Hierarchy::V2(v2), unenforced))
        }
    }
}

/// What bounds this process, where attempts have no group of their own.
fn own_ceiling() -> Ceiling {
    match layout() {
        Ok(Layout::V1([memory, cpu, pids])) => {
            let [memory, cpu, pids] = [memory, cpu, pids]
                .map(|place| Parent { controllers: place.controllers, dir: place.own });
            V1 { memory, cpu, pids }.ceiling()
        }
        Ok(Layout::V2(place)) => v2::ceiling(&place.own),
        Err(_) => Ceiling::default(),
    }
}

/// The places of earlier servers of which something still exists, the last one first.
fn recall(remembered: &Path) -> Vec<Hierarchy> {
    let mut places = parsed(&fs::read_to_string(remembered).unwrap_or_default());
    places.retain(|place| place.parents().into_iter().any(Path::is_dir));
    places
}

fn write_down<'a>(
    remembered: &Path,
    places: impl Iterator<Item = &'a Hierarchy>,
) -> io::Result<()> {
    let new = remembered.with_extension("new");
    fs::write(&new, places.map(written).collect::<String>())?;
    fs::rename(new, remembered)
}

/// A version, then one line per parent: its controllers and its path.
fn written(hierarchy: &Hierarchy) -> String {
    match hierarchy {
        Hierarchy::V1(V1 { memory, cpu, pids }) => {
            let line =
                |parent: &Parent| format!("{} {}\n", parent.controllers, parent.dir.display());
            format!("1\n{}{}{}", line(memory), line(cpu), line(pids))
        }
        Hierarchy::V2(V2 { parent, .. }) => format!("2\n{}\n", parent.display()),
    }
}

/// Up to the first that is not understood.
fn parsed(text: &str) -> Vec<Hierarchy> {
    let parent = |line: &str| {
        let (controllers, dir) = line.split_once(' ')?;
        Some(Parent { controllers: controllers.to_owned(), dir: dir.into() })
    };
    let mut lines = text.lines();
    let mut next = || match lines.next()? {
        "1" => Some(Hierarchy::V1(V1 {
            memory: parent(lines.next()?)?,
            cpu: parent(lines.next()?)?,
            pids: parent(lines.next()?)?,
        })),
        "2" => Some(Hierarchy::V2(V2 { parent: lines.next()?.into(), lacking: Vec::new() })),
        _ => None,
    };
    std::iter::from_fn(&mut next).collect()
}

/// A small file's text without the newline at its end; `None` when it cannot be read.
fn text(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt_id() -> AttemptId {
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/12-3".parse().expect("it is an id")
    }

    #[test]
    fn an_attempt_is_found_again_by_the_name_of_its_directory() {
        assert_eq!(id(&name(attempt_id())), Some(attempt_id()));
        assert_eq!(id(&format!("{}.7", name(attempt_id()))), Some(attempt_id()));
        assert_eq!(id(&format!("{}.x", name(attempt_id()))), None);
        assert_eq!(id("groundrun-server"), None);
    }

    #[test]
    fn a_quota_is_never_below_what_the_kernel_takes() {
        assert_eq!(cpu_quota(1000), (100_000, 100_000));
        assert_eq!(cpu_quota(80), (8_000, 100_000));
        assert_eq!(cpu_quota(1), (1_000, 100_000));
    }

    #[test]
    fn one_attempt_cannot_take_all_pids_of_a_small_machine() {
        assert_eq!(pids_max(Some(32_768)), 16_384);
        assert_eq!(pids_max(Some(4_194_304)), 32_768);
        assert_eq!(pids_max(None), 32_768);
    }

    #[test]
    fn a_remembered_place_is_read_back_and_nonsense_is_not() {
        let parent =
            |name: &str| Parent { controllers: name.into(), dir: Path::new("/a b").join(name) };
        let v1 = Hierarchy::V1(V1 {
            memory: parent("memory"),
            cpu: parent("cpu,cpuacct"),
            pids: parent("pids"),
        });
        let v2 = |dir: &str| Hierarchy::V2(V2 { parent: dir.into(), lacking: vec![] });
        let places = vec![v2("/sys/fs/cgroup/g"), v1, v2("/sys/fs/cgroup/x.scope/g h")];
        assert_eq!(parsed(&places.iter().map(written).collect::<String>()), places);
        assert_eq!(parsed(&(written(&places[0]) + "3\n/new\n")), places[..1]);
        assert_eq!(parsed("1\n/only\n"), []);
        assert_eq!(parsed(""), []);
    }
}
