//! What of cgroups this machine has for us. Looks, and changes nothing.

use std::path::{Path, PathBuf};

use super::{layout, layout::Layout, v2};

/// What of cgroups this machine has for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survey {
    /// No hierarchy has these controllers.
    NotMounted {
        /// Controllers.
        missing: Vec<&'static str>,
    },
    /// Version 1.
    V1 {
        /// The first directory of ours that is not ours to write, if there is one.
        refused: Option<PathBuf>,
    },
    /// Version 2.
    V2 {
        /// Where groups may be made; none where nothing was handed over.
        seat: Option<PathBuf>,
        /// The cgroup that this process is in.
        own: PathBuf,
        /// Where the hierarchy is mounted.
        mount: PathBuf,
    },
}

/// Controllers that are lost on the way down, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Controllers.
    pub controllers: Vec<&'static str>,
    /// The highest directory that lacks one of them.
    pub dir: PathBuf,
}

/// Looks around from where this process is; `scope` as in [`super::Demand`].
#[must_use]
pub fn survey(scope: Option<&str>) -> Survey {
    match layout() {
        Ok(Layout::V1(places)) => {
            let refused = places.into_iter().map(|place| place.own).find(|dir| {
                use rustix::fs::{Access, AtFlags, CWD, accessat};
                accessat(CWD, dir, Access::WRITE_OK, AtFlags::EACCESS).is_err()
            });
            Survey::V1 { refused }
        }
        Ok(Layout::V2(place)) => Survey::V2 {
            seat: v2::seat(&v2::levels(&place), scope).map(Path::to_owned),
            own: place.own,
            mount: place.mount,
        },
        Err(super::CgroupError::NotMounted { missing }) => Survey::NotMounted { missing },
        Err(_) => Survey::NotMounted { missing: layout::CONTROLLERS.to_vec() },
    }
}

/// What a group in `dir` would not have; none when it has all, or there is no such directory.
#[must_use]
pub fn lost(dir: &Path) -> Option<Lost> {
    let controllers = v2::lacking(dir);
    if controllers.is_empty() || !dir.is_dir() {
        return None;
    }
    let dir = v2::lost_at(dir, &controllers).to_owned();
    Some(Lost { controllers, dir })
}
