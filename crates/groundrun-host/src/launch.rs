//! What the shim is told: an attempt's spec, its image and this machine put together. Pure.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use groundrun_core::{
    port::{
        AttemptSpec, ContainerSpec, EnvValue, Medium, MountSpec, Probe, ProbeCheck, SecretFile,
        VolumeKind, VolumeSpec,
    },
    process::{Process, ProcessFault},
};
use groundrun_shim::protocol::{
    self, Container, GivenFile, Launch, Resource, Rlimit, Root, TERMINATION_MESSAGE_PATH, Volume,
    Writable,
};

use crate::{
    cgroup::AttemptCgroup,
    config::{HostConfig, Mountable, WritableLayer},
    instances::{self, Unmapped},
    network::SERVICES,
    secrets::Fetched,
    shared_files::FilesFault,
};

/// Open files, as Cloud Run's container contract has it. Lowered to what the machine permits.
const OPEN_FILES_MAX: u64 = 25_000;

/// The host's files that a task on the host's network sees copies of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostFiles {
    /// `/etc/resolv.conf`.
    pub(crate) resolv_conf: String,
    /// `/etc/hosts`.
    pub(crate) hosts: String,
}

/// Name, in the attempt's directory, of a writable layer on disk.
pub(crate) const WRITABLE: &str = "writable";

/// Name, in the attempt's directory, of the volumes on disk.
pub(crate) const VOLUMES: &str = "volumes";

/// The network that the attempt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// The machine's.
    Host,
    /// A loopback alone.
    None,
    /// A namespace of its own that is handed over with the launch.
    Private {
        /// Its address.
        address: Ipv4Addr,
        /// That of the host, where tasks may reach it.
        host: Option<Ipv4Addr>,
    },
}

impl Attached {
    /// Where the task finds a server of that name, where nobody but this machine knows it.
    pub(crate) fn address_of(&self, name: &str) -> Option<Ipv4Addr> {
        match self {
            Self::Private { host, .. } => host.filter(|_| HOST_NAMES.contains(&name)),
            Self::Host | Self::None => None,
        }
    }
}

/// What a container of the attempt stands on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) image: Mountable,
    pub(crate) cgroup: AttemptCgroup,
}

/// Puts the launch of `spec` together; `grounds` has one for each container, `fetched` what it takes from secrets.
///
/// # Errors
/// When there is nothing that could be run, whatever the images' files are.
pub(crate) fn launch(
    spec: &AttemptSpec,
    grounds: Vec<Ground>,
    dir: &Path,
    config: &HostConfig,
    attached: &Attached,
    host: &HostFiles,
    fetched: &Fetched,
) -> Result<Launch, LaunchFault> {
    let containers = spec.containers.iter().zip(grounds).enumerate();
    Ok(Launch {
        attempt_dir: dir.to_owned(),
        containers: containers
            .map(|(index, (container, ground))| {
                let writable = writable(spec, index, dir, config);
                launched(spec, container, ground, writable, fetched)
            })
            .collect::<Result<_, _>>()?,
        volumes: volumes(spec, dir, config, fetched, attached)?,
        instances: instances::of(spec, &config.instances)?,
        id_base: config.id_base,
        files: files(&spec.hostname, attached, host),
        hostname: spec.hostname.clone(),
        network: match attached {
            Attached::Host => protocol::Network::Host,
            Attached::None => protocol::Network::None,
            Attached::Private { .. } => protocol::Network::Given,
        },
        timeout: spec.timeout,
        grace: spec.grace,
        log: config.log,
    })
}

/// What of a spec can never be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LaunchFault {
    #[error(transparent)]
    Process(#[from] ProcessFault),
    #[error(transparent)]
    Unmapped(#[from] Unmapped),
    #[error(transparent)]
    Files(#[from] FilesFault),
    #[error("{0} is not supported here")]
    Unsupported(&'static str),
    #[error("{what} {name:?} that container {container:?} names is not there")]
    Unknown { what: &'static str, name: String, container: String },
}

/// Directories that [`launch`] expects in the attempt's, beyond it, and those of the server's own buckets.
pub(crate) fn directories(spec: &AttemptSpec, dir: &Path, config: &HostConfig) -> Vec<PathBuf> {
    let layers =
        (0..spec.containers.len()).filter_map(|index| match writable(spec, index, dir, config) {
            Writable::Memory { .. } => None,
            Writable::Disk(directory) => Some(directory),
        });
    let on_disk =
        spec.volumes.iter().enumerate().filter_map(|(index, volume)| match &volume.kind {
            VolumeKind::EmptyDir { medium: Medium::Disk, size_limit: None } => {
                Some(volume_path(dir, index))
            }
            VolumeKind::EmptyDir { medium: Medium::Disk, size_limit: Some(_) } => {
                Some(dir.join(VOLUMES))
            }
            _ => None,
        });
    let buckets =
        spec.volumes.iter().filter_map(|volume| config.files.to_make(volume, &config.data_dir));
    layers.chain(on_disk).chain(buckets).collect()
}

/// Files with file systems that [`launch`] expects, and their sizes in bytes.
pub(crate) fn images(spec: &AttemptSpec, dir: &Path) -> Vec<(PathBuf, u64)> {
    let volumes = spec.volumes.iter().enumerate();
    let image = |(index, volume): (usize, &VolumeSpec)| match &volume.kind {
        VolumeKind::EmptyDir { medium: Medium::Disk, size_limit: Some(bytes) } => {
            Some((volume_path(dir, index), *bytes))
        }
        _ => None,
    };
    volumes.filter_map(image).collect()
}

fn writable(spec: &AttemptSpec, index: usize, dir: &Path, config: &HostConfig) -> Writable {
    match (config.writable_layer, spec.containers.as_slice()) {
        (WritableLayer::Memory, containers) => {
            Writable::Memory { max_bytes: containers[index].limits.memory_bytes }
        }
        (WritableLayer::Disk, [_]) => Writable::Disk(dir.join(WRITABLE)),
        (WritableLayer::Disk, _) => Writable::Disk(dir.join(WRITABLE).join(index.to_string())),
    }
}

fn volume_path(dir: &Path, index: usize) -> PathBuf {
    dir.join(VOLUMES).join(index.to_string())
}

fn volumes(
    spec: &AttemptSpec,
    dir: &Path,
    config: &HostConfig,
    fetched: &Fetched,
    attached: &Attached,
) -> Result<Vec<Volume>, LaunchFault> {
    let memory: u64 = spec.containers.iter().map(|container| container.limits.memory_bytes).sum();
    let volume = |(index, volume): (usize, &VolumeSpec)| match &volume.kind {
        VolumeKind::EmptyDir { medium: Medium::Memory, size_limit } => {
            Ok(Volume::Memory { max_bytes: size_limit.unwrap_or(memory / 2) })
        }
        VolumeKind::EmptyDir { medium: Medium::Disk, size_limit: None } => {
            Ok(Volume::Disk { directory: volume_path(dir, index) })
        }
        VolumeKind::EmptyDir { medium: Medium::Disk, size_limit: Some(_) } => {
            Ok(Volume::Image { file: volume_path(dir, index) })
        }
        VolumeKind::Secret(files) => {
            let files = files.iter().map(|file| secret_file(file, fetched));
            Ok(Volume::Secret { files: files.collect::<Result<_, _>>()? })
        }
        kind @ (VolumeKind::Bucket { .. } | VolumeKind::Nfs { .. }) => {
            let volume = config.files.volume(kind, &config.data_dir, config.id_base, attached);
            Ok(volume.ok_or(LaunchFault::Unsupported("a volume"))??)
        }
        VolumeKind::CloudSql(_) => Ok(Volume::Sockets),
    };
    spec.volumes.iter().enumerate().map(volume).collect()
}

fn launched(
    spec: &AttemptSpec,
    container: &ContainerSpec,
    ground: Ground,
    writable: Writable,
    fetched: &Fetched,
) -> Result<Container, LaunchFault> {
    let Environment { laid, sealed } = environment(container, fetched);
    let process = Process::new(&ground.image.config, container, &laid)?;
    let is_plain = |(name, _): &(String, String)| sealed.iter().all(|(other, _)| other != name);
    let unknown = |what, name: &String| LaunchFault::Unknown {
        what,
        name: name.clone(),
        container: container.name.clone(),
    };
    let place_of = |name: &String| {
        let found = spec.containers.iter().position(|other| other.name == *name);
        found.ok_or_else(|| unknown("container", name))
    };
    let mount = |mount: &MountSpec| {
        let volume = spec.volumes.iter().position(|volume| volume.name == mount.volume);
        Ok::<_, LaunchFault>(protocol::Mount {
            volume: volume.ok_or_else(|| unknown("volume", &mount.volume))?,
            path: mount.path.clone(),
            read_only: mount.read_only,
        })
    };
    Ok(Container {
        name: container.name.clone(),
        cgroups: ground.cgroup.groups,
        oom_kills: ground.cgroup.oom_kills,
        memory_peak: ground.cgroup.memory_peak,
        root: Root { layers: ground.image.layers, writable },
        process: protocol::Process {
            argv: process.argv,
            env: process.env.into_iter().filter(is_plain).collect(),
            sealed_env: sealed,
            cwd: process.cwd,
            user: process.user,
            rlimits: rlimits(),
        },
        mounts: container.mounts.iter().map(mount).collect::<Result<_, _>>()?,
        depends_on: container.depends_on.iter().map(place_of).collect::<Result<_, _>>()?,
        startup_probe: container.startup_probe.as_ref().map(probe),
        termination_message_path: TERMINATION_MESSAGE_PATH.to_owned(),
    })
}

/// The variables of a container.
struct Environment {
    /// All, those that are sealed without their values.
    laid: Vec<(String, String)>,
    /// Those whose value is sealed: names and places.
    sealed: Vec<(String, usize)>,
}

/// Of a name that is there twice, the later.
fn environment(container: &ContainerSpec, fetched: &Fetched) -> Environment {
    let mut environment = Environment { laid: Vec::new(), sealed: Vec::new() };
    for (name, value) in &container.env {
        let (value, place) = match value {
            EnvValue::Literal(value) => (value.clone(), None),
            EnvValue::Secret(version) | EnvValue::OptionalSecret(version) => {
                // What is not there and need not be leaves the image's.
                let Some(place) = fetched.place(version) else { continue };
                (String::new(), Some(place))
            }
        };
        environment.sealed.retain(|(other, _)| other != name);
        environment.sealed.extend(place.map(|place| (name.clone(), place)));
        environment.laid.push((name.clone(), value));
    }
    environment
}

fn secret_file(file: &SecretFile, fetched: &Fetched) -> Result<protocol::SecretFile, LaunchFault> {
    let sealed = fetched.place(&file.version);
    let sealed = sealed.ok_or(LaunchFault::Unsupported("a file of a secret that is not there"))?;
    Ok(protocol::SecretFile { path: file.path.clone(), mode: file.mode, sealed })
}

fn probe(probe: &Probe) -> protocol::Probe {
    protocol::Probe {
        check: match probe.check.clone() {
            ProbeCheck::HttpGet { path, port, headers } => {
                protocol::ProbeCheck::HttpGet { path, port, headers }
            }
            ProbeCheck::TcpSocket { port } => protocol::ProbeCheck::TcpSocket { port },
            ProbeCheck::Grpc { port, service } => protocol::ProbeCheck::Grpc { port, service },
        },
        initial_delay: probe.initial_delay,
        timeout: probe.timeout,
        period: probe.period,
        failure_threshold: probe.failure_threshold,
    }
}

/// A core file would go into the task's memory, and away with it. One byte and not none: a `core_pattern` that is a program
/// of the machine's would be started and given the core whatever the limit is, but for this one.
fn rlimits() -> Vec<Rlimit> {
    let limit = |resource, value| Rlimit { resource, soft: Some(value), hard: Some(value) };
    vec![limit(Resource::NoFile, OPEN_FILES_MAX), limit(Resource::Core, 1)]
}

/// As Docker does: on the host's network its names and resolvers; else the loopback's names, and in a private network the
/// services' and the host's, who answer there.
fn files(hostname: &str, attached: &Attached, host: &HostFiles) -> Vec<GivenFile> {
    let own = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    let (hosts, resolv_conf, address) = match attached {
        Attached::Host => {
            (ended_with_newline(&host.hosts), host.resolv_conf.clone(), Ipv4Addr::LOCALHOST)
        }
        Attached::None => (own.to_owned(), String::new(), Ipv4Addr::LOCALHOST),
        Attached::Private { address, host: to_host } => {
            let mut hosts = format!("{own}{SERVICES}\tmetadata.google.internal metadata\n");
            if let Some(to_host) = to_host {
                hosts += &format!("{to_host}\t{}\n", HOST_NAMES.join(" "));
            }
            (hosts, resolved_by_services(&host.resolv_conf), *address)
        }
    };
    let named =
        hosts.lines().any(|line| line.split_whitespace().skip(1).any(|name| name == hostname));
    let own_name = if named { String::new() } else { format!("{address}\t{hostname}\n") };
    let file = |path: &str, contents: String| GivenFile { path: path.to_owned(), contents };
    vec![
        file("/etc/hosts", hosts + &own_name),
        file("/etc/hostname", format!("{hostname}\n")),
        file("/etc/resolv.conf", resolv_conf),
    ]
}

/// What the host is called inside: Docker's name, which images and scripts already know, and ours.
const HOST_NAMES: [&str; 2] = ["host.docker.internal", "host.groundrun.internal"];

/// The services ask the host's resolvers; how a short name is completed stays as on the host.
fn resolved_by_services(resolv_conf: &str) -> String {
    let kept = ["search", "domain", "options"];
    let lines = resolv_conf.lines().filter(|line| {
        line.split_whitespace().next().is_some_and(|keyword| kept.contains(&keyword))
    });
    lines.fold(format!("nameserver {SERVICES}\n"), |text, line| text + line + "\n")
}

fn ended_with_newline(text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use groundrun_core::{
        needs::SecretVersion,
        port::{ContainerSpec, Limits, SecretFault, SecretValue, Secrets},
        process::ImageConfig,
    };
    use jiff::Timestamp;

    use super::*;

    fn container(name: &str) -> ContainerSpec {
        ContainerSpec {
            name: name.into(),
            image: "sha256:0".into(),
            args: vec!["two".into()],
            env: vec![("A".into(), "b".into())],
            limits: Limits { cpu_millis: 1000, memory_bytes: 512 << 20 },
            ..ContainerSpec::default()
        }
    }

    fn spec() -> AttemptSpec {
        AttemptSpec {
            id: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/12-3".parse().expect("it is an id"),
            hostname: "job-x".into(),
            service_account: String::new(),
            containers: vec![container("main")],
            volumes: vec![],
            connection: None,
            timeout: Duration::from_secs(600),
            grace: Duration::from_secs(10),
        }
    }

    fn of(spec: &AttemptSpec, change: impl FnOnce(&mut HostConfig)) -> Result<Launch, LaunchFault> {
        let mut config = HostConfig::new("/data".into(), Arc::new(|| Timestamp::UNIX_EPOCH));
        change(&mut config);
        on(spec, &config, &Attached::Host)
    }

    fn on(
        spec: &AttemptSpec,
        config: &HostConfig,
        attached: &Attached,
    ) -> Result<Launch, LaunchFault> {
        let ground = |_| Ground {
            image: Mountable {
                layers: vec!["/layers/top".into(), "/layers/bottom".into()],
                config: ImageConfig { entrypoint: vec!["/one".into()], ..ImageConfig::default() },
            },
            cgroup: AttemptCgroup { groups: vec![], oom_kills: None, memory_peak: None },
        };
        let host = HostFiles {
            resolv_conf: "# of the host\nnameserver 192.0.2.1\nsearch lan\n".into(),
            hosts: "127.0.0.1 localhost\n192.0.2.7 db".into(),
        };
        let grounds = spec.containers.iter().map(ground).collect();
        let fetched = Fetched::of(spec, &Numbers).expect("all are there");
        launch(spec, grounds, Path::new("/data/a"), config, attached, &host, &fetched)
    }

    /// Every version holds its number.
    struct Numbers;

    impl Secrets for Numbers {
        fn access(&self, version: &SecretVersion, _: &str) -> Result<SecretValue, SecretFault> {
            Ok(SecretValue::new(version.version.as_bytes().to_vec()))
        }
    }

    fn attached(attached: &Attached) -> Launch {
        let config = HostConfig::new("/data".into(), Arc::new(|| Timestamp::UNIX_EPOCH));
        on(&spec(), &config, attached).expect("it can be run")
    }

    fn launched(change: impl FnOnce(&mut HostConfig)) -> Launch {
        of(&spec(), change).expect("it can be run")
    }

    fn contents(launch: &Launch, path: &str) -> String {
        let found = launch.files.iter().find(|file| file.path == path);
        found.map(|file| file.contents.clone()).expect("the file is given")
    }

    #[test]
    fn the_image_and_the_spec_are_put_together() {
        let launch = launched(|_| {});
        let container = &launch.containers[0];
        assert_eq!(container.process.argv, ["/one", "two"]);
        assert!(container.process.env.contains(&("A".into(), "b".into())));
        assert_eq!(container.root.layers.len(), 2);
        assert_eq!(launch.timeout, Duration::from_secs(600));
        assert_eq!(launch.hostname, "job-x");
    }

    #[test]
    fn what_secrets_hold_is_named_by_its_place_alone() {
        let version = |version: &str| SecretVersion {
            project: "p".into(),
            secret: "s".into(),
            version: version.into(),
        };
        let secret = |key: &str| EnvValue::Secret(version(key));
        let mut spec = spec();
        let twice = [("B", secret("1001")), ("B", "plain".into()), ("C", secret("1002"))];
        let twice = twice.map(|(name, value)| (name.to_owned(), value));
        spec.containers[0].env.extend(twice);
        spec.containers[0].env.push(("A".to_owned(), secret("1003")));
        let file = SecretFile { path: "f".into(), mode: 0o400, version: version("1002") };
        spec.volumes = vec![VolumeSpec { name: "v".into(), kind: VolumeKind::Secret(vec![file]) }];
        let launch = of(&spec, |_| {}).expect("it can be run");
        let process = &launch.containers[0].process;
        assert_eq!(process.sealed_env, [("C".to_owned(), 1), ("A".to_owned(), 2)]);
        assert!(process.env.contains(&("B".into(), "plain".into())));
        assert!(process.env.iter().all(|(name, _)| name != "A" && name != "C"));
        let file = protocol::SecretFile { path: "f".into(), mode: 0o400, sealed: 1 };
        assert_eq!(launch.volumes, [Volume::Secret { files: vec![file] }]);
        assert!(!format!("{launch:?}").contains("100"), "{launch:?}");
    }

    #[test]
    fn many_files_may_be_open_and_a_crash_starts_no_program_of_the_machines() {
        let launch = launched(|_| {});
        let rlimits = &launch.containers[0].process.rlimits;
        assert_eq!((rlimits[0].resource, rlimits[0].hard), (Resource::NoFile, Some(25_000)));
        let core = rlimits.iter().find(|limit| limit.resource == Resource::Core);
        assert_eq!(core.map(|limit| (limit.soft, limit.hard)), Some((Some(1), Some(1))));
    }

    #[test]
    fn changes_in_memory_are_bounded_by_the_memory_limit() {
        let writable = |launch: Launch| {
            let roots = launch.containers.into_iter().map(|container| container.root.writable);
            roots.collect::<Vec<_>>()
        };
        assert_eq!(writable(launched(|_| {})), [Writable::Memory { max_bytes: 512 << 20 }]);
        let on_disk = |config: &mut HostConfig| config.writable_layer = WritableLayer::Disk;
        assert_eq!(writable(launched(on_disk)), [Writable::Disk("/data/a/writable".into())]);
        let mut two = spec();
        two.containers.push(container("other"));
        let disk = |index| Writable::Disk(format!("/data/a/writable/{index}").into());
        let launch = of(&two, on_disk).expect("it can be run");
        assert_eq!(writable(launch), [disk(0), disk(1)], "each has its own");
    }

    #[test]
    fn names_become_places() {
        let mut two = spec();
        two.containers.push(container("database"));
        two.containers[0].depends_on = vec!["database".into()];
        let mount = |volume: &str| MountSpec {
            volume: volume.into(),
            path: "/shared".into(),
            read_only: false,
        };
        two.containers[0].mounts = vec![mount("scratch")];
        let empty = |name: &str, medium, size_limit| VolumeSpec {
            name: name.into(),
            kind: VolumeKind::EmptyDir { medium, size_limit },
        };
        two.volumes = vec![
            empty("cache", Medium::Memory, None),
            empty("small", Medium::Memory, Some(5)),
            empty("scratch", Medium::Disk, None),
            empty("bounded", Medium::Disk, Some(7)),
        ];
        let launch = of(&two, |_| {}).expect("it can be run");
        assert_eq!(launch.containers[0].depends_on, [1]);
        assert_eq!(launch.containers[0].mounts[0].volume, 2);
        let volumes = [
            Volume::Memory { max_bytes: 512 << 20 },
            Volume::Memory { max_bytes: 5 },
            Volume::Disk { directory: "/data/a/volumes/2".into() },
            Volume::Image { file: "/data/a/volumes/3".into() },
        ];
        let dir = Path::new("/data/a");
        assert_eq!(images(&two, dir), [("/data/a/volumes/3".into(), 7)]);
        assert_eq!(launch.volumes, volumes);
        two.containers[0].mounts = vec![mount("nowhere")];
        let fault = of(&two, |_| {}).expect_err("there is no such volume");
        assert!(fault.to_string().contains("\"nowhere\""), "{fault}");
    }

    #[test]
    fn an_instance_leads_where_it_is_mapped() {
        let mut with = spec();
        let kind = VolumeKind::CloudSql(vec!["p:r:i".into()]);
        with.volumes = vec![VolumeSpec { name: "/cloudsql".into(), kind }];
        let target = instances::Target::Server {
            kind: instances::Database::Mysql,
            address: instances::Address::Unix("/s".into()),
        };
        let launch = of(&with, |config| {
            config.instances.insert("p:r:i".into(), target.clone());
        });
        let launch = launch.expect("it can be run");
        assert_eq!(launch.volumes, [Volume::Sockets]);
        assert_eq!(launch.instances, [protocol::Instance { name: "p:r:i".into(), target }]);
        let fault = of(&with, |_| {}).expect_err("the settings have changed").to_string();
        assert!(fault.contains("[cloudsql.\"p:r:i\"]"), "{fault}");
    }

    #[test]
    fn a_task_on_the_hosts_network_sees_its_names_and_its_own() {
        let launch = launched(|_| {});
        let hosts = "127.0.0.1 localhost\n192.0.2.7 db\n127.0.0.1\tjob-x\n";
        assert_eq!(contents(&launch, "/etc/hosts"), hosts);
        let resolv_conf = "# of the host\nnameserver 192.0.2.1\nsearch lan\n";
        assert_eq!(contents(&launch, "/etc/resolv.conf"), resolv_conf);
        assert_eq!(contents(&launch, "/etc/hostname"), "job-x\n");
    }

    #[test]
    fn a_task_without_a_network_sees_nothing_of_the_hosts() {
        let launch = attached(&Attached::None);
        assert_eq!(launch.network, protocol::Network::None);
        assert!(!contents(&launch, "/etc/hosts").contains("db"));
        assert_eq!(contents(&launch, "/etc/resolv.conf"), "");
    }

    #[test]
    fn a_task_in_a_network_of_its_own_knows_the_services_and_the_host() {
        let address = Ipv4Addr::new(192, 168, 128, 7);
        let host = Some(Ipv4Addr::new(192, 168, 128, 2));
        let launch = attached(&Attached::Private { address, host });
        assert_eq!(launch.network, protocol::Network::Given);
        let hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
            169.254.169.254\tmetadata.google.internal metadata\n\
            192.168.128.2\thost.docker.internal host.groundrun.internal\n\
            192.168.128.7\tjob-x\n";
        assert_eq!(contents(&launch, "/etc/hosts"), hosts);
        let resolv_conf = "nameserver 169.254.169.254\nsearch lan\n";
        assert_eq!(contents(&launch, "/etc/resolv.conf"), resolv_conf);
        let without = attached(&Attached::Private { address, host: None });
        assert!(!contents(&without, "/etc/hosts").contains("host.docker.internal"));
    }
}
