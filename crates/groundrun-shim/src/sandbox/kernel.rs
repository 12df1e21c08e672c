//! What the kernel shows in a container: `/proc`, `/sys`, `/dev`, and what of it is hidden or read-only (Docker's lists).

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, chownat, mkdirat, mknodat, symlinkat},
    io::Errno,
    mount::{MountAttrFlags, OpenTreeFlags, open_tree},
};

use super::{
    Failure, Owner, Step, inside,
    root::{attach, file_system},
};
use crate::{
    enter::Ids,
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

/// What the server may do to show the kernel's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    /// Whose server it is: an ordinary user makes no device nodes.
    pub(crate) ids: Ids,
    /// The network is the container's: only then may an ordinary user mount a `/sys`, which shows it.
    pub(crate) own_network: bool,
}

/// Mounts everything below `root` and gives `/dev`, so that what a program left there can still be read at its end.
pub(crate) fn mount_all(
    root: &OwnedFd,
    cgroups: &[Cgroup],
    owner: Owner,
    rights: Rights,
) -> Result<OwnedFd, Failure> {
    place(root, "/proc", file_system("proc", &[], INERT), owner)?;
    match rights.ids.are_a_users() && !rights.own_network {
        false => place(root, "/sys", file_system("sysfs", &[], INERT_READ_ONLY), owner)?,
        true => place(root, "/sys", machines_sys(), owner)?,
    };
    show_cgroups(root, cgroups, owner, rights)?;
    let dev = mount_dev(root, owner, rights.ids)?;
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

/// The machine's `/sys` with all that is mounted in it: the kernel lets no part of it be left out.
fn machines_sys() -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, "/sys", flags)?;
    sys::mount::make_all_inert_read_only(tree.as_fd())
        .map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))?;
    Ok(tree)
}

/// Shows the container its own cgroups, read-only, at the places where programs look for their limits.
fn show_cgroups(
    root: &OwnedFd,
    cgroups: &[Cgroup],
    owner: Owner,
    rights: Rights,
) -> Result<(), Failure> {
    let step = "show the cgroups";
    let old: Vec<&str> = cgroups
        .iter()
        .filter_map(|cgroup| match &cgroup.kind {
            CgroupKind::V1 { controllers } => Some(controllers.as_str()),
            CgroupKind::V2 => None,
        })
        .collect();
    if old.is_empty() {
        let own = match (cgroups.is_empty(), rights.own_network) {
            (false, _) => file_system("cgroup2", &[], INERT_READ_ONLY),
            // What may be the machine's `/sys` has the machine's cgroups in it.
            (true, false) => {
                file_system("tmpfs", &[("size", "4k"), ("mode", "0755")], INERT_READ_ONLY)
            }
            (true, true) => return Ok(()),
        };
        place(root, "/sys/fs/cgroup", own, owner)?;
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

fn mount_dev(root: &OwnedFd, owner: Owner, ids: Ids) -> Result<OwnedFd, Failure> {
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
        let (kind, device) = match ids {
            Ids::Machine => (FileType::CharacterDevice, rustix::fs::makedev(major, minor)),
            // The place of the machine's node.
            Ids::Range { .. } | Ids::Single => (FileType::RegularFile, 0),
        };
        mknodat(&dev, name, kind, mode, device).ours(step)?;
        chownat(&dev, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).ours(step)?;
    }
    for (name, target) in DEV_LINKS {
        symlinkat(target, &dev, name).ours(step)?;
        chownat(&dev, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).ours(step)?;
    }
    place(root, "/dev", Ok(dev.try_clone().ours(step)?), owner)?;
    if ids.are_a_users() {
        bind_devices(root)?;
    }
    let tty = (owner.gid + TTY).to_string();
    let mut options = vec![("mode", "0620"), ("ptmxmode", "0666")];
    if TTY < ids.count() {
        options.push(("gid", &tty));
    }
    let not_executable = NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    place(root, "/dev/pts", file_system("devpts", &options, not_executable), owner)?;
    place(root, "/dev/shm", tmpfs(SHM_SIZE, "1777", INERT), owner)?;
    place(root, "/dev/mqueue", file_system("mqueue", &[], INERT), owner)?;
    Ok(dev)
}

/// The group of terminals in every distribution.
const TTY: u32 = 5;

/// Shows the machine's nodes, which belong to nobody there and let everybody read and write.
fn bind_devices(root: &OwnedFd) -> Result<(), Failure> {
    for (name, ..) in DEVICES {
        let path = format!("/dev/{name}");
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let node = open_tree(CWD, &path, flags).ours(format_args!("open {path}"))?;
        let step = format_args!("bind {path}");
        let place = inside::open(root.as_fd(), &path, OFlags::PATH | OFlags::NOFOLLOW);
        attach(&node, place.ours(step)?).ours(step)?;
    }
    Ok(())
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
