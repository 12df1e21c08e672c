//! Confinement as it is seen from inside: what a task may do, what it sees of the machine, who it is.

use std::{collections::BTreeSet, sync::Arc};

use groundrun_core::{
    port::AttemptSpec,
    record::{Cause, Ending, Exit},
};

use super::{
    Place, Scenario, Witness, attempt,
    begin::{assert_exited, run, start},
};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("no new privileges, and a filter of system calls", filtered),
    ("no capability beyond the usual ones", capabilities),
    ("what would lead out of the container is refused", refused),
    ("the kernel's own files are masked or cannot be written", masked),
    ("nothing of the machine is mounted", mounts),
    ("the machine's processes are not seen", processes),
    ("root inside is not root of the machine", ids),
];

/// What Docker gives by default, by the kernel's numbers: chown, dac_override, fowner, fsetid, kill, setgid, setuid,
/// setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
const USUAL: [u32; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// Where a container has something mounted; anything else must lie below one of these. The empty word is its root.
const MOUNTED: [&str; 9] = [
    "",
    "/dev",
    "/proc",
    "/sys",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/run",
    "/tmp",
];

/// File systems of the kernel's own, and the image's; a bind mount of the machine's disk would be another.
const KINDS: [&str; 9] =
    ["overlay", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "devtmpfs"];

/// More of the kernel's own, which come with its `/sys` where an ordinary user cannot mount another one.
const WITH_SYS: [&str; 9] = [
    "bpf",
    "configfs",
    "debugfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "pstore",
    "securityfs",
    "tracefs",
];

/// What the sample program prints.
fn seen(place: &mut dyn Place, args: &[&str]) -> Vec<String> {
    let spec = attempt(place, args);
    assert_exited(&run(place, &spec), (Exit::Code(0), Cause::OnItsOwn));
    place.lines(spec.id)
}

/// How the sample program ends and what it prints, each time it is run.
fn tried(place: &mut dyn Place, runs: &[&[&str]]) -> Vec<(Ending, String)> {
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    let specs: Vec<_> = runs.iter().map(|args| attempt(place, args)).collect();
    specs.iter().for_each(|spec| start(&*backend, spec));
    let ended = |spec: &AttemptSpec| (witness.ended(spec.id), place.lines(spec.id).join("\n"));
    specs.iter().map(ended).collect()
}

/// The value of a line of `/proc/self/status`.
fn value<'a>(status: &'a [String], key: &str) -> &'a str {
    let of = |line: &'a String| line.strip_prefix(key)?.strip_prefix(':').map(str::trim);
    status.iter().find_map(of).unwrap_or_else(|| panic!("no {key}: {status:?}"))
}

/// A container without them runs as well as one with them, which is why it is looked at.
fn filtered(place: &mut dyn Place) {
    let status = seen(place, &["status"]);
    assert_eq!(value(&status, "NoNewPrivs"), "1");
    assert_eq!(value(&status, "Seccomp"), "2");
}

fn capabilities(place: &mut dyn Place) {
    let status = seen(place, &["status"]);
    let usual = USUAL.iter().fold(0_u64, |set, bit| set | 1 << bit);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let bits = u64::from_str_radix(value(&status, set), 16).expect("a set is hexadecimal");
        assert_eq!(bits & !usual, 0, "{set} has more: {bits:x}");
    }
}

fn refused(place: &mut dyn Place) {
    let verbs: [&[&str]; 4] = [&["try-mknod"], &["try-mount"], &["try-unshare"], &["try-clone3"]];
    for (verb, (_, said)) in verbs.iter().zip(tried(place, &verbs)) {
        assert!(said.contains("errno ") && !said.contains("permitted"), "{verb:?}: {said}");
    }
}

fn masked(place: &mut dyn Place) {
    let secret: [&[&str]; 3] =
        [&["cat", "/proc/kcore"], &["cat", "/proc/keys"], &["cat", "/proc/timer_list"]];
    for (read, (_, said)) in secret.iter().zip(tried(place, &secret)) {
        assert_eq!(said, "", "{read:?} tells something");
    }
    let settings: [&[&str]; 2] =
        [&["leave", "/proc/sys/kernel/core_pattern", "h"], &["leave", "/proc/sysrq-trigger", "h"]];
    for (write, (ending, _)) in settings.iter().zip(tried(place, &settings)) {
        match ending {
            Ending::Exited { exit, .. } => assert_ne!(exit, Exit::Code(0), "{write:?} worked"),
            other => panic!("{write:?}: {other:?}"),
        }
    }
    let firmware = seen(place, &["ls", "/sys/firmware"]);
    assert!(firmware.iter().all(|name| [".", ".."].contains(&name.as_str())), "{firmware:?}");
}

fn mounts(place: &mut dyn Place) {
    let table = seen(place, &["cat", "/proc/self/mountinfo"]);
    for line in &table {
        let (left, right) = line.split_once(" - ").expect("a line of mountinfo");
        let point = left.split(' ').nth(4).expect("a mount point");
        let kind = right.split(' ').next().expect("a file system");
        let below = |known: &&str| {
            point.strip_prefix(*known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let root = point == "/";
        assert!(root || MOUNTED.iter().skip(1).any(below), "where: {line}");
        // Device nodes may be the machine's own, bound one by one.
        let node = point.starts_with("/dev/");
        let with_sys = point.starts_with("/sys/") && WITH_SYS.contains(&kind);
        let known = KINDS.contains(&kind) || node || with_sys || point.starts_with("/etc/");
        assert!(known, "what: {line}");
    }
}

fn processes(place: &mut dyn Place) {
    let listed = seen(place, &["ls", "/proc"]);
    let numbers: BTreeSet<&str> = listed
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    assert_eq!(numbers, BTreeSet::from(["1"]));
}

fn ids(place: &mut dyn Place) {
    let map = seen(place, &["cat", "/proc/self/uid_map"]);
    let rows: Vec<Vec<u64>> = map
        .iter()
        .map(|row| row.split_whitespace().map(|id| id.parse().expect("a number")).collect())
        .collect();
    assert!(!rows.is_empty());
    // A row is: from inside, from outside, how many. The whole of the machine's would be one row of 2^32 - 1.
    for row in &rows {
        assert!(matches!(row.as_slice(), [_, _, 1..=65_536]), "{map:?}");
    }
}
