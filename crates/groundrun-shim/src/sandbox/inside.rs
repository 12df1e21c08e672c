//! Paths of the image. They are resolved inside the container's root only: an image may hold any symlink.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, mkdirat, openat2, unlinkat},
    io::Errno,
};

/// Who owns what is made inside, in ids of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    pub(crate) fn ids(self) -> (Option<Uid>, Option<Gid>) {
        (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
    }
}

/// A relative path as well as an absolute one starts at the root. Magic links, such as `/proc/self/fd/3`, lead outside.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Directories that one missing path may need.
const DEPTH_MAX: usize = 64;

/// The kernel gives up on `..` with EAGAIN when anything on the machine is mounted or renamed meanwhile, as the next
/// container is. Each try takes microseconds.
const TRIES_MAX: usize = 1000;

/// Opens what `path` leads to.
pub(crate) fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    for _ in 1..TRIES_MAX {
        match open_once(root, path, flags) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    open_once(root, path, flags)
}

fn open_once(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), INSIDE)
}

/// Opens the directory `path` and makes what is missing of it, owned by `owner`, 0755. On a volume that tasks share another
/// start may be making the same: then its is taken.
pub(crate) fn make_dir(
    root: BorrowedFd<'_>,
    path: &str,
    owner: Owner,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open(root, path, flags) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let mut parent = open(root, "/", flags)?;
    let mut so_far = String::new();
    for (depth, name) in path.split('/').filter(|name| !name.is_empty()).enumerate() {
        if depth == DEPTH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        so_far.push('/');
        so_far.push_str(name);
        parent = match open(root, &so_far, flags) {
            Err(Errno::NOENT) => match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    let (uid, gid) = owner.ids();
                    rustix::fs::chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
                    open(root, &so_far, flags)?
                }
                // A symlink to nowhere is not ours to replace.
                Err(Errno::EXIST) => open(root, &so_far, flags).map_err(|_| Errno::EXIST)?,
                Err(err) => return Err(err),
            },
            other => other?,
        };
    }
    Ok(parent)
}

/// Reads at most `bytes_max` bytes of the regular file `path`; `None` when there is none. Never waits for a FIFO.
pub(crate) fn read(
    root: BorrowedFd<'_>,
    path: &str,
    bytes_max: usize,
) -> rustix::io::Result<Option<Vec<u8>>> {
    let file = match open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(err) => return Err(err),
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(bytes_max as u64)
        .read_to_end(&mut bytes)
        .map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))?;
    Ok(Some(bytes))
}

/// Puts a regular file at `path` in place of whatever is there, making its directory if it is missing.
pub(crate) fn replace(
    root: BorrowedFd<'_>,
    path: &str,
    contents: &[u8],
    mode: Mode,
    owner: Owner,
) -> rustix::io::Result<()> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("/", path));
    let directory = make_dir(root, directory, owner)?;
    match unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(err) => return Err(err),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&directory, name, flags, mode)?;
    let (uid, gid) = owner.ids();
    rustix::fs::fchown(&file, uid, gid)?;
    File::from(file)
        .write_all(contents)
        .map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd, sync::Barrier, thread};

    use super::*;

    #[test]
    fn who_make_the_same_directory_at_once_all_find_it() {
        let root = tempfile::tempdir().expect("a directory");
        let root = File::open(root.path()).expect("it is there");
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let owner = Owner { uid: uid.as_raw(), gid: gid.as_raw() };
        let at_once = Barrier::new(4);
        for round in 0..50 {
            let path = format!("/{round}/a/b");
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        at_once.wait();
                        make_dir(root.as_fd(), &path, owner).expect("it is there");
                    });
                }
            });
        }
    }

    #[test]
    fn a_link_to_nowhere_is_not_replaced() {
        let root = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("nowhere", root.path().join("link")).expect("it is made");
        let root = File::open(root.path()).expect("it is there");
        let made = make_dir(root.as_fd(), "/link/a", Owner { uid: 0, gid: 0 });
        assert_eq!(made.map(drop), Err(Errno::EXIST));
    }
}
