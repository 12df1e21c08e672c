//! Reads one archive and writes one directory: decides what each entry means, and leaves the writing to the tree.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    PathFault, UnpackFault,
    decode::Stream,
    entries::{Entries, Head, Kind},
    path::{self, Entry, Meaning, Place},
    shown,
    tree::Tree,
};
use crate::{digest::Digest, owners::Owners, settings::Limits};

/// One layer to unpack.
pub(crate) struct Layer<R> {
    /// The bytes as transferred: gzip, zstd or plain.
    pub(crate) archive: R,
    /// How many they are.
    pub(crate) transferred: u64,
    /// Digest of the archive inside.
    pub(crate) diff_id: Digest,
    /// Trees of the layers below, the top first: directories that this layer does not describe are as there.
    pub(crate) below: Vec<PathBuf>,
}

/// What became of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Bytes of file content.
    pub(crate) bytes: u64,
    /// Files, directories and links.
    pub(crate) inodes: u64,
    /// Whether it holds directories that the archive does not describe: then it depends on the layers below.
    pub(crate) implied: Implied,
}

/// Whether a layer holds directories that its archive names only as the way to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Implied {
    None,
    Some,
}

/// Unpacks `layer` into the empty directory `root`. After an error the directory is garbage.
pub(crate) fn unpack<R: Read>(
    layer: Layer<R>,
    root: &Path,
    limits: &Limits,
    owners: &Owners,
) -> Result<Unpacked, UnpackFault> {
    let stream =
        Stream::new(layer.archive, layer.transferred, limits).map_err(UnpackFault::Archive)?;
    let mut tree = Tree::open(root, &layer.below, limits, owners)?;
    let mut entries = Entries::new(stream, limits);
    while let Some(head) = entries.next()? {
        apply(&head, &mut entries, &mut tree, limits)?;
    }
    let unpacked = tree.finish()?;
    let found = entries.into_stream().finish()?;
    if found != layer.diff_id {
        return Err(UnpackFault::DiffId { expected: layer.diff_id, found });
    }
    Ok(unpacked)
}

fn apply(
    head: &Head,
    entries: &mut Entries<'_>,
    tree: &mut Tree<'_>,
    limits: &Limits,
) -> Result<(), UnpackFault> {
    let refuse = |why| UnpackFault::Path { path: shown(&head.path), why };
    let entry = match path::place(&head.path, limits.path_bytes).map_err(refuse)? {
        Place::Root if head.kind == Kind::Directory => return tree.root(head),
        Place::Root => return Err(UnpackFault::Root),
        Place::Below(entry) => entry,
    };
    match path::meaning(&entry.name).map_err(refuse)? {
        Meaning::Itself => {}
        Meaning::Note => return Ok(()),
        Meaning::Opaque => return tree.opaque(&entry.parent),
        Meaning::Gone(name) => return tree.gone(&Entry { parent: entry.parent, name }),
    }
    match head.kind {
        Kind::File => tree.file(&entry, head, entries),
        Kind::Directory => tree.directory(&entry, head),
        Kind::Symlink => tree.symlink(&entry, head),
        Kind::Fifo => tree.fifo(&entry, head),
        Kind::HardLink => tree.hard_link(&entry, &link_target(head, limits)?),
        Kind::Device { class, major, minor } => Err(UnpackFault::Device {
            path: shown(&head.path),
            device: format!("{class} {major}:{minor}"),
        }),
    }
}

/// A hard link names a file of the same archive, by the rules for entries.
fn link_target(head: &Head, limits: &Limits) -> Result<Entry, UnpackFault> {
    let refuse = |why: PathFault| UnpackFault::LinkPath {
        path: shown(&head.path),
        target: shown(&head.target),
        why,
    };
    match path::place(&head.target, limits.path_bytes).map_err(refuse)? {
        Place::Below(target) => Ok(target),
        Place::Root => {
            Err(UnpackFault::LinkTarget { path: shown(&head.path), target: shown(&head.target) })
        }
    }
}
