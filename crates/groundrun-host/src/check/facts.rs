//! Reads what this machine says about itself. Thin: nothing is judged here.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    cgroup::{self, Lost, Survey},
    network, program,
};

/// What this machine says about itself.
#[derive(Clone, Debug)]
pub struct Facts {
    pub(super) uid: u32,
    /// As in /etc/passwd, else the number.
    pub(super) user: String,
    /// Release, such as `6.1.0-18-amd64`.
    pub(super) kernel: String,
    pub(super) namespaces: Namespaces,
    pub(super) ids: Ids,
    pub(super) cgroups: Survey,
    /// Of a group of ours there.
    pub(super) lost: Option<Lost>,
    pub(super) manager: UserManager,
    /// systemd manages this machine.
    pub(super) has_systemd: bool,
    /// The kernel has overlay mounts, or a module for them.
    pub(super) has_overlay: bool,
    /// May mount and make namespaces without being in a user namespace of its own (CAP_SYS_ADMIN).
    pub(super) is_capable: bool,
    /// This program's file.
    pub(super) program: PathBuf,
    pub(super) data: Data,
    pub(super) programs: Programs,
    pub(super) has_tun: bool,
    /// The chains of the machine's firewall, as `nft list chains` writes them; empty unless they were asked for.
    pub(super) chains: String,
    pub(super) cpus: usize,
    /// Bytes.
    pub(super) memory: u64,
}

/// Who may make user namespaces.
#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    /// The kernel has them.
    pub(super) exist: bool,
    /// `user.max_user_namespaces`.
    pub(super) max: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, on Debian's kernels.
    pub(super) unprivileged: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, on Ubuntu's kernels.
    pub(super) apparmor: Option<u64>,
    /// No profile of AppArmor's is for this program.
    pub(super) is_unconfined: bool,
}

/// Subordinate ids of the user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ids {
    pub(super) users: u64,
    pub(super) groups: u64,
    /// The first that nobody has, nor anything above it.
    pub(super) next: u64,
}

/// The user's own systemd.
#[derive(Clone, Debug, Default)]
pub(super) struct UserManager {
    pub(super) runs: bool,
    /// It stays when the user logs out.
    pub(super) lingers: bool,
    /// What a group below it would not have.
    pub(super) lost: Option<Lost>,
}

/// Where the data directory is, or is going to be.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub(super) dir: PathBuf,
    /// Kind of its file system.
    pub(super) kind: FileSystem,
    /// The nearest directory that exists, when nothing can be made in it.
    pub(super) refused: Option<PathBuf>,
    /// Bytes.
    pub(super) free: Option<u64>,
}

/// The number by which the kernel tells a kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSystem(pub(super) u64);

/// Programs of the machine that are used where they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Programs {
    pub(super) nft: bool,
    pub(super) pasta: bool,
    pub(super) id_maps: bool,
    pub(super) systemd_run: bool,
}

impl Facts {
    /// Reads them. What cannot be read counts as not there.
    #[must_use]
    pub fn read(data_dir: &Path) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let user = user_name(&text("/etc/passwd"), uid).unwrap_or_else(|| uid.to_string());
        let cgroups = cgroup::survey(None);
        let lost = match &cgroups {
            Survey::V2 { seat: Some(seat), .. } => cgroup::lost(seat),
            _ => None,
        };
        let (subuid, subgid) = (text("/etc/subuid"), text("/etc/subgid"));
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        Self {
            namespaces: Namespaces {
                exist: Path::new("/proc/self/ns/user").exists(),
                max: number("/proc/sys/user/max_user_namespaces"),
                unprivileged: number("/proc/sys/kernel/unprivileged_userns_clone"),
                apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
                is_unconfined: text("/proc/self/attr/current").trim_end_matches('\0').trim()
                    == "unconfined",
            },
            ids: Ids {
                users: subordinates(&subuid, &user, uid),
                groups: subordinates(&subgid, &user, uid),
                next: next_free(&subuid).max(next_free(&subgid)),
            },
            manager: user_manager(uid, &user, &cgroups),
            cgroups,
            lost,
            has_systemd: Path::new("/run/systemd/system").is_dir(),
            has_overlay: text("/proc/filesystems").lines().any(|line| line == "nodev\toverlay")
                || text(&format!("/lib/modules/{kernel}/modules.dep")).contains("/overlay.ko"),
            is_capable: is_capable(&text("/proc/self/status")),
            program: std::env::current_exe().unwrap_or_else(|_| "groundrun".into()),
            kernel,
            data: data(data_dir),
            programs: Programs {
                nft: is_installed("nft"),
                pasta: is_installed("pasta"),
                id_maps: is_installed("newuidmap") && is_installed("newgidmap"),
                systemd_run: is_installed("systemd-run"),
            },
            chains: String::new(),
            has_tun: is_writable(Path::new("/dev/net/tun")),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: crate::capacity::mem_total(&text("/proc/meminfo")).unwrap_or_default(),
            uid,
            user,
        }
    }
}

impl Facts {
    /// Asks for the machine's firewall, too: a run of a program, of use where tasks are behind a bridge in it.
    pub(super) fn with_firewall(mut self) -> Self {
        if self.uid == 0 && self.programs.nft {
            self.chains = network::chains().unwrap_or_default();
        }
        self
    }
}

fn user_manager(uid: u32, user: &str, cgroups: &Survey) -> UserManager {
    let lost = match cgroups {
        Survey::V2 { mount, .. } => {
            let slice = format!("user.slice/user-{uid}.slice/user@{uid}.service");
            cgroup::lost(&mount.join(slice))
        }
        _ => None,
    };
    UserManager {
        runs: Path::new(&format!("/run/user/{uid}/systemd/private")).exists(),
        lingers: Path::new("/var/lib/systemd/linger").join(user).exists(),
        lost,
    }
}

fn data(dir: &Path) -> Data {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let kind = rustix::fs::statfs(there).map_or(0, |stat| stat.f_type.cast_unsigned());
    let free = rustix::fs::statvfs(there).ok().map(|stat| stat.f_bavail * stat.f_frsize);
    let refused = (!there.is_dir() || !is_writable(there)).then(|| there.to_owned());
    Data { kind: FileSystem(kind), refused, free, dir }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    text(path).trim().parse().ok()
}

fn is_writable(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// Also where an ordinary user's PATH does not lead.
fn is_installed(program: &str) -> bool {
    program::find(program).is_some()
}

/// The name of a user in the text of /etc/passwd.
fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// How many ids the text of /etc/subuid or /etc/subgid gives to a user.
fn subordinates(table: &str, user: &str, uid: u32) -> u64 {
    let count = |line: &str| {
        let mut fields = line.trim().split(':');
        let (whose, _, count) = (fields.next()?, fields.next()?, fields.next()?);
        (whose == user || whose.parse() == Ok(uid)).then(|| count.parse::<u64>().ok())?
    };
    table.lines().filter_map(count).sum()
}

/// The first id above all ranges of a table, and where distributions begin to give them.
fn next_free(table: &str) -> u64 {
    let end = |line: &str| {
        let mut fields = line.trim().split(':').skip(1);
        let (first, count) = (fields.next()?, fields.next()?);
        first.parse::<u64>().ok()?.checked_add(count.parse().ok()?)
    };
    table.lines().filter_map(end).max().unwrap_or_default().max(100_000)
}

/// Whether the text of /proc/self/status has CAP_SYS_ADMIN, bit 21, among the effective capabilities.
fn is_capable(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits & (1 << 21) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number_and_its_ids_by_either() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("ada"));
        assert_eq!(user_name(passwd, 1001), None);
        let table = "ada:100000:65536\n1000:300000:10\nbob:165536:65536\nodd\n";
        assert_eq!(subordinates(table, "ada", 1000), 65_546);
        assert_eq!(subordinates(table, "eve", 1002), 0);
        assert_eq!((next_free(table), next_free("")), (300_010, 100_000));
    }

    #[test]
    fn capabilities_are_read() {
        assert!(is_capable("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!is_capable("CapEff:\t00000000a80425fb\n"));
        assert!(!is_capable(""));
    }

    #[test]
    fn this_machine_is_read() {
        let facts = Facts::read(Path::new("/nowhere/that/exists"));
        assert!(facts.cpus > 0 && facts.memory > 0);
        assert_eq!(facts.data.dir, Path::new("/nowhere/that/exists"));
        assert!(facts.data.free.is_some());
        assert_eq!(data(Path::new("/proc/version/x")).refused, Some("/proc/version".into()));
        assert!(!is_installed("no-such-program-of-this-name"));
        assert!(is_installed("sh"));
    }
}
