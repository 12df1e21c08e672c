//! Answers the engine: takes requests at once, answers from memory where it can, else from a small runtime of its own.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    port::{CheckFault, ImageFault, ImageRequest, Images, ImportedImage, Inbox, News},
};
use tokio::{
    runtime::{Builder, Handle},
    sync::Semaphore,
    task::{AbortHandle, block_in_place},
};

use crate::{
    digest::Digest,
    fault::Fault,
    import::{Importer, Transfer},
    settings::Settings,
    store::{Collected, ImageStore},
};

/// Requests not looked at yet. One takes microseconds, and the server admits at most 1,000 executions a second.
const QUEUE_MAX: usize = 4096;

/// Requests that wait for a registry or a disk. Beyond that, a fault says so and the engine comes again.
const UNDER_WAY_MAX: usize = 4096;

/// Of those, the ones that ask a registry what a tag means at the same time.
const ASKING_MAX: usize = 64;

/// Threads that wait for the network; downloads are few and hashing is the work in them.
const WORKERS: usize = 2;

/// Threads that wait for the disk: two unpack, the others read small files and ask credential helpers.
const BLOCKING_MAX: usize = 16;

/// At the end, for a layer that is being unpacked. After that it is left to the end of the process, and swept at the
/// next open.
const UNPACK_END_MAX: Duration = Duration::from_secs(2);

/// At the end, for everything: whoever empties the inbox may have stopped, with an answer on its way to it.
const END_MAX: Duration = Duration::from_secs(5);

/// The images of this machine, for the engine. Dropping it lets go of all that is under way, and of the store.
pub struct ImageService {
    shared: Option<Arc<Shared>>,
    queue: Option<SyncSender<ImageRequest>>,
    /// Disconnected when the threads have ended.
    ended: Mutex<Receiver<()>>,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The settings mean nothing.
    #[error("the image settings: {0}")]
    Settings(String),
    /// No thread or descriptor can be had.
    #[error("start the image service")]
    Machine(#[from] std::io::Error),
}

/// How far an import is, in bytes transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Here.
    pub done: u64,
    /// Of these; 0 until the manifest is known.
    pub total: u64,
}

struct Shared {
    importer: Importer,
    keep_bytes: u64,
    inbox: Arc<dyn Inbox>,
    under_way: Mutex<HashMap<Key, UnderWay>>,
    asking: Semaphore,
}

/// One answer is given to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Import(ExecutionUid),
    Check(JobUid, i32),
}

struct UnderWay {
    transfer: Arc<Transfer>,
    abort: Option<AbortHandle>,
}

impl ImageService {
    /// Starts answering to `inbox` from `store`.
    ///
    /// # Errors
    /// When the settings mean nothing, or threads cannot be had.
    pub fn start(
        store: Arc<ImageStore>,
        settings: Settings,
        inbox: Arc<dyn Inbox>,
    ) -> Result<Self, StartFault> {
        let keep_bytes = settings.keep_bytes;
        let importer = Importer::new(store, settings).map_err(StartFault::Settings)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING_MAX)
            .thread_name("images")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            importer,
            keep_bytes,
            inbox,
            under_way: Mutex::default(),
            asking: Semaphore::new(ASKING_MAX),
        });
        let (queue, requests) = sync_channel(QUEUE_MAX);
        let (ending, ended) = sync_channel(1);
        let dispatcher = Arc::clone(&shared);
        thread::Builder::new().name("image-requests".to_owned()).spawn(move || {
            dispatch(&dispatcher, runtime.handle(), &requests);
            runtime.shutdown_timeout(UNPACK_END_MAX);
            drop(dispatcher);
            drop::<SyncSender<()>>(ending);
        })?;
        Ok(Self { shared: Some(shared), queue: Some(queue), ended: Mutex::new(ended) })
    }

    /// The store, for mounting and collecting.
    pub fn store(&self) -> &Arc<ImageStore> {
        self.shared().importer.store()
    }

    /// How far the import for `execution` is; `None` when none is under way.
    pub fn progress(&self, execution: ExecutionUid) -> Option<Progress> {
        let under_way = self.shared().under_way();
        let (done, total) = under_way.get(&Key::Import(execution))?.transfer.read();
        Some(Progress { done, total })
    }

    fn shared(&self) -> &Arc<Shared> {
        self.shared.as_ref().expect("taken only when it is dropped")
    }
}

impl Images for ImageService {
    fn ask(&self, request: ImageRequest) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(request) {
            Ok(()) => {}
            // The asker may be who empties the inbox: it must not wait here. It asks again when no answer comes.
            Err(TrySendError::Full(request)) => {
                tracing::warn!(?request, "more than {QUEUE_MAX} image requests wait: dropped");
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the thread for image requests has ended");
            }
        }
    }
}

impl Drop for ImageService {
    fn drop(&mut self) {
        self.queue = None;
        self.shared = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Disconnected is the good end; after the time-out the threads end with the process.
        let _ = ended.recv_timeout(END_MAX);
    }
}

impl fmt::Debug for ImageService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageService").finish_non_exhaustive()
    }
}

fn dispatch(shared: &Arc<Shared>, runtime: &Handle, requests: &Receiver<ImageRequest>) {
    while let Ok(request) = requests.recv() {
        match request {
            ImageRequest::Release(execution) => {
                shared.release(execution);
                shared.collect(runtime);
            }
            ImageRequest::Import { execution, images } => shared.import(runtime, execution, images),
            // What a job needs besides is not of images.
            ImageRequest::Check { job, generation, images, needs: _ } => {
                shared.check(runtime, job, generation, images);
            }
        }
    }
}

impl Shared {
    fn import(self: &Arc<Self>, runtime: &Handle, execution: ExecutionUid, images: Vec<String>) {
        let here: Option<Vec<ImportedImage>> =
            images.iter().map(|image| self.importer.at_once(image)).collect();
        if let Some(imported) = here {
            self.pin(execution, &imported);
            return self.inbox.tell(News::Imported { execution, result: Ok(imported) });
        }
        let Some(transfer) = self.begin(Key::Import(execution)) else { return };
        let Some(transfer) = transfer else {
            let result = Err(too_many(&images));
            return self.inbox.tell(News::Imported { execution, result });
        };
        let shared = Arc::clone(self);
        let task = runtime.spawn(async move {
            let result = shared.import_all(&images, &transfer).await;
            shared.imported(execution, result);
        });
        self.may_abort(Key::Import(execution), task.abort_handle());
    }

    async fn import_all(
        &self,
        images: &[String],
        transfer: &Transfer,
    ) -> Result<Vec<ImportedImage>, ImageFault> {
        // Nothing of what is found is collected before it is pinned.
        let _importing = self.importer.store().importing();
        let mut imported = Vec::with_capacity(images.len());
        for image in images {
            let one = self.importer.import(image, transfer).await;
            imported.push(one.map_err(|fault| fault.about(image))?);
        }
        Ok(imported)
    }

    fn imported(&self, execution: ExecutionUid, result: Result<Vec<ImportedImage>, ImageFault>) {
        {
            // Under one lock with `release`: what is released while it is imported is not pinned for ever.
            let mut under_way = self.under_way();
            if under_way.remove(&Key::Import(execution)).is_none() {
                return;
            }
            if let Ok(imported) = &result {
                self.pin(execution, imported);
            }
        }
        // The inbox may make its teller wait.
        block_in_place(|| self.inbox.tell(News::Imported { execution, result }));
    }

    fn pin(&self, execution: ExecutionUid, imported: &[ImportedImage]) {
        let digests: Vec<Digest> =
            imported.iter().filter_map(|image| image.digest.parse().ok()).collect();
        self.importer.store().pin(execution, &digests);
    }

    fn release(&self, execution: ExecutionUid) {
        let mut under_way = self.under_way();
        if let Some(UnderWay { abort: Some(abort), .. }) = under_way.remove(&Key::Import(execution))
        {
            abort.abort();
        }
        self.importer.store().unpin(execution);
    }

    /// Makes room where more is kept than shall be; what is in use stays.
    fn collect(self: &Arc<Self>, runtime: &Handle) {
        let store = self.importer.store();
        if store.bytes() <= self.keep_bytes {
            return;
        }
        let (store, keep) = (Arc::clone(store), self.keep_bytes);
        runtime.spawn_blocking(move || match store.collect(keep) {
            Ok(Collected::Done { images, bytes }) => {
                tracing::info!(images, bytes, "images that nobody uses were removed");
            }
            Ok(Collected::Busy) => {}
            Err(error) => tracing::warn!(%error, "cannot remove images that nobody uses"),
        });
    }

    fn check(
        self: &Arc<Self>,
        runtime: &Handle,
        job: JobUid,
        generation: i32,
        images: Vec<String>,
    ) {
        let key = Key::Check(job, generation);
        let answer = move |result: Result<(), ImageFault>| {
            let result = result.map_err(CheckFault::Image);
            News::Checked { job, generation, result }
        };
        if images.iter().all(|image| self.importer.at_once(image).is_some()) {
            return self.inbox.tell(answer(Ok(())));
        }
        let Some(begun) = self.begin(key) else { return };
        if begun.is_none() {
            return self.inbox.tell(answer(Err(too_many(&images))));
        }
        let shared = Arc::clone(self);
        let task = runtime.spawn(async move {
            let result = shared.check_all(&images).await;
            if shared.under_way().remove(&key).is_some() {
                block_in_place(|| shared.inbox.tell(answer(result)));
            }
        });
        self.may_abort(key, task.abort_handle());
    }

    async fn check_all(&self, images: &[String]) -> Result<(), ImageFault> {
        let _asking = self.asking.acquire().await;
        for image in images {
            self.importer.check(image).await.map_err(|fault| fault.about(image))?;
        }
        Ok(())
    }

    /// `None` when it is under way already and will be answered; `Some(None)` when too much is under way.
    fn begin(&self, key: Key) -> Option<Option<Arc<Transfer>>> {
        let mut under_way = self.under_way();
        if under_way.contains_key(&key) {
            return None;
        }
        if under_way.len() >= UNDER_WAY_MAX {
            return Some(None);
        }
        let transfer = Arc::new(Transfer::default());
        under_way.insert(key, UnderWay { transfer: Arc::clone(&transfer), abort: None });
        Some(Some(transfer))
    }

    fn may_abort(&self, key: Key, abort: AbortHandle) {
        if let Some(under_way) = self.under_way().get_mut(&key) {
            under_way.abort = Some(abort);
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(images: &[String]) -> ImageFault {
    Fault::unreachable(format!(
        "more than {UNDER_WAY_MAX} images are waited for: it is their turn later"
    ))
    .about(images.first().map_or("", String::as_str))
}
