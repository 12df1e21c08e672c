//! The parts of one server, wired: store, images, backend, engine and front. `serve` and `run` differ in the front only.

use std::{
    any::Any, collections::BTreeMap, io, net::SocketAddr, num::NonZeroU32, num::NonZeroUsize,
    sync::Arc,
};

use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    log::{LogLine, LogPosition},
    port::{Images, Inbox},
    process::ImageConfig,
};
use groundrun_engine::{Engine, EngineConfig, Mailbox};
use groundrun_host::{
    ByKernel, HostBackend, HostConfig, HostLogs, Mountable, Mounts, MountsError, OpenError,
    PrivateNetwork, Share, capacity,
    cgroup::Unenforced,
    network::{Apart, Networks},
};
use groundrun_image::{
    BuiltIn, BuiltInFile, Credentials, ImageService, ImageStore, Progress, Settings,
};
use groundrun_server::{
    BindError, ConfigError, Grown, Logs, Projects, Server, ServerConfig, Token, World,
};
use groundrun_store::Store;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    cli::{
        self,
        exit::{Exit, Stop},
    },
    config::Ground,
    prepare,
    provisions::{Checked, Provided},
    rights::Rights,
    services::Answers,
    vault, world,
};

/// The image that comes with the program.
const BUILT_IN: &str = "builtin.groundrun/job";

/// How often everything that is live is asked about again, in case that news was lost.
const RESYNC: std::time::Duration = std::time::Duration::from_secs(30);

/// Between two looks at whether tasks can still be started.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Where and for whom the API is served.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) listen: SocketAddr,
    pub(crate) token: Option<String>,
    pub(crate) public_names: Vec<String>,
}

impl Front {
    /// For this process alone: a free loopback port.
    ///
    /// Tasks on the machine's network reach that port: a token that only this process knows keeps them out.
    pub(crate) fn private(token: String) -> Self {
        Self { listen: ([127, 0, 0, 1], 0).into(), token: Some(token), public_names: Vec::new() }
    }
}

/// A server that runs.
pub(crate) struct Running {
    address: SocketAddr,
    store: Arc<Store>,
    logs: HostLogs,
    images: Arc<ImageService>,
    rights: Rights,
    engine: Engine,
    stop: oneshot::Sender<()>,
    front: JoinHandle<()>,
}

impl Running {
    /// Starts all parts. The front is bound before tasks need to know its address, and serves last: who waited for it
    /// then reaches a server that works.
    pub(crate) async fn start(ground: &Ground, front: Front, rights: Rights) -> Result<Self, Stop> {
        let config = server_config(ground, front)?;
        let projects = config.projects.clone();
        let data_dir = std::path::absolute(&ground.data_dir).map_err(|e| {
            Stop::bad_input(format!("data directory {}: {e}", ground.data_dir.display()))
        })?;
        // First of all that is in the directory: files of another owner's are noticed here, before anything is written.
        let images = ImageStore::open(&data_dir.join("images"), rights.owners())
            .map_err(|e| failed("open the images", &e))?;
        let store = Arc::new(Store::open(&data_dir).map_err(|e| failed("open the journal", &e))?);
        let mailbox = Mailbox::new();
        let inbox: Arc<dyn Inbox> = mailbox.clone();
        let images = ImageService::start(Arc::new(images), settings(ground), Arc::clone(&inbox))
            .map_err(|e| failed("start the image service", &e))?;
        let mounts = Arc::new(Mounted(Arc::clone(images.store())));
        let logs = HostLogs::new(&data_dir);
        let (sealer, secrets) = vault::open(ground, &data_dir, &store, projects.clone())?;
        let bound = {
            let world = World { clock: Arc::new(world::now), random: Arc::new(world::random) };
            Server::bind(config, (*store).clone(), Arc::new(Written(logs.clone())), sealer, world)
                .await
                .map_err(|e| cannot_serve(&e))?
        };
        // Port 0 is known only now.
        let api_port = bound.local_addr().port();
        if ground.host_ports.contains(&api_port) {
            return Err(Stop::bad_input(format!(
                "--host-port {api_port}: that is this server's own API, which no task reaches"
            )));
        }
        let answers = Arc::new(Answers::open(ground, &data_dir, projects, (*store).clone())?);
        answers.publish(&bound);
        let mut host = HostConfig::new(data_dir.clone(), Arc::new(world::now));
        host.network = match ground.network {
            cli::Network::Private => groundrun_host::Network::Private(PrivateNetwork {
                host_access: !ground.no_host_access,
                api_port: Some(api_port),
                host_ports: ground.host_ports.clone(),
                services: answers.clone(),
            }),
            cli::Network::Host => groundrun_host::Network::Host,
            cli::Network::None => groundrun_host::Network::None,
        };
        let apart = match ground.network {
            cli::Network::Private if rights.are_a_users() => Some(Apart::OfUser),
            cli::Network::Private => None,
            cli::Network::Host => Some(Apart::OnHost),
            cli::Network::None => Some(Apart::Alone),
        };
        let networks = Arc::new(Networks::new(ground.networks.clone(), apart));
        host.networks = Arc::clone(&networks);
        let router = rights.router().map_err(|e| failed("keep the router of tasks", &e))?;
        host.router = router.map(Arc::new);
        if let Some(id_base) = rights.id_base() {
            host.id_base = id_base;
        }
        let (writable_layer, why) = rights.writable_layer(ground.writable_layer, &data_dir)?;
        for statement in rights.lacking().into_iter().chain(why) {
            tracing::warn!("{statement}");
        }
        host.writable_layer = match writable_layer {
            cli::WritableLayer::Memory => groundrun_host::WritableLayer::Memory,
            cli::WritableLayer::Disk => groundrun_host::WritableLayer::Disk,
        };
        host.instances = ground.cloudsql.clone();
        let mut files = ground.files.clone();
        files.by_kernel = match ground.network {
            _ if rights.are_a_users() => ByKernel::OfUser,
            cli::Network::Private | cli::Network::Host => ByKernel::Asked,
            cli::Network::None => ByKernel::NoNetwork,
        };
        host.files = files.clone();
        host.demand = prepare::demand(ground);
        host.secrets = Arc::clone(&secrets);
        let backend = HostBackend::new(host, mounts, rights.spawner.clone(), Arc::clone(&inbox))
            .map_err(|e| cannot_prepare(&e))?;
        if let Some(address) = backend.host_address() {
            answers.host_is_at(address);
        }
        if let Some(Unenforced { controllers, why }) = backend.cgroups().unenforced() {
            let controllers = controllers.join(", ");
            tracing::warn!(controllers, why, "limits do not hold, as --no-limits accepts");
        }
        let share = Share {
            memory_percent: ground.memory_share,
            cpu_overcommit: NonZeroU32::from(ground.cpu_overcommit),
        };
        let budget = capacity(share, backend.cgroups().ceiling())
            .map_err(|e| failed("measure this machine", &e))?;
        let engine = EngineConfig {
            budget,
            boot_id: world::boot_id()?,
            clock: Arc::new(world::now),
            resync: RESYNC,
        };
        let images = Arc::new(images);
        let provided = Provided {
            instances: ground.cloudsql.clone(),
            networks,
            secrets,
            files,
            policies: ground.policies.clone(),
        };
        let asked: Arc<dyn Images> = Arc::new(
            Checked::start(Arc::new(provided), images.clone(), Arc::clone(&inbox))
                .map_err(|e| failed("start the checks of jobs", &e))?,
        );
        let engine = Engine::start(engine, (*store).clone(), mailbox, Arc::new(backend), asked)
            .map_err(|e| failed("start the engine", &e))?;
        let address = bound.local_addr();
        let (stop, stopped) = oneshot::channel();
        let front = tokio::spawn(bound.serve(async { drop(stopped.await) }));
        Ok(Self { address, store, logs, images, rights, engine, stop, front })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    pub(crate) fn logs(&self) -> HostLogs {
        self.logs.clone()
    }

    /// How far the import of an execution's images is; `None` when none is under way.
    pub(crate) fn import(&self, execution: ExecutionUid) -> Option<Progress> {
        self.images.progress(execution)
    }

    /// Returns when no task can be started any more, with the part that ended: the engine by a fault of its own, or the
    /// spawner because somebody killed it.
    pub(crate) async fn broken(&self) -> &'static str {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            match (self.engine.is_running(), self.rights.spawner.lives()) {
                (false, _) => return "engine",
                (true, false) => return "spawner",
                (true, true) => {}
            }
        }
    }

    /// The front first, so that what it acknowledged is seen; then the engine. What runs, runs on.
    pub(crate) async fn stop(self) {
        // Gone already when the front ended by itself.
        let _ = self.stop.send(());
        if let Err(error) = self.front.await {
            tracing::error!(%error, "the front did not stop in order");
        }
        tokio::task::block_in_place(|| self.engine.stop());
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> Stop {
    Stop::failed(format!("{what}: {}", groundrun_core::chain(error)))
}

fn cannot_prepare(error: &OpenError) -> Stop {
    let mut stop = failed("prepare this machine for tasks", error);
    if let OpenError::Network(_) = error {
        stop.exit = Exit::CannotRunHere;
        stop.lines.push(
            "tasks can have the machine's network instead, with --network host, or none".to_owned(),
        );
    }
    stop
}

fn cannot_serve(error: &BindError) -> Stop {
    let mut stop = failed("serve", error);
    if let BindError::Listen { source, .. } = error
        && source.kind() == io::ErrorKind::AddrInUse
    {
        let next = "another program listens there: pick another address with --listen, or port 0 for a free one";
        stop.lines.push(next.to_owned());
    }
    stop
}

fn server_config(ground: &Ground, front: Front) -> Result<ServerConfig, Stop> {
    let bad = |e: ConfigError| {
        let mut stop = Stop::bad_input(&e);
        if matches!(e, ConfigError::OpenToOthers(_)) {
            stop.lines
                .push("write a token into a file, and name that with --token-file".to_owned());
        }
        stop
    };
    let mut config = ServerConfig::new(front.listen, &ground.project, &ground.region);
    if !front.listen.ip().is_loopback() && front.token.is_none() {
        return Err(bad(ConfigError::OpenToOthers(front.listen)));
    }
    config.token = front.token.as_deref().map(Token::new).transpose().map_err(bad)?;
    config.public_names = front.public_names.into_iter().collect();
    let numbers: BTreeMap<String, u64> =
        ground.project_number.map(|number| (ground.project.clone(), number)).into_iter().collect();
    config.projects = Projects::new(&ground.project, numbers);
    Ok(config)
}

fn settings(ground: &Ground) -> Settings {
    let docker = std::env::var_os("DOCKER_CONFIG")
        .map(std::path::PathBuf::from)
        .or_else(|| world::surroundings().home.map(|home| home.join(".docker")));
    let defaults = Settings::default();
    Settings {
        keep_bytes: ground.images.keep_gib.map_or(defaults.keep_bytes, |gib| u64::from(gib) << 30),
        built_ins: vec![BuiltIn {
            reference: BUILT_IN.to_owned(),
            files: vec![BuiltInFile {
                path: "job".to_owned(),
                bytes: sample_job::PROGRAM.into(),
                mode: 0o755,
            }],
            config: ImageConfig { entrypoint: vec!["/job".to_owned()], ..ImageConfig::default() },
        }],
        aliases: ground.images.aliases.clone(),
        insecure: ground.images.insecure_registries.clone(),
        credentials: docker.map_or(Credentials::Anonymous, Credentials::Docker),
        ..defaults
    }
}

/// The image store as the backend sees it.
struct Mounted(Arc<ImageStore>);

impl Mounts for Mounted {
    fn mountable(&self, digest: &str) -> Result<Mountable, MountsError> {
        let image = self.0.mountable(digest).map_err(|e| MountsError(e.to_string()))?;
        Ok(Mountable { layers: image.layers.clone(), config: image.config.clone() })
    }
}

/// The backend's logs as the front sees them.
struct Written(HostLogs);

impl Logs for Written {
    fn read(
        &self,
        attempt: AttemptId,
        from: LogPosition,
        most: NonZeroUsize,
    ) -> io::Result<(Vec<LogLine>, LogPosition)> {
        self.0.read(attempt, from, most).map_err(io::Error::other)
    }

    fn listen(&self, attempt: AttemptId, grown: Grown) -> io::Result<Box<dyn Any + Send>> {
        Ok(Box::new(self.0.listen(attempt, grown)?))
    }
}
