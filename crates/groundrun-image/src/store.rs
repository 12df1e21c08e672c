//! What is on this machine: layers unpacked, images complete, names last seen, and who needs them.
//!
//! ```text
//!  lock           held by the one server that uses the directory
//!  owners         to whom the files of layers belong
//!  layers/HEX/    tree/ and meta.json: complete the moment it is there
//!  images/HEX     a record: its layers are there; written last
//!  names/HEX      what a reference meant when it was last asked for
//!  blobs/HEX      downloaded and verified, not unpacked yet; swept at the next open
//!  staging/       what is being written; swept likewise
//!  trash/         what is being removed; swept likewise
//! ```

mod collect;
mod disk;
mod index;

pub use collect::Collected;
pub use disk::OpenFault;
pub(crate) use disk::Staging;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use groundrun_core::{id::ExecutionUid, process::ImageConfig};

use self::{
    disk::{Disk, ImageRecord, LayerMeta},
    index::Index,
};
use crate::{
    digest::Digest,
    fault::Fault,
    owners::Owners,
    unpack::{Implied, Unpacked},
};

/// An image that can be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mountable {
    /// Directories for an overlay mount, the top first; never empty, each one once. Whiteouts are character devices
    /// 0:0 and `trusted.overlay.opaque` (`user.overlay.opaque` where owners are shifted); owners are the store's.
    pub layers: Vec<PathBuf>,
    /// What runs.
    pub config: ImageConfig,
}

/// The images of one data directory.
#[derive(Debug)]
pub struct ImageStore {
    disk: Disk,
    index: Mutex<Index>,
    /// One collection at a time: two would sweep the same trash.
    collecting: Mutex<()>,
}

/// Held while an image is imported: nothing is collected meanwhile.
pub(crate) struct Importing(Arc<ImageStore>);

impl ImageStore {
    /// Opens or makes the store in `dir`, whose files belong to `owners`, and sweeps what a crash left half-written.
    ///
    /// # Errors
    /// When another server uses it, when its files belong to others, or the disk says so.
    pub fn open(dir: &Path, owners: Owners) -> Result<Self, OpenFault> {
        let disk = Disk::open(dir, owners)?;
        let index = Index::load(&disk)?;
        Ok(Self { disk, index: Mutex::new(index), collecting: Mutex::new(()) })
    }

    /// The image with this manifest digest (`sha256:…`). In memory: a microsecond.
    ///
    /// # Errors
    /// `Missing` when it is not here: it was never imported, or released and collected.
    pub fn mountable(&self, digest: &str) -> Result<Arc<Mountable>, Fault> {
        let not_here = || Fault::missing(format!("image {digest} is not on this machine any more"));
        let parsed = digest.parse().map_err(|_| not_here())?;
        self.index().image(&parsed).ok_or_else(not_here)
    }

    /// Bytes of file content of everything unpacked.
    pub fn bytes(&self) -> u64 {
        self.index().bytes()
    }

    /// Removes images that nobody needs, the longest unused first, until at most `keep_bytes` are left.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn collect(&self, keep_bytes: u64) -> Result<Collected, Fault> {
        let _one = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        collect::collect(&self.disk, &self.index, keep_bytes)
    }

    pub(crate) fn importing(self: &Arc<Self>) -> Importing {
        self.index().importing += 1;
        Importing(Arc::clone(self))
    }

    pub(crate) fn is_present(&self, digest: &Digest) -> bool {
        self.index().image(digest).is_some()
    }

    /// What the name meant when it was last resolved, if that image is still here.
    pub(crate) fn known(&self, name: &str) -> Option<Digest> {
        self.index().known(name)
    }

    /// Remembers what a name means, also over a restart. Failing to is no fault: it is asked for again.
    pub(crate) fn remember(&self, name: &str, digest: Digest) {
        if self.index().remember(name, digest)
            && let Err(err) = self.disk.write_name(name, &digest)
        {
            tracing::warn!(name, %err, "the meaning of an image name is not remembered");
        }
    }

    /// Needed by `execution` until [`ImageStore::unpin`].
    pub(crate) fn pin(&self, execution: ExecutionUid, digests: &[Digest]) {
        self.index().pin(execution, digests);
        digests.iter().for_each(|digest| self.disk.touch_image(digest));
    }

    pub(crate) fn unpin(&self, execution: ExecutionUid) {
        self.index().unpin(execution);
    }

    /// The name of the layer with this digest, if it is here and looks the same on top of this chain.
    pub(crate) fn layer(&self, diff_id: &Digest, chain: &Digest) -> Option<String> {
        self.index().layer(diff_id, chain)
    }

    pub(crate) fn owners(&self) -> &Owners {
        self.disk.owners()
    }

    pub(crate) fn tree(&self, layer: &str) -> PathBuf {
        self.disk.tree(layer)
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.disk.blob(digest)
    }

    pub(crate) fn staging(&self) -> Result<Staging, Fault> {
        self.disk.staging()
    }

    /// Makes an unpacked layer durable and visible. Gives its name.
    pub(crate) fn publish_layer(
        &self,
        staging: Staging,
        unpacked: Unpacked,
        diff_id: &Digest,
        chain: &Digest,
    ) -> Result<String, Fault> {
        // A layer that looks as it does because of those below is shared only by images with the same ones below.
        let name = match unpacked.implied {
            Implied::None => diff_id.hex(),
            Implied::Some => chain.hex(),
        };
        let meta = LayerMeta {
            bytes: unpacked.bytes,
            inodes: unpacked.inodes,
            depends_on_below: unpacked.implied == Implied::Some,
        };
        self.disk.publish_layer(staging, &name, &meta)?;
        self.index().add_layer(&name, meta);
        Ok(name)
    }

    /// Makes an image visible whose layers (from the lowest up) are all here.
    pub(crate) fn publish_image(
        &self,
        digest: Digest,
        layers: Vec<String>,
        config: &ImageConfig,
    ) -> Result<(), Fault> {
        let record = ImageRecord::new(layers, config);
        self.disk.write_image(&digest, &record)?;
        self.index().add_image(digest, record, &self.disk);
        Ok(())
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Nothing panics while it holds the lock; if it did, every change is a single insertion or removal.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Importing {
    fn drop(&mut self) {
        self.0.index().importing -= 1;
    }
}
