//! What the shim is told: an attempt's spec, its image and this machine put together. Pure.

use std::path::Path;

use groundrun_core::{
    port::AttemptSpec,
    process::{Process, ProcessFault},
};
use groundrun_shim::protocol::{
    self, GivenFile, Launch, Resource, Rlimit, Root, TERMINATION_MESSAGE_PATH, Writable,
};

use crate::{
    cgroup::AttemptCgroup,
    config::{HostConfig, Mountable, Network, WritableLayer},
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

/// Puts the launch of `spec` together.
///
/// # Errors
/// When there is nothing that could be run, whatever the image's files are.
pub(crate) fn launch(
    spec: &AttemptSpec,
    image: Mountable,
    cgroup: AttemptCgroup,
    dir: &Path,
    config: &HostConfig,
    host: &HostFiles,
) -> Result<Launch, ProcessFault> {
    let process = Process::new(&image.config, &spec.container)?;
    Ok(Launch {
        attempt_dir: dir.to_owned(),
        cgroups: cgroup.groups,
        oom_kills: Some(cgroup.oom_kills),
        memory_peak: Some(cgroup.memory_peak),
        root: Root {
            layers: image.layers,
            writable: match config.writable_layer {
                WritableLayer::Memory => {
                    Writable::Memory { max_bytes: spec.container.limits.memory_bytes }
                }
                WritableLayer::Disk => Writable::Disk(dir.join(WRITABLE)),
            },
        },
        id_base: config.id_base,
        process: protocol::Process {
            argv: process.argv,
            env: process.env,
            cwd: process.cwd,
            user: process.user,
            rlimits: rlimits(),
        },
        files: files(&spec.hostname, config.network, host),
        hostname: spec.hostname.clone(),
        network: match config.network {
            Network::Host => protocol::Network::Host,
            Network::None => protocol::Network::None,
        },
        timeout: spec.timeout,
        grace: spec.grace,
        log: config.log,
        termination_message_path: TERMINATION_MESSAGE_PATH.to_owned(),
    })
}

/// A core file would go into the task's memory, and away with it. One byte and not none: a `core_pattern` that is a program
/// of the machine's would be started and given the core whatever the limit is, but for this one.
fn rlimits() -> Vec<Rlimit> {
    let limit = |resource, value| Rlimit { resource, soft: Some(value), hard: Some(value) };
    vec![limit(Resource::NoFile, OPEN_FILES_MAX), limit(Resource::Core, 1)]
}

/// As Docker does: on the host's network its names and resolvers, else the loopback's names alone.
fn files(hostname: &str, network: Network, host: &HostFiles) -> Vec<GivenFile> {
    let own = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    let (hosts, resolv_conf) = match network {
        Network::Host => (ended_with_newline(&host.hosts), host.resolv_conf.clone()),
        Network::None => (own.to_owned(), String::new()),
    };
    let named =
        hosts.lines().any(|line| line.split_whitespace().skip(1).any(|name| name == hostname));
    let own_name = if named { String::new() } else { format!("127.0.0.1\t{hostname}\n") };
    let file = |path: &str, contents: String| GivenFile { path: path.to_owned(), contents };
    vec![
        file("/etc/hosts", hosts + &own_name),
        file("/etc/hostname", format!("{hostname}\n")),
        file("/etc/resolv.conf", resolv_conf),
    ]
}

fn ended_with_newline(text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use groundrun_core::{
        port::{ContainerSpec, Limits},
        process::ImageConfig,
    };
    use groundrun_shim::protocol::Counter;
    use jiff::Timestamp;

    use super::*;

    fn spec() -> AttemptSpec {
        AttemptSpec {
            id: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/12-3".parse().expect("it is an id"),
            hostname: "job-x".into(),
            container: ContainerSpec {
                name: "main".into(),
                image: "sha256:0".into(),
                command: vec![],
                args: vec!["two".into()],
                env: vec![("A".into(), "b".into())],
                working_dir: None,
                limits: Limits { cpu_millis: 1000, memory_bytes: 512 << 20 },
            },
            timeout: Duration::from_secs(600),
            grace: Duration::from_secs(10),
        }
    }

    fn launched(change: impl FnOnce(&mut HostConfig)) -> Launch {
        let image = Mountable {
            layers: vec!["/layers/top".into(), "/layers/bottom".into()],
            config: ImageConfig { entrypoint: vec!["/one".into()], ..ImageConfig::default() },
        };
        let counter = || Counter { path: "/c".into(), key: String::new() };
        let cgroup = AttemptCgroup { groups: vec![], oom_kills: counter(), memory_peak: counter() };
        let host = HostFiles {
            resolv_conf: "nameserver 192.0.2.1\n".into(),
            hosts: "127.0.0.1 localhost\n192.0.2.7 db".into(),
        };
        let mut config = HostConfig::new("/data".into(), Arc::new(|| Timestamp::UNIX_EPOCH));
        change(&mut config);
        launch(&spec(), image, cgroup, Path::new("/data/a"), &config, &host).expect("it can be run")
    }

    fn contents(launch: &Launch, path: &str) -> String {
        let found = launch.files.iter().find(|file| file.path == path);
        found.map(|file| file.contents.clone()).expect("the file is given")
    }

    #[test]
    fn the_image_and_the_spec_are_put_together() {
        let launch = launched(|_| {});
        assert_eq!(launch.process.argv, ["/one", "two"]);
        assert!(launch.process.env.contains(&("A".into(), "b".into())));
        assert_eq!(launch.root.layers.len(), 2);
        assert_eq!(launch.timeout, Duration::from_secs(600));
        assert_eq!(launch.hostname, "job-x");
    }

    #[test]
    fn a_crash_starts_no_program_of_the_machines() {
        let rlimits = launched(|_| {}).process.rlimits;
        let core = rlimits.iter().find(|limit| limit.resource == Resource::Core);
        assert_eq!(core.map(|limit| (limit.soft, limit.hard)), Some((Some(1), Some(1))));
    }

    #[test]
    fn changes_in_memory_are_bounded_by_the_memory_limit() {
        assert_eq!(launched(|_| {}).root.writable, Writable::Memory { max_bytes: 512 << 20 });
        let disk = launched(|config| config.writable_layer = WritableLayer::Disk);
        assert_eq!(disk.root.writable, Writable::Disk("/data/a/writable".into()));
    }

    #[test]
    fn a_task_on_the_hosts_network_sees_its_names_and_its_own() {
        let launch = launched(|_| {});
        let hosts = "127.0.0.1 localhost\n192.0.2.7 db\n127.0.0.1\tjob-x\n";
        assert_eq!(contents(&launch, "/etc/hosts"), hosts);
        assert_eq!(contents(&launch, "/etc/resolv.conf"), "nameserver 192.0.2.1\n");
        assert_eq!(contents(&launch, "/etc/hostname"), "job-x\n");
    }

    #[test]
    fn a_task_without_a_network_sees_nothing_of_the_hosts() {
        let launch = launched(|config| config.network = Network::None);
        assert!(!contents(&launch, "/etc/hosts").contains("db"));
        assert_eq!(contents(&launch, "/etc/resolv.conf"), "");
    }
}
