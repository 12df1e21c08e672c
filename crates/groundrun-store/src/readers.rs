//! Connections that read, each with one snapshot at a time.

use std::{
    path::PathBuf,
    sync::{Condvar, Mutex, PoisonError},
};

use rusqlite::Connection;

use crate::{error::StoreError, open, view::View};

/// Snapshots at the same time. Each connection may hold 1 MiB of pages, so this is also a bound on memory; reads take
/// well under a millisecond, so nobody waits long for one.
const READERS_MAX: usize = 4;

/// The pool.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    open: usize,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Pool { idle: Vec::new(), open: 0 }),
            returned: Condvar::new(),
        }
    }

    /// Runs `read` over one snapshot. It should not call back into the store for another one.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let lent = self.lend()?;
        let snapshot = lent.conn().unchecked_transaction().map_err(StoreError::from)?;
        read(&View::new(&snapshot))
    }

    fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let mut pool = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(conn) = pool.idle.pop() {
                return Ok(Lent { readers: self, conn: Some(conn) });
            }
            if pool.open < READERS_MAX {
                break;
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        pool.open += 1;
        drop(pool);
        let mut lent = Lent { readers: self, conn: None };
        lent.conn = Some(open::open_reader(&self.path)?);
        Ok(lent)
    }
}

/// A connection that goes back when it is dropped, also when the read panics.
struct Lent<'a> {
    readers: &'a Readers,
    conn: Option<Connection>,
}

impl Lent<'_> {
    fn conn(&self) -> &Connection {
        self.conn.as_ref().expect("it is taken only on drop")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match self.conn.take() {
            Some(conn) => pool.idle.push(conn),
            None => pool.open -= 1,
        }
        self.readers.returned.notify_one();
    }
}
