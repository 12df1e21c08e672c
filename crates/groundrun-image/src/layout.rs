//! `oci:PATH[:tag]`: an image in a directory of the OCI image layout.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use rustix::fs::{FileType, Mode, OFlags};

use crate::{
    digest::{Digest, Hasher},
    fault::Fault,
    import::{LayerSource, Recipe, Section},
    manifest::{self, Blob, Descriptor, Document, Manifest, Platform},
    settings::Limits,
};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An index may point to an index; nobody nests deeper.
const INDEXES_MAX: usize = 3;

/// All that is needed to import the image.
pub(crate) fn recipe(path: &Path, tag: Option<&str>, limits: &Limits) -> Result<Recipe, Fault> {
    let (digest, manifest) = manifest(path, tag, limits)?;
    let configuration = document(path, &manifest.config, limits)?;
    let configuration = manifest::configuration(&configuration, &Platform::here())?;
    let mut recipe = Recipe::remote(digest, configuration, &manifest.layers, limits)?;
    for (layer, blob) in recipe.layers.iter_mut().zip(&manifest.layers) {
        layer.source = LayerSource::Local { section: section(path, blob)?, blob: Some(*blob) };
    }
    Ok(recipe)
}

/// The manifest for this machine, and its digest.
pub(crate) fn manifest(
    path: &Path,
    tag: Option<&str>,
    limits: &Limits,
) -> Result<(Digest, Manifest), Fault> {
    let index = path.join("index.json");
    let bytes = open(&index).and_then(|file| small(file, limits.document_bytes));
    let bytes = bytes.map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => Fault::missing(format!(
            "there is no OCI layout at {}: a directory with index.json and blobs",
            path.display()
        )),
        io::ErrorKind::PermissionDenied => Fault::denied(format!("{}: {err}", index.display())),
        _ => Fault::unusable(format!("{}: {err}", index.display())),
    })?;
    let Document::Index(entries) = manifest::parse(&bytes)? else {
        return Err(Fault::unusable(format!("{} is no index", index.display())));
    };
    let mut blob = pick(&entries, tag)?.blob()?;
    for _ in 0..INDEXES_MAX {
        match manifest::parse(&document(path, &blob, limits)?)? {
            Document::Image(manifest) => return Ok((blob.digest, manifest)),
            Document::Index(entries) => {
                blob = manifest::choose(&entries, &Platform::here())?.blob()?;
            }
        }
    }
    Err(Fault::unusable("its index points to an index, and that again"))
}

fn pick<'a>(entries: &'a [Descriptor], tag: Option<&str>) -> Result<&'a Descriptor, Fault> {
    let name = |entry: &'a Descriptor| entry.annotations.as_ref()?.get(REF_NAME);
    let found = match (tag, entries) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(tag), entries) => entries.iter().find(|entry| name(entry).is_some_and(|n| n == tag)),
    };
    found.ok_or_else(|| {
        let names: Vec<_> = entries.iter().filter_map(name).map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        match tag {
            Some(tag) => Fault::missing(format!(
                "the OCI layout has no image {tag:?}; its named images: {names}"
            )),
            None => Fault::missing(format!(
                "the OCI layout has {} images: say which, as oci:PATH:NAME; its named images: {names}",
                entries.len()
            )),
        }
    })
}

/// A small blob, verified.
fn document(path: &Path, blob: &Blob, limits: &Limits) -> Result<Vec<u8>, Fault> {
    let bytes = open(&file(path, &blob.digest)).and_then(|file| small(file, limits.document_bytes));
    let bytes = bytes.map_err(|err| incomplete(&blob.digest, &err))?;
    check(&blob.digest, Digest::of(&bytes))?;
    Ok(bytes)
}

fn section(path: &Path, blob: &Blob) -> Result<Section, Fault> {
    let file = open(&file(path, &blob.digest)).map_err(|err| incomplete(&blob.digest, &err))?;
    let found = file.metadata().map_err(|err| incomplete(&blob.digest, &err))?.len();
    if found != blob.size {
        return Err(Fault::unusable(format!(
            "blob {} of the OCI layout has {found} bytes, its manifest says {}: it is corrupt",
            blob.digest, blob.size
        )));
    }
    Ok(Section::whole(file, found))
}

/// Reads `section` once, to see that it is what its manifest says.
pub(crate) fn verify(section: &Section, blob: &Blob) -> Result<(), Fault> {
    let mut section = section.clone();
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match section.read(&mut buffer).map_err(|err| incomplete(&blob.digest, &err))? {
            0 => return check(&blob.digest, hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn check(expected: &Digest, found: Digest) -> Result<(), Fault> {
    if found == *expected {
        return Ok(());
    }
    Err(Fault::unusable(format!("blob {expected} of the OCI layout is corrupt: it is {found}")))
}

fn incomplete(digest: &Digest, err: &io::Error) -> Fault {
    Fault::unusable(format!("blob {digest} of the OCI layout cannot be read: {err}"))
}

fn file(path: &Path, digest: &Digest) -> std::path::PathBuf {
    path.join("blobs/sha256").join(digest.hex())
}

/// Opens a regular file. A FIFO of that name would hold the opener.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let mode = rustix::fs::fstat(&file)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file.into())
}

/// A whole file that is held in memory.
pub(crate) fn small(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes)?;
    if read as u64 > limit {
        return Err(io::Error::other(format!("more than {limit} bytes, the limit of this server")));
    }
    Ok(bytes)
}
