//! The one thread that writes: takes what waits, runs it in one transaction, commits once, hands the results out.
//!
//! Each write runs in a savepoint, so that a refusal undoes itself alone. If the COMMIT fails, all of the group fail,
//! also those that refused: what they refused over is not there.

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use groundrun_core::record::Revision;
use jiff::Timestamp;
use rusqlite::Connection;
use tracing::{error, warn};

use crate::{
    disk::{Disk, Reserve},
    error::{StoreError, WriteError},
    store::Shared,
    tx::Tx,
    watch::{Changed, Ring, Subject, Trace},
};

/// Writes that share one commit, at most. The first of them waits for the last: at 20 µs each that is 5 ms.
const GROUP_MAX: usize = 256;

/// Nothing to do for so long is idle: then the log is brought into the database.
const IDLE: Duration = Duration::from_millis(200);

/// While the disk is low and nobody writes, room is looked for this often.
const LOW_DISK_LOOK: Duration = Duration::from_secs(1);

/// A log of this size means that the checkpoint after each commit was held up by a reader: waits for it once.
const WAL_MAX_BYTES: u64 = 64 << 20;

/// The same while the disk is low, where the log must give its room back.
const WAL_MAX_BYTES_LOW: u64 = 1 << 20;

/// One write, whatever its result type.
pub(crate) trait Work: Send {
    /// The time that came with it.
    fn now(&self) -> Timestamp;
    /// Runs the closure.
    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict;
    /// Hands out the result.
    fn finish(self: Box<Self>, fate: Fate);
}

/// What became of the transaction of a write.
pub(crate) enum Fate {
    /// It is durable: the closure's own result holds.
    Settled,
    /// It was undone.
    Failed(StoreError),
    /// There was none: too many writes wait.
    Busy,
    /// There was none: the store is closed.
    Closed,
}

/// Whether what a write did is kept.
#[must_use]
#[derive(PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Undo,
}

/// A closure on its way through the writer.
pub(crate) struct Write<F, T, E, D> {
    now: Timestamp,
    body: Option<F>,
    result: Option<Result<T, WriteError<E>>>,
    done: D,
}

impl<F, T, E, D> Write<F, T, E, D> {
    pub(crate) fn new(now: Timestamp, body: F, done: D) -> Self {
        Self { now, body: Some(body), result: None, done }
    }
}

impl<F, T, E, D> Work for Write<F, T, E, D>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, WriteError<E>> + Send,
    T: Send,
    E: Send,
    D: FnOnce(Result<T, WriteError<E>>) + Send,
{
    fn now(&self) -> Timestamp {
        self.now
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict {
        let body = self.body.take().expect("a write runs once");
        let mut result =
            catch_unwind(AssertUnwindSafe(|| body(tx))).unwrap_or(Err(WriteError::Panicked));
        // Half a step may have been done: it is not kept, even if the closure looked away.
        if let (Ok(_), Some(failure)) = (&result, tx.failure()) {
            result = Err(failure.clone().into());
        }
        let verdict = if result.is_ok() { Verdict::Keep } else { Verdict::Undo };
        self.result = Some(result);
        verdict
    }

    fn finish(self: Box<Self>, fate: Fate) {
        let this = *self;
        let result = match fate {
            Fate::Settled => this.result.unwrap_or(Err(WriteError::Closed)),
            Fate::Failed(failure) => Err(failure.into()),
            Fate::Busy => Err(WriteError::Busy),
            Fate::Closed => Err(WriteError::Closed),
        };
        // The caller's bug must not end the writer; the panic hook has told it.
        let _ = catch_unwind(AssertUnwindSafe(|| (this.done)(result)));
    }
}

/// The writer's own.
pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) queue: Receiver<Box<dyn Work>>,
    pub(crate) revision: Revision,
    pub(crate) reserve: Reserve,
    pub(crate) ring: Arc<Ring>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) wal: PathBuf,
}

impl Writer {
    /// Until every sender is gone and what they sent is done.
    pub(crate) fn run(mut self) {
        // Something may be in the log that is not in the database.
        let mut unchecked = true;
        loop {
            let first = if unchecked {
                self.queue.recv_timeout(IDLE)
            } else if self.shared.disk() == Disk::Low {
                self.queue.recv_timeout(LOW_DISK_LOOK)
            } else {
                self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match first {
                Ok(first) => {
                    self.group(first);
                    unchecked = true;
                }
                Err(RecvTimeoutError::Timeout) => {
                    if std::mem::take(&mut unchecked) {
                        self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
                    }
                    self.shared.set_disk(self.reserve.look());
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// `first` and what waits behind it, in one commit.
    fn group(&mut self, first: Box<dyn Work>) {
        let disk = self.reserve.look();
        self.shared.set_disk(disk);
        let mut group = Vec::new();
        let mut changes = Vec::new();
        let fate = self.transaction(first, disk, &mut group, &mut changes);
        if let Err(failure) = &fate {
            self.recover(failure);
        }
        if let Ok(Committed::Durable) = fate {
            self.shared.count_commit(group.len() as u64, self.revision);
            // First: who has a result finds its change in the watch.
            self.ring.tell(self.revision, changes);
        }
        for work in group {
            work.finish(match &fate {
                Ok(_) => Fate::Settled,
                Err(failure) => Fate::Failed(failure.clone()),
            });
        }
        self.bound_wal(disk);
    }

    fn transaction(
        &mut self,
        first: Box<dyn Work>,
        disk: Disk,
        group: &mut Vec<Box<dyn Work>>,
        changes: &mut Vec<Changed>,
    ) -> Result<Committed, StoreError> {
        let mut revision = self.revision;
        let mut next = Some(first);
        while let Some(work) = next {
            group.push(work);
            if group.len() == 1 {
                execute(&self.conn, "BEGIN IMMEDIATE")?;
            }
            let work = group.last_mut().expect("it was just pushed");
            if let Some((raised, subjects)) = one(&self.conn, work.as_mut(), revision, disk)? {
                revision = raised;
                changes.extend(subjects.into_iter().map(|(subject, trace)| Changed {
                    revision,
                    subject,
                    trace,
                }));
            }
            next = if group.len() < GROUP_MAX { self.queue.try_recv().ok() } else { None };
        }
        if revision == self.revision {
            execute(&self.conn, "ROLLBACK")?;
            return Ok(Committed::Nothing);
        }
        self.conn.prepare_cached("UPDATE counter SET revision = ?1")?.execute([revision.0])?;
        execute(&self.conn, "COMMIT")?;
        self.revision = revision;
        Ok(Committed::Durable)
    }

    /// After a failed transaction: nothing of it is left, and the next one finds things in order.
    fn recover(&mut self, failure: &StoreError) {
        if !self.conn.is_autocommit()
            && let Err(error) = execute(&self.conn, "ROLLBACK")
        {
            error!(%error, "rolling back failed");
        }
        match failure {
            StoreError::DiskFull => {
                self.reserve.exhausted();
                self.shared.set_disk(Disk::Low);
                warn!("a commit found no room on the disk");
            }
            other => error!(error = %other, "a commit failed"),
        }
    }

    fn bound_wal(&self, disk: Disk) {
        let most = match disk {
            Disk::Roomy => WAL_MAX_BYTES,
            Disk::Low => WAL_MAX_BYTES_LOW,
        };
        if fs::metadata(&self.wal).is_ok_and(|wal| wal.len() > most) {
            self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }

    fn checkpoint(&self, pragma: &str) {
        match self.conn.query_one(pragma, [], |row| row.get::<_, i64>(0)) {
            Ok(_) => self.shared.count_checkpoint(),
            Err(error) => warn!(%error, "checkpoint failed; the log grows until one succeeds"),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ring.close();
    }
}

enum Committed {
    Durable,
    Nothing,
}

/// The revision of a write, and what it changed.
type Wrote = (Revision, BTreeMap<Subject, Trace>);

/// Runs one write in a savepoint. `None`: nothing is to be kept. An error ends the transaction.
fn one(
    conn: &Connection,
    work: &mut dyn Work,
    last: Revision,
    disk: Disk,
) -> Result<Option<Wrote>, StoreError> {
    execute(conn, "SAVEPOINT one")?;
    let now = work.now();
    let revision = Revision(now.as_microsecond().max(last.0 + 1));
    let mut tx = Tx::new(conn, now, revision, disk);
    let verdict = work.run(&mut tx);
    let failure = tx.failure().cloned();
    let changed = tx.into_changed();
    if let Some(failure) = failure {
        // SQLite undoes the whole transaction by itself after some failures, and no room for one is none for all.
        if conn.is_autocommit() || matches!(failure, StoreError::DiskFull) {
            return Err(failure);
        }
    }
    if verdict == Verdict::Undo {
        execute(conn, "ROLLBACK TO one")?;
    }
    execute(conn, "RELEASE one")?;
    Ok(changed.filter(|_| verdict == Verdict::Keep).map(|subjects| (revision, subjects)))
}

fn execute(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}
