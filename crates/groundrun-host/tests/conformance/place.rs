//! This machine as a place to try the backend in.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    num::NonZeroUsize,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    log::{LogPosition, Stream},
    port::{Backend, Inbox},
    process::ImageConfig,
};
use groundrun_host::{
    HostBackend, HostConfig, HostLogs, Mountable, Mounts, MountsError, WritableLayer,
    cgroup::{Cgroups, Demand},
};
use groundrun_shim::{
    Connection, Spawner, SpawnerConfig, SpawnerHandle,
    dir::Standing,
    enter::{Entered, enter, marks},
};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::conformance::{Place, Resources, Vault, bounded};

/// One for each time that a scenario opens a backend. Forked ahead: later there are threads.
const SPAWNERS: usize = 4;

const DIGEST: &str = "sha256:5a3b1e0000000000000000000000000000000000000000000000000000000000";

/// What may stay of an attempt that is forgotten.
const KEPT: [&str; 2] = ["begun", "log"];

/// A directory, a parent cgroup and a few spawners, all of its own.
pub(crate) struct HostPlace {
    dir: TempDir,
    cgroup: String,
    pub(crate) cgroups: Cgroups,
    /// What the backend is told beyond the defaults.
    pub(crate) configure: fn(&mut HostConfig),
    spawners: VecDeque<(SpawnerHandle, Pid)>,
    current: Option<Pid>,
    /// An ordinary user's namespaces.
    entered: Option<Entered>,
}

struct OneImage {
    layer: PathBuf,
}

impl Mounts for OneImage {
    fn mountable(&self, digest: &str) -> Result<Mountable, MountsError> {
        if digest != DIGEST {
            return Err(MountsError(format!("the image {digest} is not there")));
        }
        let config = ImageConfig { entrypoint: vec!["/job".to_owned()], ..ImageConfig::default() };
        Ok(Mountable { layers: vec![self.layer.clone()], config })
    }
}

impl HostPlace {
    pub(crate) fn new() -> Self {
        // Before anything is made: all that follows is done by the user that containers are for.
        let entered = match rustix::process::geteuid().is_root() {
            true => None,
            false => Some(enter(None).expect("an ordinary user can make namespaces")),
        };
        let spawners = (0..SPAWNERS).map(|_| spawner(entered.as_ref())).collect();
        let dir =
            tempfile::Builder::new().prefix("groundrun-conformance-").tempdir().expect("made");
        let layer = dir.path().join("layer");
        fs::create_dir(&layer).expect("made");
        fs::set_permissions(&layer, fs::Permissions::from_mode(0o755)).expect("set");
        fs::write(layer.join("job"), sample_job::PROGRAM).expect("written");
        fs::set_permissions(layer.join("job"), fs::Permissions::from_mode(0o755)).expect("set");
        if let Some(entered) = &entered {
            // As an image store does.
            for path in [&layer, &layer.join("job")] {
                std::os::unix::fs::chown(path, entered.ids.base(), entered.ids.base())
                    .expect("an owner can be set");
            }
        }
        fs::create_dir(dir.path().join("data")).expect("made");
        let cgroup = format!("groundrun-conformance-{}", std::process::id());
        let cgroups = Cgroups::open(&cgroup, &dir.path().join("data/cgroup"), &demand())
            .expect("cgroups are there");
        Self { dir, cgroup, cgroups, configure: |_| {}, spawners, current: None, entered }
    }

    /// Fails when anything is left that is no file of ours.
    pub(crate) fn close(self) {
        drop((self.spawners, self.entered));
        bounded(|| match children() {
            left if left.is_empty() => Ok(()),
            left => {
                left.iter().for_each(|pid| {
                    let _ =
                        rustix::process::waitpid(Some(*pid), rustix::process::WaitOptions::NOHANG);
                });
                Err(left)
            }
        });
        bounded(|| self.cgroups.remove());
        assert_eq!(mounts_with(&self.dir.path().display().to_string()), Vec::<String>::new());
        self.dir.close().expect("nothing holds the directory");
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// In the attempt's cgroup, or in those of its containers.
    fn processes(&self, id: AttemptId) -> BTreeSet<i32> {
        let one = self.cgroups.attempt(id, Default::default());
        let several = (0..10).map(|index| self.cgroups.container(id, index, Default::default()));
        let groups: Vec<_> = several.chain([one]).flat_map(|cgroup| cgroup.groups).collect();
        let lists = groups
            .iter()
            .map(|group| fs::read_to_string(group.path.join("cgroup.procs")).unwrap_or_default());
        lists
            .flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    fn attempts(&self, execution: ExecutionUid) -> PathBuf {
        self.data().join("attempts").join(execution.to_string())
    }
}

impl Place for HostPlace {
    fn open(&mut self, inbox: Arc<dyn Inbox>) -> Box<dyn Backend> {
        let (spawner, pid) = self.spawners.pop_front().expect("no scenario opens so often");
        self.current = Some(pid);
        #[expect(
            clippy::disallowed_methods,
            reason = "a test is its own binary, which reads the time"
        )]
        let clock = Arc::new(Timestamp::now);
        let mut config = HostConfig::new(self.data(), clock);
        config.secrets = Arc::new(Vault);
        config.cgroup.clone_from(&self.cgroup);
        config.demand = demand();
        if let Some(entered) = &self.entered {
            config.id_base = entered.ids.base().expect("they are the user's");
            if !marks(self.dir.path()).expect("the kernel tells").in_memory {
                config.writable_layer = WritableLayer::Disk;
            }
        }
        (self.configure)(&mut config);
        let mounts = Arc::new(OneImage { layer: self.dir.path().join("layer") });
        Box::new(HostBackend::new(config, mounts, spawner, inbox).expect("the backend opens"))
    }

    fn image(&self) -> String {
        DIGEST.to_owned()
    }

    fn lines(&self, id: AttemptId) -> Vec<String> {
        let most = NonZeroUsize::new(10_000).expect("it is not zero");
        let logs = HostLogs::new(&self.data());
        let (lines, _) = logs.read(id, LogPosition::default(), most).expect("the log is read");
        let written = lines.into_iter().filter(|line| line.stream == Stream::Stdout);
        written.map(|line| line.text).collect()
    }

    fn kill_monitor(&self, id: AttemptId) {
        // Whose socket it is the kernel tells to every user.
        let connection = Connection::open(&self.data().join("attempts").join(id.to_string()));
        let monitor = rustix::net::sockopt::socket_peercred(connection.expect("it listens"));
        kill_process(monitor.expect("the kernel tells").pid, Signal::KILL).expect("it lives");
    }

    fn kill_main(&self, id: AttemptId) {
        let processes: Vec<Pid> =
            self.processes(id).into_iter().filter_map(Pid::from_raw).collect();
        let [main] = processes.as_slice() else { panic!("one process, not {processes:?}") };
        kill_process(*main, Signal::KILL).expect("it lives");
    }

    fn kill_spawner(&mut self) {
        let pid = self.current.take().expect("a backend was opened");
        kill_process(pid, Signal::KILL).expect("it lives");
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
            .expect("it is our child");
    }

    fn own_resources(&self) -> Resources {
        let count = |dir: &str| fs::read_dir(dir).expect("it is there").count();
        Resources { threads: count("/proc/self/task"), descriptors: count("/proc/self/fd") }
    }

    fn leftovers(&self, execution: ExecutionUid) -> Vec<String> {
        let attempts = self.attempts(execution);
        let mut left: Vec<String> = holders(|path| path.starts_with(&attempts))
            .into_iter()
            .map(|pid| format!("process {pid:?} with a file of {}", attempts.display()))
            .collect();
        // Into a monitor only root can look, but that its lock is held everybody sees.
        let directories = fs::read_dir(&attempts).into_iter().flatten().filter_map(Result::ok);
        let living = directories.filter(|dir| {
            matches!(groundrun_shim::dir::standing(&dir.path()), Ok(Standing::Running))
        });
        left.extend(
            living.map(|dir| format!("process that is the monitor of {}", dir.path().display())),
        );
        for id in self.cgroups.present().into_iter().filter(|id| id.execution == execution) {
            left.push(format!("cgroup of {id}"));
            left.extend(self.processes(id).iter().map(|pid| format!("process {pid} of {id}")));
        }
        left.extend(mounts_with(&execution.to_string()));
        let beyond = |file: &String| !KEPT.iter().any(|kept| file.ends_with(&format!("/{kept}")));
        left.extend(self.files(execution).into_iter().filter(beyond));
        left
    }

    fn files(&self, execution: ExecutionUid) -> Vec<String> {
        let mut files = Vec::new();
        collect(&self.attempts(execution), &mut files);
        collect(&self.data().join("attempts.trash"), &mut files);
        files
    }
}

/// An ordinary user starts this in a scope of systemd's and says which.
fn demand() -> Demand {
    Demand { scope: std::env::var("GROUNDRUN_SCOPE").ok(), ..Demand::default() }
}

/// Forks a spawner, and finds out its process id.
fn spawner(entered: Option<&Entered>) -> (SpawnerHandle, Pid) {
    let before = children();
    let config = SpawnerConfig::default();
    let handle = match entered {
        None => Spawner::fork(config),
        Some(entered) => Spawner::fork_in(entered, config),
    };
    let handle = handle.expect("it is forked");
    let new: Vec<Pid> = children().into_iter().filter(|pid| !before.contains(pid)).collect();
    let [pid] = new.as_slice() else { panic!("one child more, not {new:?}") };
    (handle, *pid)
}

fn children() -> Vec<Pid> {
    let tasks = fs::read_dir("/proc/self/task").expect("it is there");
    let lists =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let pids: Vec<String> = lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    pids.iter().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Processes, other than this one, with an open file whose path satisfies `is`.
fn holders(is: impl Fn(&Path) -> bool) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("it is there").filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let holds = |pid: i32| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files
            .filter_map(Result::ok)
            .any(|file| fs::read_link(file.path()).is_ok_and(|path| is(&path)))
    };
    let own = i32::try_from(std::process::id()).expect("the kernel's ids fit");
    pids.filter(|pid| *pid != own && holds(*pid)).filter_map(Pid::from_raw).collect()
}

fn mounts_with(words: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it is there");
    let found = mounts.lines().filter(|line| line.contains(words));
    found.map(|line| format!("mount {line}")).collect()
}

fn collect(dir: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), files),
            _ => files.push(entry.path().display().to_string()),
        }
    }
}
