//! Brings the layers of a recipe: downloads side by side, unpacks from the lowest up, each layer once.
//!
//! A lock is held while one blob is downloaded or one layer is unpacked, and nothing else is waited for meanwhile: two
//! imports that share layers in any order cannot wait for each other.

use std::{
    collections::HashMap,
    fs::{self, File, Permissions},
    io::Read,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, oneshot};

use super::{Importer, LayerSource, Recipe, RecipeLayer, Section, blocking};
use crate::{
    digest::Digest,
    fault::Fault,
    layout,
    manifest::Blob,
    reference::Remote,
    settings::Limits,
    store::{ImageStore, Importing},
    unpack::{self, Layer},
};

/// How far a transfer is, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    done: AtomicU64,
    total: AtomicU64,
}

impl Transfer {
    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn take_back(&self, bytes: u64) {
        self.done.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Done, and of how many.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// Downloads of one image at once, as docker.
const DOWNLOADS_PER_IMAGE: usize = 3;

/// One lock per digest, while somebody holds it.
#[derive(Default)]
pub(crate) struct Locks(Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>);

impl Locks {
    async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let known = locks.get(digest).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::new(AsyncMutex::new(()));
                locks.insert(*digest, Arc::downgrade(&new));
                new
            })
        };
        lock.lock_owned().await
    }
}

/// A layer at hand.
enum Bytes {
    /// In a file; with a blob, still to be verified.
    Section {
        section: Section,
        verify: Option<Blob>,
    },
    Memory(Arc<Vec<u8>>),
}

impl Importer {
    /// Makes the image mountable whose recipe this is. Gives its digest.
    pub(super) async fn complete(
        &self,
        mut recipe: Recipe,
        remote: Option<&Remote>,
        transfer: &Transfer,
    ) -> Result<Digest, Fault> {
        if self.store.is_present(&recipe.digest) {
            return Ok(recipe.digest);
        }
        if recipe.layers.is_empty() {
            recipe.layers.push(nothing());
        }
        let chains = recipe.chains();
        let importing = Arc::new(self.store.importing());
        let _clean = Blobs::of(&self.store, &recipe);
        let (senders, receivers): (Vec<_>, Vec<_>) =
            recipe.layers.iter().map(|_| oneshot::channel()).unzip();
        self.expect(&recipe, &chains, transfer);
        let fetches: Vec<_> = recipe
            .layers
            .iter()
            .zip(&chains)
            .zip(senders)
            .map(|((layer, chain), sender)| async move {
                let fetched = self.fetch(layer, chain, remote, transfer).await?;
                // Nobody waits any more when another layer has failed.
                let _ = sender.send(fetched);
                Ok::<_, Fault>(())
            })
            .collect();
        let fetch = stream::iter(fetches).buffer_unordered(DOWNLOADS_PER_IMAGE);
        let fetch = fetch.try_collect::<Vec<()>>();
        let unpack = async {
            let mut names: Vec<String> = Vec::with_capacity(recipe.layers.len());
            for ((layer, chain), receiver) in recipe.layers.iter().zip(&chains).zip(receivers) {
                let bytes = receiver.await.map_err(|_| Fault::unreachable("a download ended"))?;
                let place = Place { diff_id: layer.diff_id, chain: *chain, below: names.clone() };
                names.push(self.unpack(place, bytes, Arc::clone(&importing)).await?);
            }
            Ok(names)
        };
        let (_, names) = tokio::try_join!(fetch, unpack)?;
        self.store.publish_image(recipe.digest, names, &recipe.run)?;
        Ok(recipe.digest)
    }

    fn expect(&self, recipe: &Recipe, chains: &[Digest], transfer: &Transfer) {
        for (layer, chain) in recipe.layers.iter().zip(chains) {
            if let LayerSource::Remote(blob) = &layer.source
                && self.store.layer(&layer.diff_id, chain).is_none()
            {
                transfer.expect(blob.size);
            }
        }
    }

    /// The bytes of a layer; `None` if it is unpacked already.
    async fn fetch(
        &self,
        layer: &RecipeLayer,
        chain: &Digest,
        remote: Option<&Remote>,
        transfer: &Transfer,
    ) -> Result<Option<Bytes>, Fault> {
        if self.store.layer(&layer.diff_id, chain).is_some() {
            return Ok(None);
        }
        let bytes = match (&layer.source, remote) {
            (LayerSource::Remote(blob), Some(remote)) => {
                let file = self.download(remote, blob, transfer).await?;
                Bytes::Section { section: Section::whole(file, blob.size), verify: None }
            }
            (LayerSource::Remote(blob), None) => {
                return Err(Fault::unusable(format!("layer {} has no registry", blob.digest)));
            }
            (LayerSource::Local { section, blob }, _) => {
                Bytes::Section { section: section.clone(), verify: *blob }
            }
            (LayerSource::Memory(bytes), _) => Bytes::Memory(Arc::clone(bytes)),
        };
        Ok(Some(bytes))
    }

    async fn download(
        &self,
        remote: &Remote,
        blob: &Blob,
        transfer: &Transfer,
    ) -> Result<File, Fault> {
        let closed = |_| Fault::unreachable("the server stops");
        let _permit = self.downloads.acquire().await.map_err(closed)?;
        let _lock = self.locks.lock(&blob.digest).await;
        let kept = self.store.blob(&blob.digest);
        if let Ok(file) = layout::open(&kept) {
            transfer.add(blob.size);
            return Ok(file);
        }
        let failed = |err: std::io::Error| Fault::disk("keep a download", &err);
        let staging = self.store.staging()?;
        let path = staging.file("blob");
        let file = File::create_new(&path).map_err(failed)?;
        self.registry.download(remote, blob, file, transfer).await?;
        fs::rename(&path, &kept).map_err(failed)?;
        layout::open(&kept).map_err(failed)
    }

    async fn unpack(
        &self,
        place: Place,
        bytes: Option<Bytes>,
        importing: Arc<Importing>,
    ) -> Result<String, Fault> {
        let closed = |_| Fault::unreachable("the server stops");
        let lock = self.locks.lock(&place.diff_id).await;
        if let Some(name) = self.store.layer(&place.diff_id, &place.chain) {
            return Ok(name);
        }
        let bytes = bytes.ok_or_else(|| Fault::unreachable("a layer was removed meanwhile"))?;
        let permit = Arc::clone(&self.unpacks).acquire_owned().await.map_err(closed)?;
        let (store, limits) = (Arc::clone(&self.store), Arc::clone(&self.limits));
        blocking(move || {
            // Held to the end of the work also when the one who asked has gone.
            let _held = (lock, permit, importing);
            match bytes {
                Bytes::Memory(bytes) => {
                    let size = bytes.len() as u64;
                    place.unpack(&store, &limits, bytes.as_slice(), size)
                }
                Bytes::Section { section, verify } => {
                    if let Some(blob) = verify {
                        layout::verify(&section, &blob)?;
                    }
                    let size = section.size();
                    place.unpack(&store, &limits, section, size)
                }
            }
        })
        .await
    }
}

/// Where a layer goes: what it is, and the names of those below it from the lowest up.
struct Place {
    diff_id: Digest,
    chain: Digest,
    below: Vec<String>,
}

impl Place {
    fn unpack(
        self,
        store: &ImageStore,
        limits: &Limits,
        archive: impl Read,
        transferred: u64,
    ) -> Result<String, Fault> {
        let staging = store.staging()?;
        let tree = staging.file("tree");
        fs::create_dir(&tree)
            .and_then(|()| fs::set_permissions(&tree, Permissions::from_mode(0o755)))
            .map_err(|err| Fault::disk("make a directory for a layer", &err))?;
        let below = self.below.iter().rev().map(|name| store.tree(name)).collect();
        let layer = Layer { archive, transferred, diff_id: self.diff_id, below };
        let unpacked = unpack::unpack(layer, &tree, limits, store.owners())
            .map_err(|fault| fault.of_layer(&self.diff_id))?;
        store.publish_layer(staging, unpacked, &self.diff_id, &self.chain)
    }
}

/// Removes what was downloaded for an image, however its import ends.
struct Blobs(Vec<PathBuf>);

impl Blobs {
    fn of(store: &ImageStore, recipe: &Recipe) -> Self {
        let remote = recipe.layers.iter().filter_map(|layer| match &layer.source {
            LayerSource::Remote(blob) => Some(store.blob(&blob.digest)),
            LayerSource::Local { .. } | LayerSource::Memory(_) => None,
        });
        Self(remote.collect())
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        for path in &self.0 {
            // Most were never there, or are gone with another import of the same layer.
            let _ = fs::remove_file(path);
        }
    }
}

/// An overlay mount needs a layer, also for an image without one.
fn nothing() -> RecipeLayer {
    let archive = vec![0; 1024];
    RecipeLayer { diff_id: Digest::of(&archive), source: LayerSource::Memory(Arc::new(archive)) }
}
