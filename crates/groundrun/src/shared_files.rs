//! What the settings map buckets and NFS directories to.

use std::{collections::BTreeMap, path::PathBuf};

use groundrun_core::needs::files::is_bucket;
use groundrun_host::{BucketHome, SharedFiles};
use serde::Deserialize;

use crate::cli::{GroundArgs, exit::Stop};

/// `[buckets.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketFile {
    /// With its files.
    directory: Option<PathBuf>,
    /// Mounts it.
    gcsfuse: Option<Gcsfuse>,
}

/// The program of the machine's user.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Gcsfuse {
    /// The one on the PATH, where true.
    Found(bool),
    /// This one.
    At(PathBuf),
}

/// In place of a directory: the program on the PATH.
const GCSFUSE: &str = "gcsfuse";

/// `[nfs."SERVER:/PATH"]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NfsFile {
    /// That stands for it.
    directory: PathBuf,
}

/// Flags over file, each by its name.
pub(crate) fn resolve(
    args: &GroundArgs,
    buckets: &BTreeMap<String, BucketFile>,
    nfs: &BTreeMap<String, NfsFile>,
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Result<SharedFiles, Stop> {
    let mut files = SharedFiles::default();
    let mut homes = Vec::new();
    for (name, file) in buckets {
        homes.push((name, home(name, file, &find)?));
    }
    for (name, directory) in &args.buckets {
        let home = match directory.as_os_str() == GCSFUSE {
            true => BucketHome::Program(found(name, &find)?),
            false => BucketHome::Directory(absolute(name, directory.clone())?),
        };
        homes.push((name, home));
    }
    for (name, home) in homes {
        if !is_bucket(name) {
            return Err(Stop::bad_input(format!(
                "{name:?} is no name of a bucket, such as --bucket my-bucket=DIR or [buckets.my-bucket]"
            )));
        }
        files.buckets.insert(name.clone(), home);
    }
    let from_file = nfs.iter().map(|(name, file)| (name, &file.directory));
    let from_flags = args.nfs.iter().map(|(name, directory)| (name, directory));
    for (name, directory) in from_file.chain(from_flags) {
        let Some((server, path)) = name.split_once(":/").filter(|(server, _)| !server.is_empty())
        else {
            return Err(Stop::bad_input(format!(
                "{name:?} is no directory of an NFS server, such as --nfs 10.0.0.1:/share=DIR or [nfs.\"10.0.0.1:/share\"]"
            )));
        };
        let key = (server.to_owned(), format!("/{path}"));
        files.nfs.insert(key, absolute(name, directory.clone())?);
    }
    Ok(files)
}

fn home(
    name: &str,
    file: &BucketFile,
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Result<BucketHome, Stop> {
    match (&file.directory, &file.gcsfuse) {
        (Some(directory), None | Some(Gcsfuse::Found(false))) => {
            Ok(BucketHome::Directory(absolute(name, directory.clone())?))
        }
        (None, Some(Gcsfuse::Found(true))) => Ok(BucketHome::Program(found(name, find)?)),
        (None, Some(Gcsfuse::At(program))) => {
            Ok(BucketHome::Program(absolute(name, program.clone())?))
        }
        _ => Err(Stop::bad_input(format!(
            "[buckets.{name}] takes either directory = \"/a/directory\" or gcsfuse = true (or the program's path)"
        ))),
    }
}

fn found(name: &str, find: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, Stop> {
    let why = format!(
        "bucket {name}: there is no {GCSFUSE} on the PATH: install it, or map the bucket to a directory"
    );
    find(GCSFUSE).ok_or_else(|| Stop::bad_input(why))
}

/// As seen from where the program was started.
fn absolute(name: &str, directory: PathBuf) -> Result<PathBuf, Stop> {
    std::path::absolute(&directory)
        .map_err(|e| Stop::bad_input(format!("{name}: directory {}: {e}", directory.display())))
}

/// A name and a directory, as a flag has them.
pub(crate) fn mapping(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, directory)) if !name.is_empty() && !directory.is_empty() => {
            Ok((name.to_owned(), directory.into()))
        }
        _ => Err(format!("{text:?} is not NAME=DIR")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Deserialize)]
    struct File {
        #[serde(default)]
        buckets: BTreeMap<String, BucketFile>,
        #[serde(default)]
        nfs: BTreeMap<String, NfsFile>,
    }

    fn resolved(file: &str, buckets: &[&str], nfs: &[&str]) -> Result<SharedFiles, String> {
        let file: File = toml::from_str(file).map_err(|e| e.to_string())?;
        let mappings = |texts: &[&str]| {
            texts.iter().map(|text| mapping(text)).collect::<Result<Vec<_>, _>>().expect("good")
        };
        let args =
            GroundArgs { buckets: mappings(buckets), nfs: mappings(nfs), ..GroundArgs::default() };
        let find = |name: &str| Some(PathBuf::from("/usr/bin").join(name));
        resolve(&args, &file.buckets, &file.nfs, find).map_err(|stop| stop.lines.concat())
    }

    #[test]
    fn a_flag_wins_over_the_file_for_its_own_name_alone() {
        let file = "[buckets.one]\ndirectory = \"/one\"\n[buckets.two]\ndirectory = \"/two\"\n\
                    [nfs.\"nas:/x\"]\ndirectory = \"/x\"\n";
        let files = resolved(file, &["two=/other"], &["10.0.0.1:/y/z=/y"]).expect("it resolves");
        let home = |path: &str| BucketHome::Directory(path.into());
        assert_eq!(files.buckets["one"], home("/one"));
        assert_eq!(files.buckets["two"], home("/other"));
        let nfs = |server: &str, path: &str| &files.nfs[&(server.to_owned(), path.to_owned())];
        assert_eq!(nfs("nas", "/x").as_os_str(), "/x");
        assert_eq!(nfs("10.0.0.1", "/y/z").as_os_str(), "/y");
    }

    #[test]
    fn a_bucket_may_be_what_gcsfuse_mounts() {
        let file = "[buckets.one]\ngcsfuse = true\n[buckets.two]\ngcsfuse = \"/opt/gcsfuse\"\n";
        let files = resolved(file, &["three=gcsfuse", "four=./gcsfuse"], &[]).expect("it resolves");
        let program = |path: &str| BucketHome::Program(path.into());
        assert_eq!(files.buckets["one"], program("/usr/bin/gcsfuse"));
        assert_eq!(files.buckets["two"], program("/opt/gcsfuse"));
        assert_eq!(files.buckets["three"], program("/usr/bin/gcsfuse"));
        assert!(matches!(files.buckets["four"], BucketHome::Directory(_)));
        for both in ["directory = \"/x\"\ngcsfuse = true", "gcsfuse = false", ""] {
            let fault = resolved(&format!("[buckets.one]\n{both}"), &[], &[]).expect_err(both);
            assert!(fault.contains("takes either directory"), "{fault}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (file, buckets, nfs, said) in [
            ("[buckets.UP]\ndirectory = \"/x\"", &[][..], &[][..], "\"UP\""),
            ("[buckets.abc]\nplace = \"/x\"", &[], &[], "place"),
            ("", &["../up=/x"], &[], "\"../up\""),
            ("", &[], &["nas=/x"], "\"nas\""),
            ("", &[], &[":/x=/x"], "\":/x\""),
        ] {
            let fault = resolved(file, buckets, nfs).expect_err(said);
            assert!(fault.contains(said), "{fault}");
        }
        for bad in ["abc", "=x", "abc="] {
            assert!(mapping(bad).is_err(), "{bad}");
        }
    }
}
