//! What the kernel says of memory and of the machine.

use std::fs;

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or_default()
}

/// Proportional set size in KiB.
pub(crate) fn pss_kib(pid: u32) -> u64 {
    field(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default(), "Pss:")
}

/// Resident and proportional size of a process, for a person.
pub(crate) fn of(pid: u32) -> String {
    let rss =
        field(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), "VmRSS:");
    format!("RSS {:.1} MiB, PSS {:.1} MiB", rss as f64 / 1024.0, pss_kib(pid) as f64 / 1024.0)
}

/// Kernel, cores and cgroup version: which machine the figures are of.
pub(crate) fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cgroup =
        if fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false) { "v2" } else { "v1" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("kernel {}, {cores} cores, cgroup {cgroup}", kernel.trim())
}
