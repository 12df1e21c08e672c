//! A volume of secrets: a file system of its own in memory, whole before anybody sees it and read-only from then on.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, chmodat, chownat, fchmod, fchown, mkdirat, openat},
    io::Errno,
};

use super::{Failure, Owner, Step, root::file_system, volumes::ATTRIBUTES};
use crate::{protocol::SecretFile, sealed::Sealed, sys};

/// Of the volume and of the directories in it: who may read a file is for its own mode to say.
const DIRECTORY_MODE: u32 = 0o755;

/// Makes it; the mount takes no writing.
pub(super) fn make(
    files: &[SecretFile],
    sealed: &Sealed,
    owner: Owner,
) -> Result<OwnedFd, Failure> {
    let volume = memory(files, sealed, owner).ours("make a volume of secrets")?;
    for file in files {
        write(&volume, file, sealed, owner)
            .ours(format_args!("write {} of a volume of secrets", file.path))?;
    }
    sys::mount::make_read_only(volume.as_fd()).ours("close a volume of secrets")?;
    Ok(volume)
}

/// Kept out of the swap where the kernel lets us: from Linux 6.4 on, and the machine's root alone.
fn memory(files: &[SecretFile], sealed: &Sealed, owner: Owner) -> rustix::io::Result<OwnedFd> {
    let page = rustix::param::page_size() as u64;
    let pages = |file: &SecretFile| sealed.length(file.sealed).div_ceil(page);
    // The kernel takes 0 for no bound.
    let size = (files.iter().map(pages).sum::<u64>().max(1) * page).to_string();
    let (uid, gid) = (owner.uid.to_string(), owner.gid.to_string());
    let mode = format!("{DIRECTORY_MODE:o}");
    let options =
        [("size", &*size), ("mode", &*mode), ("uid", &*uid), ("gid", &*gid), ("noswap", "")];
    match file_system("tmpfs", &options, ATTRIBUTES) {
        Err(Errno::INVAL | Errno::PERM) => {
            file_system("tmpfs", &options[..options.len() - 1], ATTRIBUTES)
        }
        done => done,
    }
}

fn write(volume: &OwnedFd, file: &SecretFile, sealed: &Sealed, owner: Owner) -> io::Result<()> {
    let (uid, gid) = owner.ids();
    if file.path.split('/').any(|name| ["", ".", ".."].contains(&name)) {
        return Err(Errno::INVAL.into());
    }
    for (end, _) in file.path.match_indices('/') {
        let directory = &file.path[..end];
        let mode = Mode::from_raw_mode(DIRECTORY_MODE);
        match mkdirat(volume, directory, mode) {
            Err(Errno::EXIST) => continue,
            done => done?,
        }
        // Whatever the umask is.
        chmodat(volume, directory, mode, AtFlags::empty())?;
        chownat(volume, directory, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let made = openat(volume, &file.path, flags, Mode::from_raw_mode(0o600))?;
    let mut made = File::from(made);
    made.write_all(&sealed.read(file.sealed)?)?;
    fchown(&made, uid, gid)?;
    fchmod(&made, Mode::from_raw_mode(file.mode))?;
    Ok(())
}
