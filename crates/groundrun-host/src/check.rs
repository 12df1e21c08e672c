//! Whether tasks can run on this machine at all, and what to do where they cannot.

use std::{fmt, fs, path::Path};

use crate::cgroup::{self, CgroupError};

/// Overlay mounts of layers whose ids are mapped came with 5.19; so did the peak of memory use in version 2 of cgroups.
const KERNEL_MIN: (u32, u32) = (5, 19);

/// Something that a task needs and this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing, and how it was noticed.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// What this machine says about itself.
#[derive(Clone, Debug)]
struct Machine {
    is_root: bool,
    kernel: String,
    cgroups: Result<(), String>,
    /// `/proc/filesystems`.
    filesystems: String,
    /// `/proc/sys/user/max_user_namespaces`, where the kernel has user namespaces.
    user_namespaces: Option<String>,
}

/// All that is missing here; empty when tasks can run. Changes nothing.
#[must_use]
pub fn check() -> Vec<Missing> {
    missing(&Machine {
        is_root: rustix::process::geteuid().is_root(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cgroups: cgroup::probe().map_err(|err: CgroupError| err.to_string()),
        filesystems: fs::read_to_string("/proc/filesystems").unwrap_or_default(),
        user_namespaces: Path::new("/proc/self/ns/user")
            .exists()
            .then(|| fs::read_to_string("/proc/sys/user/max_user_namespaces").ok())
            .flatten(),
    })
}

fn missing(machine: &Machine) -> Vec<Missing> {
    let mut all = Vec::new();
    let mut lacks =
        |what: String, remedy: &str| all.push(Missing { what, remedy: remedy.to_owned() });
    if !machine.is_root {
        lacks("tasks are started by root only".to_owned(), "run it with sudo");
    }
    if version(&machine.kernel).is_none_or(|version| version < KERNEL_MIN) {
        let (major, minor) = KERNEL_MIN;
        lacks(
            format!("the kernel is {}, older than {major}.{minor}", machine.kernel),
            "start a newer kernel",
        );
    }
    if let Err(why) = &machine.cgroups {
        lacks(
            why.clone(),
            "mount a cgroup hierarchy with the memory, cpu and pids controllers; \
             in a container, start that with --privileged --cgroupns=host",
        );
    }
    if !machine.filesystems.lines().any(|line| line.trim() == "nodev\toverlay") {
        lacks("the kernel has no overlay file system".to_owned(), "run `modprobe overlay`");
    }
    match machine.user_namespaces.as_deref().map(str::trim) {
        None => lacks(
            "the kernel has no user namespaces".to_owned(),
            "start a kernel with CONFIG_USER_NS",
        ),
        Some("0") => lacks(
            "user namespaces are switched off".to_owned(),
            "run `sysctl user.max_user_namespaces=15000`",
        ),
        Some(_) => {}
    }
    all
}

/// The first two numbers of a kernel's release, such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            is_root: true,
            kernel: "6.1.0-18-amd64".into(),
            cgroups: Ok(()),
            filesystems: "nodev\tsysfs\n\text4\nnodev\toverlay\n".into(),
            user_namespaces: Some("95000\n".into()),
        }
    }

    #[track_caller]
    fn check_missing(machine: &Machine, expected: &[&str]) {
        let found = missing(machine);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (missing, words) in found.iter().zip(expected) {
            assert!(missing.to_string().contains(words), "{missing}");
        }
    }

    #[test]
    fn a_common_machine_lacks_nothing() {
        check_missing(&machine(), &[]);
    }

    #[test]
    fn each_lack_is_named_with_what_to_do() {
        check_missing(&Machine { is_root: false, ..machine() }, &["sudo"]);
        check_missing(&Machine { kernel: "5.18.3".into(), ..machine() }, &["older than 5.19"]);
        check_missing(&Machine { cgroups: Err("no pids".into()), ..machine() }, &["no pids"]);
        check_missing(&Machine { filesystems: String::new(), ..machine() }, &["modprobe overlay"]);
        check_missing(&Machine { user_namespaces: None, ..machine() }, &["CONFIG_USER_NS"]);
        let off = Machine { user_namespaces: Some("0\n".into()), ..machine() };
        check_missing(&off, &["switched off"]);
    }

    #[test]
    fn all_lacks_are_named_at_once() {
        let bare = Machine { is_root: false, filesystems: String::new(), ..machine() };
        check_missing(&bare, &["sudo", "overlay"]);
    }

    #[test]
    fn releases_are_read() {
        assert_eq!(version("6.18.0"), Some((6, 18)));
        assert_eq!(version("5.19-rc1+"), Some((5, 19)));
        assert_eq!(version("odd"), None);
    }
}
