//! Files that tasks share: what specs say of buckets and NFS directories, and what the options of a bucket mean where it is
//! a directory of the machine.

use std::fmt;

use groundrun_api::v1;

use super::SharedFiles;
use crate::port::VolumeKind;

/// The driver of buckets.
pub(crate) const GCSFUSE: &str = "gcsfuse.run.googleapis.com";

/// Attribute of a bucket's volume: its name.
pub(crate) const BUCKET_NAME: &str = "bucketName";

/// Attribute of a bucket's volume: flags of gcsfuse without their dashes, between commas.
pub(crate) const MOUNT_OPTIONS: &str = "mountOptions";

/// Ids of a container.
const IDS: u32 = 65_536;

/// Of one component of a bucket's name, and of a name without dots.
const COMPONENT_MAX: usize = 63;
const BUCKET_MAX: usize = 222;

/// Whether Cloud Storage could have a bucket of this name. Such a name is one component of a path.
#[must_use]
pub fn is_bucket(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let allowed = |c: char| letter(c) || ['-', '_', '.'].contains(&c);
    let fits = |part: &str| (1..=COMPONENT_MAX).contains(&part.len());
    (3..=BUCKET_MAX).contains(&name.len())
        && name.chars().all(allowed)
        && name.starts_with(letter)
        && name.ends_with(letter)
        && name.split('.').all(fits)
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// `mountOptions`, one by one.
pub(crate) fn mount_options(source: &v1::CsiVolumeSource) -> Vec<String> {
    let given = source.volume_attributes.get(MOUNT_OPTIONS).map(String::as_str);
    let options = given.unwrap_or_default().split(',').map(str::trim);
    options.filter(|option| !option.is_empty()).map(str::to_owned).collect()
}

/// A bucket or an NFS directory, where the volume is one.
pub(crate) fn kind(volume: &v1::Volume) -> Option<VolumeKind> {
    if let Some(source) = &volume.csi {
        return Some(VolumeKind::Bucket {
            bucket: source.volume_attributes.get(BUCKET_NAME).cloned().unwrap_or_default(),
            read_only: source.read_only == Some(true),
            mount_options: mount_options(source),
        });
    }
    let source = volume.nfs.as_ref()?;
    Some(VolumeKind::Nfs {
        server: source.server.clone().unwrap_or_default(),
        path: source.path.clone().unwrap_or_default(),
        read_only: source.read_only == Some(true),
    })
}

/// What a task needs of them, in the order of its volumes.
pub(crate) fn needs(task: &v1::TaskSpec) -> Vec<SharedFiles> {
    let need = |kind| match kind {
        VolumeKind::Bucket { bucket, mount_options, .. } => {
            Some(SharedFiles::Bucket { bucket, mount_options })
        }
        VolumeKind::Nfs { server, path, .. } => Some(SharedFiles::Nfs { server, path }),
        VolumeKind::EmptyDir { .. } | VolumeKind::Secret(_) | VolumeKind::CloudSql(_) => None,
    };
    task.volumes.iter().filter_map(kind).filter_map(need).collect()
}

/// What `mountOptions` ask of a bucket that is a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Whose the files are, as a container sees them; its own program's where absent.
    pub uid: Option<u32>,
    /// Likewise, the group.
    pub gid: Option<u32>,
    /// The directory of the bucket that is shown in place of all: relative, without `.` and `..`.
    pub only_dir: Option<String>,
    /// Nothing can be written.
    pub read_only: bool,
}

/// An option that a directory cannot honour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionFault {
    option: String,
    why: &'static str,
}

impl fmt::Display for OptionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mountOptions: {:?} {}", self.option, self.why)
    }
}

impl OptionFault {
    /// Why, without the option.
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.why
    }
}

/// Flags of gcsfuse about its caches and its way to Cloud Storage: whatever they say, it is true of a directory.
const WITHOUT_EFFECT: [&str; 26] = [
    "billing-project",
    "client-protocol",
    "enable-buffered-read",
    "enable-nonexistent-type-cache",
    "enable-streaming-writes",
    "experimental-metadata-prefetch-on-mount",
    "file-cache-cache-file-for-range-read",
    "file-cache-enable-parallel-downloads",
    "file-cache-max-size-mb",
    "http-client-timeout",
    "implicit-dirs",
    "kernel-list-cache-ttl-secs",
    "limit-bytes-per-sec",
    "limit-ops-per-sec",
    "log-format",
    "log-severity",
    "max-conns-per-host",
    "max-idle-conns-per-host",
    "max-retry-attempts",
    "max-retry-sleep",
    "metadata-cache-negative-ttl-secs",
    "metadata-cache-ttl-secs",
    "rename-dir-limit",
    "sequential-read-size-mb",
    "stat-cache-max-size-mb",
    "type-cache-max-size-mb",
];

impl DirectoryOptions {
    /// Reads options that stand one by one.
    ///
    /// # Errors
    /// The first that a directory cannot honour.
    pub fn of(options: &[String]) -> Result<Self, OptionFault> {
        let mut read = Self::default();
        for option in options {
            read.take(option).map_err(|why| OptionFault { option: option.clone(), why })?;
        }
        Ok(read)
    }

    fn take(&mut self, option: &str) -> Result<(), &'static str> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, value),
            None => (option, ""),
        };
        match name {
            "uid" => self.uid = id(value)?,
            "gid" => self.gid = id(value)?,
            "only-dir" => self.only_dir = Some(below(value)?),
            "ro" if value.is_empty() => self.read_only = true,
            "o" if value == "ro" => self.read_only = true,
            "file-mode" => mode(value, &[0o644, 0o664, 0o666, 0o755, 0o775, 0o777])?,
            "dir-mode" => mode(value, &[0o755, 0o775, 0o777])?,
            name if WITHOUT_EFFECT.contains(&name) => {}
            _ => {
                return Err("is not known here, or names something of the machine's: remove it");
            }
        }
        Ok(())
    }
}

/// `mountOptions` as arguments of gcsfuse. `id` gives an id of the container as the machine has it; nothing is let through
/// that names a file or an endpoint of the machine's, whose user gcsfuse runs as.
///
/// # Errors
/// The first option that is not known here.
pub fn gcsfuse_flags(
    options: &[String],
    id: impl Fn(u32) -> u32,
) -> Result<Vec<String>, OptionFault> {
    let mut flags = vec!["--foreground".to_owned(), "-o".to_owned(), "allow_other".to_owned()];
    let mut known = DirectoryOptions::default();
    let (mut file_mode, mut dir_mode) = ("666", "777");
    for option in options {
        let fault = |why| OptionFault { option: option.clone(), why };
        match option.split_once('=').unwrap_or((option, "")) {
            ("file-mode", mode) if is_octal(mode) => file_mode = mode,
            ("dir-mode", mode) if is_octal(mode) => dir_mode = mode,
            (name, _) if WITHOUT_EFFECT.contains(&name) => flags.push(format!("--{option}")),
            _ => known.take(option).map_err(fault)?,
        }
    }
    flags.push(format!("--uid={}", id(known.uid.unwrap_or(0))));
    flags.push(format!("--gid={}", id(known.gid.unwrap_or(0))));
    flags.push(format!("--file-mode={file_mode}"));
    flags.push(format!("--dir-mode={dir_mode}"));
    flags.extend(known.only_dir.map(|directory| format!("--only-dir={directory}")));
    if known.read_only {
        flags.extend(["-o".to_owned(), "ro".to_owned()]);
    }
    Ok(flags)
}

fn is_octal(mode: &str) -> bool {
    u32::from_str_radix(mode, 8).is_ok_and(|mode| mode <= 0o777)
}

/// -1 is whose the mount is, as in gcsfuse.
fn id(value: &str) -> Result<Option<u32>, &'static str> {
    if value == "-1" {
        return Ok(None);
    }
    let id = value.parse().ok().filter(|id| *id < IDS);
    id.map(Some).ok_or("is not an id from 0 to 65535")
}

/// The files of a directory keep modes of their own: those that would keep a user of the container out cannot be promised.
fn mode(value: &str, known: &[u32]) -> Result<(), &'static str> {
    match u32::from_str_radix(value.trim_start_matches("0o"), 8) {
        Ok(mode) if known.contains(&mode) => Ok(()),
        _ => Err(
            "cannot be kept by a bucket that is a directory of this machine, which is open to all users of a container: \
             remove it, or map the bucket to gcsfuse",
        ),
    }
}

fn below(value: &str) -> Result<String, &'static str> {
    let value = value.trim_matches('/');
    let fine = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
    match value.split('/').all(fine) && value.len() < 1024 && !value.contains('\0') {
        true => Ok(value.to_owned()),
        false => Err("is not a directory of the bucket, such as only-dir=a/b"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &str) -> Result<DirectoryOptions, String> {
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        DirectoryOptions::of(&options).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_bucket_has_a_name_that_cloud_storage_would_take() {
        let long = ["a".repeat(63), "b".repeat(63)].join(".");
        for good in ["abc", "my-bucket_1", "0a0", "example.com", &"a".repeat(63), &long] {
            assert!(is_bucket(good), "{good}");
        }
        let (long, longer) = ("a".repeat(64), ["a".repeat(63).as_str(); 4].join("."));
        for bad in [
            "", "ab", "_", "..", "../up", "a/b", "Abc", "-abc", "abc-", ".abc", "a..b", "a b",
            "1.2.3.4", &long, &longer,
        ] {
            assert!(!is_bucket(bad), "{bad}");
        }
    }

    #[test]
    fn what_has_a_meaning_for_a_directory_is_honoured() {
        let all =
            read("implicit-dirs,uid=1000,gid=1001,only-dir=/a/b/,o=ro,file-mode=666,dir-mode=0777");
        let expected = DirectoryOptions {
            uid: Some(1000),
            gid: Some(1001),
            only_dir: Some("a/b".into()),
            read_only: true,
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(read("uid=-1,metadata-cache-ttl-secs=60"), Ok(DirectoryOptions::default()));
        assert_eq!(read("ro").map(|read| read.read_only), Ok(true));
    }

    #[test]
    fn to_gcsfuse_goes_what_names_nothing_of_the_machines() {
        let flags = |options: &str| {
            let options: Vec<String> = options.split_terminator(',').map(str::to_owned).collect();
            gcsfuse_flags(&options, |id| 1000 + id).map_err(|fault| fault.to_string())
        };
        let common = ["--foreground", "-o", "allow_other"];
        let usual = ["--uid=1000", "--gid=1000", "--file-mode=666", "--dir-mode=777"];
        assert_eq!(flags("").expect("known"), [&common[..], &usual].concat());
        let all =
            "implicit-dirs,uid=7,gid=8,file-mode=600,dir-mode=700,only-dir=a,ro,rename-dir-limit=5";
        let expected = [
            &common[..],
            &["--implicit-dirs", "--rename-dir-limit=5", "--uid=1007", "--gid=1008"],
            &["--file-mode=600", "--dir-mode=700", "--only-dir=a", "-o", "ro"],
        ];
        assert_eq!(flags(all).expect("known"), expected.concat());
        for bad in [
            "key-file=/root/key",
            "log-file=/x",
            "config-file=/x",
            "temp-dir=/x",
            "custom-endpoint=x",
        ] {
            assert!(flags(bad).is_err_and(|fault| fault.contains(bad)), "{bad}");
        }
    }

    #[test]
    fn what_a_directory_cannot_honour_is_refused_by_name() {
        for bad in [
            "uid=x",
            "gid=65536",
            "only-dir=",
            "only-dir=../up",
            "only-dir=a//b",
            "file-mode=600",
            "dir-mode=700",
            "temp-dir=/x",
            "o=noexec",
            "key-file=/etc/key",
            "implicit_dirs",
        ] {
            let fault = read(&format!("uid=1,{bad}")).expect_err(bad);
            assert!(fault.starts_with(&format!("mountOptions: {bad:?} ")), "{fault}");
        }
    }
}
