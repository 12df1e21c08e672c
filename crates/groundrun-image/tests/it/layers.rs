//! A layer looks as its archive says: owners, modes, times, attributes, links, and what it hides below.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use groundrun_image::Settings;
use tar::EntryType;

use crate::support::{
    archive::{Archive, Entry, Layer, gzip},
    desk::Desk,
    image::Image,
};

/// Layers given from the lowest up; trees the top first.
fn unpacked(layers: &[Layer]) -> (Desk, Vec<PathBuf>) {
    let desk = Desk::new(Settings::default());
    let path = desk.files().join("layout");
    Image::new(layers).layout(&path, "v1");
    let trees = desk.layers(&format!("oci:{}", path.display()));
    desk.assert_clean();
    (desk, trees)
}

fn one(archive: Archive) -> (Desk, PathBuf) {
    let (desk, trees) = unpacked(&[Layer::gzip(&archive.end())]);
    (desk, trees[0].clone())
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

fn is_whiteout(path: &Path) -> bool {
    let meta = fs::symlink_metadata(path).unwrap();
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    attribute(path, "trusted.overlay.opaque").as_deref() == Some(b"y")
}

#[test]
fn modes_owners_and_times_are_those_of_the_archive() {
    let setuid = Entry {
        mode: 0o4755,
        owner: (12, 34),
        mtime: 1_234_567_890,
        content: b"x",
        ..Entry::new("bin/su", EntryType::Regular)
    };
    let sticky = Entry {
        mode: 0o1777,
        owner: (70_000, 70_001),
        mtime: 5,
        ..Entry::new("tmp/", EntryType::Directory)
    };
    let fifo = Entry { mode: 0o622, owner: (1, 2), ..Entry::new("tmp/fifo", EntryType::Fifo) };
    let link = Entry {
        owner: (3, 4),
        target: "/nowhere/at/all",
        ..Entry::new("tmp/link", EntryType::Symlink)
    };
    let exact = Entry {
        records: vec![("mtime", b"-1.25".to_vec()), ("uid", b"4000000000".to_vec())],
        ..Entry::new("exact", EntryType::Regular)
    };
    let root =
        Entry { mode: 0o700, owner: (9, 9), mtime: 77, ..Entry::new("./", EntryType::Directory) };
    let archive =
        [root, sticky, fifo, link, Entry::new("bin", EntryType::Directory), setuid, exact]
            .iter()
            .fold(Archive::default(), Archive::entry);
    let (_desk, tree) = one(archive);
    let facts = |path: &str| {
        let meta = fs::symlink_metadata(tree.join(path)).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec())
    };
    assert_eq!(facts("."), (0o700, 9, 9, 77, 0));
    assert_eq!(facts("bin/su"), (0o4755, 12, 34, 1_234_567_890, 0));
    assert_eq!(facts("tmp"), (0o1777, 70_000, 70_001, 5, 0));
    assert_eq!(facts("tmp/fifo"), (0o622, 1, 2, 1_700_000_000, 0));
    assert_eq!(facts("tmp/link").1, 3);
    assert_eq!(facts("tmp/link").3, 1_700_000_000);
    assert_eq!(facts("exact"), (0o644, 4_000_000_000, 0, -2, 750_000_000));
    assert_eq!(fs::read_link(tree.join("tmp/link")).unwrap(), Path::new("/nowhere/at/all"));
    assert!(fs::symlink_metadata(tree.join("tmp/fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn attributes_survive_also_with_a_newline_in_them() {
    // cap_dac_override and cap_fowner: their bits are a newline.
    let capability = [&[1, 0, 0, 2][..], b"\n\0\0\0", &[0; 12]].concat();
    let program = Entry {
        mode: 0o755,
        owner: (5, 5),
        content: b"program",
        records: vec![
            ("SCHILY.xattr.security.capability", capability.clone()),
            ("SCHILY.xattr.user.note", b"a=b\nc".to_vec()),
            ("SCHILY.xattr.security.selinux", b"ignored".to_vec()),
        ],
        ..Entry::new("ping", EntryType::Regular)
    };
    let folder = Entry {
        records: vec![("SCHILY.xattr.user.of", b"directory".to_vec())],
        ..Entry::new("d", EntryType::Directory)
    };
    let (_desk, tree) = one(Archive::default().entry(&program).entry(&folder));
    assert_eq!(attribute(&tree.join("ping"), "security.capability"), Some(capability));
    assert_eq!(attribute(&tree.join("ping"), "user.note").as_deref(), Some(&b"a=b\nc"[..]));
    assert_eq!(attribute(&tree.join("ping"), "security.selinux"), None);
    assert_eq!(attribute(&tree.join("d"), "user.of").as_deref(), Some(&b"directory"[..]));
}

#[test]
fn hard_links_are_one_file() {
    let archive = Archive::default()
        .dir("a")
        .file("a/first", b"x")
        .hard_link("second", "a/first")
        .hard_link("a/third", "./second")
        .symlink("s", "a")
        .hard_link("t", "s");
    let (_desk, tree) = one(archive);
    let inode = |path: &str| fs::symlink_metadata(tree.join(path)).unwrap().ino();
    assert_eq!(inode("a/first"), inode("second"));
    assert_eq!(inode("a/first"), inode("a/third"));
    assert_eq!(inode("s"), inode("t"));
    assert!(fs::symlink_metadata(tree.join("t")).unwrap().is_symlink());
}

#[test]
fn whiteouts_become_what_the_kernel_takes() {
    let archive = Archive::default()
        .dir("etc")
        .file("etc/.wh.gone", b"")
        .file("etc/.wh..wh.plnk", b"")
        .dir("var")
        .file("var/kept", b"x")
        .file("var/.wh..wh..opq", b"");
    let (_desk, tree) = one(archive);
    assert!(is_whiteout(&tree.join("etc/gone")));
    assert_eq!(fs::read_dir(tree.join("etc")).unwrap().count(), 1);
    assert!(is_opaque(&tree.join("var")));
    assert!(!is_opaque(&tree.join("etc")));
    assert_eq!(fs::read_dir(tree.join("var")).unwrap().count(), 1);
}

#[test]
fn a_whiteout_hides_what_is_below_and_not_what_the_layer_brings() {
    let archive = Archive::default()
        .file("f", b"new")
        .file(".wh.f", b"")
        .file(".wh.g", b"")
        .file("g", b"new")
        .dir("d")
        .file("d/new", b"")
        .file(".wh.d", b"")
        .file(".wh.e", b"")
        .dir("e")
        .file(".wh.h", b"")
        .file("h/implied", b"");
    let (_desk, tree) = one(archive);
    assert_eq!(fs::read(tree.join("f")).unwrap(), b"new");
    assert_eq!(fs::read(tree.join("g")).unwrap(), b"new");
    for directory in ["d", "e", "h"] {
        assert!(is_opaque(&tree.join(directory)), "{directory}");
    }
    assert!(tree.join("d/new").is_file());
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    let archive = Archive::default()
        .file("f", b"old")
        .file("f", b"new")
        .dir("d")
        .dir("d/sub")
        .file("d/sub/file", b"x")
        .file("d", b"a file now")
        .symlink("s", "/etc")
        .dir("s")
        .file("s/inside", b"x")
        .dir("kept")
        .file("kept/file", b"x")
        .entry(&Entry { mode: 0o711, ..Entry::new("kept", EntryType::Directory) });
    let (_desk, tree) = one(archive);
    assert_eq!(fs::read(tree.join("f")).unwrap(), b"new");
    assert_eq!(fs::read(tree.join("d")).unwrap(), b"a file now");
    assert!(tree.join("s/inside").is_file());
    assert!(tree.join("kept/file").is_file());
    assert_eq!(fs::metadata(tree.join("kept")).unwrap().mode() & 0o777, 0o711);
}

#[test]
fn directories_that_the_archive_leaves_out_look_as_below() {
    let secret = Entry {
        mode: 0o2750,
        owner: (6, 7),
        mtime: 99,
        records: vec![("SCHILY.xattr.user.of", b"below".to_vec())],
        ..Entry::new("srv/secret", EntryType::Directory)
    };
    let lower = Layer::gzip(&Archive::default().dir("srv").entry(&secret).end());
    let other = Layer::gzip(&Archive::default().dir("srv").dir("srv/secret").end());
    let upper = Layer::gzip(&Archive::default().file("srv/secret/new/file", b"x").end());

    let (desk, trees) = unpacked(&[lower, upper.clone()]);
    let seen = fs::metadata(trees[0].join("srv/secret")).unwrap();
    assert_eq!((seen.mode() & 0o7777, seen.uid(), seen.gid(), seen.mtime()), (0o2750, 6, 7, 99));
    let note = attribute(&trees[0].join("srv/secret"), "user.of");
    assert_eq!(note.as_deref(), Some(&b"below"[..]));
    let new = fs::metadata(trees[0].join("srv/secret/new")).unwrap();
    assert_eq!((new.mode() & 0o7777, new.uid()), (0o755, 0));

    // The same layer on top of another one is not shared: there it looks otherwise.
    let path = desk.files().join("other");
    Image::new(&[other, upper.clone()]).layout(&path, "v1");
    let on_other = desk.layers(&format!("oci:{}", path.display()));
    assert_ne!(on_other[0], trees[0]);
    assert_eq!(fs::metadata(on_other[0].join("srv/secret")).unwrap().mode() & 0o7777, 0o755);

    // And alone it depends on nothing.
    let path = desk.files().join("alone");
    Image::new(&[upper]).layout(&path, "v1");
    let alone = desk.layers(&format!("oci:{}", path.display()));
    assert_eq!(fs::metadata(alone[0].join("srv/secret")).unwrap().uid(), 0);
    assert!(alone[0].join("srv/secret/new/file").is_file());
}

#[test]
fn an_archive_without_its_end_is_taken_when_its_digest_is_right() {
    let content = b"no padding after this";
    let cut = Archive::default().file("file", content).unterminated(content.len());
    assert!(cut.len() % 512 != 0);
    let (_desk, trees) = unpacked(&[Layer::gzip(&cut)]);
    assert_eq!(fs::read(trees[0].join("file")).unwrap(), content);
    let (_desk, trees) = unpacked(&[Layer::plain(Vec::new())]);
    assert_eq!(fs::read_dir(&trees[0]).unwrap().count(), 0);
}

#[test]
fn compression_is_seen_and_not_believed() {
    let archive = Archive::default().file("file", &[42; 10_000]).end();
    let (first, second) = archive.split_at(5000);
    let members = [gzip(first), gzip(second)].concat();
    let frames = [
        // A skippable frame, as zstd:chunked has at its end and pzstd at its begin.
        &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..],
        &crate::support::archive::zstd(first),
        &crate::support::archive::zstd(second),
    ]
    .concat();
    let plain = "application/vnd.oci.image.layer.v1.tar";
    for bytes in [members, frames, archive.clone()] {
        let (_desk, trees) = unpacked(&[Layer::of(plain, bytes, &archive)]);
        assert_eq!(fs::read(trees[0].join("file")).unwrap(), [42; 10_000]);
    }
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let pax = format!("{}pax", "directory-with-a-long-name/".repeat(10));
    let gnu = format!("{}gnu\0", "directory-with-a-long-name/".repeat(10));
    let archive = Archive::default()
        .entry(&Entry {
            records: vec![("path", pax.clone().into_bytes())],
            ..Entry::new("x", EntryType::Regular)
        })
        .entry(&Entry {
            content: gnu.as_bytes(),
            ..Entry::new("././@LongLink", EntryType::GNULongName)
        })
        .file("short", b"x");
    let (_desk, tree) = one(archive);
    assert!(tree.join(pax).is_file());
    assert_eq!(fs::read(tree.join(gnu.trim_end_matches('\0'))).unwrap(), b"x");
}

#[test]
fn headers_with_blank_numbers_read_as_zero() {
    let mut block = tar::Header::new_ustar();
    block.as_mut_bytes()[..5].copy_from_slice(b"blank");
    block.set_entry_type(EntryType::Regular);
    block.as_mut_bytes()[100..148].fill(0);
    block.set_cksum();
    let (_desk, tree) = one(Archive::default().raw(block.as_bytes()));
    let meta = fs::metadata(tree.join("blank")).unwrap();
    assert_eq!((meta.len(), meta.uid(), meta.mode() & 0o7777, meta.mtime()), (0, 0, 0, 0));
}

#[test]
fn a_layer_that_occurs_twice_is_mounted_once_where_it_is_highest() {
    let twice = Layer::gzip(&Archive::default().file("a", b"1").end());
    let between = Layer::gzip(&Archive::default().file(".wh.a", b"").end());
    let (_desk, trees) = unpacked(&[twice.clone(), between, twice]);
    assert_eq!(trees.len(), 2);
    assert_eq!(fs::read(trees[0].join("a")).unwrap(), b"1");
    assert!(is_whiteout(&trees[1].join("a")));
}

#[test]
fn below_an_opaque_root_nothing_is_mounted() {
    let lower = Layer::gzip(&Archive::default().file("hidden", b"1").end());
    let upper = Layer::gzip(&Archive::default().file(".wh..wh..opq", b"").file("seen", b"").end());
    let top = Layer::gzip(&Archive::default().file("top", b"").end());
    let (_desk, trees) = unpacked(&[lower, upper, top]);
    assert_eq!(trees.len(), 2);
    assert!(trees[1].join("seen").exists());
}
