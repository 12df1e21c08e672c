//! How long a start of `true` takes, beside `crun run` of the same program, in blocks by turns: `against_crun [RUNS]`.
//!
//! Ours is from the launch to the news of the end. crun's is from its exec to its exit. Needs root and crun. The machine's
//! figures mean little, their ratio more.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use groundrun_shim::{
    Spawner, SpawnerConfig, SpawnerHandle,
    protocol::{
        Cgroup, CgroupKind, Container, End, Exit, Launch, LogBounds, Network, News, Process, Root,
        Writable,
    },
};

const ID_BASE: u32 = 0x2000_0000;

/// Runs of one kind one after another.
const BLOCK: usize = 10;

fn main() -> ExitCode {
    let spawner = Spawner::fork(SpawnerConfig::default()).expect("a spawner can be forked");
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100usize);
    let place = tempfile::TempDir::new().expect("a directory can be made");
    let mut ours = Ours::new(spawner, place.path());
    let crun = Crun::new(place.path());
    let mut times: [Vec<Duration>; 3] = Default::default();
    // In blocks, since crun is faster back to back: it waits for the kernel when it moves processes between cgroups.
    for block in 0..=rounds.div_ceil(BLOCK) {
        let mut measure = |index: usize, run: &mut dyn FnMut() -> Duration| {
            let taken: Vec<Duration> = (0..BLOCK).map(|_| run()).collect();
            // The first fills caches.
            if block > 0 {
                times[index].extend(taken);
            }
        };
        measure(0, &mut || ours.run(Network::None));
        measure(1, &mut || ours.run(Network::Host));
        measure(2, &mut || crun.run());
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let at = |times: &[Duration], percent: usize| times[percent * (times.len() - 1) / 100];
    println!("{rounds} runs in blocks     min ms   median     p95   median / crun   min / crun");
    for (name, own) in ["ours, no network", "ours, host network", "crun run"].iter().zip(&times) {
        let ms = |part| at(own, part).as_secs_f64() * 1e3;
        let ratio = |part| at(own, part).as_secs_f64() / at(&times[2], part).as_secs_f64();
        println!(
            "{name:22} {:8.2} {:8.2} {:8.2} {:12.2} {:12.2}",
            ms(0),
            ms(50),
            ms(95),
            ratio(50),
            ratio(0)
        );
    }
    ours.close();
    ExitCode::SUCCESS
}

struct Ours {
    spawner: SpawnerHandle,
    place: PathBuf,
    cgroups: Vec<PathBuf>,
    number: u32,
}

const CONTROLLERS: [(&str, &str, &str); 3] = [
    ("memory", "memory.limit_in_bytes", "536870912"),
    ("cpu", "cpu.shares", "1024"),
    ("pids", "pids.max", "1000"),
];

impl Ours {
    fn new(spawner: SpawnerHandle, place: &Path) -> Self {
        let layer = place.join("layer");
        fs::create_dir(&layer).expect("a directory can be made");
        program(&layer.join("job"));
        let name = format!("groundrun-bench-{}", std::process::id());
        let cgroups = CONTROLLERS
            .map(|(controller, ..)| Path::new("/sys/fs/cgroup").join(controller).join(&name));
        for cgroup in &cgroups {
            fs::create_dir(cgroup).expect("a version 1 cgroup can be made");
        }
        Self { spawner, place: place.to_owned(), cgroups: cgroups.into(), number: 0 }
    }

    fn run(&mut self, network: Network) -> Duration {
        self.number += 1;
        let attempt_dir = self.place.join(self.number.to_string());
        fs::create_dir(&attempt_dir).expect("a directory can be made");
        let cgroups =
            CONTROLLERS.iter().zip(&self.cgroups).map(|((controller, file, value), parent)| {
                Cgroup {
                    path: parent.join(self.number.to_string()),
                    settings: vec![((*file).to_owned(), (*value).to_owned())],
                    kind: CgroupKind::V1 { controllers: (*controller).to_owned() },
                }
            });
        let launch = Launch {
            attempt_dir,
            containers: vec![Container {
                name: "main".into(),
                cgroups: cgroups.collect(),
                oom_kills: None,
                memory_peak: None,
                root: Root {
                    layers: vec![self.place.join("layer")],
                    writable: Writable::Memory { max_bytes: 512 << 20 },
                },
                process: Process {
                    argv: vec!["/job".into(), "true".into()],
                    env: vec![("PATH".into(), "/bin".into())],
                    sealed_env: vec![],
                    cwd: String::new(),
                    user: String::new(),
                    rlimits: vec![],
                },
                mounts: vec![],
                depends_on: vec![],
                startup_probe: None,
                termination_message_path: "/dev/termination-log".into(),
            }],
            volumes: vec![],
            instances: vec![],
            id_base: ID_BASE,
            hostname: "bench".into(),
            network,
            files: vec![],
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            log: LogBounds { line_bytes: 1 << 18, total_bytes: 1 << 26 },
        };
        let begun = Instant::now();
        let connection = self.spawner.launch(&launch, None).expect("the spawner takes a launch");
        loop {
            match connection.receive().expect("the shim speaks").expect("the shim tells the end") {
                News::Ended(record) => {
                    assert!(
                        matches!(record.end, End::Exited { exit: Exit::Code(0), .. }),
                        "{record:?}"
                    );
                    return begun.elapsed();
                }
                News::Hello { .. } | News::Started { .. } => {}
                news => panic!("{news:?}"),
            }
        }
    }

    fn close(&self) {
        for cgroup in &self.cgroups {
            let begun = Instant::now();
            while fs::remove_dir(cgroup).is_err() && begun.elapsed() < Duration::from_secs(5) {}
        }
    }
}

struct Crun {
    bundle: PathBuf,
}

impl Crun {
    fn new(place: &Path) -> Self {
        let bundle = place.join("bundle");
        fs::create_dir_all(bundle.join("rootfs")).expect("a directory can be made");
        program(&bundle.join("rootfs/job"));
        let made = Command::new("crun").arg("spec").current_dir(&bundle).status();
        assert!(made.is_ok_and(|status| status.success()), "crun is needed: apt-get install crun");
        let path = bundle.join("config.json");
        let config = fs::read_to_string(&path).expect("crun made it");
        let config = config.replace("\"terminal\": true", "\"terminal\": false");
        fs::write(&path, config.replace("\"sh\"", "\"/job\", \"true\""))
            .expect("it can be written");
        Self { bundle }
    }

    /// The view of cgroups that crun needs is made outside of what is measured.
    fn run(&self) -> Duration {
        let script = r#"
            if umount /sys/fs/cgroup/unified 2>/dev/null; then mount -t tmpfs none /sys/fs/cgroup/unified; fi
            exec perl -MTime::HiRes=time -e '$t = time; system(@ARGV) == 0 or die; printf "%.6f", time - $t' \
                crun --root "$1/state" run --bundle "$1" bench"#;
        let mut command = Command::new("unshare");
        let output = command.args(["--mount", "sh", "-c", script, "sh"]).arg(&self.bundle).output();
        let output = output.expect("unshare and sh are there");
        let text = String::from_utf8_lossy(&output.stdout);
        let seconds: f64 = text
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        Duration::from_secs_f64(seconds)
    }
}

fn program(path: &Path) {
    fs::write(path, sample_job::PROGRAM).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
}
