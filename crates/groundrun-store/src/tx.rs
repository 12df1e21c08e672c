//! One write: a view that sees its own changes, and the steps that make them.

mod attempts;
mod executions;
mod jobs;
mod rest;
mod secrets;

use std::{collections::BTreeMap, ops::Deref};

use groundrun_core::record::Revision;
use jiff::Timestamp;
use rusqlite::{Connection, Params};

pub use executions::Reaped;
pub use secrets::Sealed;

use crate::{
    disk::Disk,
    error::StoreError,
    view::View,
    watch::{Subject, Trace},
};

/// What the closure of a write is given. All reads of [`View`] are there too, and see what this write did so far.
///
/// Since there is one writer, what is read here is still so when it is written: check names, counts and revisions
/// here, not before.
pub struct Tx<'c> {
    view: View<'c>,
    conn: &'c Connection,
    now: Timestamp,
    revision: Revision,
    disk: Disk,
    wrote: BTreeMap<Subject, Trace>,
    /// Something was written, perhaps of no subject.
    dirty: Dirty,
    failure: Option<StoreError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dirty {
    No,
    Yes,
}

/// Whether a write found what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// It holds now.
    Yes,
    /// The thing is gone, or has moved on: nothing was written.
    Outdated,
}

impl<'c> Deref for Tx<'c> {
    type Target = View<'c>;

    fn deref(&self) -> &View<'c> {
        &self.view
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn new(
        conn: &'c Connection,
        now: Timestamp,
        revision: Revision,
        disk: Disk,
    ) -> Self {
        Self {
            view: View::new(conn),
            conn,
            now,
            revision,
            disk,
            wrote: BTreeMap::new(),
            dirty: Dirty::No,
            failure: None,
        }
    }

    /// The time that came with this write.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The revision of everything that this write changes: `max(last + 1, now in microseconds)`.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The first step that failed.
    pub(crate) fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    /// What was changed; `None` if nothing was written at all.
    pub(crate) fn into_changed(self) -> Option<BTreeMap<Subject, Trace>> {
        (self.dirty == Dirty::Yes).then_some(self.wrote)
    }

    /// One statement; the number of rows that it changed.
    fn execute(&mut self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        self.dirty = Dirty::Yes;
        let done = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map_err(StoreError::from);
        if let Err(failure) = &done {
            self.failure.get_or_insert_with(|| failure.clone());
        }
        done
    }

    /// Nothing new is taken in while the disk is low, so that what goes on can still end.
    fn ask_for_room(&self) -> Result<(), StoreError> {
        match self.disk {
            Disk::Roomy => Ok(()),
            Disk::Low => Err(StoreError::DiskFull),
        }
    }

    /// Notes a change, and gives what it leaves for followers.
    fn changed(&mut self, subject: Subject) -> &mut Trace {
        self.wrote.entry(subject).or_default()
    }
}
