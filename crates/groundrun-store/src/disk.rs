//! Room on the disk of the data directory, and a reserve for when it runs out.
//!
//! ```text
//!            free < LOW                       free < CRITICAL, or a write found no room
//! Roomy ──────────────────▶ Low ───────────────────────────────────▶ Low, reserve given back
//!   ▲                        │                                              │
//!   └──── free >= LOW ───────┴───── reserve made again (free >= both) ◀─────┘
//! ```
//! While it is low, nothing new is taken in (jobs, executions); what goes on must still be able to end.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::Errno,
};
use tracing::{info, warn};

/// Is there room on the disk for anything new?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Yes.
    Roomy,
    /// No: new jobs and executions are refused, everything else goes on.
    Low,
}

/// Bytes kept aside: about 50,000 ends of attempts, with the copy that the log makes of them.
const RESERVE: u64 = 8 << 20;

/// Free bytes below which nothing new is taken in: the largest execution (10,000 tasks, three attempts each) writes
/// about as much.
const LOW: u64 = 16 << 20;

/// Free bytes below which the reserve is given back before the next commit: what one large commit takes.
const CRITICAL: u64 = 2 << 20;

/// The reserve file of a data directory.
pub(crate) struct Reserve {
    dir: PathBuf,
    path: PathBuf,
    held: bool,
    /// A write found no room since the reserve was last made.
    exhausted: bool,
}

impl Reserve {
    /// Finds the reserve that is there. Gives it back if there is no room to open a database; makes none.
    pub(crate) fn find(dir: &Path) -> Self {
        let path = dir.join("reserve");
        let held = fs::metadata(&path).is_ok_and(|file| file.len() == RESERVE);
        let mut this = Self { dir: dir.to_owned(), path, held, exhausted: false };
        if this.free().is_some_and(|free| free < CRITICAL) {
            this.give_back();
        }
        this
    }

    /// To be called before each commit: gives the reserve back or makes it again where that is due.
    pub(crate) fn look(&mut self) -> Disk {
        let Some(mut free) = self.free() else {
            return if self.exhausted { Disk::Low } else { Disk::Roomy };
        };
        if free < CRITICAL && self.held {
            self.give_back();
            free = self.free().unwrap_or(free);
        } else if !self.held && free >= RESERVE + LOW {
            self.make();
            free = self.free().unwrap_or(free);
        }
        if self.exhausted || free < LOW { Disk::Low } else { Disk::Roomy }
    }

    /// A write found no room, whatever the file system says is free (a quota, a limit of the file size).
    pub(crate) fn exhausted(&mut self) {
        self.exhausted = true;
        self.give_back();
    }

    fn free(&self) -> Option<u64> {
        statvfs(&self.dir).ok().map(|at| at.f_bavail.saturating_mul(at.f_frsize))
    }

    fn give_back(&mut self) {
        if self.held && fs::remove_file(&self.path).is_ok() {
            self.held = false;
            warn!(dir = %self.dir.display(), "disk full: the reserve is in use, nothing new is taken in");
        }
    }

    fn make(&mut self) {
        match allocate(&self.path) {
            Ok(()) => {
                self.held = true;
                if std::mem::take(&mut self.exhausted) {
                    info!(dir = %self.dir.display(), "room on the disk again");
                }
            }
            Err(error) => {
                let _ = fs::remove_file(&self.path);
                if error.kind() != io::ErrorKind::StorageFull
                    && error.kind() != io::ErrorKind::QuotaExceeded
                {
                    // Not for lack of room: going on without a reserve is better than refusing for ever.
                    self.exhausted = false;
                }
            }
        }
    }
}

/// Makes a file of real blocks: a hole would reserve nothing.
fn allocate(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, RESERVE) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let block = vec![0; 1 << 16];
            for _ in 0..RESERVE / (1 << 16) {
                file.write_all(&block)?;
            }
            file.sync_all()
        }
        Err(errno) => Err(errno.into()),
    }
}
