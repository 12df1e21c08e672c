//! What can go wrong, by what someone would do about it.

use std::{io, path::PathBuf, sync::Arc};

use rusqlite::ErrorCode;

/// Why a data directory cannot be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it.
    #[error("data directory {} is in use by another server{}", dir.display(), pid_note(*.pid))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process that holds it, where it told.
        pid: Option<u32>,
    },
    /// The directory or a file in it cannot be used.
    #[error("cannot use data directory {}: check that it exists, is writable and belongs to this user", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// No room to open it.
    #[error("no room on the disk of data directory {}: free some and start again", dir.display())]
    DiskFull {
        /// The directory.
        dir: PathBuf,
    },
    /// A later version of the program wrote it.
    #[error("{} was written by a newer version (format {found}, this one knows up to {known}): use that version or another --data-dir; the file was not touched", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The highest format known here.
        known: i64,
    },
    /// It is an SQLite database of another program.
    #[error("{} is a database of another program: use another --data-dir; the file was not touched", path.display())]
    NotOurs {
        /// The database.
        path: PathBuf,
    },
    /// It is damaged or no database at all.
    #[error("{} cannot be read ({why}): restore it together with its -wal file from a copy, or move both away to start empty; nothing was touched", path.display())]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// Anything else.
    #[error("cannot open {}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
}

fn pid_note(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Why a read, or one step of a write, failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No room (also a quota, or a disk that takes nothing), or too little to take in anything new. Works again when
    /// room is back.
    #[error("the disk of the data directory is full, or cannot be written")]
    DiskFull,
    /// A row that this program cannot have written: damaged, or edited by hand.
    #[error("row {id} of table {table} cannot be read: {column}: {why}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row's key.
        id: String,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The caller wrote to a row that is not there.
    #[error("no row {id} in table {table}")]
    NoSuchRow {
        /// The table.
        table: &'static str,
        /// The row's key.
        id: String,
    },
    /// An execution can be removed only after it was deleted.
    #[error("execution {id} was not deleted")]
    NotDeleted {
        /// Its uid.
        id: String,
    },
    /// A record cannot be written as JSON.
    #[error("cannot encode {what}")]
    Encode {
        /// Which part of it.
        what: &'static str,
        /// Why.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The database file is damaged.
    #[error(
        "the database is damaged: stop the server, restore it together with its -wal file from a copy, or move both away to start empty"
    )]
    Damaged(#[source] Arc<rusqlite::Error>),
    /// Anything else that SQLite said: a taken name, an I/O error.
    #[error("the database failed")]
    Sqlite(#[source] Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::SystemIoFailure) if cannot_be_written(&error) => Self::DiskFull,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(Arc::new(error))
            }
            _ => Self::Sqlite(Arc::new(error)),
        }
    }
}

/// A quota, a limit of the file size, and the log's shared memory on a full disk are told as I/O errors. So is a disk
/// that takes nothing more because it breaks; what to do with the request is the same.
fn cannot_be_written(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi;
    error.sqlite_error().is_some_and(|error| {
        matches!(
            error.extended_code,
            ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_TRUNCATE
                | ffi::SQLITE_IOERR_SHMSIZE
        )
    })
}

/// Why a write was not kept. Nothing of it is on disk.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure said no.
    #[error("{0}")]
    Refused(E),
    /// No room on the disk, or too little to take in anything new: try again later. The store goes on working.
    #[error("the disk of the data directory is full, or cannot be written")]
    DiskFull,
    /// Too many writes wait already: try again.
    #[error("too many writes are waiting")]
    Busy,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The closure panicked.
    #[error("the write panicked")]
    Panicked,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl<E> From<StoreError> for WriteError<E> {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull => Self::DiskFull,
            other => Self::Store(other),
        }
    }
}
