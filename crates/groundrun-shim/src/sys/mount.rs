//! Calls of the mount interface that rustix lacks.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::mount::MountAttrFlags;

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

/// Makes the detached mount `tree`, and all that is mounted below it, read-only and inert: no device, program or right of
/// a file counts.
pub(crate) fn make_all_inert_read_only(tree: BorrowedFd<'_>) -> io::Result<()> {
    let attr_set = libc::MOUNT_ATTR_RDONLY
        | libc::MOUNT_ATTR_NOSUID
        | libc::MOUNT_ATTR_NODEV
        | libc::MOUNT_ATTR_NOEXEC;
    set_with(tree, &MountAttr { attr_set, ..MountAttr::default() }, libc::AT_RECURSIVE)
}

/// Adds `attributes` to those of the detached mount `tree`.
pub(crate) fn set_attributes(tree: BorrowedFd<'_>, attributes: MountAttrFlags) -> io::Result<()> {
    set(tree, &MountAttr { attr_set: attributes.bits().into(), ..MountAttr::default() })
}

/// Adds `attributes` to those of the detached mount `tree` and of all that is mounted below it.
pub(crate) fn set_attributes_of_all(
    tree: BorrowedFd<'_>,
    attributes: MountAttrFlags,
) -> io::Result<()> {
    let attr = MountAttr { attr_set: attributes.bits().into(), ..MountAttr::default() };
    set_with(tree, &attr, libc::AT_RECURSIVE)
}

fn set(tree: BorrowedFd<'_>, attr: &MountAttr) -> io::Result<()> {
    set_with(tree, attr, 0)
}

fn set_with(tree: BorrowedFd<'_>, attr: &MountAttr, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the path is an empty C string, which AT_EMPTY_PATH makes the descriptor itself, and `attr` is a whole
    // struct of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            attr,
            size_of::<MountAttr>(),
        )
    };
    super::checked(result).map(drop)
}
