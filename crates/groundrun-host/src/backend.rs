//! The backend as the engine sees it.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use groundrun_core::port::{Action, Backend, Inbox};
use groundrun_shim::SpawnerHandle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    attempts::Attempts,
    cgroup::{CgroupError, Cgroups},
    config::{HostConfig, Mounts, Network, network_hash},
    launch::HostFiles,
    network::{Leave, NetworkError, TaskNetwork, Wanted},
    settle::Means,
    watch::Bell,
    work::{Shared, pass_on},
};

/// Runs attempts on this machine. Dropping it leaves them running; another one on the same data directory finds them.
/// When none is left, its parent cgroup goes with it.
pub struct HostBackend {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The backend could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory for attempts.
    #[error("make a directory for attempts below {}", data_dir.display())]
    Attempts {
        /// Below which.
        data_dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cgroups.
    #[error("prepare cgroups")]
    Cgroups(#[source] CgroupError),
    /// The private network of tasks. They can do without: on the host's, or with none.
    #[error("make a private network for tasks")]
    Network(#[source] NetworkError),
    /// Descriptors or threads.
    #[error("start the backend's threads")]
    Threads(#[source] io::Error),
}

impl HostBackend {
    /// Makes the backend and starts its threads. What an earlier one left without a monitor is killed and removed.
    ///
    /// # Errors
    /// When the data directory, the cgroups or the threads cannot be had.
    pub fn new(
        config: HostConfig,
        mounts: Arc<dyn Mounts>,
        spawner: SpawnerHandle,
        inbox: Arc<dyn Inbox>,
    ) -> Result<Self, OpenError> {
        may_open_all();
        leave_no_core();
        let attempts = Attempts::open(&config.data_dir)
            .map_err(|source| OpenError::Attempts { data_dir: config.data_dir.clone(), source })?;
        let cgroups =
            Cgroups::open(&config.cgroup, &config.data_dir.join("cgroup"), &config.demand)
                .map_err(OpenError::Cgroups)?;
        let closing = Bell::new().map_err(OpenError::Threads)?;
        let network = match &config.network {
            Network::Host | Network::None => None,
            Network::Private(private) => {
                let wanted = Wanted {
                    hash: network_hash(&config.data_dir),
                    host_access: private.host_access,
                    api_port: private.api_port,
                    host_ports: private.host_ports.clone(),
                    networks: Arc::clone(&config.networks),
                    router: config.router.clone(),
                };
                Some(TaskNetwork::open(wanted).map_err(OpenError::Network)?)
            }
        };
        let host_files = host_files();
        let means =
            Means { config, attempts, cgroups, mounts, spawner, host_files, network, closing };
        let shared = Arc::new(Shared::new(means, inbox).map_err(OpenError::Threads)?);
        let threads = Shared::threads(&shared).map_err(OpenError::Threads)?;
        Ok(Self { shared, threads })
    }

    /// What stands for the machine's loopback in the network of tasks; none where they may not reach it.
    #[must_use]
    pub fn host_address(&self) -> Option<Ipv4Addr> {
        self.shared.means.network.as_ref()?.host()
    }

    /// The cgroups of its attempts.
    #[must_use]
    pub fn cgroups(&self) -> &Cgroups {
        &self.shared.means.cgroups
    }
}

impl Backend for HostBackend {
    fn apply(&self, action: Action) {
        match action {
            Action::Start(spec) => self.shared.with_book(|book| book.start(spec)),
            Action::Adopt(id) => self.shared.with_book(|book| book.adopt(id)),
            Action::Stop { id, grace } => {
                if let Some(connection) = self.shared.with_book(|book| book.stop(id, grace)) {
                    pass_on(&connection, grace);
                }
            }
            Action::Forget(id) => self.shared.with_book(|book| book.forget(id)),
            Action::Discard(execution) => self.shared.with_book(|book| book.discard(execution)),
        }
    }
}

impl Drop for HostBackend {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
        // With nothing in it the parent is litter. What an earlier server left running keeps it: it cannot be removed.
        let is_idle = self.shared.with_book(|book| book.is_idle());
        if let Some(network) = &self.shared.means.network {
            network.close(if is_idle { Leave::Nothing } else { Leave::Standing });
        }
        if is_idle {
            let begun = Instant::now();
            while self.shared.means.cgroups.remove().is_err() && begun.elapsed() < CLEARED_WITHIN {
                thread::park_timeout(LOOK_EVERY);
            }
        }
    }
}

/// Shims tell the end of an attempt before they clear up after it: a few milliseconds for one, and for hundreds that
/// ended together as long as the kernel takes over their cgroups. Longer would hold up the stop of the server.
const CLEARED_WITHIN: Duration = Duration::from_secs(3);

/// Between two looks at whether they have; the kernel offers nothing to wait for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running attempt takes a descriptor, and the usual 1,024 are fewer than a large machine can run. More can be had by
/// whoever asks, up to the hard limit; tasks have their own.
fn may_open_all() {
    let limit = getrlimit(Resource::Nofile);
    // It may always be done; without it large machines run less.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// A core of a server would have what secrets hold. One byte and not none: a `core_pattern` that is a program would be
/// started and given the core whatever the limit is, but for this one.
fn leave_no_core() {
    let limit = Rlimit { current: Some(1), maximum: Some(1) };
    // It may always be lowered; where it is 0 already and may not be raised, a pattern that is a file writes none.
    let _ = setrlimit(Resource::Core, limit);
}

/// A machine without them gives tasks empty ones.
fn host_files() -> HostFiles {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    HostFiles { resolv_conf: read("/etc/resolv.conf"), hosts: read("/etc/hosts") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_leaves_no_core() {
        leave_no_core();
        let Rlimit { current, maximum } = getrlimit(Resource::Core);
        assert!(current.is_some_and(|bytes| bytes <= 1) && maximum.is_some_and(|bytes| bytes <= 1));
    }

    #[test]
    fn as_many_descriptors_as_the_machine_permits_can_be_had() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let low = Rlimit { current: Some(256), maximum };
        setrlimit(Resource::Nofile, low).expect("a limit can be lowered");
        may_open_all();
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
