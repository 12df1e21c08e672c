//! The directory of a run that keeps nothing: gone with its value, and with what runs before left that were killed.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

use crate::{cli::exit::Stop, world};

const PREFIX: &str = "groundrun-run-";

/// Runs that were killed, cleared up after at once: each takes some hundredths of a second, and the rest is for the next.
const CLEARED_MAX: usize = 8;

/// Makes a new one.
pub(crate) fn make() -> Result<tempfile::TempDir, Stop> {
    tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir()
        .map_err(|e| Stop::cannot_run_here(vec![format!("make a temporary directory: {e}")]))
}

/// Clears up after runs of this user that were killed with SIGKILL: nobody will ask for their tasks again.
pub(crate) fn clear() {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for dir in ours.map(|entry| entry.path()).take(CLEARED_MAX) {
        let Some(_lock) = abandoned(&dir) else { continue };
        eprintln!("clearing up after a run that was killed: {}", dir.display());
        let cleared = groundrun_host::clear_abandoned(&dir, world::surroundings().root);
        let left = match &cleared {
            Ok(()) => fs::remove_dir_all(&dir).err().map(|e| e.to_string()),
            Err(e) => Some(groundrun_core::chain(e)),
        };
        if let Some(why) = left {
            tracing::warn!(dir = %dir.display(), why, "something of that run is left");
        }
    }
}

/// The lock of a run's directory, if it is this user's and its server is gone. One that is just being made has no journal
/// yet, and one that is in use is locked.
fn abandoned(dir: &Path) -> Option<File> {
    let metadata = fs::symlink_metadata(dir).ok()?;
    let own = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if !own || !dir.join("groundrun.db").is_file() {
        return None;
    }
    let lock = File::open(dir.join("lock")).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(lock)
}
