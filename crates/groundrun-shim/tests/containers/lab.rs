//! A place for containers: a spawner, an image of one program, cgroups of its own, a directory that vanishes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use groundrun_shim::{
    Connection, LayerMounts, Spawner, SpawnerConfig, SpawnerHandle,
    dir::{self, Standing},
    enter::Entered,
    log::{Line, Reader, Source},
    protocol::{
        Cause, Cgroup, CgroupKind, Container, Counter, End, Exit, ExitRecord, Launch, LogBounds,
        Network, News, Process, Root, TERMINATION_MESSAGE_PATH, Writable,
    },
};
use tempfile::TempDir;

use crate::user;

/// First of the ids that containers get, as the tests see them. Of the machine's no usual account has those.
pub(crate) fn id_base() -> u32 {
    if user::is_one() { 1 } else { 0x2000_0000 }
}

/// Gives a file of a layer to the image's root, as an image store does.
pub(crate) fn own(path: &Path) {
    if user::is_one() {
        let root = Some(id_base());
        std::os::unix::fs::lchown(path, root, root).expect("an owner can be set");
    }
}

pub(crate) const MIB: u64 = 1 << 20;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that the tests share.
pub(crate) struct Lab {
    pub(crate) spawner: SpawnerHandle,
    /// Mounts layers as older kernels must.
    pub(crate) old_way: SpawnerHandle,
    /// For the test that ends it.
    pub(crate) doomed: Mutex<Option<SpawnerHandle>>,
    directory: TempDir,
    /// An ordinary user's namespaces, held as long as the tests run.
    _entered: Option<Entered>,
    pub(crate) cgroups: Vec<PathBuf>,
    next: AtomicU32,
}

/// One launch and what is heard of it.
pub(crate) struct Attempt {
    pub(crate) directory: PathBuf,
    connection: Connection,
}

/// What became of an attempt.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) record: ExitRecord,
    pub(crate) lines: Vec<Line>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a directory can be made");
        let entered = user::is_one().then(|| user::entered(directory.path()));
        let fork = |layer_mounts| {
            let config = SpawnerConfig { layer_mounts, ..SpawnerConfig::default() };
            match &entered {
                None => Spawner::fork(config),
                Some(entered) => Spawner::fork_in(entered, config),
            }
            .expect("a spawner can be forked")
        };
        let spawner = fork(LayerMounts::Ready);
        let old_way = fork(LayerMounts::EachTime);
        let doomed = Mutex::new(Some(fork(LayerMounts::Ready)));
        // As data directories are: closed to others, which must not matter to a container's root.
        let layer = directory.path().join("layer");
        for part in ["", "etc", "tmp"] {
            fs::create_dir_all(layer.join(part)).expect("a layer can be made");
            own(&layer.join(part));
        }
        write(&layer.join("job"), sample_job::PROGRAM, 0o755);
        write(
            &layer.join("etc/passwd"),
            b"root:x:0:0::/root:\napp:x:1000:1001::/srv/app:\n",
            0o644,
        );
        write(&layer.join("etc/group"), b"root:x:0:\napp:x:1001:\nextra:x:2000:app\n", 0o644);
        Self {
            spawner,
            old_way,
            doomed,
            directory,
            cgroups: user::cgroups().unwrap_or_else(cgroups::parents),
            _entered: entered,
            next: AtomicU32::new(0),
        }
    }

    /// A launch of the sample program with these arguments, in an attempt directory of its own.
    pub(crate) fn launch(&self, arguments: &[&str]) -> Launch {
        self.several(&[("main", arguments)])
    }

    /// One of several containers, by their names.
    pub(crate) fn several(&self, containers: &[(&str, &[&str])]) -> Launch {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let attempt_dir = self.directory.path().join(format!("attempt-{number}"));
        fs::create_dir(&attempt_dir).expect("an attempt's directory can be made");
        let container = |(name, arguments): &(&str, &[&str])| self.container(name, arguments);
        Launch {
            attempt_dir,
            containers: containers.iter().map(container).collect(),
            volumes: vec![],
            instances: vec![],
            id_base: id_base(),
            hostname: "job-abcde".into(),
            network: Network::None,
            files: vec![],
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            log: LogBounds { line_bytes: 256 * 1024, total_bytes: 64 * MIB },
        }
    }

    fn container(&self, name: &str, arguments: &[&str]) -> Container {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (cgroups, oom_kills, memory_peak) =
            cgroups::of_attempt(&self.cgroups, number, 64 * MIB);
        Container {
            name: name.into(),
            cgroups,
            oom_kills: Some(oom_kills),
            memory_peak: Some(memory_peak),
            root: Root {
                layers: vec![self.layer()],
                writable: Writable::Memory { max_bytes: 64 * MIB },
            },
            process: Process {
                argv: ["/job"].iter().chain(arguments).map(|text| (*text).to_owned()).collect(),
                env: vec![("CLOUD_RUN_TASK_INDEX".into(), "3".into())],
                sealed_env: vec![],
                cwd: String::new(),
                user: String::new(),
                rlimits: vec![],
            },
            mounts: vec![],
            depends_on: vec![],
            startup_probe: None,
            termination_message_path: TERMINATION_MESSAGE_PATH.into(),
        }
    }

    pub(crate) fn layer(&self) -> PathBuf {
        self.directory.path().join("layer")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A new empty directory.
    pub(crate) fn new_directory(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.path().join(format!("directory-{number}"));
        make_dir(&path);
        path
    }

    pub(crate) fn start(&self, launch: &Launch) -> Attempt {
        self.start_with(&self.spawner, launch)
    }

    /// Hands it over and hears nothing yet.
    pub(crate) fn start_unheard(&self, launch: &Launch) -> Attempt {
        let connection = self.spawner.launch(launch, None).expect("the spawner takes a launch");
        Attempt { directory: launch.attempt_dir.clone(), connection }
    }

    pub(crate) fn start_with(&self, spawner: &SpawnerHandle, launch: &Launch) -> Attempt {
        let connection = spawner.launch(launch, None).expect("the spawner takes a launch");
        let attempt = Attempt { directory: launch.attempt_dir.clone(), connection };
        assert!(matches!(attempt.next(), Some(News::Hello { version: 2 })));
        attempt
    }

    /// Starts it with what secrets hold.
    pub(crate) fn start_sealed(&self, launch: &Launch, sealed: &[&[u8]]) -> Attempt {
        let connection = self.spawner.launch_sealed(launch, sealed, None);
        let connection = connection.expect("the spawner takes a launch");
        Attempt { directory: launch.attempt_dir.clone(), connection }
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(&self, launch: &Launch) -> Outcome {
        self.start(launch).outcome()
    }

    /// What the program printed, when nothing else happened.
    pub(crate) fn output(&self, launch: &Launch) -> String {
        let outcome = self.run(launch);
        assert_eq!(outcome.exit(), (Exit::Code(0), Cause::OnItsOwn), "{outcome:?}");
        outcome.text(Source::Stdout)
    }

    /// What runs in an attempt's container.
    pub(crate) fn processes(&self, launch: &Launch) -> Vec<String> {
        self.processes_of(launch, 0)
    }

    /// What runs in the container at this place.
    pub(crate) fn processes_of(&self, launch: &Launch, index: usize) -> Vec<String> {
        let cgroup = &launch.containers[index].cgroups[0].path;
        let listed = fs::read_to_string(cgroup.join("cgroup.procs"));
        listed.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Removes the cgroups that a killed shim left, as the server does.
    pub(crate) fn sweep(&self, launch: &Launch) {
        for cgroup in launch.containers.iter().flat_map(|container| &container.cgroups) {
            until("its cgroup is empty", || fs::remove_dir(&cgroup.path).is_ok());
        }
    }

    /// Takes the lab down; what could not be removed.
    pub(crate) fn close(&self) -> Vec<PathBuf> {
        let mut left = cgroups::remove(&self.cgroups);
        if fs::remove_dir_all(self.directory.path()).is_err() {
            left.push(self.directory.path().to_owned());
        }
        left
    }
}

impl Attempt {
    /// The next news; `None` when the shim hung up.
    pub(crate) fn next(&self) -> Option<News> {
        wait_readable(&self.connection);
        self.connection.receive().expect("the shim speaks the protocol")
    }

    pub(crate) fn started(&self) {
        let news = self.next();
        assert!(matches!(news, Some(News::Started { .. })), "{news:?}");
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A second conversation with its shim.
    pub(crate) fn again(&self) -> Self {
        let connection = Connection::open(&self.directory).expect("its shim listens");
        let other = Self { directory: self.directory.clone(), connection };
        assert!(matches!(other.next(), Some(News::Hello { version: 2 })));
        other
    }

    /// Waits for its end, and that the record says what was heard.
    pub(crate) fn outcome(&self) -> Outcome {
        let record = loop {
            match self.next().expect("the shim tells the end before it hangs up") {
                News::Ended(record) => break record,
                News::Hello { .. } | News::Started { .. } => {}
                news => panic!("{news:?}"),
            }
        };
        assert_eq!(self.next(), None, "after the end the shim hangs up");
        until("the shim has gone", || {
            dir::standing(&self.directory).ok() == Some(Standing::Ended(record.clone()))
        });
        Outcome { record, lines: self.lines() }
    }

    /// The log as far as it is there.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let Ok(mut reader) = Reader::open(&self.directory.join(dir::LOG), 0) else {
            return lines;
        };
        while let Some(line) = reader.next_line().expect("the log is whole") {
            lines.push(line);
        }
        lines
    }

    /// Waits until the program has printed this line.
    pub(crate) fn says(&self, text: &str) {
        until(text, || self.lines().iter().any(|line| line.text == text.as_bytes()));
    }

    /// The pid of its shim, as the kernel noted it with the socket that it listens on.
    pub(crate) fn shim(&self) -> rustix::process::Pid {
        let connection = Connection::open(&self.directory).expect("its shim listens");
        rustix::net::sockopt::socket_peercred(&connection).expect("the kernel knows").pid
    }
}

impl Outcome {
    pub(crate) fn exit(&self) -> (Exit, Cause) {
        match &self.record.end {
            End::Exited { exit, cause, .. } => (*exit, *cause),
            failed => panic!("{failed:?}"),
        }
    }

    /// How an attempt of several containers ended, and by which.
    pub(crate) fn end_of(&self) -> (&str, Exit, Cause) {
        match &self.record.end {
            End::Of { container, end } => match &**end {
                End::Exited { exit, cause, .. } => (container, *exit, *cause),
                failed => panic!("{failed:?}"),
            },
            failed => panic!("{failed:?}"),
        }
    }

    /// What the container at this place wrote, by lines.
    pub(crate) fn said_by(&self, container: usize) -> Vec<String> {
        let lines = self.lines.iter().filter(|line| line.container == container);
        let lines = lines.filter(|line| line.source != Source::Ended);
        lines.map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    /// The ends that the log tells, in its order: of which container, and how.
    pub(crate) fn ends(&self) -> Vec<(usize, Exit)> {
        self.lines.iter().filter_map(|line| Some((line.container, line.exit()?))).collect()
    }

    /// What it wrote to one stream.
    pub(crate) fn text(&self, source: Source) -> String {
        let lines = self.lines.iter().filter(|line| line.source == source);
        lines.map(|line| String::from_utf8_lossy(&line.text).into_owned() + "\n").collect()
    }
}

/// Waits for a condition, with a bound.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it did not come about: {what}");
        pause();
    }
}

fn pause() {
    let short = rustix::event::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
    rustix::event::poll(&mut [], Some(&short)).ok();
}

fn wait_readable(connection: &Connection) {
    let mut fds = [rustix::event::PollFd::new(connection, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec::try_from(PATIENCE).ok();
    let ready = rustix::event::poll(&mut fds, patience.as_ref()).expect("a socket can be polled");
    assert_eq!(ready, 1, "no news in {PATIENCE:?}");
}

/// Of a layer.
pub(crate) fn make_dir(path: &Path) {
    fs::create_dir(path).expect("a directory can be made");
    own(path);
}

/// Of a layer.
pub(crate) fn link(target: impl AsRef<Path>, path: &Path) {
    std::os::unix::fs::symlink(target, path).expect("a link can be made");
    own(path);
}

pub(crate) fn write(path: &Path, contents: &[u8], mode: u32) {
    fs::write(path, contents).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode can be set");
    own(path);
}

/// The machine's cgroups, version 1 or 2, as far as the tests need them.
mod cgroups {
    use super::{Cgroup, CgroupKind, Counter, Duration, Instant, Path, PathBuf, fs, pause};

    const V1: [&str; 3] = ["memory", "cpu", "pids"];
    const ROOT: &str = "/sys/fs/cgroup";

    fn is_v2() -> bool {
        Path::new(ROOT).join("cgroup.controllers").exists()
    }

    /// Makes a directory of the tests' own in each hierarchy.
    pub(super) fn parents() -> Vec<PathBuf> {
        let name = format!("groundrun-test-{}", std::process::id());
        let roots: Vec<PathBuf> = match is_v2() {
            true => vec![ROOT.into()],
            false => V1.map(|controller| Path::new(ROOT).join(controller)).into(),
        };
        let parents: Vec<PathBuf> = roots.iter().map(|root| root.join(&name)).collect();
        for parent in &parents {
            fs::create_dir(parent).expect("a cgroup can be made");
            if is_v2() {
                let control = parent.join("cgroup.subtree_control");
                fs::write(control, "+memory +cpu +pids").expect("controllers can be passed on");
            }
        }
        parents
    }

    /// Those of one attempt, and where its memory is counted.
    pub(super) fn of_attempt(
        parents: &[PathBuf],
        number: u32,
        memory: u64,
    ) -> (Vec<Cgroup>, Counter, Counter) {
        let path = |parent: &Path| parent.join(number.to_string());
        let setting = |name: &str, value: u64| (name.to_owned(), value.to_string());
        let counter = |name: &str, key: &str| Counter {
            path: path(&parents[0]).join(name),
            key: key.to_owned(),
        };
        if is_v2() {
            let limits = [("memory.max", memory), ("memory.oom.group", 1), ("pids.max", 64)];
            let settings = limits.map(|(name, value)| setting(name, value)).to_vec();
            let group = Cgroup { path: path(&parents[0]), settings, kind: CgroupKind::V2 };
            return (vec![group], counter("memory.events", "oom_kill"), counter("memory.peak", ""));
        }
        let groups = V1.iter().zip(parents).map(|(controller, parent)| Cgroup {
            path: path(parent),
            settings: match *controller {
                "memory" => vec![setting("memory.limit_in_bytes", memory)],
                "pids" => vec![setting("pids.max", 64)],
                _ => vec![setting("cpu.shares", 512)],
            },
            kind: CgroupKind::V1 { controllers: (*controller).to_owned() },
        });
        let peak = counter("memory.max_usage_in_bytes", "");
        (groups.collect(), counter("memory.oom_control", "oom_kill"), peak)
    }

    /// Those that could not be removed, because an attempt left its own there.
    pub(super) fn remove(parents: &[PathBuf]) -> Vec<PathBuf> {
        let begun = Instant::now();
        let mut left = parents.to_vec();
        // What a failed test left running.
        for attempt in parents.iter().take(1).flat_map(fs::read_dir).flatten().flatten() {
            let listed =
                fs::read_to_string(attempt.path().join("cgroup.procs")).unwrap_or_default();
            let pids =
                listed.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?));
            for pid in pids {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        // A shim removes its own after it told the end.
        while !left.is_empty() && begun.elapsed() < Duration::from_secs(5) {
            left.retain(|parent| fs::remove_dir(parent).is_err());
            pause();
        }
        left
    }
}
