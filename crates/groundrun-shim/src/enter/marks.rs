//! Whether overlayfs can keep its marks as an ordinary user: attributes `user.*` of directories. Found by doing it.

use std::{io, os::fd::AsFd, path::Path};

use rustix::{
    fs::{Mode, OFlags, XattrFlags, fremovexattr, fsetxattr, open},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

/// Where the upper layer of an overlay can be as an ordinary user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// In memory: Linux 6.6 and later.
    pub in_memory: bool,
    /// In the directory.
    pub on_disk: bool,
}

/// Asks the kernel. After [`enter`](super::enter), since memory is mounted for it.
///
/// # Errors
/// When it cannot be asked.
pub fn marks(directory: &Path) -> io::Result<Marks> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let memory = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let memory = rustix::fs::openat(&memory, ".", flags, Mode::empty())?;
    let disk = open(directory, flags, Mode::empty())?;
    Ok(Marks { in_memory: takes_marks(memory)?, on_disk: takes_marks(disk)? })
}

fn takes_marks(directory: impl AsFd) -> io::Result<bool> {
    const NAME: &str = "user.groundrun.probe";
    match fsetxattr(&directory, NAME, b"y", XattrFlags::empty()) {
        Ok(()) => Ok(fremovexattr(&directory, NAME).map(|()| true)?),
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(err) => Err(err.into()),
    }
}
