//! What the kernel shows in a container: `/proc`, `/sys`, `/dev`, and what of it is hidden or read-only (Docker's lists).

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, chownat, mkdirat, mknodat, symlinkat},
    io::Errno,
    mount::{MountAttrFlags, OpenTreeFlags, open_tree},
};

use super::{
    Failure, Owner, Step, inside,
    root::{attach, file_system},
};
use crate::{
    protocol::{Cgroup, CgroupKind},
    sys,
};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const INERT: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
const INERT_READ_ONLY: MountAttrFlags = INERT.union(MountAttrFlags::MOUNT_ATTR_RDONLY);

/// They tell about the machine or let it be touched.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// They change the machine.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Mounts everything below `root` and gives `/dev`, so that what a program left there can still be read at its end.
pub(crate) fn mount_all(
    root: &OwnedFd,
    cgroups: &[Cgroup],
    owner: Owner,
) -> Result<OwnedFd, Failure> {
    place(root, "/proc", file_system("proc", &[], INERT), owner)?;
    place(root, "/sys", file_system("sysfs", &[], INERT_READ_ONLY), owner)?;
    show_cgroups(root, cgroups, owner)?;
    let dev = mount_dev(root, owner)?;
    for path in MASKED {
        mask(root, path).ours(format_args!("hide {path}"))?;
    }
    for path in READ_ONLY {
        protect(root, path).ours(format_args!("protect {path}"))?;
    }
    Ok(dev)
}

/// Attaches a new file system at `path`, making the directory where the image has none.
fn place(
    root: &OwnedFd,
    path: &str,
    file_system: rustix::io::Result<OwnedFd>,
    owner: Owner,
) -> Result<OwnedFd, Failure> {
    let step = format_args!("mount {path}");
    let file_system = file_system.ours(step)?;
    // An image may have a file or a symlink to nowhere there.
    let directory = inside::make_dir(root.as_fd(), path, owner).theirs(step)?;
    attach(&file_system, directory).ours(step)?;
    Ok(file_system)
}

/// Shows the container its own cgroups, read-only, at the places where programs look for their limits.
fn show_cgroups(root: &OwnedFd, cgroups: &[Cgroup], owner: Owner) -> Result<(), Failure> {
    let step = "show the cgroups";
    let old: Vec<&str> = cgroups
        .iter()
        .filter_map(|cgroup| match &cgroup.kind {
            CgroupKind::V1 { controllers } => Some(controllers.as_str()),
            CgroupKind::V2 => None,
        })
        .collect();
    if old.is_empty() {
        if !cgroups.is_empty() {
            let own = file_system("cgroup2", &[], INERT_READ_ONLY);
            place(root, "/sys/fs/cgroup", own, owner)?;
        }
        return Ok(());
    }
    let places = file_system("tmpfs", &[("size", "64k"), ("mode", "0755")], INERT).ours(step)?;
    for controllers in &old {
        mkdirat(&places, *controllers, Mode::from_raw_mode(0o755)).ours(step)?;
    }
    sys::mount::make_read_only(places.as_fd()).ours(step)?;
    place(root, "/sys/fs/cgroup", Ok(places), owner)?;
    for controllers in &old {
        let options: Vec<(&str, &str)> = controllers.split(',').map(|name| (name, "")).collect();
        let path = format!("/sys/fs/cgroup/{controllers}");
        place(root, &path, file_system("cgroup", &options, INERT_READ_ONLY), owner)?;
    }
    Ok(())
}

/// Character devices that are harmless to share: name, major, minor.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const DEV_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Docker's: as much as programs with shared memory are used to.
const SHM_SIZE: &str = "64m";

fn mount_dev(root: &OwnedFd, owner: Owner) -> Result<OwnedFd, Failure> {
    let step = "fill /dev";
    let (uid, gid) = owner.ids();
    let (uid_text, gid_text) = (owner.uid.to_string(), owner.gid.to_string());
    let tmpfs = |size, mode, attributes| {
        let options = [("size", size), ("mode", mode), ("uid", &*uid_text), ("gid", &*gid_text)];
        file_system("tmpfs", &options, attributes)
    };
    let dev = tmpfs("64k", "0755", NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC).ours(step)?;
    for (name, major, minor) in DEVICES {
        let mode = Mode::from_raw_mode(0o666);
        let device = rustix::fs::makedev(major, minor);
        mknodat(&dev, name, FileType::CharacterDevice, mode, device).ours(step)?;
        chownat(&dev, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).ours(step)?;
    }
    for (name, target) in DEV_LINKS {
        symlinkat(target, &dev, name).ours(step)?;
        chownat(&dev, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).ours(step)?;
    }
    place(root, "/dev", Ok(dev.try_clone().ours(step)?), owner)?;
    // tty's group is 5 in every distribution.
    let tty = (owner.gid + 5).to_string();
    let options = [("mode", "0620"), ("ptmxmode", "0666"), ("gid", &tty)];
    let not_executable = NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    place(root, "/dev/pts", file_system("devpts", &options, not_executable), owner)?;
    place(root, "/dev/shm", tmpfs(SHM_SIZE, "1777", INERT), owner)?;
    place(root, "/dev/mqueue", file_system("mqueue", &[], INERT), owner)?;
    Ok(dev)
}

/// Puts nothing in the place of `path`, if there is such a thing.
fn mask(root: &OwnedFd, path: &str) -> rustix::io::Result<()> {
    let place = match inside::open(root.as_fd(), path, OFlags::PATH | OFlags::NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let nothing = match FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) {
        FileType::Directory => {
            file_system("tmpfs", &[("size", "4k"), ("mode", "0555")], INERT_READ_ONLY)?
        }
        _ => {
            let null = inside::open(root.as_fd(), "/dev/null", OFlags::PATH)?;
            clone_of(&null)?
        }
    };
    attach(&nothing, place)
}

/// Makes `path` read-only, if there is such a thing.
fn protect(root: &OwnedFd, path: &str) -> rustix::io::Result<()> {
    let place = match inside::open(root.as_fd(), path, OFlags::PATH | OFlags::NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let same = clone_of(&place)?;
    sys::mount::make_read_only(same.as_fd())
        .map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))?;
    attach(&same, place)
}

fn clone_of(what: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(what, "", flags)
}
