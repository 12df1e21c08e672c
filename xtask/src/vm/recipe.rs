//! Makes the guest's root and kernel from Debian's packages, and keeps them: a new recipe makes new ones.
//!
//! No kernel is installed on this machine and nothing is mounted: the kernel's package is unpacked, the root made by
//! mmdebstrap, and the file system filled while it is made.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use crate::sh;

/// What is in the root beyond Debian's essential packages.
const PACKAGES: &[&str] = &[
    "apparmor",
    "busybox-static",
    "crun",
    "dbus",
    "dbus-user-session",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "nfs-kernel-server",
    "nftables",
    "passt",
    "procps",
    "systemd-sysv",
    "uidmap",
];

/// The file system's size: the packages and room for what tests write. The file is sparse.
const SIZE: &str = "8G";

/// Services that a test has no use for and that take time at the boot.
const MASKED: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "nfs-server.service",
    "rpcbind.service",
    "rpcbind.socket",
    "serial-getty@ttyS0.service",
    "serial-getty@ttyS1.service",
    "systemd-timesyncd.service",
];

/// Run inside of the new root.
const INSIDE: &str = "
set -e
useradd --create-home --uid 1000 --shell /bin/bash tester
useradd --create-home --uid 1001 --shell /bin/bash single
sed -i /^single:/d /etc/subuid /etc/subgid
mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/tester
rm -f /etc/resolv.conf
echo nameserver 192.0.2.53 >/etc/resolv.conf
echo guest >/etc/hostname
printf '127.0.0.1 localhost\\n::1 localhost\\n127.0.1.1 guest\\n' >/etc/hosts
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
";

/// Starts what was put in, once the user's systemd runs. Whatever goes wrong turns the guest off.
const UNIT: &str = "\
[Unit]
Description=What was put in
Requires=user@1000.service
After=user@1000.service multi-user.target
FailureAction=poweroff-force

[Service]
Type=exec
ExecStart=/bin/sh /usr/local/lib/guest
StandardOutput=journal+console
KillMode=process
Delegate=yes
";

/// The disks are told apart by their serial numbers; see `machine`.
const SCRIPT: &str = r#"
set -e
for disk in /sys/class/nvme/*; do
    case $(cat "$disk/serial") in
        payload*) payload=/dev/${disk##*/}n1 ;;
        results*) results=/dev/${disk##*/}n1 ;;
    esac
done
mkdir -p /in
tar xf "$payload" -C /in
stty -F /dev/ttyS1 raw -echo
exec /in/xtask vm guest "$results" >/dev/ttyS1 2>&1
"#;

/// A guest that can be booted.
pub(super) struct Guest {
    pub(super) kernel: PathBuf,
    pub(super) root: PathBuf,
}

/// The guest of this recipe: from the cache, else made.
pub(super) fn guest() -> Result<Guest, String> {
    let dir = cache().join(format!("{:016x}", key()?));
    let guest = Guest { kernel: dir.join("vmlinuz"), root: dir.join("root.ext4") };
    if guest.root.is_file() && guest.kernel.is_file() {
        return Ok(guest);
    }
    let making = dir.with_extension("making");
    let _ = fs::remove_dir_all(&making);
    fs::create_dir_all(&making).map_err(|e| format!("make {}: {e}", making.display()))?;
    make(&making)?;
    let _ = fs::remove_dir_all(&dir);
    fs::rename(&making, &dir).map_err(|e| format!("put {} in place: {e}", dir.display()))?;
    Ok(guest)
}

/// Where guests are kept; another place by `GROUNDRUN_VM_CACHE`, to share them between work trees.
pub(super) fn cache() -> PathBuf {
    let elsewhere = std::env::var_os("GROUNDRUN_VM_CACHE").map(PathBuf::from);
    elsewhere.unwrap_or_else(|| sh::root().join("target/vm"))
}

/// Changes with everything that the guest is made of, except for the packages' versions.
fn key() -> Result<u64, String> {
    let mut hasher = DefaultHasher::new();
    (PACKAGES, SIZE, MASKED, INSIDE, UNIT, SCRIPT, suite()?).hash(&mut hasher);
    Ok(hasher.finish())
}

/// This machine's Debian: programs that were linked here must run there.
fn suite() -> Result<String, String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let of = |key: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .map(|v| v.trim_matches('"').to_owned())
    };
    match (of("ID="), of("VERSION_CODENAME="), std::env::consts::ARCH) {
        (Some(id), Some(suite), "x86_64") if id == "debian" => Ok(suite),
        _ => Err("the machine for tests is made on Debian, on x86-64: this is neither or not both"
            .into()),
    }
}

fn make(dir: &Path) -> Result<(), String> {
    let root = dir.join("root");
    let shown = root.display().to_string();
    let include = format!("--include={}", PACKAGES.join(","));
    sh::run(&[
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        &include,
        &suite()?,
        &shown,
    ])?;
    let version = kernel(dir, &root)?;
    sh::run(&["chroot", &shown, "depmod", &version])?;
    sh::run(&["chroot", &shown, "sh", "-c", INSIDE])?;
    furnish(&root).map_err(|e| format!("write into {shown}: {e}"))?;
    let file = dir.join("root.ext4").display().to_string();
    sh::run(&["mkfs.ext4", "-q", "-d", &shown, "-O", "^has_journal", &file, SIZE])?;
    for done in ["root", "package"] {
        fs::remove_dir_all(dir.join(done)).map_err(|e| format!("remove {done}: {e}"))?;
    }
    Ok(())
}

/// Unpacks Debian's kernel for virtual machines: the image beside the root, its modules inside. Answers its version.
fn kernel(dir: &Path, root: &Path) -> Result<String, String> {
    const META: &str = "linux-image-cloud-amd64";
    let package = dir.join("package");
    fs::create_dir(&package).map_err(|e| format!("make {}: {e}", package.display()))?;
    let show = || sh::output(&["apt-cache", "show", "--no-all-versions", META]);
    let shown = match show() {
        Ok(text) if !text.is_empty() => text,
        _ => {
            sh::run(&["apt-get", "update", "-qq"])?;
            show()?
        }
    };
    let name = shown
        .lines()
        .find_map(|line| line.strip_prefix("Depends: ")?.split([' ', ',']).next())
        .ok_or(format!("{META} depends on no kernel:\n{shown}"))?;
    sh::run_in(&package, &["apt-get", "download", "-qq", name])?;
    let archive = fs::read_dir(&package)
        .map_err(|e| format!("list {}: {e}", package.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .ok_or(format!("apt-get brought nothing for {name}"))?;
    sh::run(&["dpkg", "-x", &archive.display().to_string(), &package.display().to_string()])?;
    let version = name.trim_start_matches("linux-image-").to_owned();
    let image = package.join("boot").join(format!("vmlinuz-{version}"));
    fs::rename(&image, dir.join("vmlinuz"))
        .map_err(|e| format!("take {}: {e}", image.display()))?;
    let (from, to) = (package.join("lib/modules"), root.join("lib/modules"));
    fs::rename(&from, &to).map_err(|e| format!("take {}: {e}", from.display()))?;
    Ok(version)
}

fn furnish(root: &Path) -> std::io::Result<()> {
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        symlink("/dev/null", units.join(unit))?;
    }
    fs::write(root.join("usr/local/lib/guest"), SCRIPT)?;
    fs::set_permissions(root.join("usr/local/lib/guest"), fs::Permissions::from_mode(0o755))?;
    fs::write(units.join("guest.service"), UNIT)?;
    fs::create_dir_all(units.join("multi-user.target.wants"))?;
    symlink(
        "/etc/systemd/system/guest.service",
        units.join("multi-user.target.wants/guest.service"),
    )?;
    symlink("/lib/systemd/system/multi-user.target", units.join("default.target"))
}
