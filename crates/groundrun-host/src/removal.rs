//! Removes a directory and all that is in it, whatever a task made of it.
//!
//! The standard library's goes down level by level, with a descriptor and a call for each: a task that nests directories
//! deep enough would take all descriptors of the server, or its stack. Here each directory is moved up to the top before
//! it is emptied, so that a few descriptors are enough for any depth.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    ffi::{CStr, CString},
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat},
    io::Errno,
};

/// Follows no link. One that is not there is as good as removed.
pub(crate) fn remove_all(directory: &Path) -> io::Result<()> {
    let top = match open(CWD, directory) {
        Ok(top) => Top { directory: top, lifted: 0 },
        Err(Errno::NOENT) => return Ok(()),
        Err(err) => return Err(err.into()),
    };
    top.empty()?;
    Ok(unlinkat(CWD, directory, AtFlags::REMOVEDIR)?)
}

struct Top {
    directory: OwnedFd,
    /// Directories moved up so far, for their new names.
    lifted: u64,
}

impl Top {
    /// Directories that are moved up are found in a later turn; each is moved once, so the turns end.
    fn empty(mut self) -> rustix::io::Result<()> {
        loop {
            let entries = entries(self.directory.as_fd())?;
            if entries.is_empty() {
                return Ok(());
            }
            for (name, kind) in entries {
                match kind {
                    FileType::Directory => {
                        self.empty_below(&name)?;
                        unlinkat(&self.directory, &name, AtFlags::REMOVEDIR)?;
                    }
                    _ => unlinkat(&self.directory, &name, AtFlags::empty())?,
                }
            }
        }
    }

    fn empty_below(&mut self, name: &CStr) -> rustix::io::Result<()> {
        let below = open(&self.directory, name)?;
        for (name, kind) in entries(below.as_fd())? {
            match kind {
                FileType::Directory => self.lift(below.as_fd(), &name)?,
                _ => unlinkat(&below, &name, AtFlags::empty())?,
            }
        }
        Ok(())
    }

    fn lift(&mut self, from: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
        loop {
            let free = format!("lifted-{}", self.lifted);
            self.lifted += 1;
            match renameat_with(from, name, &self.directory, free, RenameFlags::NOREPLACE) {
                // The task may have had the same idea for a name.
                Err(Errno::EXIST) => {}
                done => return done,
            }
        }
    }
}

fn open(at: impl AsFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

/// What is in a directory but itself and its parent.
fn entries(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<(CString, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let seen = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(seen.st_mode)
            }
            known => known,
        };
        entries.push((name.to_owned(), kind));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_kinds_of_entries_go_and_what_links_lead_to_stays() {
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("kept"), "").expect("it is written");
        let top = outside.path().join("top");
        for directory in ["a/b/c", "lifted-0/x", "d"] {
            fs::create_dir_all(top.join(directory)).expect("it is made");
            fs::write(top.join(directory).join("file"), "").expect("it is written");
            std::os::unix::fs::symlink(outside.path(), top.join(directory).join("link"))
                .expect("a link can be made");
        }
        remove_all(&top).expect("it is removed");
        assert!(!top.exists());
        assert!(outside.path().join("kept").exists());
        remove_all(&top).expect("again is harmless");
    }

    #[test]
    fn a_link_is_not_removed_as_what_it_leads_to() {
        let outside = tempfile::tempdir().expect("a directory");
        let link = outside.path().join("link");
        std::os::unix::fs::symlink(outside.path(), &link).expect("a link can be made");
        assert!(remove_all(&link).is_err());
        assert!(outside.path().exists());
    }
}
