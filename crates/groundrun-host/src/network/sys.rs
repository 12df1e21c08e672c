//! The one call that the standard library and rustix leave unsafe.
#![expect(unsafe_code, reason = "the one place of this crate where it may be")]

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Puts the calling thread, alone, into a new network namespace.
pub(super) fn enter_new_namespace() -> io::Result<()> {
    // SAFETY: only CLONE_FILES would change what other code of this process can do with its descriptors.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?)
}
