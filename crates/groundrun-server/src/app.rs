//! What every handler shares, and the doors to work that blocks.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use groundrun_api::{ApiError, Code};
use groundrun_core::{admit::Suffix, context::Context, record::Scope};
use groundrun_secrets::Sealer;
use groundrun_store::{Store, Tx, View, WriteError};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::{
    config::ServerConfig,
    error::{Outcome, Refusal},
    keys::PublicKeys,
    logs::Logs,
};

/// Reads at once: as many as the store has connections for. More would only hold threads.
const READS_MAX: usize = 4;

/// Log queries and large documents at once: each may take a second, and reads must not wait behind them.
const HEAVY_MAX: usize = 2;

/// Bodies over [`crate::call::SMALL_BODY`] that may be in memory at once: 4 × 40 MiB is the worst case.
const LARGE_BODIES_MAX: usize = 4;

/// Watches and tails at once: each holds a connection for as long as it lasts, and others must find one.
pub(crate) const STREAMS_MAX: usize = 64;

/// Project ids remembered so that their numbers are known, besides the configured ones.
const PROJECTS_MAX: usize = 1000;

/// Reads the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The inputs that are neither requests nor records.
#[derive(Clone)]
pub struct World {
    /// Reads the time.
    pub clock: Clock,
    /// Fills a buffer with random bytes.
    pub random: Random,
}

/// What every handler shares.
pub(crate) struct App {
    pub(crate) config: ServerConfig,
    pub(crate) store: Store,
    pub(crate) logs: Arc<dyn Logs>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) large_bodies: Arc<Semaphore>,
    pub(crate) keys: OnceLock<Arc<dyn PublicKeys>>,
    /// True once the server stops: who streams ends.
    pub(crate) stopping: watch::Sender<bool>,
    streams: Arc<Semaphore>,
    console: String,
    world: World,
    reads: Semaphore,
    heavy: Semaphore,
    projects: Mutex<BTreeSet<String>>,
}

/// Where a request points.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The project and the one region.
    pub(crate) scope: Scope,
    /// The project and its number.
    pub(crate) context: Context,
}

impl Place {
    /// For the texts of errors.
    pub(crate) fn words(&self) -> groundrun_api::error::Place<'_> {
        groundrun_api::error::Place { region: &self.scope.region, project: &self.scope.project }
    }
}

impl App {
    pub(crate) fn new(
        config: ServerConfig,
        store: Store,
        logs: Arc<dyn Logs>,
        sealer: Arc<Sealer>,
        world: World,
    ) -> Self {
        // Their answers name projects by number, also to those who ask again after a restart.
        let with_secrets = store.read(|view| view.secret_projects()).unwrap_or_default();
        let with_secrets = with_secrets.into_iter().take(PROJECTS_MAX).collect();
        let console = config.console.clone().unwrap_or_else(|| format!("http://{}", config.listen));
        Self {
            config,
            store,
            logs,
            sealer,
            console,
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
            keys: OnceLock::new(),
            stopping: watch::Sender::new(false),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            world,
            reads: Semaphore::new(READS_MAX),
            heavy: Semaphore::new(HEAVY_MAX),
            projects: Mutex::new(with_secrets),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        (self.world.clock)()
    }

    /// A random version 4 UUID.
    pub(crate) fn uuid(&self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.random()).into_uuid()
    }

    /// A random end of a name.
    pub(crate) fn suffix(&self) -> Suffix {
        Suffix::new(u32::from_le_bytes(self.random()))
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.world.random)(&mut bytes);
        bytes
    }

    /// The project that a namespace means, an id or a number, and `region`.
    pub(crate) fn place(&self, namespace: &str, region: &str) -> Outcome<Place> {
        let context = self.context(namespace)?;
        let scope = Scope { project: context.project.clone(), region: region.to_owned() };
        Ok(Place { scope, context })
    }

    /// The project that a namespace means, an id or a number.
    pub(crate) fn context(&self, namespace: &str) -> Outcome<Context> {
        let mut seen = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        let known = || seen.iter().cloned().collect();
        let project = self.config.projects.id_of(namespace, known).ok_or_else(|| {
            Refusal::not_found(format!("Project '{namespace}' not found or deleted."))
        })?;
        if seen.len() < PROJECTS_MAX {
            seen.insert(project.clone());
        }
        let number = self.config.projects.number(&project).to_string();
        Ok(Context { project, number, console: self.console.clone() })
    }

    /// A place among those who are answered without an end, for as long as it is kept.
    pub(crate) fn stream(&self) -> Outcome<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let text = format!(
                "{STREAMS_MAX} watches and tails are open, which is the most: end one, or ask again later."
            );
            Refusal(ApiError::new(Code::ResourceExhausted, text))
        })
    }

    /// Runs `read` over one snapshot, on a thread that may block. A panic in it is an answer, not the end of the
    /// connection.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&View<'_>) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        self.off_the_reactor(&self.reads, move |app| app.store.read(read)).await
    }

    /// Runs `work` that takes long, on a thread that may block.
    pub(crate) async fn heavy<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        self.off_the_reactor(&self.heavy, work).await
    }

    async fn off_the_reactor<T: Send + 'static>(
        self: &Arc<Self>,
        bound: &Semaphore,
        work: impl FnOnce(&Self) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        // Never closed.
        let _permit = bound.acquire().await;
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&app)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a handler panicked");
            Err(Refusal(ApiError::internal("the handler of the request failed")))
        })
    }

    /// Runs `write` in the store's writer; back when what it did is on disk, or undone.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Tx<'_>) -> Result<T, WriteError<ApiError>> + Send + 'static,
    ) -> Outcome<T> {
        let (done, result) = oneshot::channel();
        self.store.write_then(self.now(), write, |outcome| {
            // The client may be gone; the write is kept all the same.
            let _ = done.send(outcome);
        });
        let stopping = || ApiError::new(Code::Unavailable, "The server is stopping.");
        Ok(result.await.map_err(|_| stopping())??)
    }
}
