//! User namespaces that nobody lives in: they hold an id map, for containers to join or for mounts to be shown through.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

use rustix::process::{Pid, WaitOptions};

use super::{Failure, Step};
use crate::{
    spawner::packet_pair,
    sys::{self, process::Fork},
};

/// Ids inside, ids of this process's namespace, how many.
pub(crate) type Extent = (u32, u32, u32);

const STEP: &str = "make a user namespace";

/// Makes one with these maps. A child makes it and waits while it is mapped and opened.
pub(crate) fn user_namespace(users: &[Extent], groups: &[Extent]) -> Result<OwnedFd, Failure> {
    let (ours, theirs) = packet_pair().ours(STEP)?;
    let (mut ours, mut theirs) = (File::from(ours), File::from(theirs));
    match sys::process::fork().ours(STEP)? {
        Fork::Child => {
            drop(ours);
            let made = sys::process::new_user_namespace();
            let errno = made.err().and_then(|err| err.raw_os_error()).unwrap_or(0);
            let _ = theirs.write_all(&errno.to_le_bytes());
            // Until the other end is closed.
            let _ = theirs.read(&mut [0]);
            sys::process::exit(0)
        }
        Fork::Parent(child) => {
            drop(theirs);
            let namespace = mapped(&mut ours, child, users, groups);
            drop(ours);
            // The spawner's children vanish by themselves; of a shim's something would be left.
            let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
            namespace
        }
    }
}

fn mapped(
    said: &mut File,
    child: Pid,
    users: &[Extent],
    groups: &[Extent],
) -> Result<OwnedFd, Failure> {
    let mut errno = [0; 4];
    said.read_exact(&mut errno).ours(STEP)?;
    match i32::from_le_bytes(errno) {
        0 => {}
        errno => return Err(io::Error::from_raw_os_error(errno)).ours(STEP),
    }
    let of_child = |what: &str| format!("/proc/{}/{what}", child.as_raw_nonzero());
    std::fs::write(of_child("uid_map"), lines(users)).ours("map user ids")?;
    std::fs::write(of_child("gid_map"), lines(groups)).ours("map group ids")?;
    Ok(File::open(of_child("ns/user")).ours(STEP)?.into())
}

fn lines(extents: &[Extent]) -> String {
    let line = |(inside, outside, count): &Extent| format!("{inside} {outside} {count}\n");
    extents.iter().map(line).collect()
}
