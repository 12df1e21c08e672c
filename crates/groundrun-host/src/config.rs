//! What the backend is told when it is made.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use groundrun_core::{port::Secrets, process::ImageConfig};
use groundrun_shim::protocol::LogBounds;
use jiff::Timestamp;

use crate::{
    cgroup::Demand,
    instances::Target,
    network::{Apart, Networks, Router, TaskServices},
    secrets::NoSecrets,
    shared_files::SharedFiles,
};

/// Ids of one container: 0 to 65535 inside.
const IDS_PER_RANGE: u32 = 65_536;

/// systemd gives containers 0x8_0000 to 0x6FFF_FFFF; ordinary users and their subordinate ids are below that. What is
/// above 0x7FFF_FFFF is negative to programs that keep an id in a signed number.
const ID_BASE_MIN: u32 = 0x7000_0000;

/// Ranges between [`ID_BASE_MIN`] and 0x77FF_FFFF, clear of the ids that systemd keeps at 0x7FFE_0000.
const ID_RANGES: u32 = 2_048;

/// Everything about this machine that a person may decide.
#[derive(Clone)]
pub struct HostConfig {
    /// The server's data directory; attempts are kept below it. Absolute.
    pub data_dir: PathBuf,
    /// Name of the parent cgroup of all attempts; see [`default_cgroup`].
    pub cgroup: String,
    /// What is asked of the machine's cgroups.
    pub demand: Demand,
    /// First of the 65,536 user and group ids of the host that containers get; see [`default_id_base`]. All tasks of a
    /// server share it, so that layers are mapped once.
    pub id_base: u32,
    /// The network of tasks.
    pub network: Network,
    /// Networks of this machine that jobs may name.
    pub networks: Arc<Networks>,
    /// Where the private network of an ordinary user is made; the machine's own for root.
    pub router: Option<Arc<Router>>,
    /// Where a container's changes to its files go.
    pub writable_layer: WritableLayer,
    /// Where Cloud SQL instances (`project:region:instance`) lead.
    pub instances: BTreeMap<String, Target>,
    /// Where what secrets hold is asked for, by the threads that start attempts.
    pub secrets: Arc<dyn Secrets>,
    /// What buckets and NFS directories are mapped to.
    pub files: SharedFiles,
    /// How much of an attempt's output is kept.
    pub log: LogBounds,
    /// Starts in flight at once, whatever is asked: with two cores, throughput stops growing at 2 to 8, and more only
    /// makes each wait longer.
    pub starts_at_once: NonZeroUsize,
    /// The time, for what no shim has seen.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl HostConfig {
    /// The defaults for a server whose data is in `data_dir`.
    #[must_use]
    pub fn new(data_dir: PathBuf, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        const STARTS_AT_ONCE: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not zero");
        Self {
            cgroup: default_cgroup(&data_dir),
            demand: Demand::default(),
            id_base: default_id_base(&data_dir),
            data_dir,
            network: Network::Host,
            networks: Arc::new(Networks::new(BTreeMap::new(), Some(Apart::OnHost))),
            router: None,
            writable_layer: WritableLayer::Memory,
            instances: BTreeMap::new(),
            secrets: Arc::new(NoSecrets),
            files: SharedFiles::default(),
            // One entry of Cloud Logging holds 256 KiB; 64 MiB of each attempt are enough to find out what happened.
            log: LogBounds { line_bytes: 256 << 10, total_bytes: 64 << 20 },
            starts_at_once: STARTS_AT_ONCE,
            clock,
        }
    }
}

/// The network of tasks.
#[derive(Clone)]
pub enum Network {
    /// The machine's own.
    Host,
    /// A loopback of its own and nothing else.
    None,
    /// One of its own for each task, with a way to the outside (see [`crate::network`]).
    Private(PrivateNetwork),
}

/// What a private network is to be like.
#[derive(Clone)]
pub struct PrivateNetwork {
    /// Whether tasks may reach what listens on the host's loopback, by the name `host.docker.internal`.
    pub host_access: bool,
    /// Port of the server's own API, which no task reaches there.
    pub api_port: Option<u16>,
    /// Ports of the host's loopback that tasks of an ordinary user reach where there is no pasta; all are reached else. At
    /// most [`HOST_PORTS_MAX`](crate::network::HOST_PORTS_MAX).
    pub host_ports: BTreeSet<u16>,
    /// Who answers tasks on the sockets that are bound in their networks.
    pub services: Arc<dyn TaskServices>,
}

/// Where a container's changes to its files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritableLayer {
    /// Into memory, counted against the task's limit, as on Cloud Run.
    Memory,
    /// Into the attempt's directory.
    Disk,
}

/// Where images that are ready to be mounted come from.
pub trait Mounts: Send + Sync {
    /// The image of this manifest digest, imported before.
    ///
    /// # Errors
    /// When it is not there any more, or its configuration cannot be read.
    fn mountable(&self, digest: &str) -> Result<Mountable, MountsError>;
}

/// An image as a container needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mountable {
    /// Unpacked layers: absolute, topmost first, at least one.
    pub layers: Vec<PathBuf>,
    /// What it runs.
    pub config: ImageConfig,
}

/// The image cannot be mounted; for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MountsError(pub String);

/// `groundrun-` and a hash of the data directory: stable over restarts, and two servers do not meet.
#[must_use]
pub fn default_cgroup(data_dir: &Path) -> String {
    format!("groundrun-{:016x}", hash(data_dir))
}

/// A range picked by the data directory, between 0x7000_0000 and 0x77FF_FFFF.
#[must_use]
pub fn default_id_base(data_dir: &Path) -> u32 {
    let range = u32::try_from(hash(data_dir) % u64::from(ID_RANGES)).unwrap_or_default();
    ID_BASE_MIN + range * IDS_PER_RANGE
}

/// What names and addresses of the network follow from.
pub(crate) fn network_hash(data_dir: &Path) -> u64 {
    hash(data_dir)
}

/// FNV-1a: the standard library's hash may change with its version, and this must not.
fn hash(path: &Path) -> u64 {
    path.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_follow_from_the_data_directory_alone() {
        assert_eq!(default_cgroup(Path::new("")), "groundrun-cbf29ce484222325");
        let (one, two) = (Path::new("/var/lib/groundrun"), Path::new("/home/me/.groundrun"));
        assert_ne!(default_cgroup(one), default_cgroup(two));
        for path in [one, two] {
            assert_eq!(default_id_base(path) % IDS_PER_RANGE, 0);
            assert!((0x7000_0000..=0x77FF_0000).contains(&default_id_base(path)));
        }
    }
}
