//! From a reference to an image that can be mounted: resolve, download, unpack, keep.

mod fetch;
mod recipe;

pub(crate) use fetch::Transfer;
pub(crate) use recipe::{LayerSource, Recipe, RecipeLayer, Section};

use std::{collections::HashMap, fs::File, sync::Arc};

use groundrun_core::port::{ImageFaultKind, ImportedImage};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{
    archive,
    built_in::Brought,
    digest::Digest,
    fault::Fault,
    layout,
    reference::{self, Reference, Remote},
    registry::Registry,
    settings::{Limits, Settings},
    store::ImageStore,
};

/// Blobs downloaded at once, of all imports together: as docker, twice its three.
const DOWNLOADS_MAX: usize = 6;

/// Layers unpacked at once, of all imports together: creating files is bound by one disk.
const UNPACKS_MAX: usize = 2;

/// Imports images into a store.
pub(crate) struct Importer {
    store: Arc<ImageStore>,
    registry: Registry,
    built_ins: HashMap<Reference, Arc<Brought>>,
    aliases: HashMap<Reference, Reference>,
    limits: Arc<Limits>,
    downloads: Semaphore,
    unpacks: Arc<Semaphore>,
    locks: fetch::Locks,
}

impl Importer {
    /// Fails on settings that mean nothing; the message says which.
    pub(crate) fn new(store: Arc<ImageStore>, settings: Settings) -> Result<Self, String> {
        if settings.aliases.len() > Settings::ALIASES_MAX {
            return Err(format!("more than {} image aliases", Settings::ALIASES_MAX));
        }
        let parse = |text: &str| text.parse::<Reference>().map_err(|err| err.to_string());
        let registry = Registry::new(&settings)
            .map_err(|why| format!("the certificates for registries: {why}"))?;
        let aliases = settings
            .aliases
            .iter()
            .map(|(from, to)| Ok((parse(from)?, parse(to)?)))
            .collect::<Result<_, String>>()?;
        let built_ins = settings
            .built_ins
            .into_iter()
            .map(|image| Ok((parse(&image.reference)?, Arc::new(Brought::new(image)))))
            .collect::<Result<_, String>>()?;
        Ok(Self {
            store,
            registry,
            built_ins,
            aliases,
            limits: Arc::new(settings.limits),
            downloads: Semaphore::new(DOWNLOADS_MAX),
            unpacks: Arc::new(Semaphore::new(UNPACKS_MAX)),
            locks: fetch::Locks::default(),
        })
    }

    pub(crate) fn store(&self) -> &Arc<ImageStore> {
        &self.store
    }

    /// The answer where it needs neither network nor disk; `None` where it might. On the path of every `:run`.
    pub(crate) fn at_once(&self, image: &str) -> Option<ImportedImage> {
        let digest = match self.meaning(image).ok()? {
            Meaning::Here(digest) => digest,
            Meaning::Brought(brought) => brought.digest().ok()?,
            Meaning::Remote(remote) => self.known_digest(remote.digest.as_ref()?)?,
            Meaning::Layout { .. } | Meaning::Archive { .. } => return None,
        };
        self.store.is_present(&digest).then(|| imported(digest, None))
    }

    /// Makes the image mountable.
    pub(crate) async fn import(
        &self,
        image: &str,
        transfer: &Transfer,
    ) -> Result<ImportedImage, Fault> {
        if let Some(imported) = self.at_once(image) {
            return Ok(imported);
        }
        match self.meaning(image)? {
            Meaning::Here(digest) => Err(Fault::missing(format!(
                "image {digest} is not on this machine any more, and a digest alone does not say where it came from"
            ))),
            Meaning::Brought(brought) => {
                let limits = Arc::clone(&self.limits);
                let recipe = blocking(move || brought.recipe(&limits)).await?;
                self.complete(recipe, None, transfer).await.map(|digest| imported(digest, None))
            }
            Meaning::Layout { path, tag } => {
                let limits = Arc::clone(&self.limits);
                let recipe =
                    blocking(move || layout::recipe(&path, tag.as_deref(), &limits)).await?;
                self.complete(recipe, None, transfer).await.map(|digest| imported(digest, None))
            }
            Meaning::Archive { path, image } => self.archive(path, image, transfer).await,
            Meaning::Remote(remote) => self.remote(&remote, transfer).await,
        }
    }

    /// Whether the image can be had. Nothing is downloaded beyond manifests.
    pub(crate) async fn check(&self, image: &str) -> Result<(), Fault> {
        if self.at_once(image).is_some() {
            return Ok(());
        }
        match self.meaning(image)? {
            Meaning::Here(digest) => {
                Err(Fault::missing(format!("image {digest} is not on this machine")))
            }
            Meaning::Brought(_) => Ok(()),
            Meaning::Layout { path, tag } => {
                let limits = Arc::clone(&self.limits);
                blocking(move || layout::manifest(&path, tag.as_deref(), &limits)).await.map(drop)
            }
            Meaning::Archive { path, .. } => blocking(move || archive::open(&path)).await.map(drop),
            Meaning::Remote(remote) => {
                let (digest, _) = self.resolve(&remote).await?;
                if self.known_digest(&digest).is_some() {
                    return Ok(());
                }
                self.registry.manifest(&remote, digest, &self.limits).await.map(drop)
            }
        }
    }

    fn meaning(&self, image: &str) -> Result<Meaning, Fault> {
        let written: Reference = image.parse().map_err(|err| Fault::unusable(format!("{err}")))?;
        let reference = self.aliases.get(&written).unwrap_or(&written);
        if let Some(brought) = self.built_ins.get(reference) {
            return Ok(Meaning::Brought(Arc::clone(brought)));
        }
        Ok(match reference.clone() {
            Reference::Here(digest) => Meaning::Here(digest),
            Reference::Remote(remote) if self.brings_all_of(&remote.registry) => {
                let names: Vec<String> = self.built_ins.keys().map(ToString::to_string).collect();
                let names = names.join(", ");
                return Err(Fault::missing(format!("what is built in is {names}")));
            }
            Reference::Remote(remote) => Meaning::Remote(remote),
            Reference::Layout { path, tag } => Meaning::Layout { path, tag },
            Reference::Archive { path, image } => Meaning::Archive { path, image },
        })
    }

    /// Is it the name under which the program's own images go? There is no such registry to ask.
    fn brings_all_of(&self, registry: &str) -> bool {
        let own = |built_in: &Reference| match built_in {
            Reference::Remote(remote) => remote.registry == registry,
            _ => false,
        };
        registry != reference::DOCKER_HUB && self.built_ins.keys().any(own)
    }

    async fn remote(&self, remote: &Remote, transfer: &Transfer) -> Result<ImportedImage, Fault> {
        let (asked, stale) = self.resolve(remote).await?;
        if let Some(digest) = self.known_digest(&asked) {
            self.remember(remote, asked, digest);
            return Ok(imported(digest, stale));
        }
        let whole = async {
            let (digest, manifest) = self.registry.manifest(remote, asked, &self.limits).await?;
            // Another tag, or the index of another repository, may have brought it.
            if self.store.is_present(&digest) {
                return Ok(digest);
            }
            let recipe = self.registry.recipe(remote, digest, manifest, &self.limits).await?;
            self.complete(recipe, Some(remote), transfer).await
        };
        let limit = self.registry.whole();
        let digest = tokio::time::timeout(limit, whole).await.map_err(|_| {
            Fault::unreachable(format!(
                "registry {} did not send the image within {} s",
                remote.registry,
                limit.as_secs()
            ))
        })??;
        self.remember(remote, asked, digest);
        Ok(imported(digest, stale))
    }

    /// What the reference means now: the digest of a manifest or an index; and why that may be out of date.
    async fn resolve(&self, remote: &Remote) -> Result<(Digest, Option<String>), Fault> {
        if let Some(digest) = remote.digest {
            return Ok((digest, None));
        }
        match self.registry.resolve(remote, &self.limits).await {
            Ok(digest) => Ok((digest, None)),
            Err(fault) if fault.kind == ImageFaultKind::Unreachable => {
                match self.store.known(&remote.to_string()) {
                    Some(digest) => Ok((
                        digest,
                        Some(format!(
                            "{fault}. {remote} is used as it was when last asked: {digest}"
                        )),
                    )),
                    None => Err(fault),
                }
            }
            Err(fault) => Err(fault),
        }
    }

    /// The image on this machine behind the digest of a manifest or an index.
    fn known_digest(&self, digest: &Digest) -> Option<Digest> {
        if self.store.is_present(digest) {
            return Some(*digest);
        }
        self.store.known(&digest.to_string())
    }

    fn remember(&self, remote: &Remote, asked: Digest, digest: Digest) {
        if remote.digest.is_none() {
            self.store.remember(&remote.to_string(), digest);
        }
        if asked != digest {
            self.store.remember(&asked.to_string(), digest);
        }
    }

    async fn archive(
        &self,
        path: std::path::PathBuf,
        image: Option<String>,
        transfer: &Transfer,
    ) -> Result<ImportedImage, Fault> {
        let opened = {
            let path = path.clone();
            blocking(move || archive::open(&path)).await?
        };
        let name = format!(
            "docker-archive:{}:{}#{}",
            path.display(),
            image.as_deref().unwrap_or_default(),
            opened.identity
        );
        if let Some(digest) = self.store.known(&name) {
            return Ok(imported(digest, None));
        }
        // Removed when the layers are unpacked.
        let staging = self.store.staging()?;
        let plain = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(staging.file("plain"))
            .map_err(|err| Fault::disk("make a file for the docker archive", &err))?;
        let limits = Arc::clone(&self.limits);
        let recipe =
            blocking(move || archive::recipe(opened, image.as_deref(), &plain, &limits)).await?;
        let digest = self.complete(recipe, None, transfer).await?;
        drop(staging);
        self.store.remember(&name, digest);
        Ok(imported(digest, None))
    }
}

/// A reference with aliases and built-in images resolved.
enum Meaning {
    Here(Digest),
    Brought(Arc<Brought>),
    Remote(Remote),
    Layout { path: std::path::PathBuf, tag: Option<String> },
    Archive { path: std::path::PathBuf, image: Option<String> },
}

fn imported(digest: Digest, stale: Option<String>) -> ImportedImage {
    ImportedImage { digest: digest.to_string(), stale }
}

/// Runs what waits for a disk, or computes for long, on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(err) => Err(Fault::unusable(format!("reading it failed in this server: {err}"))),
    }
}
