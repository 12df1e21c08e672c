//! POSIX access control lists of a directory, as the kernel takes them: an extended attribute of fixed entries.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{XattrFlags, fgetxattr, fsetxattr},
    io::Errno,
};

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// The only version that there is.
const VERSION: u32 = 2;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Of entries that name nobody.
const NOBODY: u32 = u32::MAX;

const ALL: u16 = 7;

/// Entries that an attribute of 64 KiB, the kernel's bound, could have.
const ENTRIES_MAX: usize = 8191;

/// Tag, rights and id; in the order of tags and ids, which the kernel wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl(Vec<(u16, u16, u32)>);

impl Acl {
    /// What a mode says.
    pub(super) fn of_mode(mode: u32) -> Self {
        let rights = |shift: u32| u16::try_from((mode >> shift) & 7).unwrap_or(0);
        Self(vec![
            (USER_OBJ, rights(6), NOBODY),
            (GROUP_OBJ, rights(3), NOBODY),
            (OTHER, rights(0), NOBODY),
        ])
    }

    /// Everything to everybody.
    pub(super) fn open_to_all() -> Self {
        Self::of_mode(0o777)
    }

    /// Lets a user do everything.
    pub(super) fn with_user(self, uid: u32) -> Self {
        self.with(USER, uid)
    }

    /// Lets a group do everything.
    pub(super) fn with_group(self, gid: u32) -> Self {
        self.with(GROUP, gid)
    }

    fn with(mut self, tag: u16, id: u32) -> Self {
        self.0.retain(|(other, _, of)| (*other, *of) != (tag, id) && *other != MASK);
        self.0.push((tag, ALL, id));
        // Without it the kernel takes no named entries.
        self.0.push((MASK, ALL, NOBODY));
        self.0.sort_unstable_by_key(|(tag, _, id)| (*tag, *id));
        self
    }

    fn encode(&self) -> Vec<u8> {
        let entries = self.0.iter().flat_map(|(tag, rights, id)| {
            let halves = [tag.to_le_bytes(), rights.to_le_bytes()];
            halves.concat().into_iter().chain(id.to_le_bytes())
        });
        VERSION.to_le_bytes().into_iter().chain(entries).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let entries = bytes.strip_prefix(&VERSION.to_le_bytes())?;
        let entry = |entry: &[u8]| {
            let half =
                |at: usize| Some(u16::from_le_bytes(entry.get(at..at + 2)?.try_into().ok()?));
            let id = u32::from_le_bytes(entry.get(4..8)?.try_into().ok()?);
            Some((half(0)?, half(2)?, id))
        };
        entries.chunks(8).map(entry).collect::<Option<_>>().map(Self)
    }
}

/// Who may use the directory; `None` when its mode says all.
pub(super) fn access(directory: BorrowedFd<'_>) -> rustix::io::Result<Option<Acl>> {
    get(directory, ACCESS)
}

/// Who may use what is made in it; `None` when the umask of each program says it.
pub(super) fn default(directory: BorrowedFd<'_>) -> rustix::io::Result<Option<Acl>> {
    get(directory, DEFAULT)
}

pub(super) fn set_access(directory: BorrowedFd<'_>, acl: &Acl) -> rustix::io::Result<()> {
    fsetxattr(directory, ACCESS, &acl.encode(), XattrFlags::empty())
}

pub(super) fn set_default(directory: BorrowedFd<'_>, acl: &Acl) -> rustix::io::Result<()> {
    fsetxattr(directory, DEFAULT, &acl.encode(), XattrFlags::empty())
}

fn get(directory: BorrowedFd<'_>, name: &str) -> rustix::io::Result<Option<Acl>> {
    let mut bytes = vec![0; 4 + 8 * ENTRIES_MAX];
    match fgetxattr(directory, name, &mut bytes) {
        Ok(length) => Acl::decode(&bytes[..length]).map(Some).ok_or(Errno::BADMSG),
        Err(Errno::NODATA) => Ok(None),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    #[test]
    fn a_list_is_what_was_read_and_who_was_let_in() {
        let acl = Acl::of_mode(0o750).with_user(7).with_group(9).with_user(3).with_user(7);
        let expected = [
            (USER_OBJ, 7, NOBODY),
            (USER, 7, 3),
            (USER, 7, 7),
            (GROUP_OBJ, 5, NOBODY),
            (GROUP, 7, 9),
            (MASK, 7, NOBODY),
            (OTHER, 0, NOBODY),
        ];
        assert_eq!(acl.0, expected);
        assert_eq!(Acl::decode(&acl.encode()), Some(acl));
        assert_eq!(Acl::decode(b"\x02\0\0\0\x01"), None);
    }

    #[test]
    fn the_kernel_takes_it_and_gives_it_back() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let directory = File::open(directory.path()).expect("it is there");
        let acl = Acl::of_mode(0o700).with_user(rustix::process::geteuid().as_raw());
        set_access(directory.as_fd(), &acl).expect("this file system has access control lists");
        set_default(directory.as_fd(), &Acl::open_to_all()).expect("and default ones");
        assert_eq!(access(directory.as_fd()), Ok(Some(acl)));
        assert_eq!(default(directory.as_fd()), Ok(Some(Acl::open_to_all())));
    }
}
