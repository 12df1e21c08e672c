//! cgroup version 1: one hierarchy per controller, and no way to kill all of a group at once.

use std::path::{Path, PathBuf};

use groundrun_core::port::Limits;
use groundrun_shim::protocol::{Cgroup, CgroupKind, Counter};

use super::{AttemptCgroup, Ceiling, cpu_quota, text};

/// Our parent directory in each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V1 {
    pub(crate) memory: Parent,
    pub(crate) cpu: Parent,
    pub(crate) pids: Parent,
}

/// Our parent directory in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    /// As the kernel lists them: `cpu,cpuacct`.
    pub(crate) controllers: String,
    pub(crate) dir: PathBuf,
}

impl V1 {
    /// Each parent once, also where two controllers share a hierarchy. In the order in which a process joins: `pids` last,
    /// and it is killed there first, so that whatever can fork is under its bound.
    pub(crate) fn parents(&self) -> Vec<&Parent> {
        let mut parents = vec![&self.pids];
        for parent in [&self.cpu, &self.memory] {
            if parents.iter().all(|known| known.dir != parent.dir) {
                parents.insert(0, parent);
            }
        }
        parents
    }

    pub(crate) fn attempt(
        &self,
        name: &str,
        limits: Limits,
        pids: u64,
        ceiling: Ceiling,
    ) -> AttemptCgroup {
        // A child's share of CPU above its parent's is EINVAL here; version 2 takes it and applies the smaller one.
        let millis = limits.cpu_millis.min(ceiling.cpu_millis.unwrap_or(u64::MAX));
        let (quota, period) = cpu_quota(millis);
        // Memory and swap together; the file is there where the kernel counts swap.
        let swap = if self.memory.dir.join("memory.memsw.limit_in_bytes").exists() {
            ("memory.memsw.limit_in_bytes", limits.memory_bytes)
        } else {
            ("memory.swappiness", 0)
        };
        let settings = |dir: &Path| {
            let all = [
                (&self.memory.dir, "memory.limit_in_bytes", limits.memory_bytes),
                (&self.memory.dir, swap.0, swap.1),
                (&self.cpu.dir, "cpu.cfs_period_us", period),
                (&self.cpu.dir, "cpu.cfs_quota_us", quota),
                (&self.pids.dir, "pids.max", pids),
            ];
            let here = all.into_iter().filter(|(parent, ..)| *parent == dir);
            here.map(|(_, file, value)| (file.to_owned(), value.to_string())).collect()
        };
        let counter = |file: &str, key: &str| Counter {
            path: self.memory.dir.join(name).join(file),
            key: key.to_owned(),
        };
        AttemptCgroup {
            groups: self
                .parents()
                .into_iter()
                .map(|parent| Cgroup {
                    path: parent.dir.join(name),
                    settings: settings(&parent.dir),
                    kind: CgroupKind::V1 { controllers: parent.controllers.clone() },
                })
                .collect(),
            oom_kills: Some(counter("memory.oom_control", "oom_kill")),
            memory_peak: Some(counter("memory.max_usage_in_bytes", "")),
        }
    }

    /// What bounds a group of ours from above, seen from the parent's parents.
    pub(crate) fn ceiling(&self) -> Ceiling {
        let read = |dir: &Path, file: &str| text(&dir.join(file))?.parse::<u64>().ok();
        let cpu = self.cpu.dir.ancestors().filter_map(|dir| {
            let quota = read(dir, "cpu.cfs_quota_us")?; // -1, no bound, does not parse
            Some(quota * 1000 / read(dir, "cpu.cfs_period_us")?.max(1))
        });
        let memory =
            self.memory.dir.ancestors().filter_map(|dir| read(dir, "memory.limit_in_bytes"));
        Ceiling {
            cpu_millis: cpu.min(),
            // "No limit" is the largest number of pages, as bytes.
            memory_bytes: memory.min().filter(|bytes| *bytes < u64::MAX / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parent(controllers: &str, dir: &str) -> Parent {
        Parent { controllers: controllers.into(), dir: dir.into() }
    }

    fn v1() -> V1 {
        V1 {
            memory: parent("memory", "/m/g"),
            cpu: parent("cpu", "/c/g"),
            pids: parent("pids", "/p/g"),
        }
    }

    fn limits(cpu_millis: u64, memory_bytes: u64) -> Limits {
        Limits { cpu_millis, memory_bytes }
    }

    #[test]
    fn limits_become_the_files_of_three_hierarchies() {
        let cgroup = v1().attempt("a", limits(1500, 64 << 20), 100, Ceiling::default());
        let expected = [
            "/m/g/a memory.limit_in_bytes=67108864",
            "/m/g/a memory.swappiness=0",
            "/c/g/a cpu.cfs_period_us=100000",
            "/c/g/a cpu.cfs_quota_us=150000",
            "/p/g/a pids.max=100",
        ];
        assert_eq!(cgroup.lines(), expected);
        let path = |counter: Option<Counter>| counter.expect("it is counted").path;
        assert_eq!(path(cgroup.memory_peak), PathBuf::from("/m/g/a/memory.max_usage_in_bytes"));
        assert_eq!(path(cgroup.oom_kills), PathBuf::from("/m/g/a/memory.oom_control"));
    }

    #[test]
    fn swap_counts_as_memory_where_the_kernel_counts_it() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("memory.memsw.limit_in_bytes"), "").expect("it is written");
        let memory = Parent { controllers: "memory".into(), dir: dir.path().into() };
        let cgroup = V1 { memory, ..v1() }.attempt("a", limits(1, 4096), 9, Ceiling::default());
        assert!(
            cgroup.lines().iter().any(|line| line.ends_with(" memory.memsw.limit_in_bytes=4096"))
        );
    }

    #[test]
    fn a_share_of_cpu_is_cut_to_the_parents() {
        let ceiling = Ceiling { cpu_millis: Some(500), memory_bytes: None };
        let cgroup = v1().attempt("a", limits(2000, 1 << 30), 100, ceiling);
        assert!(cgroup.lines().contains(&"/c/g/a cpu.cfs_quota_us=50000".to_owned()));
    }

    #[test]
    fn a_shared_hierarchy_is_made_once_with_all_its_settings() {
        let both = parent("cpu,pids", "/x/g");
        let shared = V1 { memory: parent("memory", "/m/g"), cpu: both.clone(), pids: both };
        let cgroup = shared.attempt("a", limits(1000, 4096), 100, Ceiling::default());
        let dirs: Vec<_> = cgroup.groups.iter().map(|group| group.path.clone()).collect();
        assert_eq!(dirs, ["/m/g/a", "/x/g/a"].map(PathBuf::from));
        assert_eq!(cgroup.groups[1].settings.len(), 3);
    }
}
