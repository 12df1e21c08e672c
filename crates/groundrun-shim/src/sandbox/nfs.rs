//! NFS directories that the kernel mounts: in the task's own network, for as long as the attempt lasts.
//!
//! ```text
//!  shim, machine's network ─▶ resolve: address of the server
//!  shim, task's network ──▶ aside: ask the server ─▶ mounted, or why not, within a bound
//!                       └─▶ aside: whom the server lets in
//!  containers are gone ───▶ aside: write back, unmount, within a bound ─▶ the end is told
//! ```
//! The way to the server is the task's: connectors and networks that a job names count, as on Cloud Run, and what the kernel
//! shares between mounts of one server it shares within a task alone. The mount hangs on the shim's mount namespace, which
//! nobody else sees: no end of a server cuts it, and of a killed shim, or of the machine, nothing is left. A server that goes
//! away and comes back within three minutes (the kernel's `timeo=600`, `retrans=2`) is not noticed; after that programs get an
//! error, so that none hangs for ever.
//!
//! The kernel shows NFS through no id map, and mounts none for another user namespace than the machine's (since 6.12, and
//! where that was carried back). So the server sees the ids that the containers have on the machine, and its own ids are
//! nobody's in there. Where that keeps a program out, it is said: by the start's failure, or by a line in the log.

use std::{
    net::{IpAddr, Ipv4Addr, ToSocketAddrs},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Access, AtFlags, Mode, OFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, unmount,
    },
};

use super::{Failure, Step, directory::Person, volumes::ATTRIBUTES, words};
use crate::{
    aside::{Outcome, aside},
    mounter::NotMounted,
    protocol::{Launch, Network, Nfs, Volume},
    shim::Ear,
    sys,
};

/// In this order, as `mount.nfs` tries them.
const VERSIONS: [&str; 3] = ["4.2", "4.1", "3"];

/// A name server that answers does so within a fraction of it.
const RESOLVED_WITHIN: Duration = Duration::from_secs(15);

/// Of all directories of an attempt together. A server that answers mounts within milliseconds; one that has just come back
/// keeps clients waiting.
pub(super) const MOUNTED_WITHIN: Duration = Duration::from_secs(30);

/// For what programs left unwritten: what they closed or synced is with the server before.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// Of what the kernel says of one mount.
const SAID_BYTES: usize = 512;

/// Whether this machine's kernel has, or can load, what mounts NFS directories. For root; it may take a moment.
#[must_use]
pub fn mounts_nfs() -> bool {
    fsopen("nfs", FsOpenFlags::FSOPEN_CLOEXEC).is_ok()
}

/// Fills in the addresses of servers that have names, in this process's network: that of the machine. Until
/// `ear` hears that the attempt is to stop.
pub(crate) fn resolve(launch: &mut Launch, ear: &mut Ear<'_>) -> Result<(), NotMounted> {
    for volume in &mut launch.volumes {
        if let Volume::Nfs(nfs) = volume
            && nfs.address.is_none()
        {
            nfs.address = match literal(&nfs.server)? {
                None => Some(look_up(&nfs.server, ear)?),
                literal => literal,
            };
        }
    }
    Ok(())
}

/// An address that stands for itself. Tasks' networks have IPv4 alone.
fn literal(server: &str) -> Result<Option<Ipv4Addr>, Failure> {
    match server.parse() {
        Ok(IpAddr::V4(address)) => Ok(Some(address)),
        Ok(IpAddr::V6(_)) => {
            let why = format!("find the NFS server {server}: tasks' networks have no IPv6");
            Err(Failure::theirs(why))
        }
        Err(_) => Ok(None),
    }
}

fn look_up(server: &str, ear: &mut Ear<'_>) -> Result<Ipv4Addr, NotMounted> {
    let step = format!("find the NFS server {server}");
    let ask = || {
        let mut found = (server, 0).to_socket_addrs().map_err(|err| words(&err))?;
        let first = found.find_map(|address| match address.ip() {
            IpAddr::V4(address) => Some(address.octets()),
            IpAddr::V6(_) => None,
        });
        first.ok_or_else(|| "it has no IPv4 address".to_owned())
    };
    match aside(RESOLVED_WITHIN, &[], Some(ear), ask).ours(&step)? {
        Outcome::Said(Ok(octets)) => Ok(octets.into()),
        Outcome::Said(Err(why)) => Err(Failure::ours(format!("{step}: {why}")).into()),
        Outcome::Late => Err(Failure::ours(format!("{step}: no name server answered")).into()),
        Outcome::Asked => Err(NotMounted::Asked),
    }
}

/// Mounts it, detached; by `until`, and unless `ear` hears that the attempt is to stop. To be called in the task's network.
pub(super) fn mount(
    nfs: &Nfs,
    launch: &Launch,
    until: Instant,
    ear: &mut Ear<'_>,
) -> Result<OwnedFd, NotMounted> {
    let step = format!("mount NFS directory {}:{}", nfs.server, nfs.path);
    let address = match (launch.network, nfs.address) {
        (Network::Given | Network::Host, Some(address)) => address,
        _ => return Err(Failure::ours(format!("{step}: the task has no network")).into()),
    };
    // One for each version: what has failed once is of no more use.
    let open = |_| fsopen("nfs", FsOpenFlags::FSOPEN_CLOEXEC);
    let contexts: Vec<OwnedFd> = VERSIONS
        .iter()
        .map(open)
        .collect::<Result<_, _>>()
        .map_err(|err| refused(err).failure(&step))?;
    let kept: Vec<BorrowedFd<'_>> = contexts.iter().map(AsFd::as_fd).collect();
    let ask = || {
        become_client(&launch.attempt_dir).map_err(refused)?;
        ask(&contexts, nfs, address)
    };
    let within = until.saturating_duration_since(Instant::now());
    match aside(within, &kept, Some(ear), ask).ours(&step)? {
        Outcome::Said(Ok(index)) => {
            let context = contexts.get(index).ok_or_else(|| Failure::ours(step.clone()))?;
            let mut attributes = ATTRIBUTES;
            attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, nfs.read_only);
            let tree = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).ours(&step)?;
            Ok(tree)
        }
        Outcome::Said(Err(refusal)) => Err(refusal.failure(&step).into()),
        Outcome::Late => {
            let seconds = MOUNTED_WITHIN.as_secs();
            let why = format!("{step}: the server has not answered in {seconds} s");
            Err(Failure::ours(why).into())
        }
        Outcome::Asked => Err(NotMounted::Asked),
    }
}

/// Whether the server lets a container's program into `tree`, where it `writes` or not. A line for the log where it may not
/// write there.
pub(super) fn enter(
    nfs: &Nfs,
    tree: &OwnedFd,
    person: Person,
    id_base: u32,
    writes: bool,
) -> Result<Option<String>, Failure> {
    let (uid, gid) = (id_base.saturating_add(person.uid), id_base.saturating_add(person.gid));
    let may = |access: Access| rustix::fs::accessat(tree, ".", access, AtFlags::EACCESS).is_ok();
    let look = || {
        sys::process::act_on_files_as(uid, gid);
        (may(Access::READ_OK | Access::EXEC_OK), may(Access::WRITE_OK))
    };
    let step = format!("enter NFS directory {}:{}", nfs.server, nfs.path);
    let seen = match aside(MOUNTED_WITHIN, &[tree.as_fd()], None, look).ours(&step)? {
        Outcome::Said(seen) => Some(seen),
        Outcome::Late | Outcome::Asked => None,
    };
    judge(&format!("NFS directory {}:{}", nfs.server, nfs.path), seen, (person.uid, uid), writes)
}

/// What becomes of a program that may enter and may write as `seen`; nobody said where that is `None`. `user` is who it is
/// in the container, and to the server.
fn judge(
    what: &str,
    seen: Option<(bool, bool)>,
    (user, uid): (u32, u32),
    writes: bool,
) -> Result<Option<String>, Failure> {
    let whom = format!("user {user} of the container, whom it sees as {uid}");
    let remedy =
        "on the server, give it to that id, open it (chmod o+rwx), or export it with all_squash";
    match seen {
        None => Err(Failure::ours(format!("enter {what}: the server does not answer"))),
        Some((false, _)) => {
            Err(Failure::theirs(format!("enter {what}: the server keeps out {whom}: {remedy}")))
        }
        Some((true, false)) if writes => {
            Ok(Some(format!("{what}: the server lets {whom}, write nothing there: {remedy}")))
        }
        Some((true, _)) => Ok(None),
    }
}

/// What an NFS server tells clients apart by is their host's name: two tasks of one name would take each other's files and
/// locks away.
fn become_client(attempt_dir: &Path) -> rustix::io::Result<()> {
    sys::process::unshare(libc::CLONE_NEWUTS)
        .map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::PERM))?;
    rustix::system::sethostname(client_name(attempt_dir).as_bytes())
}

/// Of 31 bytes at most: older kernels cut it there. Directories of attempts are named by what never comes back.
fn client_name(attempt_dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let hash =
        attempt_dir.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("groundrun-{hash:016x}")
}

/// Why there is no mount.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Refusal {
    errno: i32,
    /// The kernel's words.
    said: String,
}

fn refused(errno: Errno) -> Refusal {
    Refusal { errno: errno.raw_os_error(), said: String::new() }
}

/// Which context is mounted, in the first version that the server speaks.
fn ask(contexts: &[OwnedFd], nfs: &Nfs, address: Ipv4Addr) -> Result<usize, Refusal> {
    let mut refused: Option<(Errno, String)> = None;
    for (index, (context, version)) in contexts.iter().zip(VERSIONS).enumerate() {
        match ask_one(context, version, nfs, address) {
            Ok(()) => return Ok(index),
            Err(errno) => {
                let goes_on = goes_on(errno);
                // What a version says that the server speaks is more than that it does not speak another.
                if refused.as_ref().is_none_or(|(before, _)| *before == Errno::PROTONOSUPPORT) {
                    refused = Some((errno, said(context)));
                }
                if !goes_on {
                    break;
                }
            }
        }
    }
    let (errno, said) = refused.unwrap_or((Errno::NODEV, String::new()));
    Err(Refusal { errno: errno.raw_os_error(), said })
}

/// Whether an older version may have another answer: servers without the newer ones say so in several ways, and their
/// directories may have other names there.
fn goes_on(errno: Errno) -> bool {
    [Errno::PROTONOSUPPORT, Errno::INVAL, Errno::NOENT, Errno::PERM, Errno::CONNREFUSED]
        .contains(&errno)
}

fn ask_one(
    context: &OwnedFd,
    version: &str,
    nfs: &Nfs,
    address: Ipv4Addr,
) -> rustix::io::Result<()> {
    let set = |key: &str, value: &str| fsconfig_set_string(context, key, value);
    set("source", &format!("{}:{}", nfs.server, nfs.path))?;
    set("vers", version)?;
    set("addr", &address.to_string())?;
    set("proto", "tcp")?;
    if version == "3" {
        set("mountproto", "tcp")?;
    }
    // As on Cloud Run. Later versions know locks without another service.
    fsconfig_set_flag(context, "nolock")?;
    fsconfig_set_flag(context, "softerr")?;
    fsconfig_create(context)
}

/// What the kernel says of it, in one line.
fn said(context: &OwnedFd) -> String {
    let mut said = String::new();
    let mut line = [0; SAID_BYTES];
    while said.len() < SAID_BYTES {
        let Ok(length @ 1..) = rustix::io::read(context, &mut line) else { break };
        let text = String::from_utf8_lossy(&line[..length]);
        // A letter for how bad it is comes first.
        let text = text.get(2..).unwrap_or_default().trim();
        if !said.is_empty() {
            said += "; ";
        }
        said += text;
    }
    said
}

impl Refusal {
    fn failure(&self, step: &str) -> Failure {
        let errno = Errno::from_raw_os_error(self.errno);
        let (theirs, why) = match errno {
            Errno::TIMEDOUT => (false, "the server does not answer".to_owned()),
            Errno::CONNREFUSED => (false, "the server refuses connections".to_owned()),
            Errno::HOSTUNREACH | Errno::NETUNREACH => {
                (false, "the task's network has no way to the server".to_owned())
            }
            Errno::ACCESS => (true, "the server does not let this machine mount it".to_owned()),
            Errno::PERM => (false, "neither kernel nor server permit it".to_owned()),
            Errno::NOENT => (true, "the server has no such directory".to_owned()),
            Errno::PROTONOSUPPORT => {
                (false, format!("the server speaks none of NFS {}", VERSIONS.join(", ")))
            }
            Errno::NODEV => (false, "this kernel has no NFS driver".to_owned()),
            errno => (false, words(&errno.into())),
        };
        let said = match self.said.as_str() {
            "" => String::new(),
            said => format!(" ({said})"),
        };
        let why = format!("{step}: {why}{said}");
        if theirs { Failure::theirs(why) } else { Failure::ours(why) }
    }
}

/// Sees that what was written is with the servers, and takes the mounts down while the task's network is still there. To be
/// called when no container lives.
pub(crate) fn settle(launch: &Launch) {
    let is_nfs = |volume: &Volume| matches!(volume, Volume::Nfs(_));
    if !launch.volumes.iter().any(is_nfs) {
        return;
    }
    let places = launch.attempt_dir.join(super::VOLUMES);
    let settle = || {
        let indexes = (0..launch.volumes.len()).filter(|index| is_nfs(&launch.volumes[*index]));
        for index in indexes {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let place = places.join(index.to_string());
            if let Ok(directory) = rustix::fs::open(&place, flags, Mode::empty()) {
                let _ = rustix::fs::syncfs(&directory);
            }
        }
        let _ = unmount(&places, UnmountFlags::DETACH);
    };
    // What a server did not take in time is lost as if the machine had ended: its program was told, if it asked.
    let _ = aside(SETTLED_WITHIN, &[], None, settle);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(errno: Errno, said: &str) -> String {
        let refusal = Refusal { errno: errno.raw_os_error(), said: said.to_owned() };
        refusal.failure("mount NFS directory nas:/x").why
    }

    #[test]
    fn what_a_server_refuses_is_said_with_its_name_and_path() {
        let expected = "mount NFS directory nas:/x: the server has no such directory";
        assert_eq!(why(Errno::NOENT, ""), expected);
        let expected =
            "mount NFS directory nas:/x: the server does not let this machine mount it (nfs: x)";
        assert_eq!(why(Errno::ACCESS, "nfs: x"), expected);
        assert!(why(Errno::PROTONOSUPPORT, "").ends_with("speaks none of NFS 4.2, 4.1, 3"));
        assert!(why(Errno::STALE, "").contains("stale"), "{}", why(Errno::STALE, ""));
    }

    #[test]
    fn a_server_is_reached_by_ipv4_or_that_is_said() {
        assert_eq!(literal("10.0.0.1"), Ok(Some(Ipv4Addr::new(10, 0, 0, 1))));
        assert_eq!(literal("nas"), Ok(None));
        let why = literal("fd00::1").expect_err("it is of IPv6").why;
        assert_eq!(why, "find the NFS server fd00::1: tasks' networks have no IPv6");
    }

    #[test]
    fn who_is_kept_out_does_not_start_and_who_may_not_write_is_told() {
        let judged = |seen, writes| judge("NFS directory nas:/x", seen, (7, 1_000_007), writes);
        for (seen, writes) in [((true, true), true), ((true, false), false)] {
            assert_eq!(judged(Some(seen), writes), Ok(None));
        }
        let note = judged(Some((true, false)), true).expect("it starts").expect("a line");
        let begins = "NFS directory nas:/x: the server lets user 7 of the container, whom it sees as 1000007, write nothing";
        assert!(note.starts_with(begins), "{note}");
        let why = judged(Some((false, false)), false).expect_err("it is kept out").why;
        let begins = "enter NFS directory nas:/x: the server keeps out user 7 of the container, whom it sees as 1000007: ";
        assert!(why.starts_with(begins), "{why}");
        let why = judged(None, true).expect_err("nobody said").why;
        assert_eq!(why, "enter NFS directory nas:/x: the server does not answer");
    }

    #[test]
    fn attempts_are_different_clients_and_their_names_are_short() {
        let (one, two) = (client_name(Path::new("/a/0-0")), client_name(Path::new("/a/0-1")));
        assert_ne!(one, two);
        assert!(one.len() < 32, "{one}");
    }
}
