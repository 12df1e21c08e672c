//! Volumes that are directories of the machine's and outlive the attempt: buckets, and what stands for an NFS server.
//!
//! Whoever the directory belongs to on disk, each container finds it to be its own program's, as a bucket is. Root shows it
//! through an id map in which the directory's owner and the program's user are the same; everybody else of a container is
//! on disk who they are. An ordinary user has no such map: there a directory is opened to the ids that mount it, by its
//! access control list.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Gid, Mode, OFlags, ResolveFlags, Stat, Uid, fchown, mkdirat, openat2},
    io::Errno,
    mount::{MountAttrFlags, OpenTreeFlags, open_tree},
};

use super::{
    Failure, Step,
    acl::{self, Acl},
    inside, user,
    user_namespace::{Extent, user_namespace},
    volumes::ATTRIBUTES,
};
use crate::{
    enter::{IDS, Ids},
    protocol::{Container, Directory},
    sys,
};

/// User and group, as a container numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Larger account files are cut, as where the program's user is looked up for good.
const ACCOUNT_BYTES_MAX: usize = 1 << 20;

/// As whom the container's program will run, read from its image's layers; root where that cannot be said here. The start
/// looks again, in the whole image, and refuses what is wrong.
pub(super) fn program_user(container: &Container, ids: Ids) -> Person {
    let spec = &container.process.user;
    if spec.is_empty() {
        return Person { uid: 0, gid: 0 };
    }
    let read = |path: &str| {
        let found = container.root.layers.iter().find_map(|layer| {
            let layer = rustix::fs::open(layer, PLACE, Mode::empty()).ok()?;
            inside::read(layer.as_fd(), path, ACCOUNT_BYTES_MAX).ok().flatten()
        });
        String::from_utf8_lossy(&found.unwrap_or_default()).into_owned()
    };
    let found = user::look_up(spec, &read("/etc/passwd"), &read("/etc/group"), ids.count());
    found.map_or(Person { uid: 0, gid: 0 }, |user| Person { uid: user.uid, gid: user.gid })
}

const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const READABLE: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Makes the detached mount of `directory` for a container whose program is `person`.
pub(super) fn show(
    directory: &Directory,
    person: Person,
    id_base: u32,
    ids: Ids,
) -> Result<OwnedFd, Failure> {
    let path = directory.path.display();
    let top = open(&directory.path).ours(format_args!("open {path}"))?;
    if directory.is_servers {
        open_to_all(&top).ours(format_args!("let users of containers into {path}"))?;
    }
    let owner = rustix::fs::fstat(&top).ours(format_args!("look at {path}"))?;
    let shown = match &directory.below {
        None => top,
        Some(below) => {
            open_below(&top, below, &owner).theirs(format_args!("open {below:?} below {path}"))?
        }
    };
    let uid = id_base.saturating_add(directory.uid.unwrap_or(person.uid));
    let gid = id_base.saturating_add(directory.gid.unwrap_or(person.gid));
    let tree = clone(&shown, ids).ours(format_args!("show {path}"))?;
    let mut attributes = ATTRIBUTES;
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, directory.read_only);
    sys::mount::set_attributes_of_all(tree.as_fd(), attributes)
        .ours(format_args!("show {path}"))?;
    let done = match ids {
        Ids::Machine => {
            let users = extents(owner.st_uid, id_base, uid);
            let groups = extents(owner.st_gid, id_base, gid);
            let namespace = user_namespace(&users, &groups)?;
            sys::mount::map_ids(tree.as_fd(), namespace.as_fd())
        }
        Ids::Range { .. } if !directory.is_servers => {
            let_in(&shown, uid, gid).map_err(std::io::Error::from)
        }
        // What is the server's is open to all; and its only id is its user, whose directory it is.
        Ids::Range { .. } | Ids::Single => Ok(()),
    };
    match done {
        Ok(()) => Ok(tree),
        Err(err) => must_be_open(directory, &shown, &err).map(|()| tree),
    }
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, READABLE, Mode::empty())
}

/// Tasks write in there, links too: none is followed, so that nothing outside can be shown. What is missing is made, and is
/// the owner's of all.
fn open_below(top: &OwnedFd, below: &str, owner: &Stat) -> rustix::io::Result<OwnedFd> {
    const STAY: ResolveFlags =
        ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);
    let mut directory = openat2(top, ".", READABLE, Mode::empty(), STAY)?;
    for name in below.split('/').filter(|name| !name.is_empty()) {
        let made = match mkdirat(&directory, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => true,
            Err(Errno::EXIST | Errno::ROFS) => false,
            Err(err) => return Err(err),
        };
        directory = openat2(&directory, name, READABLE, Mode::empty(), STAY)?;
        if made {
            let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
            fchown(&directory, Some(uid), Some(gid))?;
        }
    }
    Ok(directory)
}

/// What is mounted below is not part of it; but of what is mounted, an ordinary user's server can leave nothing out.
fn clone(directory: &OwnedFd, ids: Ids) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, ids.are_a_users());
    open_tree(directory, "", flags)
}

/// The map of a mount: `owner` on disk is `shown` in the container, and everybody else of the container is as on disk.
fn extents(owner: u32, id_base: u32, shown: u32) -> Vec<Extent> {
    let end = id_base.saturating_add(IDS);
    let mut extents = vec![(owner, shown, 1)];
    let mut taken = vec![shown];
    // A directory of an id of containers: the two change places.
    if (id_base..end).contains(&owner) && owner != shown {
        extents.push((shown, owner, 1));
        taken.push(owner);
        taken.sort_unstable();
    }
    let mut next = id_base;
    for id in taken {
        extents.push((next, next, id - next));
        next = id + 1;
    }
    extents.push((next, next, end.saturating_sub(next)));
    extents.retain(|(_, _, count)| *count > 0);
    extents
}

/// All ids of containers may use what the server keeps, and what others of them made in it: what a program asks for when it
/// makes a file is not narrowed by its umask.
fn open_to_all(top: &OwnedFd) -> rustix::io::Result<()> {
    const MODE: u32 = 0o777;
    if rustix::fs::fstat(top)?.st_mode & MODE != MODE {
        rustix::fs::fchmod(top, Mode::from_raw_mode(MODE))?;
    }
    match acl::set_default(top.as_fd(), &Acl::open_to_all()) {
        // Then the umask of each program counts.
        Err(Errno::OPNOTSUPP) => Ok(()),
        done => done,
    }
}

/// Lets one user and group into a directory of the server's user, and both into what is made in it from now on.
fn let_in(directory: &OwnedFd, uid: u32, gid: u32) -> rustix::io::Result<()> {
    /// Another start may let another one in at the same time, and either may overwrite the other.
    const TRIES_MAX: usize = 8;
    let fd = directory.as_fd();
    for _ in 0..TRIES_MAX {
        let seen = rustix::fs::fstat(fd)?;
        if seen.st_uid != 0 {
            return Err(Errno::PERM);
        }
        let access = acl::access(fd)?.unwrap_or_else(|| Acl::of_mode(seen.st_mode));
        let default = acl::default(fd)?;
        let let_in = access.clone().with_user(uid).with_group(gid);
        // The server's user finds what tasks make, and may change it.
        let made = default.clone().unwrap_or_else(|| access.clone());
        let made = made.with_user(0).with_user(uid).with_group(gid);
        if let_in == access && default.as_ref() == Some(&made) {
            return Ok(());
        }
        acl::set_access(fd, &let_in)?;
        acl::set_default(fd, &made)?;
    }
    Err(Errno::AGAIN)
}

/// What belongs to nobody in a container is used as its mode lets others.
fn must_be_open(
    directory: &Directory,
    shown: &OwnedFd,
    why: &std::io::Error,
) -> Result<(), Failure> {
    let path = directory.path.display();
    let mode = rustix::fs::fstat(shown).ours(format_args!("look at {path}"))?.st_mode;
    let wanted = if directory.read_only { 0o5 } else { 0o7 };
    if mode & wanted == wanted {
        return Ok(());
    }
    Err(Failure::ours(format!(
        "show {path} to users of containers: it can be given neither an id map nor an access control list ({why}), and its \
         mode {:03o} keeps others out: chmod o+rwx, or take a directory of yours on ext4, xfs or btrfs",
        mode & 0o777
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u32 = 0x7000_0000;

    fn check(owner: u32, shown: u32) {
        let extents = extents(owner, BASE, shown);
        let find = |id: u32| {
            let mut hits =
                extents.iter().filter(|(first, _, count)| (*first..first + count).contains(&id));
            let (first, outside, _) = hits.next()?;
            assert_eq!(hits.next(), None, "{id} is there twice: {extents:?}");
            Some(outside + (id - first))
        };
        assert_eq!(find(owner), Some(shown), "{extents:?}");
        let all: Vec<u32> = (BASE..BASE + IDS).collect();
        let ids = extents.iter().flat_map(|(_, first, count)| *first..first + count);
        let mut ids: Vec<u32> = ids.collect();
        ids.sort_unstable();
        assert_eq!(ids, all, "every id of the container is there once: {extents:?}");
        for other in [1, 77, IDS - 1].map(|id| BASE + id) {
            if other != owner && other != shown {
                assert_eq!(find(other), Some(other), "{extents:?}");
            }
        }
    }

    #[test]
    fn the_directorys_owner_is_the_program_and_everybody_else_is_as_on_disk() {
        for owner in [0, 1000, BASE, BASE + 7, BASE + IDS - 1, BASE + IDS] {
            for shown in [0, 7, 1000, IDS - 1] {
                check(owner, BASE + shown);
            }
        }
    }
}
