//! Volumes on disk that have a limit: each is a file system of its own, of that size, in a sparse file.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::Path,
};

use crate::program;

/// No journal, since it never outlives the attempt; nothing kept for root, which nobody inside is.
const OPTIONS: [&str; 8] = [
    "-q",
    "-F",
    "-m",
    "0",
    "-O",
    "^has_journal,^resize_inode",
    "-E",
    "nodiscard,lazy_itable_init=1",
];

/// Puts an empty ext4 of `bytes` at `file`, in place of whatever is there.
///
/// Of whoever may have that mounted, a launch of the same attempt that an earlier server left on its way, it stays what it
/// is: the new one is made beside it, and moved there when it is whole.
pub(crate) fn make_image(file: &Path, bytes: u64) -> io::Result<()> {
    let draft = file.with_extension("draft");
    let made = make_file_system(&draft, bytes).and_then(|()| fs::rename(&draft, file));
    if made.is_err() {
        // The attempt's directory may be kept for its log.
        let _ = fs::remove_file(&draft);
    }
    made
}

/// It takes milliseconds, whatever the size: tables are written when they are used.
fn make_file_system(file: &Path, bytes: u64) -> io::Result<()> {
    File::create(file)?.set_len(bytes)?;
    let arguments = OPTIONS.map(OsStr::new).into_iter().chain([file.as_os_str()]);
    program::run(("mkfs.ext4", "e2fsprogs"), arguments, "").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_image_takes_no_room_and_a_tiny_one_is_refused() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("image");
        make_image(&file, 10 << 30).expect("it is made");
        let made = file.metadata().expect("it is there");
        assert_eq!(made.len(), 10 << 30);
        assert!(made.blocks() * 512 < 4 << 20, "{}", made.blocks());
        let err = make_image(&file, 4096).expect_err("nothing fits");
        assert!(!err.to_string().is_empty());
        let names = fs::read_dir(dir.path()).expect("it is there").count();
        assert_eq!(names, 1, "nothing of the refused one is left");
    }

    #[test]
    fn an_image_that_is_in_use_stays_what_it_is() {
        use std::os::unix::fs::FileExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("image");
        make_image(&path, 1 << 20).expect("it is made");
        let in_use = File::options().read(true).write(true).open(&path).expect("it is there");
        in_use.write_all_at(b"of a task", 512 << 10).expect("it is written");
        make_image(&path, 2 << 20).expect("another one is made");
        let mut bytes = [0; 9];
        in_use.read_exact_at(&mut bytes, 512 << 10).expect("it is whole");
        assert_eq!(&bytes, b"of a task");
        assert_eq!(path.metadata().expect("it is there").len(), 2 << 20);
    }
}
