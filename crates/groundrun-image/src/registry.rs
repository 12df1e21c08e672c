//! Asks registries, by the OCI distribution protocol.
//!
//! Four questions: what does a tag mean, what is in a manifest, what is in a small blob, and a large blob please. Every
//! answer is bounded in time and in bytes, and checked against its digest.

mod auth;
mod client;
mod credentials;
mod download;

pub(crate) use client::Registry;

use crate::{
    digest::Digest,
    fault::Fault,
    import::Recipe,
    manifest::{self, ACCEPT, Blob, Document, Manifest, Platform},
    reference::Remote,
    settings::Limits,
};

/// An index may point to an index; nobody nests deeper.
const INDEXES_MAX: usize = 3;

impl Registry {
    /// What the tag means now: the digest of a manifest or of an index.
    pub(crate) async fn resolve(&self, remote: &Remote, limits: &Limits) -> Result<Digest, Fault> {
        let tag = remote.tag.as_deref().unwrap_or("latest");
        if let Some(digest) = self.head(remote, &format!("manifests/{tag}"), ACCEPT).await? {
            return Ok(digest);
        }
        // Some registries do not answer to HEAD, or without the digest.
        let path = format!("manifests/{tag}");
        let bytes = self.small(remote, &path, ACCEPT, limits.document_bytes).await?;
        Ok(Digest::of(&bytes))
    }

    /// The manifest for this machine behind the digest of a manifest or of an index, and its digest.
    pub(crate) async fn manifest(
        &self,
        remote: &Remote,
        digest: Digest,
        limits: &Limits,
    ) -> Result<(Digest, Manifest), Fault> {
        let mut digest = digest;
        for _ in 0..INDEXES_MAX {
            let path = format!("manifests/{digest}");
            let bytes = self.small(remote, &path, ACCEPT, limits.document_bytes).await?;
            verify(&bytes, &digest)?;
            match manifest::parse(&bytes)? {
                Document::Image(manifest) => return Ok((digest, manifest)),
                Document::Index(entries) => {
                    digest = manifest::choose(&entries, &Platform::here())?.blob()?.digest;
                }
            }
        }
        Err(Fault::unusable("its index points to an index, and that again"))
    }

    /// All that is needed to import the image with this manifest.
    pub(crate) async fn recipe(
        &self,
        remote: &Remote,
        digest: Digest,
        manifest: Manifest,
        limits: &Limits,
    ) -> Result<Recipe, Fault> {
        let Blob { digest: config, size } = manifest.config;
        if size > limits.document_bytes {
            return Err(too_large("configuration", limits.document_bytes));
        }
        let path = format!("blobs/{config}");
        let bytes = self.small(remote, &path, "*/*", limits.document_bytes).await?;
        verify(&bytes, &config)?;
        let configuration = manifest::configuration(&bytes, &Platform::here())?;
        Recipe::remote(digest, configuration, &manifest.layers, limits)
    }
}

fn verify(bytes: &[u8], expected: &Digest) -> Result<(), Fault> {
    let found = Digest::of(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(Fault::unusable(format!(
        "the registry is asked for {expected} and sends {found}: it is corrupt there, or was changed on the way"
    )))
}

fn too_large(what: &str, limit: u64) -> Fault {
    Fault::unusable(format!("its {what} is larger than {limit} bytes, the limit of this server"))
}
