use crate::{Test, lab::Lab};
pub(crate) const TESTS: &[Test] = &[("peek", peek)];
fn peek(lab: &Lab) {
    for path in [
        "/proc/self/mountinfo",
        "/proc/self/uid_map",
        "/proc/self/cgroup",
        "/proc/self/attr/current",
        "/proc/net/dev",
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/1/environ",
        "/proc/self/setgroups",
        "/proc/kcore",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ] {
        let o = lab.run(&lab.launch(&["cat", path]));
        eprintln!(
            "--- {path} {:?}\n{}{}",
            o.record.end,
            o.text(groundrun_shim::log::Source::Stdout),
            o.text(groundrun_shim::log::Source::Stderr)
        );
    }
    for path in [
        "/",
        "/dev",
        "/proc/self/fd",
        "/sys/fs/cgroup",
        "/proc/self/ns",
        "/sys/firmware",
        "/proc",
        "/proc/scsi",
        "/proc/acpi",
    ] {
        let o = lab.run(&lab.launch(&["ls", path]));
        eprintln!(
            "--- {path} {:?}\n{}{}",
            o.record.end,
            o.text(groundrun_shim::log::Source::Stdout).replace('\n', " "),
            o.text(groundrun_shim::log::Source::Stderr)
        );
    }
    for v in ["status", "try-mknod", "try-mount", "try-unshare", "try-clone3"] {
        let o = lab.run(&lab.launch(&[v]));
        eprintln!(
            "--- {v} {:?}\n{}{}",
            o.record.end,
            o.text(groundrun_shim::log::Source::Stdout),
            o.text(groundrun_shim::log::Source::Stderr)
        );
    }
}
