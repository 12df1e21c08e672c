//! What a server that was killed left on the machine, when none will be started on its data directory again.
//!
//! A server on the same directory needs none of this: it finds what runs and goes on with it.

use std::{io, path::Path, time::Duration};

use crate::{
    cgroup::{CgroupError, Cgroups, Demand, Limiting},
    default_cgroup,
    network::{NetworkError, clear_left_of},
};

/// SIGKILL takes milliseconds; a process in a disk's hands takes longer.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// Its tasks.
    #[error("end its tasks")]
    Tasks(#[from] CgroupError),
    /// Its links and its table.
    #[error("take its network away")]
    Network(#[from] NetworkError),
    /// The cgroup above its tasks.
    #[error("remove its cgroup")]
    Cgroup(#[source] io::Error),
}

/// Ends the tasks of the server that was on `data_dir` (absolute), and takes away its cgroups, and for root its links and
/// its table: an ordinary user's are in a namespace that ends with the last task. The caller has the directory's lock.
///
/// # Errors
/// With the first that stays; what comes after it stays, too.
pub fn clear_abandoned(data_dir: &Path, root: bool) -> Result<(), ClearError> {
    // What was enforced does not matter any more.
    let demand = Demand { limiting: Limiting::Waived, scope: None };
    let cgroups = Cgroups::open(&default_cgroup(data_dir), &data_dir.join("cgroup"), &demand)?;
    for id in cgroups.present() {
        cgroups.kill(id, KILLED_WITHIN)?;
    }
    if root {
        // Waits until the ports of tasks are gone, and with them the shims.
        clear_left_of(data_dir)?;
    }
    cgroups.remove().map_err(ClearError::Cgroup)
}
