//! Volumes: made by the shim in a mount namespace of its own, shown by each init at the paths of its container.
//!
//! The shim's namespace goes with the shim, whatever ends it, and with it the volumes in memory. Their pages are counted
//! against whoever writes them first.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Instant,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, mkdirat},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, OpenTreeFlags,
        fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
        open_tree,
    },
};

use super::{
    Failure, Owner, Step, directory, inside, nfs,
    root::{attach, file_system},
    secret,
};
use crate::{
    enter::Ids,
    mounter::{self, NotMounted},
    protocol::{Container, Launch, Mount, Volume},
    sealed::Sealed,
    shim::Ear,
    sys,
};

/// Where the shim's namespace has them: below the attempt's directory, which nobody else sees there.
pub(crate) const PLACE: &str = "volumes";

/// A volume is for files, and neither for devices nor for another user's rights.
pub(super) const ATTRIBUTES: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Everybody's, as in Kubernetes: containers may run as different users.
const MODE: u32 = 0o777;

/// Makes the volumes, in this process's own mount namespace. `sockets` are those of Cloud SQL instances, `sealed` is what
/// secrets hold. Answers lines for the attempt's log, unless `ear` hears that it is to stop.
pub(super) fn make(
    launch: &Launch,
    ids: Ids,
    sealed: &Sealed,
    sockets: Option<OwnedFd>,
    ear: &mut Ear<'_>,
) -> Result<Vec<String>, NotMounted> {
    let step = "make the volumes";
    if !mounter::is_needed(launch) {
        sys::process::new_mount_namespace().ours(step)?;
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .ours("make mounts private")?;
    }
    let mut others =
        Others { sockets, notes: Vec::new(), ear, until: Instant::now() + nfs::MOUNTED_WITHIN };
    // All of them before the place is covered: those on disk are there.
    let indexes = 0..launch.volumes.len();
    let made = indexes.map(|index| make_for_all(launch, index, ids, sealed, &mut others));
    let made = made.collect::<Result<Vec<_>, _>>()?;
    let places =
        file_system("tmpfs", &[("size", "64k"), ("mode", "0700")], ATTRIBUTES).ours(step)?;
    let path = launch.attempt_dir.join(PLACE);
    match std::fs::create_dir(&path) {
        Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
        done => done.ours(step)?,
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    attach(&places, rustix::fs::open(&path, flags, Mode::empty()).ours(step)?).ours(step)?;
    for (name, volume) in made.iter().flatten() {
        mkdirat(&places, name, Mode::from_raw_mode(0o700)).ours(step)?;
        let place = rustix::fs::openat(&places, name, flags, Mode::empty()).ours(step)?;
        attach(volume, place).ours(step)?;
    }
    Ok(others.notes)
}

/// What volumes have to do with beyond the launch.
struct Others<'make, 'shim> {
    /// Those of Cloud SQL instances, until they are taken.
    sockets: Option<OwnedFd>,
    /// For the attempt's log.
    notes: Vec<String>,
    /// For what takes long.
    ear: &'make mut Ear<'shim>,
    /// When that has taken too long.
    until: Instant,
}

/// A volume as its containers see it, which is the same for all but for a directory of the machine's, and by what name.
fn make_for_all(
    launch: &Launch,
    index: usize,
    ids: Ids,
    sealed: &Sealed,
    others: &mut Others<'_, '_>,
) -> Result<Vec<(String, OwnedFd)>, NotMounted> {
    let mount_of = |container: &Container| {
        container.mounts.iter().find(|mount| mount.volume == index).map(|mount| mount.read_only)
    };
    let owner = Owner { uid: launch.id_base, gid: launch.id_base };
    let directory = match &launch.volumes[index] {
        Volume::Directory(directory) => directory,
        Volume::Mounted(mounter) => {
            let step = format_args!("show {}", mounter.what);
            let tree = clone(&mounter::place(&launch.attempt_dir, index)).ours(step)?;
            let mut attributes = ATTRIBUTES;
            attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, mounter.read_only);
            sys::mount::set_attributes(tree.as_fd(), attributes).ours(step)?;
            return Ok(vec![(index.to_string(), tree)]);
        }
        Volume::Nfs(nfs) => {
            let tree = nfs::mount(nfs, launch, others.until, others.ear)?;
            for container in &launch.containers {
                let Some(read_only) = mount_of(container) else { continue };
                let person = directory::program_user(container, ids);
                let writes = !read_only && !nfs.read_only;
                others.notes.extend(nfs::enter(nfs, &tree, person, launch.id_base, writes)?);
            }
            return Ok(vec![(index.to_string(), tree)]);
        }
        volume => {
            let one = make_one(volume, sealed, owner, &mut others.sockets)?;
            return Ok(vec![(index.to_string(), one)]);
        }
    };
    let containers = launch.containers.iter().enumerate();
    let show = |(place, container): (usize, &Container)| {
        let person = directory::program_user(container, ids);
        let tree = directory::show(directory, person, launch.id_base, ids)?;
        Ok((name(launch, index, place), tree))
    };
    containers.filter(|(_, container)| mount_of(container).is_some()).map(show).collect()
}

/// Where the container at `container` finds a volume.
fn name(launch: &Launch, volume: usize, container: usize) -> String {
    match launch.volumes.get(volume) {
        Some(Volume::Directory(_)) => format!("{volume}-{container}"),
        _ => volume.to_string(),
    }
}

fn make_one(
    volume: &Volume,
    sealed: &Sealed,
    owner: Owner,
    sockets: &mut Option<OwnedFd>,
) -> Result<OwnedFd, Failure> {
    match volume {
        Volume::Memory { max_bytes } => {
            let (uid, gid) = (owner.uid.to_string(), owner.gid.to_string());
            // The kernel takes 0 for no bound; a page is the least that there is.
            let (size, mode) = (max_bytes.max(&1).to_string(), format!("{MODE:o}"));
            let options = [("size", &*size), ("mode", &*mode), ("uid", &*uid), ("gid", &*gid)];
            file_system("tmpfs", &options, ATTRIBUTES).ours("make a volume in memory")
        }
        Volume::Disk { directory } => {
            let step = format!("make the volume {}", directory.display());
            let (uid, gid) = owner.ids();
            rustix::fs::chown(directory, uid, gid).ours(&step)?;
            rustix::fs::chmod(directory, Mode::from_raw_mode(MODE)).ours(&step)?;
            let tree = clone(directory).ours(&step)?;
            sys::mount::set_attributes(tree.as_fd(), ATTRIBUTES).ours(&step)?;
            Ok(tree)
        }
        Volume::Sockets => {
            sockets.take().ok_or_else(|| Failure::ours("the sockets of databases are a volume once"))
        }
        Volume::Directory(_) | Volume::Mounted(_) | Volume::Nfs(_) => {
            Err(Failure::ours("a volume of the machine's is not made for all containers alike"))
        }
        Volume::Image { file } => make_of_image(file, owner).ours(
            "make a volume on disk with a size limit (it takes root, loop devices and ext4; without them give no limit, or \
             medium Memory)",
        ),
        Volume::Secret { files } => secret::make(files, sealed, owner),
    }
}

fn make_of_image(file: &Path, owner: Owner) -> std::io::Result<OwnedFd> {
    let image = std::fs::File::options().read(true).write(true).open(file)?;
    let device = sys::loop_device::LoopDevice::of(image.as_fd())?;
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", &device.path)?;
    // It is thrown away with its attempt, so nothing of it need ever reach the disk.
    fsconfig_set_flag(&context, "nobarrier")?;
    fsconfig_create(&context)?;
    let volume = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, ATTRIBUTES)?;
    rustix::fs::unlinkat(&volume, "lost+found", AtFlags::REMOVEDIR)?;
    let (uid, gid) = owner.ids();
    let top = rustix::fs::openat(&volume, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::fchown(&top, uid, gid)?;
    rustix::fs::fchmod(&top, Mode::from_raw_mode(MODE))?;
    Ok(volume)
}

/// What a container mounts of them, taken before its root covers the attempt's directory.
pub(super) fn take<'launch>(
    launch: &'launch Launch,
    container: &'launch Container,
) -> Result<Vec<(&'launch Mount, OwnedFd)>, Failure> {
    let is_it = |one: &Container| std::ptr::eq(one, container);
    let index = launch.containers.iter().position(is_it).unwrap_or_default();
    let take_one = |mount: &'launch Mount| {
        let step = format_args!("take the volume for {}", mount.path);
        let place = launch.attempt_dir.join(PLACE).join(name(launch, mount.volume, index));
        let tree = clone(&place).ours(step)?;
        if mount.read_only {
            sys::mount::make_read_only(tree.as_fd()).ours(step)?;
        }
        Ok((mount, tree))
    };
    let mut taken = container.mounts.iter().map(take_one).collect::<Result<Vec<_>, Failure>>()?;
    // One may be below another, however they were written down.
    taken.sort_by_key(|(mount, _)| mount.path.trim_end_matches('/').matches('/').count());
    Ok(taken)
}

/// Attaches what was taken. Before the kernel's own file systems: an image's link cannot put a volume in their place.
pub(super) fn show(
    taken: Vec<(&Mount, OwnedFd)>,
    root: &OwnedFd,
    owner: Owner,
) -> Result<(), Failure> {
    for (mount, tree) in taken {
        let step = format_args!("mount a volume at {}", mount.path);
        if mount.path.trim_matches('/').is_empty() {
            return Err::<(), _>(Errno::BUSY).theirs(step);
        }
        let place = inside::make_dir(root.as_fd(), &mount.path, owner).theirs(step)?;
        attach(&tree, place).theirs(step)?;
    }
    Ok(())
}

fn clone(path: &Path) -> rustix::io::Result<OwnedFd> {
    // With what is mounted below a directory of an ordinary user's.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags)
}
