//! The threads: a few workers that settle attempts, one that listens to running shims, one that cleans up.
//!
//! All of them stop when the bell rings; what runs goes on without them.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use groundrun_core::{
    chain,
    id::AttemptId,
    port::{Inbox, News, Observation},
    record::Ending,
};
use groundrun_shim::{
    Connection, Received,
    dir::{self, Standing},
    protocol::{self, Wish},
};
use jiff::Timestamp;

use crate::{
    book::{Book, Chore, Job, Next},
    config::Network,
    network::TaskSockets,
    settle::{Means, Settled},
    watch::{Watch, Watched},
};

/// News taken from one connection before the others have their turn. A shim says four things in its life.
const NEWS_PER_TURN: usize = 16;

/// How long SIGKILL may take to empty a leftover cgroup; it is tried again at the next start of the server.
const LEFTOVER: Duration = Duration::from_secs(5);

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) means: Means,
    pub(crate) inbox: Arc<dyn Inbox>,
    book: Mutex<Book<Arc<Connection>>>,
    /// Something is to be done by a worker.
    jobs: Condvar,
    /// Something is to be cleaned up, or an attempt is over.
    chores: Condvar,
    watch: Watch,
}

impl Shared {
    pub(crate) fn new(means: Means, inbox: Arc<dyn Inbox>) -> io::Result<Self> {
        let watch = Watch::new(&means.closing)?;
        Ok(Self {
            means,
            inbox,
            book: Mutex::default(),
            jobs: Condvar::new(),
            chores: Condvar::new(),
            watch,
        })
    }

    /// Starts the threads.
    pub(crate) fn threads(shared: &Arc<Self>) -> io::Result<Vec<JoinHandle<()>>> {
        let spawn = |name: &str, run: fn(&Self)| {
            let shared = Arc::clone(shared);
            thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared))
        };
        let mut threads =
            vec![spawn("host-listen", Self::listen)?, spawn("host-clean", Self::clean)?];
        for _ in 0..shared.means.config.starts_at_once.get() {
            threads.push(spawn("host-start", Self::work)?);
        }
        Ok(threads)
    }

    /// Makes the threads stop, each after what it is doing.
    pub(crate) fn close(&self) {
        self.means.closing.ring();
        // Whoever has looked at the bell before now waits on the book by the time it is ours.
        drop(self.book());
        self.jobs.notify_all();
        self.chores.notify_all();
    }

    /// Changes the book, and wakes whoever may have something to do now.
    pub(crate) fn with_book<T>(&self, change: impl FnOnce(&mut Book<Arc<Connection>>) -> T) -> T {
        let done = change(&mut self.book());
        self.jobs.notify_one();
        self.chores.notify_one();
        done
    }

    fn book(&self) -> MutexGuard<'_, Book<Arc<Connection>>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, id: AttemptId, seen: Observation) {
        self.inbox.tell(News::Attempt { id, seen });
    }

    /// A worker.
    fn work(&self) {
        while let Some(job) = self.next_job() {
            match job {
                Job::Tell { id, seen } => self.tell(id, seen),
                Job::Settle { id, wants } => {
                    let stop_asked = || self.book().stop_asked(id);
                    let settled = self.means.settle(id, wants, stop_asked);
                    self.settled(id, settled);
                }
            }
        }
    }

    /// Waits for a job; `None` when the bell has rung.
    fn next_job(&self) -> Option<Job> {
        let mut book = self.book();
        while !self.means.closing.is_rung() {
            let now = Instant::now();
            book = match book.next_job(now) {
                Next::Job(job) => return Some(job),
                Next::At(when) => {
                    let waited = self.jobs.wait_timeout(book, when.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Next::Idle => self.jobs.wait(book).unwrap_or_else(PoisonError::into_inner),
            };
        }
        None
    }

    fn settled(&self, id: AttemptId, settled: Settled) {
        match settled {
            Settled::Live { connection, started, sockets } => {
                self.attend(id, sockets);
                self.live(id, connection, started);
            }
            Settled::Over { at, ending } => self.over(id, at, ending),
            Settled::Later { wants, why } => {
                if !self.means.closing.is_rung() {
                    tracing::warn!(attempt = %id, why, "put off");
                }
                self.with_book(|book| book.later(id, wants, Means::again_at()));
            }
        }
    }

    /// Before anybody can hear of its end.
    fn attend(&self, id: AttemptId, sockets: Option<TaskSockets>) {
        if let (Network::Private(network), Some(sockets)) = (&self.means.config.network, sockets) {
            network.services.attend(id, sockets);
        }
    }

    fn live(&self, id: AttemptId, connection: Arc<Connection>, started: Option<Timestamp>) {
        // A shim that does not read (somebody stopped it) must not stop us when we tell it something.
        if let Err(err) = rustix::io::ioctl_fionbio(&*connection, true) {
            tracing::warn!(attempt = %id, err = chain(&err), "telling its shim may block");
        }
        let stop = self.with_book(|book| book.live(id, Arc::clone(&connection), started));
        if let Some(at) = started {
            self.tell(id, Observation::Started { at });
        }
        if let Some(grace) = stop {
            pass_on(&connection, grace);
        }
        // After the book has it: the listener may hear of its end at once.
        if let Err(err) = self.watch.add(Watched { id, connection }) {
            tracing::warn!(attempt = %id, err = chain(&err), "not listened to; put off");
            self.with_book(|book| book.later(id, Default::default(), Means::again_at()));
        }
    }

    fn over(&self, id: AttemptId, at: Timestamp, ending: Ending) {
        if let Network::Private(network) = &self.means.config.network {
            network.services.leave(id);
        }
        self.with_book(|book| book.over(id, at, ending.clone()));
        self.tell(id, Observation::Ended { at, ending });
    }

    /// The listener.
    fn listen(&self) {
        loop {
            match self.watch.wait() {
                Ok(Some(ready)) => {
                    ready.into_iter().for_each(|(token, one)| self.hear(token, &one))
                }
                Ok(None) => return,
                Err(err) => {
                    tracing::error!(err = chain(&err), "cannot listen to running tasks");
                    return;
                }
            }
        }
    }

    fn hear(&self, token: u64, Watched { id, connection }: &Watched) {
        for _ in 0..NEWS_PER_TURN {
            match connection.try_receive() {
                Ok(Received::Nothing) => return,
                Ok(Received::News(protocol::News::Started { at })) => {
                    let at = at.into();
                    self.with_book(|book| book.started(*id, at));
                    self.tell(*id, Observation::Started { at });
                }
                Ok(Received::News(protocol::News::Ended(record))) => {
                    self.watch.remove(token);
                    return self.over(*id, record.ended.into(), record.end.into());
                }
                Ok(Received::Hello { version, sockets }) => {
                    if version > protocol::VERSION {
                        tracing::warn!(attempt = %id, version, "its shim is of a newer server");
                    }
                    self.attend(*id, TaskSockets::from_list(sockets));
                }
                Ok(Received::News(protocol::News::Hello { .. })) => {}
                Ok(Received::News(
                    protocol::News::AlreadyBegun | protocol::News::NotBegun { .. },
                ))
                | Ok(Received::Closed)
                | Err(_) => {
                    self.watch.remove(token);
                    return self.with_book(|book| book.hung_up(*id));
                }
            }
        }
    }

    /// The cleaner.
    fn clean(&self) {
        self.sweep();
        while let Some(chore) = self.next_chore() {
            let done = match chore {
                Chore::Forget(id) => self.forget(id),
                Chore::Discard(execution) => {
                    let discarded = self.means.attempts.discard(execution);
                    discarded.and_then(|()| self.means.attempts.empty_trash())
                }
            };
            if let Err(err) = done {
                tracing::warn!(?chore, err = chain(&err), "not cleaned up");
            }
        }
    }

    fn next_chore(&self) -> Option<Chore> {
        let mut book = self.book();
        while !self.means.closing.is_rung() {
            if let Some(chore) = book.next_chore() {
                return Some(chore);
            }
            book = self.chores.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// A shim removes its cgroup itself; this is for one that could not.
    fn forget(&self, id: AttemptId) -> io::Result<()> {
        self.means.cgroups.kill(id, LEFTOVER).map_err(io::Error::other)?;
        self.means.attempts.forget(id)
    }

    /// Kills and removes the cgroups of attempts that no shim watches over, and deletes what was discarded.
    fn sweep(&self) {
        // Listed first: a shim takes its lock before it makes its cgroup.
        for id in self.means.cgroups.present() {
            let living = match dir::standing(&self.means.attempts.dir(id)) {
                Ok(standing) => standing == Standing::Running,
                Err(err) => err.path.file_name() == Some(dir::LOCK.as_ref()),
            };
            if living || self.means.closing.is_rung() {
                continue;
            }
            if let Err(err) = self.means.cgroups.kill(id, LEFTOVER) {
                tracing::warn!(attempt = %id, err = chain(&err), "left over");
            }
        }
        if let Err(err) = self.means.attempts.empty_trash() {
            tracing::warn!(err = chain(&err), "trash not emptied");
        }
    }
}

/// A shim that is gone cannot be told, and need not be: its end is on its way.
pub(crate) fn pass_on(connection: &Connection, grace: Duration) {
    let _ = connection.send(Wish::Stop { grace });
}
