//! The directory that a layer is unpacked into. Every name is reached from its root by openat2, which follows no
//! symbolic link and does not leave the tree.

use std::{
    collections::HashMap,
    fs::File,
    io::Write as _,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps,
        UTIME_OMIT, XattrFlags,
    },
    io::Errno,
    process::{Gid, Uid},
};

use super::{
    UnpackFault,
    apply::{Implied, Unpacked},
    entries::{Entries, Head, Time},
    path::{Entry, steps},
    shown, shown_path,
};
use crate::{owners::Owners, settings::Limits};

/// Written at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Longest target of a symbolic link that the kernel takes.
const TARGET_MAX: usize = 4095;

/// A tree being written.
pub(crate) struct Tree<'l> {
    path: PathBuf,
    root: OwnedFd,
    below: Vec<OwnedFd>,
    limits: &'l Limits,
    owners: &'l Owners,
    /// The directory of the last entry: archives list directories together.
    last: Option<(PathBuf, OwnedFd)>,
    /// Set at the end, for writing into a directory changes it.
    modified: HashMap<PathBuf, Time>,
    buffer: Vec<u8>,
    unpacked: Unpacked,
}

/// What was at a name before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Was {
    Nothing,
    Directory,
    /// A whiteout of ours: no other device is ever made.
    Whiteout,
    Other,
}

impl<'l> Tree<'l> {
    pub(crate) fn open(
        path: &Path,
        below: &[PathBuf],
        limits: &'l Limits,
        owners: &'l Owners,
    ) -> Result<Self, UnpackFault> {
        let open = |path: &Path| {
            fs::openat(CWD, path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| disk(path, errno))
        };
        let root = open(path)?;
        let (uid, gid) = ids(owners, 0, 0);
        fs::fchown(&root, Some(uid), Some(gid)).map_err(|errno| disk(path, errno))?;
        Ok(Self {
            path: path.to_owned(),
            root,
            below: below.iter().map(|tree| open(tree)).collect::<Result<_, _>>()?,
            limits,
            owners,
            last: None,
            modified: HashMap::new(),
            buffer: vec![0; BUFFER_BYTES],
            unpacked: Unpacked { bytes: 0, inodes: 0, implied: Implied::None },
        })
    }

    pub(crate) fn root(&mut self, head: &Head) -> Result<(), UnpackFault> {
        dress(self.root.as_fd(), head, self.owners)?;
        self.modified.insert(PathBuf::new(), head.modified);
        Ok(())
    }

    pub(crate) fn directory(&mut self, entry: &Entry, head: &Head) -> Result<(), UnpackFault> {
        let was = self.make_directory(entry)?;
        let path = entry.path();
        let directory = self.open_directory(&path).map_err(|errno| disk(&path, errno))?;
        dress(directory.as_fd(), head, self.owners)?;
        if was == Was::Whiteout {
            mark_opaque(directory.as_fd(), &path, self.owners)?;
        }
        self.modified.insert(path, head.modified);
        Ok(())
    }

    pub(crate) fn file(
        &mut self,
        entry: &Entry,
        head: &Head,
        entries: &mut Entries<'_>,
    ) -> Result<(), UnpackFault> {
        let failed = |errno| disk(&entry.path(), errno);
        self.vacate(entry)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let parent = self.parent(&entry.parent)?;
        let mut file: File =
            fs::openat(parent, &entry.name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?.into();
        loop {
            let read = entries.read(&mut self.buffer, &head.path)?;
            if read == 0 {
                break;
            }
            self.unpacked.bytes += read as u64;
            if self.unpacked.bytes > self.limits.layer_bytes {
                return Err(UnpackFault::Bytes(self.limits.layer_bytes));
            }
            file.write_all(&self.buffer[..read])
                .map_err(|source| UnpackFault::Disk { path: shown(&head.path), source })?;
        }
        dress(file.as_fd(), head, self.owners)?;
        fs::futimens(&file, &times(head.modified)).map_err(failed)
    }

    pub(crate) fn symlink(&mut self, entry: &Entry, head: &Head) -> Result<(), UnpackFault> {
        if head.target.is_empty() || head.target.len() > TARGET_MAX || head.target.contains(&0) {
            return Err(UnpackFault::SymlinkTarget { path: shown(&head.path) });
        }
        self.vacate(entry)?;
        let owners = self.owners;
        let parent = self.parent(&entry.parent)?;
        fs::symlinkat(head.target.as_slice(), parent, &entry.name)
            .and_then(|()| dress_by_name(parent, entry, head, owners))
            .map_err(|errno| disk(&entry.path(), errno))
    }

    pub(crate) fn fifo(&mut self, entry: &Entry, head: &Head) -> Result<(), UnpackFault> {
        self.vacate(entry)?;
        let owners = self.owners;
        let parent = self.parent(&entry.parent)?;
        let mode = Mode::from_raw_mode(head.mode);
        fs::mknodat(parent, &entry.name, FileType::Fifo, mode, 0)
            .and_then(|()| dress_by_name(parent, entry, head, owners))
            .and_then(|()| fs::chmodat(parent, &entry.name, mode, AtFlags::empty()))
            .map_err(|errno| disk(&entry.path(), errno))
    }

    pub(crate) fn hard_link(&mut self, entry: &Entry, target: &Entry) -> Result<(), UnpackFault> {
        let not_ours = || UnpackFault::LinkTarget {
            path: shown_path(&entry.path()),
            target: shown_path(&target.path()),
        };
        if entry == target {
            return Err(not_ours());
        }
        let from = match self.open_directory(&target.parent) {
            Ok(from) => from,
            Err(Errno::LOOP) => {
                return Err(UnpackFault::ThroughSymlink { path: shown_path(&target.path()) });
            }
            Err(_) => return Err(not_ours()),
        };
        match stat(from.as_fd(), target).map(|found| found.as_ref().map_or(Was::Nothing, was)) {
            Ok(Was::Other) => {}
            Ok(_) => return Err(not_ours()),
            Err(errno) => return Err(disk(&target.path(), errno)),
        }
        self.vacate(entry)?;
        let to = self.parent(&entry.parent)?;
        fs::linkat(&from, &target.name, to, &entry.name, AtFlags::empty()).map_err(|errno| {
            if errno == Errno::NOENT { not_ours() } else { disk(&entry.path(), errno) }
        })
    }

    /// Nothing of the layers below is in `directory`.
    pub(crate) fn opaque(&mut self, directory: &Path) -> Result<(), UnpackFault> {
        self.parent(directory)?;
        let opened = self.open_directory(directory).map_err(|errno| disk(directory, errno))?;
        mark_opaque(opened.as_fd(), directory, self.owners)
    }

    /// `entry` of the layers below is gone; what this layer itself has there stays.
    pub(crate) fn gone(&mut self, entry: &Entry) -> Result<(), UnpackFault> {
        let failed = |errno| disk(&entry.path(), errno);
        let parent = self.parent(&entry.parent)?;
        match stat(parent, entry).map_err(failed)?.as_ref().map_or(Was::Nothing, was) {
            Was::Nothing => {
                fs::mknodat(parent, &entry.name, FileType::CharacterDevice, Mode::empty(), 0)
                    .map_err(failed)?;
                self.count()
            }
            Was::Directory => self.opaque(&entry.path()),
            Was::Whiteout | Was::Other => Ok(()),
        }
    }

    /// Sets what can be set only when nothing more is written.
    pub(crate) fn finish(self) -> Result<Unpacked, UnpackFault> {
        for (path, modified) in &self.modified {
            match self.open_directory(path) {
                Ok(directory) => fs::futimens(&directory, &times(*modified))
                    .map_err(|errno| disk(path, errno))?,
                // Replaced by a later entry of the same name.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(disk(path, errno)),
            }
        }
        Ok(self.unpacked)
    }

    /// The directory that an entry is in, made where the archive did not.
    fn parent(&mut self, path: &Path) -> Result<BorrowedFd<'_>, UnpackFault> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            self.last = None;
            let directory = match self.open_directory(path) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    self.imply(path)?;
                    self.open_directory(path).map_err(|errno| disk(path, errno))?
                }
                Err(Errno::LOOP) => {
                    return Err(UnpackFault::ThroughSymlink { path: shown_path(path) });
                }
                Err(errno) => return Err(disk(path, errno)),
            };
            self.last = Some((path.to_owned(), directory));
        }
        let (_, directory) = self.last.as_ref().expect("it was set above");
        Ok(directory.as_fd())
    }

    /// Makes the missing directories on the way to `path`, looking as in the layers below.
    fn imply(&mut self, path: &Path) -> Result<(), UnpackFault> {
        for step in steps(path) {
            match self.open_directory(step) {
                Ok(_) => continue,
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(Errno::LOOP) => {
                    return Err(UnpackFault::ThroughSymlink { path: shown_path(path) });
                }
                Err(errno) => return Err(disk(step, errno)),
            }
            let entry = Entry {
                parent: step.parent().unwrap_or(Path::new("")).to_owned(),
                name: step.file_name().expect("a step has a name").to_owned(),
            };
            self.unpacked.implied = Implied::Some;
            let was = self.make_implied(&entry)?;
            let made = self.open_directory(step).map_err(|errno| disk(step, errno))?;
            if was == Was::Whiteout {
                mark_opaque(made.as_fd(), step, self.owners)?;
            } else if let Some((lower, looks)) = self.below(step) {
                copy_looks(lower.as_fd(), &looks, made.as_fd())
                    .map_err(|errno| disk(step, errno))?;
                let seconds = looks.st_mtime;
                let nanoseconds = u32::try_from(looks.st_mtime_nsec).unwrap_or_default();
                self.modified.insert(step.to_owned(), Time { seconds, nanoseconds });
            }
        }
        Ok(())
    }

    fn make_implied(&mut self, entry: &Entry) -> Result<Was, UnpackFault> {
        let parent = self.open_directory(&entry.parent).map_err(|e| disk(&entry.parent, e))?;
        let found = stat(parent.as_fd(), entry).map_err(|errno| disk(&entry.path(), errno))?;
        if found.as_ref().map_or(Was::Nothing, was) == Was::Other {
            return Err(UnpackFault::BelowFile { path: shown_path(&entry.path()) });
        }
        self.make_directory(entry)
    }

    /// The topmost directory of this name in the layers below.
    fn below(&self, path: &Path) -> Option<(OwnedFd, Stat)> {
        for tree in &self.below {
            match open_directory(tree, path) {
                Ok(directory) => return fs::fstat(&directory).ok().map(|stat| (directory, stat)),
                Err(Errno::NOENT) => {}
                Err(_) => return None,
            }
        }
        None
    }

    fn make_directory(&mut self, entry: &Entry) -> Result<Was, UnpackFault> {
        let failed = |errno| disk(&entry.path(), errno);
        let (uid, gid) = ids(self.owners, 0, 0);
        let parent = self.parent(&entry.parent)?;
        let was = stat(parent, entry).map_err(failed)?.as_ref().map_or(Was::Nothing, was);
        match was {
            Was::Directory => return Ok(was),
            Was::Nothing => {}
            Was::Whiteout | Was::Other => {
                fs::unlinkat(parent, &entry.name, AtFlags::empty()).map_err(failed)?;
            }
        }
        let mode = Mode::from_raw_mode(0o755);
        fs::mkdirat(parent, &entry.name, mode)
            .and_then(|()| {
                fs::chownat(parent, &entry.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            })
            .and_then(|()| fs::chmodat(parent, &entry.name, mode, AtFlags::empty()))
            .map_err(failed)?;
        self.count()?;
        Ok(was)
    }

    /// Removes what is at the place of a file, as an archive that names it twice asks for.
    fn vacate(&mut self, entry: &Entry) -> Result<(), UnpackFault> {
        let failed = |errno| disk(&entry.path(), errno);
        let parent = self.parent(&entry.parent)?;
        match stat(parent, entry).map_err(failed)?.as_ref().map_or(Was::Nothing, was) {
            Was::Nothing => {}
            Was::Whiteout | Was::Other => {
                fs::unlinkat(parent, &entry.name, AtFlags::empty()).map_err(failed)?;
            }
            Was::Directory => {
                // The way to it was just opened without a symbolic link, and nobody else writes here.
                let path = self.path.join(entry.path());
                std::fs::remove_dir_all(&path)
                    .map_err(|source| UnpackFault::Disk { path: shown_path(&path), source })?;
                self.last = None;
            }
        }
        self.count()
    }

    fn count(&mut self) -> Result<(), UnpackFault> {
        self.unpacked.inodes += 1;
        if self.unpacked.inodes > self.limits.layer_inodes {
            return Err(UnpackFault::Inodes(self.limits.layer_inodes));
        }
        Ok(())
    }

    fn open_directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        open_directory(&self.root, path)
    }
}

fn open_directory(root: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let inside = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat2(root, path, flags, Mode::empty(), inside)
}

fn stat(parent: BorrowedFd<'_>, entry: &Entry) -> Result<Option<Stat>, Errno> {
    match fs::statat(parent, &entry.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn was(stat: &Stat) -> Was {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Was::Directory,
        FileType::CharacterDevice => Was::Whiteout,
        _ => Was::Other,
    }
}

/// Owner, then mode (a change of owner takes setuid away), then attributes (it takes capabilities away too).
fn dress(fd: BorrowedFd<'_>, head: &Head, owners: &Owners) -> Result<(), UnpackFault> {
    let (uid, gid) = ids(owners, head.uid, head.gid);
    fs::fchown(fd, Some(uid), Some(gid))
        .and_then(|()| fs::fchmod(fd, Mode::from_raw_mode(head.mode)))
        .map_err(|errno| UnpackFault::Disk { path: shown(&head.path), source: errno.into() })?;
    for (name, value) in &head.xattrs {
        match xattr(name) {
            Xattr::Ignored => {}
            Xattr::Refused(why) => {
                return Err(UnpackFault::Xattr { path: shown(&head.path), name: shown(name), why });
            }
            Xattr::Taken => {
                let value = owners.attribute(name, value);
                fs::fsetxattr(fd, name.as_slice(), &value, XattrFlags::empty()).map_err(
                    |errno| UnpackFault::Disk {
                        path: format!("{} (extended attribute {})", shown(&head.path), shown(name)),
                        source: errno.into(),
                    },
                )?;
            }
        }
    }
    Ok(())
}

/// Owner and time of what cannot be opened.
fn dress_by_name(
    parent: BorrowedFd<'_>,
    entry: &Entry,
    head: &Head,
    owners: &Owners,
) -> Result<(), Errno> {
    let (uid, gid) = ids(owners, head.uid, head.gid);
    let itself = AtFlags::SYMLINK_NOFOLLOW;
    fs::chownat(parent, &entry.name, Some(uid), Some(gid), itself)?;
    fs::utimensat(parent, &entry.name, &times(head.modified), itself)
}

/// What is done with an extended attribute of an image.
#[derive(Debug, PartialEq, Eq)]
enum Xattr {
    Taken,
    Ignored,
    Refused(&'static str),
}

fn xattr(name: &[u8]) -> Xattr {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => {
            Xattr::Taken
        }
        // Labels of the machine that built the image say nothing here.
        b"security.selinux" | b"security.ima" | b"security.evm" | b"system.nfs4_acl" => {
            Xattr::Ignored
        }
        _ if name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.") => {
            Xattr::Refused("it would steer the mount of the layers, or belongs to the host")
        }
        _ if name.starts_with(b"user.") && name.len() > b"user.".len() && !name.contains(&0) => {
            Xattr::Taken
        }
        _ => Xattr::Refused("only user.*, security.capability and POSIX ACLs are supported"),
    }
}

fn copy_looks(from: BorrowedFd<'_>, looks: &Stat, to: BorrowedFd<'_>) -> Result<(), Errno> {
    fs::fchown(to, Some(Uid::from_raw(looks.st_uid)), Some(Gid::from_raw(looks.st_gid)))?;
    fs::fchmod(to, Mode::from_raw_mode(looks.st_mode & 0o7777))?;
    let mut names = vec![0; fs::flistxattr_query(from)?];
    let length = fs::flistxattr(from, &mut names)?;
    for name in names[..length].split(|&byte| byte == 0) {
        if !name.is_empty() && xattr(name) == Xattr::Taken {
            let mut value = vec![0; fs::fgetxattr_query(from, name)?];
            let length = fs::fgetxattr(from, name, &mut value)?;
            fs::fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn ids(owners: &Owners, uid: u32, gid: u32) -> (Uid, Gid) {
    (Uid::from_raw(owners.id(uid)), Gid::from_raw(owners.id(gid)))
}

fn mark_opaque(directory: BorrowedFd<'_>, path: &Path, owners: &Owners) -> Result<(), UnpackFault> {
    fs::fsetxattr(directory, owners.opaque(), b"y", XattrFlags::empty())
        .map_err(|errno| disk(path, errno))
}

/// Whether nothing of the layers below is in `directory`, as [`Tree::opaque`] left it.
pub(crate) fn is_opaque(directory: &Path, owners: &Owners) -> bool {
    let mut value = [0u8; 1];
    matches!(fs::lgetxattr(directory, owners.opaque(), &mut value), Ok(1)) && value == *b"y"
}

fn times(modified: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: modified.seconds,
            tv_nsec: modified.nanoseconds.into(),
        },
    }
}

fn disk(path: &Path, errno: Errno) -> UnpackFault {
    let path = if path.as_os_str().as_bytes().is_empty() { Path::new("/") } else { path };
    UnpackFault::Disk { path: shown_path(path), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_steer_the_host_are_refused() {
        for taken in ["user.mime", "security.capability", "system.posix_acl_access"] {
            assert_eq!(xattr(taken.as_bytes()), Xattr::Taken, "{taken}");
        }
        assert_eq!(xattr(b"security.selinux"), Xattr::Ignored);
        for refused in
            ["trusted.overlay.opaque", "trusted.x", "user.overlay.redirect", "user.", "x"]
        {
            assert!(matches!(xattr(refused.as_bytes()), Xattr::Refused(_)), "{refused}");
        }
    }
}
