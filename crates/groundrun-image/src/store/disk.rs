//! The store's directory: what is where, and how it becomes visible all at once.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use groundrun_core::process::ImageConfig;
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW};
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    fault::Fault,
    owners::{Owners, whose},
};

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// Another server has it.
    #[error(
        "the image store {0} is used by another server: stop it, or use another data directory"
    )]
    InUse(PathBuf),
    /// Its files belong to others.
    #[error(
        "the images at {path} were unpacked {theirs}, and this server runs {ours}: use another data directory, or remove this one as root"
    )]
    Owners {
        /// Where.
        path: PathBuf,
        /// For whom they were unpacked.
        theirs: String,
        /// Who asks.
        ours: String,
    },
    /// The disk says so.
    #[error("open the image store at {path}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// What is noted beside an unpacked layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LayerMeta {
    pub(super) bytes: u64,
    pub(super) inodes: u64,
    pub(super) depends_on_below: bool,
}

/// What is noted of a complete image. Layers from the lowest up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    pub(super) layers: Vec<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    env: Vec<(String, String)>,
    user: String,
    working_dir: String,
}

impl ImageRecord {
    pub(super) fn new(layers: Vec<String>, config: &ImageConfig) -> Self {
        let ImageConfig { entrypoint, cmd, env, user, working_dir } = config.clone();
        Self { layers, entrypoint, cmd, env, user, working_dir }
    }

    pub(super) fn config(&self) -> ImageConfig {
        let Self { layers: _, entrypoint, cmd, env, user, working_dir } = self.clone();
        ImageConfig { entrypoint, cmd, env, user, working_dir }
    }
}

/// A reference and what it meant.
#[derive(Serialize, Deserialize)]
struct NameRecord {
    name: String,
    digest: String,
}

/// The directory.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    owners: Owners,
    staged: AtomicU64,
    _lock: File,
}

/// A directory being written; removed unless it is published.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
}

impl Staging {
    /// A file of this name in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After publishing there is nothing here; what resists is swept at the next open.
        let _ = fs::remove_dir_all(&self.path);
    }
}

const FOLDERS: [&str; 6] = ["layers", "images", "names", "blobs", "staging", "trash"];

/// Name of the note to whom the files of layers belong.
const OWNERS: &str = "owners";

/// `None` where no layer is. Layers without a note are of a server that had no other owners than the machine's.
fn noted_owners(root: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(root.join(OWNERS)) {
        // A crash may have come between its making and its writing.
        Ok(note) if note.is_empty() => {}
        Ok(note) => return Ok(Some(note)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(err),
    }
    match fs::read_dir(root.join("layers")) {
        Ok(mut layers) => Ok(layers.next().map(|_| Owners::OfTheImage.written())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Folders whose content means nothing after a crash.
const FLEETING: [&str; 3] = ["blobs", "staging", "trash"];

impl Disk {
    pub(super) fn open(root: &Path, owners: Owners) -> Result<Self, OpenFault> {
        let failed = |source| OpenFault::Disk { path: root.to_owned(), source };
        // Before anything is made: what is another's stays as it is.
        let noted = noted_owners(root).map_err(failed)?;
        if let Some(noted) = &noted
            && *noted != owners.written()
        {
            let (theirs, ours) = (whose(noted), whose(&owners.written()));
            return Err(OpenFault::Owners { path: root.to_owned(), theirs, ours });
        }
        for folder in FOLDERS {
            // Only for root: an image may hold setuid programs.
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(root.join(folder)).map_err(failed)?;
        }
        fs::set_permissions(root, Permissions::from_mode(0o700)).map_err(failed)?;
        let lock = File::create(root.join("lock")).map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenFault::InUse(root.to_owned())),
            Err(errno) => return Err(failed(errno.into())),
        }
        if noted.is_none() {
            fs::write(root.join(OWNERS), owners.written()).map_err(failed)?;
        }
        let root = root.canonicalize().map_err(failed)?;
        let disk = Self { root, owners, staged: AtomicU64::new(0), _lock: lock };
        FLEETING.iter().try_for_each(|folder| disk.sweep(folder)).map_err(failed)?;
        Ok(disk)
    }

    pub(super) fn failed(&self, source: io::Error) -> OpenFault {
        OpenFault::Disk { path: self.root.clone(), source }
    }

    /// Removes everything in `folder`.
    pub(super) fn sweep(&self, folder: &str) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) fn owners(&self) -> &Owners {
        &self.owners
    }

    pub(super) fn tree(&self, layer: &str) -> PathBuf {
        self.root.join("layers").join(layer).join("tree")
    }

    /// Where a verified blob lies between its download and its unpacking.
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.hex())
    }

    pub(super) fn staging(&self) -> Result<Staging, Fault> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("staging").join(number.to_string());
        fs::create_dir(&path)
            .map_err(|err| Fault::disk(format_args!("make {}", path.display()), &err))?;
        Ok(Staging { path })
    }

    pub(super) fn publish_layer(
        &self,
        staging: Staging,
        name: &str,
        meta: &LayerMeta,
    ) -> Result<(), Fault> {
        let publish = || {
            fs::write(staging.file("meta.json"), serde_json::to_vec(meta)?)?;
            rustix::fs::syncfs(File::open(&staging.path)?)?;
            let layers = self.root.join("layers");
            fs::rename(&staging.path, layers.join(name))?;
            File::open(layers)?.sync_all()
        };
        publish().map_err(|err: io::Error| Fault::disk(format_args!("keep layer {name}"), &err))
    }

    /// Every layer and what is noted of it.
    pub(super) fn layers(&self) -> io::Result<Vec<(String, LayerMeta)>> {
        let mut layers = Vec::new();
        for entry in fs::read_dir(self.root.join("layers"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match read_json(&entry.path().join("meta.json"))? {
                Some(meta) => layers.push((name, meta)),
                None => self.discard_layer(&name)?,
            }
        }
        Ok(layers)
    }

    /// Out of sight at once; gone with the next sweep of the trash.
    pub(super) fn discard_layer(&self, name: &str) -> io::Result<()> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let trash = self.root.join("trash").join(number.to_string());
        fs::rename(self.root.join("layers").join(name), trash)
    }

    pub(super) fn write_image(&self, digest: &Digest, record: &ImageRecord) -> Result<(), Fault> {
        self.write(&self.image(digest), record, Durable::Yes)
            .map_err(|err| Fault::disk(format_args!("note image {digest}"), &err))
    }

    /// Every image record, the longest unused first.
    pub(super) fn images(&self) -> io::Result<Vec<(Digest, ImageRecord)>> {
        let mut images = Vec::new();
        for entry in fs::read_dir(self.root.join("images"))? {
            let entry = entry?;
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy()).parse();
            match (digest, read_json(&entry.path())?) {
                (Ok(digest), Some(record)) => {
                    images.push((entry.metadata()?.modified()?, digest, record));
                }
                _ => fs::remove_file(entry.path())?,
            }
        }
        images.sort_by_key(|(used, _, _)| *used);
        Ok(images.into_iter().map(|(_, digest, record)| (digest, record)).collect())
    }

    pub(super) fn remove_image(&self, digest: &Digest) -> io::Result<()> {
        fs::remove_file(self.image(digest))
    }

    /// Notes that it was used now. Only the order of collecting depends on it.
    pub(super) fn touch_image(&self, digest: &Digest) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let _ = rustix::fs::utimensat(CWD, self.image(digest), &times, AtFlags::empty());
    }

    pub(super) fn write_name(&self, name: &str, digest: &Digest) -> io::Result<()> {
        let record = NameRecord { name: name.to_owned(), digest: digest.to_string() };
        // Not worth a flush: what is lost is asked for again.
        self.write(&self.name(name), &record, Durable::No)
    }

    pub(super) fn remove_name(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.name(name))
    }

    pub(super) fn names(&self) -> io::Result<Vec<(String, Digest)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join("names"))? {
            let path = entry?.path();
            let record: Option<NameRecord> = read_json(&path)?;
            match record.map(|record| (record.name, record.digest.parse())) {
                Some((name, Ok(digest))) => names.push((name, digest)),
                _ => fs::remove_file(path)?,
            }
        }
        Ok(names)
    }

    fn image(&self, digest: &Digest) -> PathBuf {
        self.root.join("images").join(digest.hex())
    }

    fn name(&self, name: &str) -> PathBuf {
        self.root.join("names").join(Digest::of(name.as_bytes()).hex())
    }

    fn write(&self, path: &Path, record: &impl Serialize, durable: Durable) -> io::Result<()> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let staged = self.root.join("staging").join(number.to_string());
        let mut file = File::create(&staged)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        if durable == Durable::Yes {
            file.sync_all()?;
        }
        fs::rename(&staged, path)?;
        match (durable, path.parent()) {
            (Durable::Yes, Some(folder)) => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    Yes,
    No,
}

/// `None` when it is not there or not what we write.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}
