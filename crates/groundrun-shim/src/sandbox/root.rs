//! The container's root directory: the image's layers, shown through the container's id map, under a writable layer.
//!
//! Mounts are made by the machine's root, and the user namespace is joined much later: so the kernel needs no rights of
//! the container over any file system, and the container has none over its mounts.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, mkdirat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
        MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_fd,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_change, move_mount,
        open_tree, unmount,
    },
};

use super::{Failure, Owner, Step};
use crate::{
    enter::Ids,
    protocol::{Root, Writable},
    sys,
};

/// How layers are given to overlayfs.
#[derive(Clone, Debug)]
pub(crate) enum Layers<'fd> {
    /// As ready detached mounts, topmost first, each already shown through the id map (Linux 6.13 and later).
    Ready(Vec<ReadyLayer<'fd>>),
    /// By path, each to be mounted through the id map of the user namespace, if there is one, on a directory of the
    /// container's own.
    ByPath(Option<BorrowedFd<'fd>>),
}

/// A layer's detached mount and its directory as overlayfs takes it. The mount is taken down when its last descriptor is
/// closed: a shim keeps one of its own, since the spawner may die in the middle of a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadyLayer<'fd> {
    pub(crate) mount: BorrowedFd<'fd>,
    pub(crate) directory: BorrowedFd<'fd>,
}

impl<'fd> Layers<'fd> {
    /// What must stay open for them.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'fd>> {
        let (ready, namespace) = match self {
            Self::Ready(layers) => (layers.as_slice(), None),
            Self::ByPath(user_namespace) => (Default::default(), *user_namespace),
        };
        ready.iter().flat_map(|layer| [layer.mount, layer.directory]).chain(namespace)
    }
}

/// Mounts `root` in the new mount namespace of this process, on top of the directory `place`, and opens it.
pub(crate) fn assemble(
    root: &Root,
    layers: &Layers<'_>,
    place: &Path,
    owner: Owner,
    ids: Ids,
) -> Result<OwnedFd, Failure> {
    // Before anything: what happens to mounts here must not come about on the machine too.
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .ours("make mounts private")?;
    let scratch = match &root.writable {
        Writable::Memory { max_bytes } => {
            let size = max_bytes.to_string();
            file_system("tmpfs", &[("size", &size), ("mode", "0755")], MountAttrFlags::empty())
                .ours("mount the writable layer")?
        }
        Writable::Disk(directory) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(directory, flags, Mode::empty())
                .ours(format_args!("open {}", directory.display()))?
        }
    };
    for name in [UPPER, WORK] {
        mkdirat(&scratch, name, Mode::from_raw_mode(0o755)).ours("make the writable layer")?;
    }
    let (uid, gid) = owner.ids();
    rustix::fs::chownat(&scratch, UPPER, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        .ours("give the writable layer to the container")?;

    let overlay = match layers {
        Layers::Ready(layers) => overlay_of_ready(layers, &scratch, &root.writable, ids),
        Layers::ByPath(user_namespace) => {
            overlay_by_path(root, *user_namespace, &scratch, place, ids)
        }
    }?;
    attach(&overlay, rustix::fs::open(place, DIRECTORY, Mode::empty()).ours("open the attempt")?)
        .ours("attach the root")?;
    Ok(overlay)
}

/// The option by which overlayfs keeps its marks where an ordinary user may write them: `user.overlay.*`.
const USER_MARKS: &str = "userxattr";

const UPPER: &str = "upper";
const WORK: &str = "work";
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A root on disk is thrown away with its attempt, so nothing of it need ever reach the disk.
fn is_volatile(writable: &Writable) -> bool {
    matches!(writable, Writable::Disk(_))
}

fn overlay_of_ready(
    layers: &[ReadyLayer<'_>],
    scratch: &OwnedFd,
    writable: &Writable,
    ids: Ids,
) -> Result<OwnedFd, Failure> {
    let step = "mount the image's layers";
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).ours(step)?;
    fsconfig_set_string(&overlay, "source", "overlay").ours(step)?;
    for layer in layers {
        fsconfig_set_fd(&overlay, "lowerdir+", layer.directory).ours(step)?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for (key, name) in [("upperdir", UPPER), ("workdir", WORK)] {
        let directory = rustix::fs::openat(scratch, name, flags, Mode::empty()).ours(step)?;
        fsconfig_set_fd(&overlay, key, &directory).ours(step)?;
    }
    if is_volatile(writable) {
        fsconfig_set_flag(&overlay, "volatile").ours(step)?;
    }
    if ids.are_a_users() {
        fsconfig_set_flag(&overlay, USER_MARKS).ours(step)?;
    }
    fsconfig_create(&overlay).ours(step)?;
    // A device of an image's would be the machine's.
    fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV).ours(step)
}

/// The old way: everything attached below `place`, short names relative to it (options have at most a page).
fn overlay_by_path(
    root: &Root,
    user_namespace: Option<BorrowedFd<'_>>,
    scratch: &OwnedFd,
    place: &Path,
    ids: Ids,
) -> Result<OwnedFd, Failure> {
    let step = "mount the image's layers";
    let places = file_system("tmpfs", &[("size", "1m"), ("mode", "0700")], MountAttrFlags::empty())
        .ours(step)?;
    attach(&places, rustix::fs::open(place, DIRECTORY, Mode::empty()).ours(step)?).ours(step)?;
    rustix::process::fchdir(&places).ours(step)?;
    let make_place = |name: &str| {
        mkdirat(&places, name, Mode::from_raw_mode(0o700))?;
        rustix::fs::openat(&places, name, DIRECTORY, Mode::empty())
    };
    let mut names = Vec::new();
    for (index, layer) in root.layers.iter().enumerate() {
        let layer = layer_mount(layer, user_namespace)?;
        let name = format!("l{index}");
        attach(&layer, make_place(&name).ours(step)?).ours(step)?;
        names.push(name);
    }
    attach_scratch(scratch, &root.writable, make_place("w").ours(step)?).ours(step)?;
    make_place("root").ours(step)?;
    let volatile = if is_volatile(&root.writable) { ",volatile" } else { "" };
    let marks = if ids.are_a_users() { format!(",{USER_MARKS}") } else { String::new() };
    let lower = names.join(":");
    let options = format!("lowerdir={lower},upperdir=w/{UPPER},workdir=w/{WORK}{volatile}{marks}");
    let options = std::ffi::CString::new(options).ours(step)?;
    mount("overlay", "root", "overlay", MountFlags::NODEV, Some(options.as_c_str())).ours(step)?;
    let overlay = open_tree(
        &places,
        "root",
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .ours(step)?;
    // The clone is what goes on; its layers stay as long as it does.
    rustix::process::chdir("/").ours(step)?;
    unmount(place, UnmountFlags::DETACH).ours(step)?;
    Ok(overlay)
}

fn attach_scratch(
    scratch: &OwnedFd,
    writable: &Writable,
    place: OwnedFd,
) -> rustix::io::Result<()> {
    match writable {
        Writable::Memory { .. } => attach(scratch, place),
        Writable::Disk(_) => {
            let bind = open_tree(
                scratch,
                "",
                OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_EMPTY_PATH,
            )?;
            attach(&bind, place)
        }
    }
}

/// A detached mount of the directory `layer` that shows its owners through the id map, if there is one.
pub(crate) fn layer_mount(
    layer: &Path,
    user_namespace: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, Failure> {
    let step = |what| format!("{what} layer {}", layer.display());
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, layer, flags).ours(step("open"))?;
    if let Some(user_namespace) = user_namespace {
        sys::mount::map_ids(tree.as_fd(), user_namespace)
            .ours(step("map the ids of (its file system must support idmapped mounts)"))?;
    }
    Ok(tree)
}

/// A new file system of the kernel's, mounted nowhere yet.
pub(crate) fn file_system(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What mountinfo shows as the source.
    fsconfig_set_string(&context, "source", kind)?;
    for (key, value) in options {
        match *value {
            "" => fsconfig_set_flag(&context, *key)?,
            value => fsconfig_set_string(&context, *key, value)?,
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Puts a detached mount on the directory or file that is open as `place`.
pub(crate) fn attach(mount: &OwnedFd, place: OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
}

/// Makes `root` this process's root directory and lets go of the machine's, with all its mounts.
pub(crate) fn enter(root: &OwnedFd) -> Result<(), Failure> {
    let step = "enter the root";
    rustix::process::fchdir(root).ours(step)?;
    // Both are the same directory: the old root ends up on top of the new one, and is taken off.
    rustix::process::pivot_root(".", ".").ours(step)?;
    unmount(".", UnmountFlags::DETACH).ours("let go of the machine's root")?;
    rustix::process::chdir("/").ours(step)
}

/// Whether overlayfs of this kernel takes layers as [`Layers::Ready`]: found by doing it.
pub(crate) fn takes_ready_layers() -> bool {
    let probe = || {
        let memory = file_system("tmpfs", &[("size", "64k")], MountAttrFlags::empty())?;
        let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for name in ["a", "b"] {
            mkdirat(&memory, name, Mode::from_raw_mode(0o700))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let layer = rustix::fs::openat(&memory, name, flags, Mode::empty())?;
            fsconfig_set_fd(&overlay, "lowerdir+", &layer)?;
        }
        fsconfig_create(&overlay)
    };
    probe().is_ok()
}

/// Opens a ready layer's directory in the way that overlayfs takes.
pub(crate) fn open_ready(layer: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(layer, ".", flags, Mode::empty())
}
