//! To whom the files of images belong on disk: as the image says for the machine's root, which shows them through an id
//! map; shifted for an ordinary user, who may not make such maps. Pure.

use std::borrow::Cow;

/// To whom the files of images belong on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// To the ids that the image says.
    #[default]
    OfTheImage,
    /// To ids of a user namespace, in which this server runs.
    Shifted {
        /// What 0 of an image becomes.
        base: u32,
        /// How many ids there are from `base` on. An image's ids beyond become its root's, at least one.
        count: u32,
        /// The namespace's ids in ids of the machine, as a text that is the same where they are.
        map: String,
    },
}

impl Owners {
    /// What an image's id is on disk.
    pub(crate) fn id(&self, id: u32) -> u32 {
        match self {
            Self::OfTheImage => id,
            Self::Shifted { base, count, .. } if id < *count => base.saturating_add(id),
            Self::Shifted { base, .. } => *base,
        }
    }

    /// What the kernel's overlay takes for "nothing of the layers below is in this directory".
    pub(crate) fn opaque(&self) -> &'static str {
        match self {
            Self::OfTheImage => "trusted.overlay.opaque",
            // `trusted` is for the machine's root.
            Self::Shifted { .. } => "user.overlay.opaque",
        }
    }

    /// An extended attribute's value on disk: an access list names ids.
    pub(crate) fn attribute<'value>(&self, name: &[u8], value: &'value [u8]) -> Cow<'value, [u8]> {
        match self {
            Self::Shifted { .. } if name.starts_with(b"system.posix_acl_") => {
                Cow::Owned(self.access_list(value))
            }
            _ => Cow::Borrowed(value),
        }
    }

    /// Four bytes of version, then entries of tag (2 bytes), permissions (2) and id (4), all little-endian. What is no such
    /// list is left for the kernel to refuse.
    fn access_list(&self, value: &[u8]) -> Vec<u8> {
        const VERSION: usize = 4;
        const ENTRY: usize = 8;
        /// A named user, a named group: the others have no id.
        const NAMED: [u16; 2] = [0x02, 0x08];
        let mut list = value.to_vec();
        for entry in list.get_mut(VERSION..).unwrap_or_default().chunks_exact_mut(ENTRY) {
            if NAMED.contains(&u16::from_le_bytes([entry[0], entry[1]])) {
                let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
                entry[4..].copy_from_slice(&self.id(id).to_le_bytes());
            }
        }
        list
    }

    /// What is noted in the store.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::OfTheImage => "machine\n".to_owned(),
            Self::Shifted { map, .. } => map.clone(),
        }
    }
}

/// For a person: whose files those of a note are.
pub(crate) fn whose(note: &str) -> String {
    match note.trim() {
        "machine" => "by the machine's root".to_owned(),
        map => format!("with the ids {}", map.replace('\n', "; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifted(count: u32) -> Owners {
        Owners::Shifted { base: 1, count, map: "users 0 1000 1\n".into() }
    }

    #[test]
    fn ids_are_shifted_as_far_as_there_are_ids() {
        assert_eq!(
            [0, 1000, 65_535, 65_536].map(|id| shifted(65_536).id(id)),
            [1, 1001, 65_536, 1]
        );
        let single = Owners::Shifted { base: 0, count: 1, map: String::new() };
        assert_eq!([0, 1000].map(|id| single.id(id)), [0, 0]);
        assert_eq!([0, 100_000].map(|id| Owners::OfTheImage.id(id)), [0, 100_000]);
    }

    #[test]
    fn the_ids_of_an_access_list_are_shifted_and_nothing_else() {
        let entry =
            |tag: u16, id: u32| [tag.to_le_bytes().as_slice(), &[6, 0], &id.to_le_bytes()].concat();
        let list = |user: u32, group: u32| {
            let others = [entry(1, u32::MAX), entry(2, user), entry(8, group), entry(32, u32::MAX)];
            [2_u32.to_le_bytes().as_slice(), &others.concat()].concat()
        };
        let name = b"system.posix_acl_access";
        assert_eq!(*shifted(65_536).attribute(name, &list(7, 8)), list(8, 9));
        assert_eq!(*Owners::OfTheImage.attribute(name, &list(7, 8)), list(7, 8));
        assert_eq!(*shifted(65_536).attribute(b"user.x", &list(7, 8)), list(7, 8));
        assert_eq!(*shifted(65_536).attribute(name, b"abc"), *b"abc");
    }
}
