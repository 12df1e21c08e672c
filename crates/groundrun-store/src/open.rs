//! Opening the database file: looked at first, without a change, and only then taken into use.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use crate::{
    error::{OpenError, StoreError},
    schema,
};

/// First bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// How long the writer waits for readers at a checkpoint that must empty the log, or for a person's `sqlite3` shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The log is cut to this size when it starts over: one large burst shall not hold the room for ever.
const WAL_KEPT_BYTES: i64 = 8 << 20;

/// The database of a data directory.
pub(crate) fn database_path(dir: &Path) -> PathBuf {
    dir.join("groundrun.db")
}

/// The writer's connection, at the format that this program knows.
pub(crate) fn open_writer(dir: &Path) -> Result<Connection, OpenError> {
    let path = database_path(dir);
    let format = inspect(dir, &path)?;
    let explain = |error| explain(dir, &path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    keep_private(&path).map_err(|source| OpenError::Directory { dir: dir.to_owned(), source })?;
    let mut conn = Connection::open_with_flags(&path, flags).map_err(explain)?;
    configure_writer(&conn).map_err(explain)?;
    schema::migrate(&mut conn, format).map_err(explain)?;
    Ok(conn)
}

/// The owner's alone, whatever the directory lets others see: specs hold passwords in plain variables. SQLite gives its log
/// the mode of the database; files of an earlier version have their own.
fn keep_private(path: &Path) -> io::Result<()> {
    const MODE: u32 = 0o600;
    let made = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        match fs::metadata(&file) {
            Ok(seen) if seen.mode() & 0o077 != 0 => {
                fs::set_permissions(&file, Permissions::from_mode(MODE))?;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn configure_writer(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    // KiB. With the readers' this bounds what SQLite holds in memory.
    conn.pragma_update(None, "cache_size", -2048)?;
    conn.pragma_update(None, "temp_store", "memory")
}

/// A connection that cannot write.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(32);
    conn.pragma_update(None, "cache_size", -1024)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    Ok(conn)
}

/// The format of the file, 0 for none; refuses what this program must not touch.
fn inspect(dir: &Path, path: &Path) -> Result<i64, OpenError> {
    let magic = match File::open(path).and_then(read_magic) {
        Ok(magic) => magic,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(OpenError::Directory { dir: dir.to_owned(), source }),
    };
    if magic.is_empty() {
        return Ok(0);
    }
    if magic != MAGIC {
        let why = "it does not begin as an SQLite database does".to_owned();
        return Err(OpenError::Unreadable { path: path.to_owned(), why });
    }
    match ask(path).map_err(|error| explain(dir, path, error))? {
        (0, 0, 0) => Ok(0),
        (schema::APPLICATION_ID, format, _) if format > schema::known() => {
            Err(OpenError::Newer { path: path.to_owned(), found: format, known: schema::known() })
        }
        (schema::APPLICATION_ID, format, _) if format > 0 => Ok(format),
        _ => Err(OpenError::NotOurs { path: path.to_owned() }),
    }
}

fn read_magic(file: File) -> io::Result<Vec<u8>> {
    let mut magic = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    Ok(magic)
}

/// `application_id`, `user_version` and the number of tables, over a connection that leaves the log as it is.
fn ask(path: &Path) -> rusqlite::Result<(i64, i64, i64)> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let application = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables = conn.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((application, format, tables))
}

fn explain(dir: &Path, path: &Path, source: rusqlite::Error) -> OpenError {
    if matches!(
        source.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    ) {
        return OpenError::Unreadable { path: path.to_owned(), why: source.to_string() };
    }
    match StoreError::from(source) {
        StoreError::DiskFull => OpenError::DiskFull { dir: dir.to_owned() },
        source => OpenError::Database { path: path.to_owned(), source },
    }
}
