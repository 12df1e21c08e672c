//! Everything that can be read, over one consistent snapshot.

mod attempts;
mod executions;
mod jobs;
mod rest;
mod secrets;

use groundrun_core::{id::ExecutionUid, record::Revision};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use uuid::Uuid;

pub(crate) use rest::INVOCATION_KEPT;
pub use rest::Policy;
pub use secrets::Fingerprint;

use crate::error::StoreError;

/// A snapshot of the records.
pub struct View<'c> {
    pub(crate) conn: &'c Connection,
}

impl<'c> View<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Self { conn }
    }

    /// The last revision that this snapshot has, without a write that is going on.
    pub fn revision(&self) -> Result<Revision, StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT revision FROM counter")?;
        Ok(Revision(statement.query_one([], |row| row.get(0))?))
    }

    pub(crate) fn uids(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Vec<ExecutionUid>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params, |row| row.get(0))?;
        let uids = rows.map(|bytes| bytes.map(|bytes| ExecutionUid(Uuid::from_bytes(bytes))));
        Ok(uids.collect::<rusqlite::Result<_>>()?)
    }

    fn count(&self, sql: &str, params: impl Params) -> Result<u32, StoreError> {
        Ok(self.conn.prepare_cached(sql)?.query_one(params, |row| row.get(0))?)
    }

    /// The record of at most one row.
    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        statement.query_one(params, |row| Ok(read(row))).optional()?.transpose()
    }
}
