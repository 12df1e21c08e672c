//! The same image, unpacked by us and mounted, and unpacked by umoci: every path, mode, owner, time, attribute, link and
//! content is the same.

use std::{collections::BTreeMap, fs, process::Command};

use groundrun_image::Settings;
use tar::EntryType;

use crate::{
    overlay::{Overlay, list},
    support::{
        archive::{Archive, Entry, Layer},
        desk::Desk,
        image::Image,
    },
};

fn entries() -> Vec<Layer> {
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    let base = Archive::default()
        .entry(&Entry { mode: 0o755, ..Entry::new("./", EntryType::Directory) })
        .dir("bin")
        .entry(&Entry {
            mode: 0o755,
            content: b"ping",
            records: vec![("SCHILY.xattr.security.capability", capability)],
            ..Entry::new("bin/ping", EntryType::Regular)
        })
        .entry(&Entry {
            mode: 0o6755,
            owner: (1, 2),
            content: b"su",
            ..Entry::new("bin/su", EntryType::Regular)
        })
        .hard_link("bin/sudo", "bin/su")
        .symlink("sbin", "bin")
        .entry(&Entry { mode: 0o1777, ..Entry::new("tmp", EntryType::Directory) })
        .entry(&Entry {
            mode: 0o750,
            owner: (70_000, 5),
            ..Entry::new("srv", EntryType::Directory)
        })
        .entry(&Entry {
            records: vec![
                ("mtime", b"1500000000.123456789".to_vec()),
                ("SCHILY.xattr.user.note", b"n".to_vec()),
            ],
            ..Entry::new("srv/exact", EntryType::Regular)
        })
        .dir("etc")
        .file("etc/gone", b"1")
        .file("etc/kept", b"1")
        .dir("etc/folder")
        .file("etc/folder/old", b"1")
        .dir("var")
        .file("var/old", b"1")
        .dir("var/sub")
        .file("var/sub/old", b"1")
        .dir("opt")
        .file("opt/old", b"1")
        .entry(&Entry::new("tmp/fifo", EntryType::Fifo));
    let middle = Archive::default()
        .dir("etc")
        .file("etc/.wh.gone", b"")
        .file("etc/.wh.folder", b"")
        .dir("var")
        .file("var/.wh..wh..opq", b"")
        .file("var/new", b"2")
        .file(".wh.opt", b"")
        // No entry for srv: it looks as in the layer below.
        .file("srv/more", b"2");
    let upper = Archive::default()
        .dir("etc")
        .entry(&Entry {
            mode: 0o600,
            owner: (3, 4),
            content: b"3",
            ..Entry::new("etc/gone", EntryType::Regular)
        })
        .file("etc/folder", b"a file now")
        .dir("opt")
        .file("opt/new", b"3")
        .dir("bin")
        .entry(&Entry { mode: 0o755, content: b"3", ..Entry::new("bin/su", EntryType::Regular) });
    [base, middle, upper].into_iter().map(|archive| Layer::gzip(&archive.end())).collect()
}

#[test]
fn an_image_looks_as_umoci_unpacks_it() {
    let desk = Desk::new(Settings::default());
    let layout = desk.files().join("layout");
    Image::new(&entries()).layout(&layout, "v1");
    let bundle = desk.files().join("bundle");
    let umoci = Command::new("umoci")
        .args(["unpack", "--image"])
        .arg(format!("{}:v1", layout.display()))
        .arg(&bundle)
        .output()
        .expect("umoci is missing: apt-get install umoci");
    assert!(umoci.status.success(), "{}", String::from_utf8_lossy(&umoci.stderr));
    let mut theirs = BTreeMap::new();
    let root = bundle.join("rootfs");
    list(&root, &root, &mut theirs);

    let trees = desk.layers(&format!("oci:{}:v1", layout.display()));
    let overlay = Overlay::mount(&trees, &desk.files().join("merged"));
    let ours = overlay.paths();
    assert!(ours.len() > 15, "{ours:?}");
    for (path, facts) in &theirs {
        assert_eq!(ours.get(path), Some(facts), "{}", path.display());
    }
    let more: Vec<_> = ours.keys().filter(|path| !theirs.contains_key(*path)).collect();
    assert!(more.is_empty(), "{more:?}");
    drop(overlay);
    fs::remove_dir_all(bundle).unwrap();
}
