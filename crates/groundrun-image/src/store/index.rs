//! The store in memory: every question on the path of a start is answered here, without the disk.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use groundrun_core::id::ExecutionUid;

use super::{
    Mountable, OpenFault,
    disk::{Disk, ImageRecord, LayerMeta},
};
use crate::{digest::Digest, unpack};

#[derive(Debug, Default)]
pub(super) struct Index {
    images: HashMap<Digest, Image>,
    layers: HashMap<String, LayerMeta>,
    names: HashMap<String, Digest>,
    pins: HashMap<ExecutionUid, Vec<Digest>>,
    /// Imports under way.
    pub(super) importing: usize,
    /// Counts uses; an image's `used` is when it was last used.
    uses: u64,
}

#[derive(Debug)]
struct Image {
    mountable: Arc<Mountable>,
    layers: Vec<String>,
    used: u64,
}

impl Index {
    pub(super) fn load(disk: &Disk) -> Result<Self, OpenFault> {
        let mut index = Self::default();
        index.layers.extend(disk.layers().map_err(|err| disk.failed(err))?);
        for (digest, record) in disk.images().map_err(|err| disk.failed(err))? {
            if record.layers.iter().all(|layer| index.layers.contains_key(layer)) {
                index.add_image(digest, record, disk);
            } else {
                disk.remove_image(&digest).map_err(|err| disk.failed(err))?;
            }
        }
        index.names.extend(disk.names().map_err(|err| disk.failed(err))?);
        Ok(index)
    }

    pub(super) fn image(&self, digest: &Digest) -> Option<Arc<Mountable>> {
        self.images.get(digest).map(|image| Arc::clone(&image.mountable))
    }

    pub(super) fn add_image(&mut self, digest: Digest, record: ImageRecord, disk: &Disk) {
        let mountable = Mountable { layers: stack(&record.layers, disk), config: record.config() };
        self.uses += 1;
        let image =
            Image { mountable: Arc::new(mountable), layers: record.layers, used: self.uses };
        self.images.insert(digest, image);
    }

    /// The layer looks the same on every chain, or was unpacked on this one.
    pub(super) fn layer(&self, diff_id: &Digest, chain: &Digest) -> Option<String> {
        let own = diff_id.hex();
        match self.layers.get(&own) {
            Some(meta) if !meta.depends_on_below || diff_id == chain => Some(own),
            _ => Some(chain.hex()).filter(|chain| self.layers.contains_key(chain)),
        }
    }

    pub(super) fn add_layer(&mut self, name: &str, meta: LayerMeta) {
        self.layers.insert(name.to_owned(), meta);
    }

    pub(super) fn known(&self, name: &str) -> Option<Digest> {
        self.names.get(name).copied().filter(|digest| self.images.contains_key(digest))
    }

    /// Whether that is new.
    pub(super) fn remember(&mut self, name: &str, digest: Digest) -> bool {
        self.names.insert(name.to_owned(), digest) != Some(digest)
    }

    pub(super) fn pin(&mut self, execution: ExecutionUid, digests: &[Digest]) {
        self.uses += 1;
        for digest in digests {
            if let Some(image) = self.images.get_mut(digest) {
                image.used = self.uses;
            }
        }
        self.pins.insert(execution, digests.to_vec());
    }

    pub(super) fn unpin(&mut self, execution: ExecutionUid) {
        self.pins.remove(&execution);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.layers.values().map(|meta| meta.bytes).sum()
    }

    /// Images that no execution needs, the longest unused first.
    pub(super) fn idle(&self) -> Vec<Digest> {
        let pinned: HashSet<&Digest> = self.pins.values().flatten().collect();
        let mut idle: Vec<(&Digest, &Image)> =
            self.images.iter().filter(|(digest, _)| !pinned.contains(digest)).collect();
        idle.sort_by_key(|(_, image)| image.used);
        idle.into_iter().map(|(digest, _)| *digest).collect()
    }

    /// Layers that are of no image.
    pub(super) fn loose_layers(&self) -> Vec<String> {
        let used: HashSet<&String> = self.images.values().flat_map(|image| &image.layers).collect();
        self.layers.keys().filter(|layer| !used.contains(layer)).cloned().collect()
    }

    /// Names of images that are gone.
    pub(super) fn loose_names(&self) -> Vec<String> {
        let gone = |digest: &Digest| !self.images.contains_key(digest);
        self.names.iter().filter(|(_, digest)| gone(digest)).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn forget_image(&mut self, digest: &Digest) {
        self.images.remove(digest);
    }

    pub(super) fn forget_layer(&mut self, layer: &str) {
        self.layers.remove(layer);
    }

    pub(super) fn forget_name(&mut self, name: &str) {
        self.names.remove(name);
    }
}

/// The directories to mount, the top first. A layer that occurs twice counts where it is highest: all that it holds is
/// seen from there. Below a layer whose root is opaque nothing is seen; the kernel ignores that mark on a root.
fn stack(layers: &[String], disk: &Disk) -> Vec<std::path::PathBuf> {
    let mut seen = HashSet::new();
    let mut stack = Vec::new();
    for layer in layers.iter().rev().filter(|layer| seen.insert(*layer)) {
        let tree = disk.tree(layer);
        let opaque = unpack::is_opaque(&tree, disk.owners());
        stack.push(tree);
        if opaque {
            break;
        }
    }
    stack
}
