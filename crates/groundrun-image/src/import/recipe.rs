//! All that is needed to import an image, wherever it comes from.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use groundrun_core::process::ImageConfig;

use crate::{
    digest::{Digest, Hasher},
    fault::Fault,
    manifest::{Blob, Configuration},
    settings::Limits,
};

/// An image to import. Layers from the lowest up.
pub(crate) struct Recipe {
    pub(crate) digest: Digest,
    pub(crate) layers: Vec<RecipeLayer>,
    pub(crate) run: ImageConfig,
}

/// One layer to import.
pub(crate) struct RecipeLayer {
    pub(crate) diff_id: Digest,
    pub(crate) source: LayerSource,
}

/// Where the bytes of a layer are.
#[derive(Clone)]
pub(crate) enum LayerSource {
    /// In the registry.
    Remote(Blob),
    /// In a file on this machine; with a blob, verified against it before it is unpacked.
    Local { section: Section, blob: Option<Blob> },
    /// In memory.
    Memory(Arc<Vec<u8>>),
}

impl Recipe {
    /// Layers by their blobs.
    pub(crate) fn remote(
        digest: Digest,
        configuration: Configuration,
        blobs: &[Blob],
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let sum = blobs.iter().fold(0u64, |sum, blob| sum.saturating_add(blob.size));
        if sum > limits.image_bytes {
            return Err(Fault::unusable(format!(
                "its layers are {sum} bytes, more than the {} this server takes",
                limits.image_bytes
            )));
        }
        let layers = blobs
            .iter()
            .zip(&configuration.diff_ids)
            .map(|(blob, diff_id)| RecipeLayer {
                diff_id: *diff_id,
                source: LayerSource::Remote(*blob),
            })
            .collect();
        Self::checked(digest, configuration, layers, blobs.len(), limits)
    }

    /// `found` layers must be as many as the configuration names.
    pub(crate) fn checked(
        digest: Digest,
        configuration: Configuration,
        layers: Vec<RecipeLayer>,
        found: usize,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let named = configuration.diff_ids.len();
        if found != named {
            return Err(Fault::unusable(format!(
                "it has {found} layers, but its configuration names {named}"
            )));
        }
        if found > limits.layers {
            return Err(Fault::unusable(format!(
                "it has {found} layers, more than the {} that can be mounted: squash it",
                limits.layers
            )));
        }
        Ok(Self { digest, layers, run: configuration.run })
    }

    /// What each layer is called together with all below it, by the rule of the OCI specification.
    pub(crate) fn chains(&self) -> Vec<Digest> {
        let mut chains: Vec<Digest> = Vec::with_capacity(self.layers.len());
        for RecipeLayer { diff_id, .. } in &self.layers {
            let chain = match chains.last() {
                None => *diff_id,
                Some(below) => {
                    let mut hasher = Hasher::default();
                    hasher.update(format!("{below} {diff_id}").as_bytes());
                    hasher.finish()
                }
            };
            chains.push(chain);
        }
        chains
    }
}

/// A part of a file. Clones read independently.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Section {
    pub(crate) fn whole(file: File, size: u64) -> Self {
        Self { file: Arc::new(file), at: 0, left: size }
    }

    /// `size` bytes from `offset` on.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Self {
        let left = size.min(self.left.saturating_sub(offset));
        Self { file: Arc::clone(&self.file), at: self.at + offset, left }
    }

    pub(crate) fn size(&self) -> u64 {
        self.left
    }
}

impl Read for Section {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut into[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
