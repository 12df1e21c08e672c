//! Which paths an archive may name. Pure: no file system is asked.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Longest name of a file, as in Linux's file systems.
const NAME_MAX: usize = 255;

/// A path below the root of the layer, with no `.`, no `..` and no empty part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The root itself.
    Root,
    /// Something in a directory.
    Below(Entry),
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The directory, relative to the root; empty for the root itself.
    pub(crate) parent: PathBuf,
    /// One name.
    pub(crate) name: OsString,
}

impl Entry {
    pub(crate) fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }
}

/// Why a path is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathFault {
    /// `..` in it.
    #[error("it contains \"..\"")]
    Climbs,
    /// Begins with `/`.
    #[error("it is absolute")]
    Absolute,
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// The kernel ends names there.
    #[error("it contains a NUL byte")]
    Nul,
    /// More than the configured limit.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// One name is longer than file systems take.
    #[error("a name in it is longer than {NAME_MAX} bytes")]
    NameTooLong,
}

/// Reads the path of an entry, or what a hard link points to.
pub(crate) fn place(raw: &[u8], longest: usize) -> Result<Place, PathFault> {
    if raw.is_empty() {
        return Err(PathFault::Empty);
    }
    if raw.len() > longest {
        return Err(PathFault::TooLong(longest));
    }
    if raw.contains(&0) {
        return Err(PathFault::Nul);
    }
    // Some builders write the root itself as "/": it names nothing outside.
    if raw == b"/" {
        return Ok(Place::Root);
    }
    if raw[0] == b'/' {
        return Err(PathFault::Absolute);
    }
    let mut parts = Vec::new();
    for part in raw.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(PathFault::Climbs),
            part if part.len() > NAME_MAX => return Err(PathFault::NameTooLong),
            part => parts.push(OsStr::from_bytes(part)),
        }
    }
    let Some(name) = parts.pop() else { return Ok(Place::Root) };
    Ok(Place::Below(Entry { parent: parts.iter().collect(), name: name.to_owned() }))
}

/// What an entry's name means for the layers below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An entry like any other.
    Itself,
    /// `.wh.NAME`: NAME of the layers below is gone.
    Gone(OsString),
    /// `.wh..wh..opq`: everything of this directory in the layers below is gone.
    Opaque,
    /// `.wh..wh.ANYTHING`: a note of AUFS to itself.
    Note,
}

/// Reads a whiteout.
pub(crate) fn meaning(name: &OsStr) -> Result<Meaning, PathFault> {
    let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") else { return Ok(Meaning::Itself) };
    match hidden {
        b".wh..opq" => Ok(Meaning::Opaque),
        b"" => Err(PathFault::Empty),
        b"." | b".." => Err(PathFault::Climbs),
        hidden if hidden.starts_with(b".wh.") => Ok(Meaning::Note),
        hidden => Ok(Meaning::Gone(OsStr::from_bytes(hidden).to_owned())),
    }
}

/// `path` and the directories that lead to it, the outermost first.
pub(crate) fn steps(path: &Path) -> impl Iterator<Item = &Path> {
    let mut steps: Vec<&Path> =
        path.ancestors().take_while(|step| !step.as_os_str().is_empty()).collect();
    steps.reverse();
    steps.into_iter()
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn at(raw: &str) -> Result<Place, PathFault> {
        place(raw.as_bytes(), 100)
    }

    fn below(parent: &str, name: &str) -> Result<Place, PathFault> {
        Ok(Place::Below(Entry { parent: parent.into(), name: name.into() }))
    }

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(at("a"), below("", "a"));
        assert_eq!(at("./a//b/./c/"), below("a/b", "c"));
        assert_eq!(at("a/...b/..c"), below("a/...b", "..c"));
        for root in [".", "./", "././/", "/"] {
            assert_eq!(at(root), Ok(Place::Root), "{root}");
        }
    }

    #[test]
    fn paths_out_of_the_tree_are_refused_with_the_reason() {
        for climbing in ["..", "../x", "a/../../x", "a/..", "./../x"] {
            assert_eq!(at(climbing), Err(PathFault::Climbs), "{climbing}");
        }
        for absolute in ["/etc/passwd", "//x", "/.."] {
            assert_eq!(at(absolute), Err(PathFault::Absolute), "{absolute}");
        }
        assert_eq!(at(""), Err(PathFault::Empty));
        assert_eq!(at("a\0b"), Err(PathFault::Nul));
        assert_eq!(at(&"a/".repeat(51)), Err(PathFault::TooLong(100)));
        assert_eq!(place("a".repeat(256).as_bytes(), 4095), Err(PathFault::NameTooLong));
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        let read = |name: &str| meaning(OsStr::new(name));
        assert_eq!(read("x"), Ok(Meaning::Itself));
        assert_eq!(read(".wh"), Ok(Meaning::Itself));
        assert_eq!(read(".wh.x"), Ok(Meaning::Gone("x".into())));
        assert_eq!(read(".wh..x"), Ok(Meaning::Gone(".x".into())));
        assert_eq!(read(".wh..wh..opq"), Ok(Meaning::Opaque));
        assert_eq!(read(".wh..wh.plnk"), Ok(Meaning::Note));
        assert_eq!(read(".wh."), Err(PathFault::Empty));
        assert_eq!(read(".wh.."), Err(PathFault::Climbs));
        assert_eq!(read(".wh..."), Err(PathFault::Climbs));
    }

    #[test]
    fn steps_lead_from_the_root() {
        let all: Vec<_> = steps(Path::new("a/b/c")).collect();
        assert_eq!(all, [Path::new("a"), Path::new("a/b"), Path::new("a/b/c")]);
        assert_eq!(steps(Path::new("")).count(), 0);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_below_the_root(raw in "[a./\\x00]{0,12}|(\\.\\./|a/|/|\\./){0,6}[a.]{0,3}") {
            if let Ok(Place::Below(entry)) = place(raw.as_bytes(), 4095) {
                let path = entry.path();
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(Path::new("/r").join(&path).starts_with("/r"), true);
                // A kernel that resolves the raw text lexically ends at the same place.
                let mut resolved = Vec::new();
                for part in raw.split('/').filter(|part| !matches!(*part, "" | ".")) {
                    prop_assert!(part != "..");
                    resolved.push(part);
                }
                prop_assert_eq!(path, resolved.iter().collect::<PathBuf>());
            }
        }

        #[test]
        fn climbing_is_never_taken(before in "([ab.]{1,3}/){0,3}", after in "(/[ab]{1,3}){0,3}") {
            let climbing = place(format!("{before}..{after}").as_bytes(), 4095);
            prop_assert_eq!(climbing, Err(PathFault::Climbs));
        }
    }
}
