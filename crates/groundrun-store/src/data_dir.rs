//! The data directory belongs to one server: `flock` on a file in it, which says whose it is.
//!
//! The lock lives as long as the open file. The file is close-on-exec and opened after the spawner was forked, so that
//! no task keeps it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::error::OpenError;

/// Held while the directory is ours.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory (mode 0700) if need be, and takes it.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let unusable = |source: io::Error| match source.kind() {
            io::ErrorKind::StorageFull => OpenError::DiskFull { dir: dir.to_owned() },
            _ => OpenError::Directory { dir: dir.to_owned(), source },
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(OpenError::InUse { dir: dir.to_owned(), pid: holder(&path) });
            }
            Err(errno) => return Err(unusable(errno.into())),
        }
        // Only a courtesy for the message above: on a full disk the lock holds without it.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _lock: file })
    }
}

fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
