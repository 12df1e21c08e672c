//! Calls of the mount interface that rustix lacks.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// The kernel's `struct mount_attr`, first version.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Shows the detached mount `tree` through the id map of a user namespace.
pub(crate) fn map_ids(tree: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        userns_fd: user_namespace.as_raw_fd() as u64,
        ..MountAttr::default()
    };
    set(tree, &attr)
}

/// Makes the detached mount `tree` read-only.
pub(crate) fn make_read_only(tree: BorrowedFd<'_>) -> io::Result<()> {
    set(tree, &MountAttr { attr_set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() })
}

fn set(tree: BorrowedFd<'_>, attr: &MountAttr) -> io::Result<()> {
    // SAFETY: the path is an empty C string, which AT_EMPTY_PATH makes the descriptor itself, and `attr` is a whole
    // struct of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            attr,
            size_of::<MountAttr>(),
        )
    };
    super::checked(result).map(drop)
}
