//! Where this machine's cgroup hierarchies are, read from two texts of the kernel. Pure.

use std::path::{Path, PathBuf};

/// The controllers that a limit needs.
pub(crate) const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// A directory in a mounted hierarchy: the one that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// All controllers of the hierarchy, such as `cpu,cpuacct`; empty for version 2.
    pub(crate) controllers: String,
    /// Where the hierarchy is mounted.
    pub(crate) mount: PathBuf,
    /// Our own cgroup, below or equal to `mount`.
    pub(crate) own: PathBuf,
}

/// Which hierarchies hold the controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Version 1, one place per controller of [`CONTROLLERS`], in that order. Two may share a hierarchy.
    V1([Place; 3]),
    /// Version 2 alone.
    V2(Place),
}

/// One line of `/proc/self/mountinfo`, as far as it is of use here.
struct Mount<'a> {
    root: PathBuf,
    point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

impl Layout {
    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
    ///
    /// # Errors
    /// Names the controllers of [`CONTROLLERS`] that no hierarchy has, when there is also no version 2 to look into.
    pub(crate) fn parse(mountinfo: &str, own: &str) -> Result<Self, Vec<&'static str>> {
        let mounts: Vec<Mount<'_>> = mountinfo.lines().filter_map(mount).collect();
        let v1 = CONTROLLERS.map(|controller| {
            let has = |list: &str| list.split(',').any(|one| one == controller);
            place(
                &mounts,
                |mount| mount.kind == "cgroup" && has(mount.options),
                own_cgroup(own, has),
            )
        });
        let v2 = place(&mounts, |mount| mount.kind == "cgroup2", own_cgroup(own, str::is_empty));
        match (v1, v2) {
            ([Some(memory), Some(cpu), Some(pids)], _) => Ok(Self::V1([memory, cpu, pids])),
            ([None, None, None], Some(place)) => Ok(Self::V2(place)),
            (v1, _) => {
                let missing = CONTROLLERS.into_iter().zip(v1).filter(|(_, place)| place.is_none());
                Err(missing.map(|(controller, _)| controller).collect())
            }
        }
    }
}

/// Controllers and path of our own cgroup in the hierarchy whose controller list satisfies `is`.
fn own_cgroup(own: &str, is: impl Fn(&str) -> bool) -> Option<(&str, &Path)> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        is(controllers).then_some((controllers, Path::new(path)))
    })
}

/// The first mount that `is` it and shows our own cgroup; else the first that `is` it, at its top.
fn place(
    mounts: &[Mount<'_>],
    is: impl Fn(&Mount<'_>) -> bool,
    own: Option<(&str, &Path)>,
) -> Option<Place> {
    let (controllers, path) = own?;
    let at = |mount: &Mount<'_>, own: PathBuf| Place {
        controllers: controllers.to_owned(),
        mount: mount.point.clone(),
        own,
    };
    let candidates = || mounts.iter().filter(|mount| is(mount));
    let showing = candidates().find_map(|mount| {
        Some(at(mount, join(&mount.point, path.strip_prefix(&mount.root).ok()?)))
    });
    showing.or_else(|| candidates().next().map(|mount| at(mount, mount.point.clone())))
}

/// Without the slash that `join` leaves at the end for an empty path.
fn join(base: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { base.to_owned() } else { base.join(below) }
}

fn mount(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, _, options) = (right.next()?, right.next()?, right.next()?);
    Some(Mount { root: unescaped(root), point: unescaped(point), kind, options })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    plain.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const PURE: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    fn at(controllers: &str, mount: &str, own: &str) -> Place {
        Place { controllers: controllers.into(), mount: mount.into(), own: own.into() }
    }

    #[test]
    fn a_hybrid_machine_is_version_1() {
        let own = "8:pids:/\n4:memory:/api/x\n1:cpu:/\n0::/\n";
        let expected = Layout::V1([
            at("memory", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/api/x"),
            at("cpu", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu"),
            at("pids", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids"),
        ]);
        assert_eq!(Layout::parse(HYBRID, own), Ok(expected));
    }

    #[test]
    fn controllers_may_share_a_hierarchy() {
        let mounts = "\
1 0 0:1 / /c/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
2 0 0:2 / /c/memory rw - cgroup cgroup rw,memory
3 0 0:3 / /c/pids rw - cgroup cgroup rw,pids
";
        let own = "3:cpu,cpuacct:/user.slice\n2:memory:/\n1:pids:/a b\n";
        let expected = Layout::V1([
            at("memory", "/c/memory", "/c/memory"),
            at("cpu,cpuacct", "/c/cpu,cpuacct", "/c/cpu,cpuacct/user.slice"),
            at("pids", "/c/pids", "/c/pids/a b"),
        ]);
        assert_eq!(Layout::parse(mounts, own), Ok(expected));
    }

    #[test]
    fn a_machine_with_version_2_alone_is_version_2() {
        let expected =
            Layout::V2(at("", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/g.service"));
        assert_eq!(Layout::parse(PURE, "0::/system.slice/g.service\n"), Ok(expected));
    }

    #[test]
    fn a_mount_that_does_not_show_our_cgroup_is_used_at_its_top() {
        let mounts = "30 23 0:26 /docker/7 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let top = Layout::V2(at("", "/sys/fs/cgroup", "/sys/fs/cgroup"));
        assert_eq!(Layout::parse(mounts, "0::/../8\n"), Ok(top));
        let below = Layout::V2(at("", "/sys/fs/cgroup", "/sys/fs/cgroup/me"));
        assert_eq!(Layout::parse(mounts, "0::/docker/7/me\n"), Ok(below));
    }

    #[test]
    fn a_missing_controller_is_named() {
        let without = HYBRID.replace("cgroup cgroup rw,pids", "cgroup cgroup rw,other");
        let own = "8:other:/\n4:memory:/\n1:cpu:/\n0::/\n";
        assert_eq!(Layout::parse(&without, own), Err(vec!["pids"]));
        assert_eq!(Layout::parse("", ""), Err(CONTROLLERS.to_vec()));
    }

    #[test]
    fn escaped_paths_are_read_back() {
        assert_eq!(unescaped("/a\\040b\\134"), PathBuf::from("/a b\\"));
    }
}
