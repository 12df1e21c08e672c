//! The sockets of a task's instances, as Cloud Run has them: for PostgreSQL a directory with `.s.PGSQL.5432`, for MySQL the
//! instance itself.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{AtFlags, Mode, OFlags, chmodat, chownat, mkdirat},
    mount::MountAttrFlags,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use crate::{
    protocol::{Database, Instance, Target},
    sandbox::{Failure, Owner, Step, file_system},
};

/// Name of PostgreSQL's socket in its directory, by its default port.
pub(super) const POSTGRES: &str = ".s.PGSQL.5432";

/// Connections that wait to be taken, of each socket.
const BACKLOG: i32 = 100;

const ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// What was made.
#[derive(Debug)]
pub(super) struct Sockets {
    /// A file system of their own, not yet mounted anywhere.
    pub(super) mount: OwnedFd,
    /// Of each instance that is relayed, in their order; the others' are made by the program that serves them.
    pub(super) listeners: Vec<Option<OwnedFd>>,
}

pub(super) fn make(instances: &[Instance], owner: Owner) -> Result<Sockets, Failure> {
    let (uid, gid) = (owner.uid.to_string(), owner.gid.to_string());
    // Sockets and directories take no space there.
    let options = [("size", "64k"), ("mode", "0755"), ("uid", &*uid), ("gid", &*gid)];
    let mount = file_system("tmpfs", &options, ATTRIBUTES).ours("make a place for sockets")?;
    let mut listeners = Vec::with_capacity(instances.len());
    for Instance { name, target } in instances {
        let listener = match target {
            Target::Server { kind, .. } => Some(
                listen(&mount, name, *kind, owner)
                    .ours(format_args!("make the socket of Cloud SQL instance {name}"))?,
            ),
            Target::Program(_) => None,
        };
        listeners.push(listener);
    }
    Ok(Sockets { mount, listeners })
}

fn listen(
    mount: &OwnedFd,
    name: &str,
    kind: Database,
    owner: Owner,
) -> rustix::io::Result<OwnedFd> {
    match kind {
        Database::Mysql => listen_at(mount, name, owner),
        Database::Postgres => {
            mkdirat(mount, name, Mode::from_raw_mode(0o755))?;
            let (uid, gid) = owner.ids();
            chownat(mount, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = rustix::fs::openat(mount, name, flags, Mode::empty())?;
            listen_at(&directory, POSTGRES, owner)
        }
    }
}

/// By way of the directory's descriptor: the kernel takes paths of at most 107 bytes.
fn listen_at(directory: &OwnedFd, name: &str, owner: Owner) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Any user of any container may connect.
    chmodat(directory, name, Mode::from_raw_mode(0o666), AtFlags::empty())?;
    let (uid, gid) = owner.ids();
    chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Whether the instance has a socket by now, of either kind.
pub(super) fn is_there(mount: BorrowedFd<'_>, name: &str) -> bool {
    let is_socket = |path: &str| {
        let seen = rustix::fs::statat(mount, path, AtFlags::SYMLINK_NOFOLLOW);
        seen.is_ok_and(|seen| {
            rustix::fs::FileType::from_raw_mode(seen.st_mode) == rustix::fs::FileType::Socket
        })
    };
    is_socket(name) || is_socket(&format!("{name}/{POSTGRES}"))
}

/// Removes what a program that has ended left of the instance's socket.
pub(super) fn remove(mount: BorrowedFd<'_>, name: &str) {
    // What is not there need not be removed.
    let _ = rustix::fs::unlinkat(mount, format!("{name}/{POSTGRES}"), AtFlags::empty());
    let _ = rustix::fs::unlinkat(mount, name, AtFlags::empty());
}
