//! Settings, from weak to strong: built-in defaults, the file, the environment, flags.
//!
//! clap already lays flags over the environment; here that is laid over the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::SocketAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
};

use groundrun_host::{
    SharedFiles,
    cgroup::Limiting,
    instances::Target,
    network::{HOST_PORTS_MAX, MappedNetwork},
};
use serde::Deserialize;

use crate::{
    authorization::{self, Policies},
    cli::{Adc, GroundArgs, Network, ServeArgs, WritableLayer, exit::Stop},
    cloudsql,
    networks::{self, NetworkFile},
    shared_files::{self, BucketFile, NfsFile},
};

/// A share of CPU is an upper bound only, and most jobs wait for something most of the time.
const CPU_OVERCOMMIT: NonZeroU16 = NonZeroU16::new(4).expect("4 is not zero");

/// Where no project is named, by the server as by its clients.
pub(crate) const DEFAULT_PROJECT: &str = "groundrun";

/// Where no region is named.
pub(crate) const DEFAULT_REGION: &str = "us-central1";

/// Percent of the machine's memory that tasks may reserve together: none at all would let nothing run.
pub(crate) const MEMORY_SHARES: std::ops::RangeInclusive<u16> = 1..=10_000;

/// The settings file. Unknown keys are refused, so that a misspelt one is noticed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    project: Option<String>,
    /// 12 digits; derived from the project id where absent.
    project_number: Option<u64>,
    region: Option<String>,
    network: Option<Network>,
    no_host_access: Option<bool>,
    #[serde(default)]
    host_ports: Vec<NonZeroU16>,
    adc: Option<Adc>,
    writable_layer: Option<WritableLayer>,
    no_limits: Option<bool>,
    #[serde(default, deserialize_with = "memory_share")]
    memory_share: Option<u16>,
    cpu_overcommit: Option<NonZeroU16>,
    token_file: Option<PathBuf>,
    secrets_key_file: Option<PathBuf>,
    #[serde(default)]
    public_names: Vec<String>,
    #[serde(default)]
    images: ImagesFile,
    #[serde(default)]
    cloudsql: BTreeMap<String, cloudsql::Mapping>,
    #[serde(default)]
    networks: BTreeMap<String, NetworkFile>,
    #[serde(default)]
    buckets: BTreeMap<String, BucketFile>,
    #[serde(default)]
    nfs: BTreeMap<String, NfsFile>,
    #[serde(default)]
    binary_authorization: Policies,
}

/// `[images]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImagesFile {
    /// Reference that jobs name -> reference that is used.
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, String>,
    /// Registries (`host:port`) that are spoken to over plain HTTP, besides loopback ones.
    #[serde(default)]
    pub(crate) insecure_registries: Vec<String>,
    /// Unpacked images kept on disk, in GiB; what was not used for longest goes first.
    pub(crate) keep_gib: Option<u32>,
}

/// Everything that `serve` needs.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) token: Option<String>,
    pub(crate) public_names: Vec<String>,
    pub(crate) ground: Ground,
}

/// What `serve` and `run` share.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) data_dir: PathBuf,
    pub(crate) project: String,
    pub(crate) project_number: Option<u64>,
    pub(crate) region: String,
    pub(crate) network: Network,
    /// Tasks in private networks do not reach the machine's loopback.
    pub(crate) no_host_access: bool,
    /// Ports of the machine's loopback that tasks reach also where only relays lead there.
    pub(crate) host_ports: BTreeSet<u16>,
    /// Whose tokens tasks in private networks get.
    pub(crate) adc: Adc,
    pub(crate) writable_layer: WritableLayer,
    /// Limits that cannot hold keep nothing from running.
    pub(crate) no_limits: bool,
    /// Percent.
    pub(crate) memory_share: u16,
    pub(crate) cpu_overcommit: NonZeroU16,
    /// The key that secrets are sealed with; without one it is made in the data directory.
    pub(crate) secrets_key_file: Option<PathBuf>,
    pub(crate) images: ImagesFile,
    /// Where Cloud SQL instances lead.
    pub(crate) cloudsql: BTreeMap<String, Target>,
    /// Networks of the machine that jobs may name.
    pub(crate) networks: BTreeMap<String, MappedNetwork>,
    /// What buckets and NFS directories are mapped to.
    pub(crate) files: SharedFiles,
    /// Which images may run, where jobs name a policy.
    pub(crate) policies: Policies,
}

/// What the surroundings say that a pure resolution needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) root: bool,
    pub(crate) home: Option<PathBuf>,
    pub(crate) path: Option<OsString>,
}

impl Surroundings {
    /// The program of this name.
    fn on_path(&self, name: &str) -> Option<PathBuf> {
        let directories = std::env::split_paths(self.path.as_ref()?);
        let programs = directories.filter(|directory| directory.is_absolute());
        programs.map(|directory| directory.join(name)).find(|file| file.is_file())
    }
}

impl Config {
    /// Reads the file that the flags name, if they do, and the token file, and resolves.
    pub(crate) fn load(args: &ServeArgs, surroundings: &Surroundings) -> Result<Self, Stop> {
        let file = File::load(args.ground.config.as_deref())?;
        let token = match args.token_file.as_ref().or(file.token_file.as_ref()) {
            None => None,
            Some(path) => Some(token(path)?),
        };
        Ok(Self {
            listen: args.listen.or(file.listen).unwrap_or(([127, 0, 0, 1], 8080).into()),
            token,
            public_names: if args.public_names.is_empty() {
                file.public_names.clone()
            } else {
                args.public_names.clone()
            },
            ground: Ground::resolve(&args.ground, &file, surroundings)?,
        })
    }
}

impl File {
    /// Reads the file at `path`; without one all is left to the defaults.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, Stop> {
        path.map_or_else(|| Ok(Self::default()), read)
    }
}

impl Ground {
    pub(crate) fn limiting(&self) -> Limiting {
        if self.no_limits { Limiting::Waived } else { Limiting::Required }
    }

    /// Flags over file over defaults.
    pub(crate) fn resolve(
        args: &GroundArgs,
        file: &File,
        surroundings: &Surroundings,
    ) -> Result<Self, Stop> {
        let data_dir = match args.data_dir.as_ref().or(file.data_dir.as_ref()) {
            Some(dir) => dir.clone(),
            None if surroundings.root => PathBuf::from("/var/lib/groundrun"),
            None => surroundings
                .home
                .as_ref()
                .ok_or_else(|| Stop::bad_input("no home directory is known: give --data-dir"))?
                .join(".local/share/groundrun"),
        };
        let network = args.network.or(file.network).unwrap_or(Network::Private);
        let no_host_access = args.no_host_access.or(file.no_host_access).unwrap_or(false);
        let host_ports =
            if args.host_ports.is_empty() { &file.host_ports } else { &args.host_ports };
        Ok(Self {
            data_dir,
            project: args
                .project
                .clone()
                .or(file.project.clone())
                .unwrap_or_else(|| DEFAULT_PROJECT.into()),
            project_number: file.project_number,
            region: args
                .region
                .clone()
                .or(file.region.clone())
                .unwrap_or_else(|| DEFAULT_REGION.into()),
            network,
            no_host_access,
            host_ports: named_ports(host_ports, network, no_host_access)?,
            adc: args.adc.or(file.adc).unwrap_or(Adc::Task),
            writable_layer: args
                .writable_layer
                .or(file.writable_layer)
                .unwrap_or(WritableLayer::Memory),
            no_limits: args.no_limits.or(file.no_limits).unwrap_or(false),
            memory_share: args.memory_share.or(file.memory_share).unwrap_or(80),
            cpu_overcommit: args.cpu_overcommit.or(file.cpu_overcommit).unwrap_or(CPU_OVERCOMMIT),
            secrets_key_file: args.secrets_key_file.clone().or(file.secrets_key_file.clone()),
            images: file.images.clone(),
            cloudsql: cloudsql::targets(&file.cloudsql, &args.cloudsql, |name| {
                surroundings.on_path(name)
            })
            .map_err(Stop::bad_input)?,
            networks: networks::mapped(&file.networks, &args.vpc_networks)?,
            files: shared_files::resolve(args, &file.buckets, &file.nfs, |name| {
                surroundings.on_path(name)
            })?,
            policies: authorization::checked(&file.binary_authorization)?,
        })
    }
}

/// Ports that tasks are to reach, where nothing else that was said keeps them from there.
fn named_ports(
    named: &[NonZeroU16],
    network: Network,
    no_host_access: bool,
) -> Result<BTreeSet<u16>, Stop> {
    let ports: BTreeSet<u16> = named.iter().map(|port| port.get()).collect();
    if ports.is_empty() {
        return Ok(ports);
    }
    let contradiction = if no_host_access {
        "--no-host-access keeps tasks from this machine: they cannot have a --host-port of it"
    } else if network == Network::None {
        "--network none has no way to this machine: a --host-port needs --network private"
    } else if ports.len() > HOST_PORTS_MAX {
        return Err(Stop::bad_input(format!(
            "{} ports of this machine are named, and at most {HOST_PORTS_MAX} can be: each is a socket of every task",
            ports.len()
        )));
    } else {
        return Ok(ports);
    };
    Err(Stop::bad_input(contradiction))
}

fn read(path: &Path) -> Result<File, Stop> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Stop::bad_input(format!("read settings file {}: {e}", path.display())))?;
    toml::from_str(&text)
        .map_err(|e| Stop::bad_input(format!("settings file {}: {e}", path.display())))
}

/// As the flag: what it refuses, the file cannot say either.
fn memory_share<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    let share = u16::deserialize(from)?;
    if MEMORY_SHARES.contains(&share) {
        return Ok(Some(share));
    }
    let (least, most) = (MEMORY_SHARES.start(), MEMORY_SHARES.end());
    Err(serde::de::Error::custom(format!("memory_share: from {least} to {most} percent")))
}

fn token(path: &Path) -> Result<String, Stop> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Stop::bad_input(format!("read token file {}: {e}", path.display())))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Stop::bad_input(format!("token file {} is empty", path.display())));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        toml::from_str(text).expect("a good file")
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let root = Surroundings { root: true, ..Surroundings::default() };
        let from_file = file("project = \"from-file\"\nregion = \"europe-west1\"\n");
        let args = GroundArgs { project: Some("from-flag".into()), ..GroundArgs::default() };
        let ground = Ground::resolve(&args, &from_file, &root).expect("resolves");
        assert_eq!(
            (ground.project.as_str(), ground.region.as_str(), ground.memory_share),
            ("from-flag", "europe-west1", 80)
        );
    }

    #[test]
    fn ports_of_the_machine_are_named_where_tasks_may_reach_it() {
        let root = Surroundings { root: true, ..Surroundings::default() };
        let resolve = |text: &str| {
            Ground::resolve(&GroundArgs::default(), &file(text), &root)
                .map(|ground| ground.host_ports.into_iter().collect::<Vec<_>>())
                .map_err(|stop| (stop.exit, stop.lines.join(" ")))
        };
        assert_eq!(resolve("host_ports = [6379, 5432, 6379]").expect("good"), [5432, 6379]);
        let many: Vec<usize> = (1..=HOST_PORTS_MAX + 1).collect();
        for (text, why) in [
            ("host_ports = [5432]\nno_host_access = true".to_owned(), "--no-host-access"),
            ("host_ports = [5432]\nnetwork = \"none\"".to_owned(), "--network none"),
            (format!("host_ports = {many:?}"), "at most"),
        ] {
            let (exit, said) = resolve(&text).expect_err("it cannot be");
            assert!(matches!(exit, crate::cli::exit::Exit::BadInput), "{said}");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let error = toml::from_str::<File>("projct = \"x\"\n").expect_err("a misspelt key");
        assert!(error.to_string().contains("projct"), "{error}");
    }

    #[test]
    fn a_share_of_memory_that_lets_nothing_run_is_refused() {
        assert!(toml::from_str::<File>("memory_share = 0\n").is_err());
        assert_eq!(file("memory_share = 150\n").memory_share, Some(150));
        assert_eq!(file("").memory_share, None);
    }

    #[test]
    fn the_data_directory_follows_the_user() {
        let args = GroundArgs::default();
        let user = Surroundings { home: Some("/home/ada".into()), ..Surroundings::default() };
        let ground = Ground::resolve(&args, &File::default(), &user).expect("resolves");
        assert_eq!(ground.data_dir, Path::new("/home/ada/.local/share/groundrun"));
        assert!(Ground::resolve(&args, &File::default(), &Surroundings::default()).is_err());
    }
}
