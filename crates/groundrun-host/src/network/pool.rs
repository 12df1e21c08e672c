//! Namespaces that are ready before a task asks for one: a start takes one, a thread makes the next.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    attach::AttachError,
    ground::{self, NetworkError, Wanted},
    namespace::{Maker, Namespace, NamespaceError},
};

/// As many as a server starts at once. Making one takes some two milliseconds, as long as the rest of a start; each is
/// some hundred kilobytes of the kernel's memory.
const READY: usize = 8;

/// How long a start waits for one. Making a namespace waits for the kernel's one lock on links, which closing hundreds of
/// them may hold for a while.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// After a failure: long enough to cost nothing, short enough that nobody notices when what stood in the way is gone.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The network of one server's tasks. To be closed with [`TaskNetwork::close`]; dropped, its thread goes on.
#[derive(Debug)]
pub(crate) struct TaskNetwork {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    host: Option<Ipv4Addr>,
}

/// Why a start has no namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TakeError {
    /// All addresses are in use: it can be had when a task ends.
    #[error("{0}")]
    Full(String),
    /// It cannot be made.
    #[error("{0}")]
    Failed(String),
}

/// What becomes of bridge and table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Tasks that run still need them.
    Standing,
    /// Nobody does.
    Nothing,
}

#[derive(Debug, Default)]
struct Shared {
    pool: Mutex<Pool>,
    /// One was taken, or the end has come.
    taken: Condvar,
    /// One is ready, or none can be made.
    made: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    ready: VecDeque<Namespace>,
    /// The last try failed.
    failure: Option<TakeError>,
    closing: Option<Leave>,
}

impl TaskNetwork {
    /// Makes or finds what the server needs on this machine, and begins to fill the pool.
    pub(crate) fn open(wanted: Wanted) -> Result<Self, NetworkError> {
        let shared = Arc::new(Shared::default());
        let (opened, open) = mpsc::sync_channel(1);
        let of_thread = Arc::clone(&shared);
        let run = move || match ground::open(&wanted) {
            Ok((maker, host)) => {
                if opened.send(Ok(host)).is_ok() {
                    of_thread.fill(maker, &wanted);
                }
            }
            Err(err) => drop(opened.send(Err(err))),
        };
        let thread = thread::Builder::new()
            .name("host-network".to_owned())
            .spawn(run)
            .map_err(NetworkError::thread)?;
        // A thread that panicked has said so, and hangs up.
        let host =
            open.recv().map_err(|_| NetworkError::thread(std::io::ErrorKind::Other.into()))??;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), host })
    }

    /// What stands for the host's loopback; none where tasks may not reach it.
    pub(crate) fn host(&self) -> Option<Ipv4Addr> {
        self.host
    }

    /// One that nobody had before.
    pub(crate) fn take(&self) -> Result<Namespace, TakeError> {
        let begun = Instant::now();
        let mut pool = self.shared.pool();
        loop {
            if let Some(namespace) = pool.ready.pop_front() {
                self.shared.taken.notify_one();
                return Ok(namespace);
            }
            if let Some(failure) = &pool.failure {
                return Err(failure.clone());
            }
            let left = TAKEN_WITHIN.saturating_sub(begun.elapsed());
            if left.is_zero() || pool.closing.is_some() {
                return Err(TakeError::Failed("no network namespace was made in time".to_owned()));
            }
            pool =
                self.shared.made.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives up what nobody took; what was taken lives on.
    pub(crate) fn close(&self, leave: Leave) {
        self.shared.pool().closing = Some(leave);
        self.shared.taken.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has said so already.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Shared {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn fill(&self, mut maker: Maker, wanted: &Wanted) {
        let leave = loop {
            if let Some(leave) = self.wait_until_one_is_missing() {
                break leave;
            }
            let made = maker.make();
            let mut pool = self.pool();
            match made {
                Ok(namespace) => {
                    pool.ready.push_back(namespace);
                    pool.failure = None;
                }
                Err(err) => {
                    let astray = matches!(err, NamespaceError::Astray(_));
                    pool.failure = Some(TakeError::from(err));
                    if astray {
                        self.made.notify_all();
                        return;
                    }
                    self.made.notify_all();
                    // Whoever asks meanwhile is told at once.
                    let _ = self.taken.wait_timeout(pool, AGAIN_AFTER);
                    continue;
                }
            }
            drop(pool);
            self.made.notify_one();
        };
        self.pool().ready.clear();
        if leave == Leave::Nothing
            && let Err(err) = ground::close(maker, wanted.hash)
        {
            tracing::warn!(err = groundrun_core::chain(&err), "the network of tasks is left over");
        }
    }

    /// What to leave, when the end has come.
    fn wait_until_one_is_missing(&self) -> Option<Leave> {
        let full = |pool: &mut Pool| pool.ready.len() >= READY && pool.closing.is_none();
        let pool = self.taken.wait_while(self.pool(), full).unwrap_or_else(PoisonError::into_inner);
        pool.closing
    }
}

impl From<AttachError> for TakeError {
    fn from(err: AttachError) -> Self {
        let text = groundrun_core::chain(&err);
        match err {
            AttachError::Full { .. } => Self::Full(text),
            AttachError::NotMapped(_)
            | AttachError::Apart { .. }
            | AttachError::NotThere { .. }
            | AttachError::Kernel { .. } => Self::Failed(text),
        }
    }
}

impl From<NamespaceError> for TakeError {
    fn from(err: NamespaceError) -> Self {
        let text = groundrun_core::chain(&err);
        match err {
            NamespaceError::Full => Self::Full(text),
            NamespaceError::Kernel { .. } | NamespaceError::Astray(_) => Self::Failed(text),
        }
    }
}
