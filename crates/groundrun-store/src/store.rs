//! The store's door.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use groundrun_core::record::Revision;
use jiff::Timestamp;

use crate::{
    data_dir::DataDir,
    disk::{Disk, Reserve},
    error::{OpenError, StoreError, WriteError},
    open,
    readers::Readers,
    tx::Tx,
    view::View,
    watch::{Changed, Forgotten, Ring, Watcher},
    writer::{Fate, Work, Write, Writer},
};

/// Writes that may wait. Each holds a document of a client that waits for its answer; at 4 groups' worth the wait is
/// some 20 ms, and more is better told to come back.
const QUEUE_MAX: usize = 1024;

/// The records of one data directory. Cheap to clone; the last one to go finishes what waits and closes the file.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: PathBuf,
    wal: PathBuf,
    readers: Readers,
    ring: Arc<Ring>,
    shared: Arc<Shared>,
    queue: Option<SyncSender<Box<dyn Work>>>,
    writer: Option<JoinHandle<()>>,
    /// Last: it is let go only after the writer has ended.
    _dir: DataDir,
}

/// What the writer tells everybody.
pub(crate) struct Shared {
    disk_low: AtomicBool,
    revision: AtomicI64,
    writes: AtomicU64,
    commits: AtomicU64,
    checkpoints: AtomicU64,
}

/// The store's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Last revision that is durable.
    pub revision: Revision,
    /// Writes since the start, kept or refused, that shared a durable commit.
    pub writes: u64,
    /// Commits since the start. One fsync each.
    pub commits: u64,
    /// Checkpoints since the start, without those that SQLite makes right after a commit.
    pub checkpoints: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes of the database file.
    pub database_bytes: u64,
    /// Room on the disk.
    pub disk: Disk,
}

impl Store {
    /// Takes the data directory, makes it if need be, and brings its database up to date.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let held = DataDir::take(dir)?;
        let database = open::database_path(dir);
        let mut reserve = Reserve::find(dir);
        let conn = open::open_writer(dir)?;
        let disk = reserve.look();
        let revision = View::new(&conn).revision().map_err(|error| OpenError::Unreadable {
            path: database.clone(),
            why: error.to_string(),
        })?;
        let wal = dir.join("groundrun.db-wal");
        let ring = Arc::new(Ring::new(revision));
        let shared = Arc::new(Shared::new(revision, disk));
        let (queue, waiting) = sync_channel(QUEUE_MAX);
        let writer = Writer {
            conn,
            queue: waiting,
            revision,
            reserve,
            ring: ring.clone(),
            shared: shared.clone(),
            wal: wal.clone(),
        };
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Directory { dir: dir.to_owned(), source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                readers: Readers::new(database.clone()),
                database,
                wal,
                ring,
                shared,
                queue: Some(queue),
                writer: Some(writer),
                _dir: held,
            }),
        })
    }

    /// Runs `body` on the writer's thread and returns when what it did is durable, or undone. Blocks, also while the
    /// queue is full: not for async code, and never from within another write.
    pub fn write<T, E>(
        &self,
        now: Timestamp,
        body: impl FnOnce(&mut Tx<'_>) -> Result<T, WriteError<E>> + Send + 'static,
    ) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (done, result) = sync_channel(1);
        let done = move |outcome| {
            // Nobody else holds the other end, and it waits.
            let _ = done.send(outcome);
        };
        let queue = self.inner.queue.as_ref().ok_or(WriteError::Closed)?;
        queue.send(Box::new(Write::new(now, body, done))).map_err(|_| WriteError::Closed)?;
        result.recv().unwrap_or(Err(WriteError::Closed))
    }

    /// The same without blocking: `done` is called with the result, on the writer's thread (send it on and return), or
    /// at once with `Busy` if too many wait already.
    pub fn write_then<T, E>(
        &self,
        now: Timestamp,
        body: impl FnOnce(&mut Tx<'_>) -> Result<T, WriteError<E>> + Send + 'static,
        done: impl FnOnce(Result<T, WriteError<E>>) + Send + 'static,
    ) where
        T: Send + 'static,
        E: Send + 'static,
    {
        let work: Box<dyn Work> = Box::new(Write::new(now, body, done));
        let Some(queue) = self.inner.queue.as_ref() else { return work.finish(Fate::Closed) };
        match queue.try_send(work) {
            Ok(()) => {}
            Err(TrySendError::Full(work)) => work.finish(Fate::Busy),
            Err(TrySendError::Disconnected(work)) => work.finish(Fate::Closed),
        }
    }

    /// Runs `read` over one snapshot of what is durable. Keep it short: a snapshot holds up the checkpoint. It must
    /// not call `read` again (four at a time: it could wait for itself).
    pub fn read<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.inner.readers.read(read)
    }

    /// Follows the changes from now on.
    #[must_use]
    pub fn watch(&self) -> Watcher {
        self.inner.ring.watcher()
    }

    /// Hands over the changes after `since`, oldest first, and gives the revision up to which these are all: `until`, or the
    /// last that was told. `until` is the revision of a snapshot (waits, microseconds, until it was told); so of a snapshot
    /// and these changes neither knows more than the other. `each` is called with the ring held: it should only look.
    ///
    /// # Errors
    /// When the ring does not reach back so far, or has not come so far.
    pub fn recall(
        &self,
        since: Revision,
        until: Option<Revision>,
        each: impl FnMut(&Changed),
    ) -> Result<Revision, Forgotten> {
        self.inner.ring.recall(since, until, each)
    }

    /// Is there room for anything new? Without a look at the disk: as of the last commit.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.inner.shared.disk()
    }

    /// Figures for metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let shared = &self.inner.shared;
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        Figures {
            revision: Revision(shared.revision.load(Ordering::Relaxed)),
            writes: shared.writes.load(Ordering::Relaxed),
            commits: shared.commits.load(Ordering::Relaxed),
            checkpoints: shared.checkpoints.load(Ordering::Relaxed),
            wal_bytes: size(&self.inner.wal),
            database_bytes: size(&self.inner.database),
            disk: shared.disk(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("database", &self.inner.database).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A write that holds the last store is dropped on the writer's own thread: it cannot wait for itself.
            if writer.thread().id() != thread::current().id() {
                let _ = writer.join();
            }
        }
    }
}

impl Shared {
    fn new(revision: Revision, disk: Disk) -> Self {
        Self {
            disk_low: AtomicBool::new(disk == Disk::Low),
            revision: AtomicI64::new(revision.0),
            writes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
        }
    }

    pub(crate) fn disk(&self) -> Disk {
        if self.disk_low.load(Ordering::Relaxed) { Disk::Low } else { Disk::Roomy }
    }

    pub(crate) fn set_disk(&self, disk: Disk) {
        self.disk_low.store(disk == Disk::Low, Ordering::Relaxed);
    }

    pub(crate) fn count_commit(&self, writes: u64, revision: Revision) {
        self.revision.store(revision.0, Ordering::Relaxed);
        self.writes.fetch_add(writes, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_checkpoint(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
    }
}
