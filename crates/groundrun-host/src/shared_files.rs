//! Where the files are that tasks share: buckets and NFS directories. Pure, but for the look whether they are there.
//!
//! An NFS directory is what a person mapped it to; else the kernel mounts it, where this server and its kernel may
//! ([`ByKernel`]); else it is refused by name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use groundrun_core::{
    needs::files::{DirectoryOptions, gcsfuse_flags, is_bucket},
    port::{VolumeKind, VolumeSpec},
};
use groundrun_shim::protocol::{Directory, Mounter, Nfs, Volume};

use crate::launch::Attached;

/// Name, in the data directory, of the buckets that nobody mapped to anything.
const BUCKETS: &str = "buckets";

/// What a person mapped buckets and NFS directories to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedFiles {
    /// By the bucket's name.
    pub buckets: BTreeMap<String, BucketHome>,
    /// Directories by server and path.
    pub nfs: BTreeMap<(String, String), PathBuf>,
    /// Of those that are not among them.
    pub by_kernel: ByKernel,
}

/// Whether the kernel mounts NFS directories for tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByKernel {
    /// It may, as far as this server goes: it is root's, and tasks have a network.
    Asked,
    /// The server is an ordinary user's, for whom the kernel mounts none.
    #[default]
    OfUser,
    /// Tasks have no network of their own. In the machine's, ids of containers would be mixed with those of mounts that the
    /// machine has of the same server.
    NoNetwork,
}

/// What a bucket is mapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketHome {
    /// This directory, which a person made.
    Directory(PathBuf),
    /// What this program mounts, gcsfuse or one that is called like it, with the credentials of the server's user.
    Program(PathBuf),
}

/// Why files that tasks share cannot be had here; for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesFault {
    /// It cannot be a bucket.
    #[error("bucket {0:?} has no name of a bucket")]
    NoBucket(String),
    /// An option that the bucket's directory cannot honour.
    #[error("bucket {bucket}: {why}")]
    Option {
        /// Of which bucket.
        bucket: String,
        /// Which, and why.
        why: String,
    },
    /// Nobody said what stands for it.
    #[error(
        "NFS directory {server}:{path} cannot be mounted on this machine ({why}). Add to the server's settings file, with a \
         directory of yours:\n\
         [nfs.\"{server}:{path}\"]\n\
         directory = \"/a/directory\"\n\
         or start it with --nfs {server}:{path}=/a/directory"
    )]
    NotMapped {
        /// Its server.
        server: String,
        /// Its path.
        path: String,
        /// Why the kernel does not mount it.
        why: &'static str,
    },
    /// What it is mapped to is not there.
    #[error("{what} is mapped to {}: {why}. Make that directory, or map it to another", directory.display())]
    NotThere {
        /// What is mapped.
        what: String,
        /// To what.
        directory: PathBuf,
        /// Why it cannot be used.
        why: String,
    },
}

impl SharedFiles {
    /// What the shim is told of a volume; `None` where it is of another kind.
    ///
    /// # Errors
    /// When nothing stands for it, or its options cannot be honoured.
    pub(crate) fn volume(
        &self,
        kind: &VolumeKind,
        data_dir: &Path,
        id_base: u32,
        attached: &Attached,
    ) -> Option<Result<Volume, FilesFault>> {
        match kind {
            VolumeKind::Bucket { bucket, read_only, mount_options } => {
                Some(self.bucket(bucket, *read_only, mount_options, data_dir, id_base))
            }
            VolumeKind::Nfs { server, path, read_only } => {
                Some(self.nfs(server, path).map(|directory| match directory {
                    Some(directory) => Volume::Directory(Directory {
                        path: directory.to_owned(),
                        below: None,
                        read_only: *read_only,
                        uid: None,
                        gid: None,
                        is_servers: false,
                    }),
                    None => Volume::Nfs(Nfs {
                        server: server.clone(),
                        address: attached.address_of(server),
                        path: path.clone(),
                        read_only: *read_only,
                    }),
                }))
            }
            VolumeKind::EmptyDir { .. } | VolumeKind::Secret(_) | VolumeKind::CloudSql(_) => None,
        }
    }

    fn bucket(
        &self,
        bucket: &str,
        read_only: bool,
        options: &[String],
        data_dir: &Path,
        id_base: u32,
    ) -> Result<Volume, FilesFault> {
        if !is_bucket(bucket) {
            return Err(FilesFault::NoBucket(bucket.to_owned()));
        }
        let (path, is_servers) = match self.buckets.get(bucket) {
            Some(BucketHome::Directory(path)) => (path.clone(), false),
            Some(BucketHome::Program(program)) => {
                let mut arguments = program_flags(bucket, options, id_base)?;
                arguments.push(bucket.to_owned());
                return Ok(Volume::Mounted(Mounter {
                    what: format!("bucket {bucket}"),
                    program: program.clone(),
                    arguments,
                    read_only,
                }));
            }
            None => (own_bucket(data_dir, bucket), true),
        };
        let options = directory_options(bucket, options)?;
        Ok(Volume::Directory(Directory {
            path,
            below: options.only_dir,
            read_only: read_only || options.read_only,
            uid: options.uid,
            gid: options.gid,
            is_servers,
        }))
    }

    /// What it is mapped to; `None`: the kernel is to mount it.
    fn nfs(&self, server: &str, path: &str) -> Result<Option<&Path>, FilesFault> {
        let found = self.nfs.get(&(server.to_owned(), path.to_owned())).map(PathBuf::as_path);
        let not_mapped =
            |why| FilesFault::NotMapped { server: server.to_owned(), path: path.to_owned(), why };
        match (found, self.by_kernel) {
            (None, ByKernel::OfUser) => Err(not_mapped("without root the kernel mounts none")),
            (None, ByKernel::NoNetwork) => Err(not_mapped("tasks have no network: --network none")),
            (found, _) => Ok(found),
        }
    }

    /// The directory that the server makes for a volume, where it is one of its own buckets.
    pub(crate) fn to_make(&self, volume: &VolumeSpec, data_dir: &Path) -> Option<PathBuf> {
        let VolumeKind::Bucket { bucket, .. } = &volume.kind else { return None };
        let is_own = is_bucket(bucket) && !self.buckets.contains_key(bucket);
        is_own.then(|| own_bucket(data_dir, bucket))
    }

    /// Whether a bucket could be used with these options.
    ///
    /// # Errors
    /// When it could not.
    pub fn check_bucket(&self, bucket: &str, options: &[String]) -> Result<(), FilesFault> {
        if !is_bucket(bucket) {
            return Err(FilesFault::NoBucket(bucket.to_owned()));
        }
        let home = self.buckets.get(bucket);
        match home {
            Some(BucketHome::Program(_)) => program_flags(bucket, options, 0).map(drop)?,
            Some(BucketHome::Directory(_)) | None => {
                directory_options(bucket, options).map(drop)?
            }
        }
        match home {
            Some(BucketHome::Directory(path)) => is_there(format!("bucket {bucket}"), path),
            Some(BucketHome::Program(_)) | None => Ok(()),
        }
    }

    /// Whether a directory of an NFS server could be used.
    ///
    /// # Errors
    /// When it could not.
    pub fn check_nfs(&self, server: &str, path: &str) -> Result<(), FilesFault> {
        match self.nfs(server, path)? {
            Some(directory) => is_there(format!("NFS directory {server}:{path}"), directory),
            None if groundrun_shim::mounts_nfs() => Ok(()),
            None => Err(FilesFault::NotMapped {
                server: server.to_owned(),
                path: path.to_owned(),
                why: "its kernel has no NFS driver, and modprobe nfs finds none",
            }),
        }
    }
}

fn directory_options(bucket: &str, options: &[String]) -> Result<DirectoryOptions, FilesFault> {
    DirectoryOptions::of(options)
        .map_err(|fault| FilesFault::Option { bucket: bucket.to_owned(), why: fault.to_string() })
}

fn program_flags(
    bucket: &str,
    options: &[String],
    id_base: u32,
) -> Result<Vec<String>, FilesFault> {
    gcsfuse_flags(options, |id| id_base.saturating_add(id))
        .map_err(|fault| FilesFault::Option { bucket: bucket.to_owned(), why: fault.to_string() })
}

fn own_bucket(data_dir: &Path, bucket: &str) -> PathBuf {
    data_dir.join(BUCKETS).join(bucket)
}

fn is_there(what: String, directory: &Path) -> Result<(), FilesFault> {
    let why = match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "it is no directory".to_owned(),
        Err(err) => err.to_string(),
    };
    Err(FilesFault::NotThere { what, directory: directory.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str, options: &[&str]) -> VolumeKind {
        VolumeKind::Bucket {
            bucket: name.into(),
            read_only: false,
            mount_options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }

    fn of(files: &SharedFiles, kind: &VolumeKind) -> Result<Directory, FilesFault> {
        match files
            .volume(kind, Path::new("/data"), 0, &Attached::Host)
            .expect("it is of this kind")?
        {
            Volume::Directory(directory) => Ok(directory),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bucket_is_a_directory_below_the_data_or_what_it_is_mapped_to() {
        let mut files = SharedFiles::default();
        let expected = Directory {
            path: "/data/buckets/abc".into(),
            below: Some("x/y".into()),
            read_only: true,
            uid: Some(7),
            gid: None,
            is_servers: true,
        };
        let kind = bucket("abc", &["only-dir=x/y", "ro", "uid=7"]);
        assert_eq!(of(&files, &kind), Ok(expected.clone()));
        let spec = VolumeSpec { name: "v".into(), kind: kind.clone() };
        assert_eq!(files.to_make(&spec, Path::new("/data")), Some("/data/buckets/abc".into()));
        files.buckets.insert("abc".into(), BucketHome::Directory("/srv/abc".into()));
        let mapped = Directory { path: "/srv/abc".into(), is_servers: false, ..expected };
        assert_eq!(of(&files, &kind), Ok(mapped));
        assert_eq!(files.to_make(&spec, Path::new("/data")), None, "a person made it");
    }

    #[test]
    fn a_program_is_told_the_bucket_and_who_may_use_it() {
        let mut files = SharedFiles::default();
        files.buckets.insert("abc".into(), BucketHome::Program("/usr/bin/gcsfuse".into()));
        let kind = bucket("abc", &["implicit-dirs"]);
        let volume = files.volume(&kind, Path::new("/data"), 1 << 20, &Attached::Host);
        let Some(Ok(Volume::Mounted(mounter))) = volume else { panic!("{volume:?}") };
        assert_eq!(mounter.program, Path::new("/usr/bin/gcsfuse"));
        assert_eq!(mounter.arguments.last().map(String::as_str), Some("abc"));
        assert!(mounter.arguments.contains(&"--uid=1048576".to_owned()), "{mounter:?}");
        assert_eq!(files.check_bucket("abc", &["file-mode=600".to_owned()]), Ok(()));
        assert!(files.check_bucket("abc", &["key-file=/x".to_owned()]).is_err());
    }

    #[test]
    fn no_name_leads_out_of_the_buckets() {
        let files = SharedFiles::default();
        for name in ["..", "../x", "a/../../b", "/etc", "", "."] {
            let kind = bucket(name, &[]);
            assert_eq!(of(&files, &kind), Err(FilesFault::NoBucket(name.into())));
            let spec = VolumeSpec { name: "v".into(), kind };
            assert_eq!(files.to_make(&spec, Path::new("/data")), None);
        }
    }

    #[test]
    fn an_option_that_cannot_be_honoured_is_named_before_any_start() {
        let options = ["temp-dir=/x".to_owned()];
        let fault = SharedFiles::default().check_bucket("abc", &options).expect_err("refused");
        assert!(
            fault
                .to_string()
                .starts_with("bucket abc: mountOptions: \"temp-dir=/x\" is not known here")
        );
        assert!(of(&SharedFiles::default(), &bucket("abc", &["temp-dir=/x"])).is_err());
    }

    #[test]
    fn an_nfs_directory_is_what_it_is_mapped_to_and_else_its_fault_has_the_line_to_add() {
        let kind = VolumeKind::Nfs { server: "nas".into(), path: "/x".into(), read_only: true };
        let mut files = SharedFiles::default();
        let fault = of(&files, &kind).expect_err("nothing stands for it").to_string();
        assert!(fault.contains("[nfs.\"nas:/x\"]") && fault.contains("--nfs nas:/x="), "{fault}");
        files.by_kernel = ByKernel::NoNetwork;
        let fault = of(&files, &kind).expect_err("there is no network for it").to_string();
        assert!(fault.contains("--network none") && fault.contains("--nfs nas:/x="), "{fault}");
        files.nfs.insert(("nas".into(), "/x".into()), "/not/there".into());
        let directory = of(&files, &kind).expect("it is mapped");
        assert!(directory.read_only && !directory.is_servers);
        let fault = files.check_nfs("nas", "/x").expect_err("it is not there").to_string();
        assert!(fault.starts_with("NFS directory nas:/x is mapped to /not/there: "), "{fault}");
    }
    #[test]
    fn an_nfs_directory_that_nothing_is_mapped_to_is_for_the_kernel_to_mount() {
        use std::net::Ipv4Addr;
        let mut files = SharedFiles { by_kernel: ByKernel::Asked, ..SharedFiles::default() };
        let host = Some(Ipv4Addr::new(192, 168, 128, 2));
        let attached = Attached::Private { address: Ipv4Addr::new(192, 168, 128, 7), host };
        for (server, address) in [("nas", None), ("host.docker.internal", host)] {
            let kind =
                VolumeKind::Nfs { server: server.into(), path: "/x".into(), read_only: true };
            let volume = files.volume(&kind, Path::new("/data"), 0, &attached);
            let expected =
                Nfs { server: server.into(), address, path: "/x".into(), read_only: true };
            assert_eq!(volume, Some(Ok(Volume::Nfs(expected))));
        }
        files.nfs.insert(("nas".into(), "/x".into()), "/srv/x".into());
        let kind = VolumeKind::Nfs { server: "nas".into(), path: "/x".into(), read_only: false };
        assert_eq!(
            of(&files, &kind).map(|found| found.path),
            Ok("/srv/x".into()),
            "a mapping wins"
        );
    }
}
