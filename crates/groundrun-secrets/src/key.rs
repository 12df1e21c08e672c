//! The file with the key that all values of a data directory are sealed with: 32 random bytes that nobody else can read.
//!
//! It is read anew each time: a key that was lost, or replaced by another, is noticed before a value is sealed with it.
//! A new key is made only where no value is, and never over a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use groundrun_store::Fingerprint;
use zeroize::Zeroizing;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Permission bits of the file: the owner's alone.
const MODE: u32 = 0o600;

/// The bytes of a key. Wiped when they go.
pub(crate) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Where the key is kept.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    origin: Origin,
}

/// Who makes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The server, when the first value is sealed.
    MadeHere,
    /// The user, who named it in the settings.
    Named,
}

/// Why there is no key. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// Values are there, and what opens them is not.
    #[error(
        "the key file {} is gone, and the secrets of this data directory are sealed with it: restore it from a copy. \
         Without it they cannot be read any more; once all of them are deleted, a new key is made", .0.display()
    )]
    Gone(PathBuf),
    /// The settings name a file that is not there.
    #[error(
        "the key file {path} that secrets_key_file names is not there: restore it, or make one with \
         `(umask 077; head -c 32 /dev/urandom > {path})`", path = .0.display()
    )]
    NotMade(PathBuf),
    /// Others can read or write it.
    #[error("the key file {path} is open to others (mode {mode:04o}): `chmod 600 {path}`", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is somebody else's.
    #[error(
        "the key file {} belongs to user {owner}, and this server runs as {us}: it must be the server's own",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// It is no key.
    #[error(
        "the key file {} is not a key: it must be a file of exactly {KEY_BYTES} bytes. Restore it from a copy",
        .0.display()
    )]
    Length(PathBuf),
    /// It is a key, and not the one.
    #[error(
        "the key file {} is not the one that the secrets of this data directory are sealed with: restore that one, or \
         name it with secrets_key_file", .0.display()
    )]
    Other(PathBuf),
    /// The system's word.
    #[error("{what} the key file {}: {source}", path.display())]
    Io {
        /// What was being done to it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl KeyFile {
    /// The file at `path`.
    #[must_use]
    pub fn new(path: PathBuf, origin: Origin) -> Self {
        Self { path, origin }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the key, if there is one.
    pub(crate) fn read(&self) -> Result<Option<KeyBytes>, KeyFault> {
        // A pipe in its place is not waited for.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("open", error)),
        };
        self.inspect(&file)?;
        let mut bytes = KeyBytes::default();
        file.read_exact(&mut *bytes).map_err(|error| self.io("read", error))?;
        Ok(Some(bytes))
    }

    fn inspect(&self, file: &File) -> Result<(), KeyFault> {
        let path = || self.path.clone();
        let metadata = file.metadata().map_err(|error| self.io("look at", error))?;
        if !metadata.is_file() || metadata.len() != KEY_BYTES as u64 {
            return Err(KeyFault::Length(path()));
        }
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us {
            return Err(KeyFault::Foreign { path: path(), owner: metadata.uid(), us });
        }
        match metadata.mode() & 0o7777 {
            mode if mode & 0o077 != 0 => Err(KeyFault::Open { path: path(), mode }),
            _ => Ok(()),
        }
    }

    /// What to say where there is no file and `values` are sealed with one, or a new one is not ours to make.
    pub(crate) fn missing(&self, values: Option<Fingerprint>) -> Option<KeyFault> {
        match (values, self.origin) {
            (_, Origin::Named) => Some(KeyFault::NotMade(self.path.clone())),
            (Some(_), Origin::MadeHere) => Some(KeyFault::Gone(self.path.clone())),
            (None, Origin::MadeHere) => None,
        }
    }

    /// Makes the file of `bytes`, unless somebody was faster: whole and on disk before its name is there.
    pub(crate) fn make(&self, bytes: &KeyBytes) -> Result<(), KeyFault> {
        let fresh = self.path.with_extension("new");
        // Of a server that was killed here; nothing was ever sealed with it.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.io("make", error));
            }
            _ => {}
        }
        let made = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&fresh);
        let written = made.and_then(|mut file| {
            file.write_all(&**bytes)?;
            file.sync_all()
        });
        let linked = written.and_then(|()| match fs::hard_link(&fresh, &self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        let removed = fs::remove_file(&fresh);
        linked.and(removed).map_err(|error| self.io("make", error))?;
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| self.io("make", error))
    }

    fn io(&self, what: &'static str, source: io::Error) -> KeyFault {
        KeyFault::Io { what, path: self.path.clone(), source }
    }
}
