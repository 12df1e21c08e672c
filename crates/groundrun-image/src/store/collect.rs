//! Makes room: records first, then layers into the trash, then the trash.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{disk::Disk, index::Index};
use crate::fault::Fault;

/// What came of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// An import is under way: nothing was touched; ask again later.
    Busy,
    /// Done.
    Done {
        /// Images removed.
        images: usize,
        /// Bytes of file content that are left.
        bytes: u64,
    },
}

pub(super) fn collect(
    disk: &Disk,
    index: &Mutex<Index>,
    keep_bytes: u64,
) -> Result<Collected, Fault> {
    let failed = |err: io::Error| Fault::disk("collect images", &err);
    let collected = {
        let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
        if index.importing > 0 {
            return Ok(Collected::Busy);
        }
        make_room(disk, &mut index, keep_bytes).map_err(failed)?
    };
    disk.sweep("trash").map_err(failed)?;
    Ok(collected)
}

fn make_room(
    disk: &Disk,
    index: &mut MutexGuard<'_, Index>,
    keep_bytes: u64,
) -> io::Result<Collected> {
    let mut images = 0;
    // Those of an interrupted import save its next attempt a download, so they stay while there is room.
    if index.bytes() > keep_bytes {
        drop_loose_layers(disk, index)?;
    }
    for digest in index.idle() {
        if index.bytes() <= keep_bytes {
            break;
        }
        disk.remove_image(&digest)?;
        index.forget_image(&digest);
        images += 1;
        drop_loose_layers(disk, index)?;
    }
    for name in index.loose_names() {
        disk.remove_name(&name)?;
        index.forget_name(&name);
    }
    Ok(Collected::Done { images, bytes: index.bytes() })
}

fn drop_loose_layers(disk: &Disk, index: &mut MutexGuard<'_, Index>) -> io::Result<()> {
    for layer in index.loose_layers() {
        disk.discard_layer(&layer)?;
        index.forget_layer(&layer);
    }
    Ok(())
}
