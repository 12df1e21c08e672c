//! `updateMask` of a change: which parts of a thing it replaces.

use groundrun_api::check::snake;

/// What becomes of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    /// It stays as it is.
    #[default]
    Kept,
    /// It becomes what was given, and empty where nothing was.
    Replaced,
}

impl Part {
    /// The one of both that is to be.
    pub(crate) fn of<T>(self, given: T, current: T) -> T {
        match self {
            Self::Kept => current,
            Self::Replaced => given,
        }
    }
}

/// The paths of a mask, which has them between commas in either spelling: `versionAliases` is `version_aliases`.
pub(crate) fn paths(mask: &str) -> impl Iterator<Item = String> {
    mask.split(',').map(str::trim).filter(|path| !path.is_empty()).map(snake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_in_either_spelling() {
        let read: Vec<String> = paths(" labels, versionAliases,,create_time ").collect();
        assert_eq!(read, ["labels", "version_aliases", "create_time"]);
        assert_eq!(paths("").count(), 0);
    }
}
