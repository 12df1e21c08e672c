//! How much of this machine tasks may use together.

use std::{fs, io, num::NonZeroU32};

use groundrun_core::port::Limits;

use crate::cgroup::Ceiling;

/// How much of what is there may be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Hundredths of the memory; above 100 promises more than there is.
    pub memory_percent: u16,
    /// How many CPUs are promised for each that is there.
    pub cpu_overcommit: NonZeroU32,
}

/// 80 % of memory, because a limit is also the promise to give it, and the server, page cache and the machine's owner
/// need the rest. CPUs four times over, because a share of CPU is only an upper bound, and most jobs wait for something.
impl Default for Share {
    fn default() -> Self {
        Self { memory_percent: 80, cpu_overcommit: NonZeroU32::MIN.saturating_add(3) }
    }
}

/// What this machine has, or the cgroup in which all of ours runs if that is less.
///
/// # Errors
/// When the kernel does not tell.
pub fn capacity(share: Share, ceiling: Ceiling) -> io::Result<Limits> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let total =
        mem_total(&meminfo).ok_or_else(|| io::Error::other("no MemTotal in /proc/meminfo"))?;
    let cpus = std::thread::available_parallelism()?.get();
    let machine = Limits { cpu_millis: cpus as u64 * 1000, memory_bytes: total };
    Ok(budget(machine, ceiling, share))
}

fn budget(machine: Limits, ceiling: Ceiling, share: Share) -> Limits {
    let cpu = machine.cpu_millis.min(ceiling.cpu_millis.unwrap_or(u64::MAX));
    let memory = machine.memory_bytes.min(ceiling.memory_bytes.unwrap_or(u64::MAX));
    Limits {
        cpu_millis: cpu.saturating_mul(share.cpu_overcommit.get().into()),
        memory_bytes: memory / 100 * u64::from(share.memory_percent),
    }
}

/// Bytes.
pub(crate) fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Limits = Limits { cpu_millis: 2000, memory_bytes: 1000 };

    #[test]
    fn a_share_of_the_machine_is_promised() {
        let expected = Limits { cpu_millis: 8000, memory_bytes: 800 };
        assert_eq!(budget(MACHINE, Ceiling::default(), Share::default()), expected);
    }

    #[test]
    fn a_smaller_cgroup_counts_instead_of_the_machine() {
        let ceiling = Ceiling { cpu_millis: Some(500), memory_bytes: Some(100) };
        let share = Share { memory_percent: 50, cpu_overcommit: NonZeroU32::MIN };
        let expected = Limits { cpu_millis: 500, memory_bytes: 50 };
        assert_eq!(budget(MACHINE, ceiling, share), expected);
    }

    #[test]
    fn a_larger_cgroup_does_not_add_to_the_machine() {
        let ceiling = Ceiling { cpu_millis: Some(64_000), memory_bytes: Some(1 << 40) };
        let expected = budget(MACHINE, Ceiling::default(), Share::default());
        assert_eq!(budget(MACHINE, ceiling, Share::default()), expected);
    }

    #[test]
    fn the_kernels_memory_line_is_read() {
        assert_eq!(
            mem_total("MemTotal:       24683716 kB\nMemFree: 1 kB\n"),
            Some(24_683_716 * 1024)
        );
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn this_machine_tells() {
        let budget = capacity(Share::default(), Ceiling::default()).expect("the kernel tells");
        assert!(budget.cpu_millis >= 4000);
        assert!(budget.memory_bytes > 0);
    }
}
