//! One layer, from an archive to a directory that an overlay mount takes.
//!
//! The directory is private and has this one writer, so a path that was checked stays what it was. Anything that is
//! wrong ends the whole layer: the caller throws the directory away and nothing is left.

mod apply;
mod decode;
mod entries;
mod members;
mod path;
mod tree;

pub(crate) use apply::{Implied, Layer, Unpacked, unpack};
pub(crate) use members::{Member, Members};
pub(crate) use tree::is_opaque;

use std::{io, path::Path};

use self::path::PathFault;
use crate::{digest::Digest, fault::Fault};

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackFault {
    #[error("it names {path:?}: {why}")]
    Path { path: String, why: PathFault },
    #[error("its hard link {path:?} points to {target:?}: {why}")]
    LinkPath { path: String, target: String, why: PathFault },
    #[error("its hard link {path:?} points to {target:?}, which is not a file of this layer")]
    LinkTarget { path: String, target: String },
    #[error("its symbolic link {path:?} has a target that is empty, too long or holds a NUL byte")]
    SymlinkTarget { path: String },
    #[error("it writes {path:?} through a symbolic link of its own")]
    ThroughSymlink { path: String },
    #[error("it writes {path:?} below something that is no directory")]
    BelowFile { path: String },
    #[error(
        "it contains the device node {path:?} ({device}): devices of the host are never made from an image"
    )]
    Device { path: String, device: String },
    #[error("it contains {path:?}, {what}, which is not supported")]
    Unsupported { path: String, what: String },
    #[error("its entry {path:?} has the extended attribute {name:?}: {why}")]
    Xattr { path: String, name: String, why: &'static str },
    #[error("it replaces its own root by something that is no directory")]
    Root,
    #[error("it holds more than {0} bytes of files, the limit of this server")]
    Bytes(u64),
    #[error("it holds more than {0} files, the limit of this server")]
    Inodes(u64),
    #[error(
        "it unpacks to more than {ratio} times its {transferred} bytes, the limit of this server"
    )]
    Ratio { ratio: u64, transferred: u64 },
    #[error("an extended header in it is larger than {0} bytes, the limit of this server")]
    Header(u64),
    #[error("it is not a readable archive: {0}")]
    Archive(io::Error),
    #[error("it is cut off inside {path:?}")]
    CutOff { path: String },
    #[error("it unpacks to {found}, but the image's configuration says {expected}")]
    DiffId { expected: Digest, found: Digest },
    #[error("write {path:?}")]
    Disk { path: String, source: io::Error },
}

impl UnpackFault {
    /// As the asker sees it: the image's fault, except for what this machine's disk refused.
    pub(crate) fn of_layer(self, diff_id: &Digest) -> Fault {
        match self {
            Self::Disk { path, source } => {
                Fault::disk(format_args!("unpack {path:?} of layer {diff_id}"), &source)
            }
            fault => Fault::unusable(format!("its layer {diff_id} is refused: {fault}")),
        }
    }
}

/// For a message: readable whatever the archive holds, and not longer than a line.
fn shown(path: impl AsRef<[u8]>) -> String {
    let text = String::from_utf8_lossy(path.as_ref());
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn shown_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    shown(path.as_os_str().as_bytes())
}
