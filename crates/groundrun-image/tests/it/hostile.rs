//! A hostile archive fails with its reason, writes nothing outside, and leaves nothing behind.

use std::fs;

use groundrun_core::port::ImageFaultKind;
use groundrun_image::{Limits, Settings};
use tar::EntryType;

use crate::support::{
    archive::{Archive, Entry, Layer, gzip},
    desk::Desk,
    image::Image,
};

/// Small enough for a test to reach.
fn narrow() -> Settings {
    let limits = Limits {
        layer_bytes: 100_000,
        layer_inodes: 50,
        ratio: 10,
        ratio_free_bytes: 1 << 20,
        path_bytes: 300,
        entry_header_bytes: 4096,
        ..Limits::default()
    };
    Settings { limits, ..Settings::default() }
}

/// Imports an image of this one layer, which must fail for the reason.
fn check_layer(layer: Layer, reason: &str) {
    let desk = Desk::new(narrow());
    let before = fs::read_dir("/etc").unwrap().count();
    let path = desk.files().join("layout");
    // A good layer below: what fails is not the whole machinery.
    let good = Layer::gzip(&Archive::default().dir("ok/").file("ok/file", b"x").end());
    Image::new(&[good, layer]).layout(&path, "v1");
    let fault = desk.import(&format!("oci:{}", path.display())).expect_err(reason);
    assert_eq!(fault.kind, ImageFaultKind::Unusable, "{fault:?}");
    assert!(fault.message.contains(reason), "{reason:?} is not the reason: {}", fault.message);
    assert!(!fault.message.contains('\n'), "{fault:?}");
    desk.assert_clean();
    assert_eq!(desk.folder("images"), [] as [String; 0]);
    assert_eq!(desk.folder("layers").len(), 1, "only the good layer is kept");
    assert_eq!(fs::read_dir("/etc").unwrap().count(), before);
    assert!(!desk.path().join("escaped").exists());
    assert!(!desk.files().join("escaped").exists());
}

fn check(archive: Archive, reason: &str) {
    check_layer(Layer::gzip(&archive.end()), reason);
}

fn with(entry: Entry<'_>) -> Archive {
    Archive::default().entry(&entry)
}

#[test]
fn paths_that_climb_are_refused() {
    check(Archive::default().file("../escaped", b"x"), "contains \"..\"");
    check(Archive::default().file("a/../../escaped", b"x"), "contains \"..\"");
    check(Archive::default().dir("a/.."), "contains \"..\"");
    let long = Entry {
        records: vec![("path", b"a/../../escaped".to_vec())],
        ..Entry::new("a", EntryType::Regular)
    };
    check(with(long), "contains \"..\"");
}

#[test]
fn absolute_paths_are_refused() {
    check(Archive::default().file("/etc/escaped", b"x"), "absolute");
    check(Archive::default().dir("//escaped"), "absolute");
    check(Archive::default().file("a", b"x").hard_link("b", "/etc/passwd"), "absolute");
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let outside = Archive::default().symlink("out", "/etc").file("out/escaped", b"x");
    check(outside, "through a symbolic link");
    let up = Archive::default().dir("d").symlink("d/up", "../..").dir("d/up/escaped");
    check(up, "through a symbolic link");
    let inside =
        Archive::default().dir("real").symlink("link", "real").file("link/deep/file", b"x");
    check(inside, "through a symbolic link");
}

#[test]
fn hard_links_reach_only_files_of_the_layer() {
    check(Archive::default().hard_link("a", "../../../../etc/passwd"), "contains \"..\"");
    check(Archive::default().hard_link("a", "etc/passwd"), "not a file of this layer");
    check(Archive::default().hard_link("a", "a"), "not a file of this layer");
    check(Archive::default().dir("d").hard_link("a", "d"), "not a file of this layer");
    let through = Archive::default().symlink("s", "/etc").hard_link("a", "s/passwd");
    check(through, "through a symbolic link");
    let whiteout = Archive::default().file(".wh.x", b"").hard_link("a", "x");
    check(whiteout, "not a file of this layer");
    check(Archive::default().hard_link("a", "."), "not a file of this layer");
}

#[test]
fn device_nodes_are_refused_by_name() {
    let node = |kind, device| Entry { device, ..Entry::new("dev/sda", kind) };
    check(with(node(EntryType::Block, (8, 0))), "device node \"dev/sda\" (block 8:0)");
    check(with(node(EntryType::Char, (1, 3))), "device node \"dev/sda\" (character 1:3)");
    check(with(node(EntryType::Char, (0, 0))), "device node \"dev/sda\" (character 0:0)");
}

#[test]
fn attributes_that_steer_the_host_are_refused() {
    let attribute = |name, value: &[u8]| Entry {
        records: vec![(name, value.to_vec())],
        ..Entry::new("d", EntryType::Directory)
    };
    check(
        with(attribute("SCHILY.xattr.trusted.overlay.opaque", b"y")),
        "\"trusted.overlay.opaque\"",
    );
    check(with(attribute("SCHILY.xattr.user.overlay.redirect", b"/")), "\"user.overlay.redirect\"");
    check(with(attribute("SCHILY.xattr.security.apparmor", b"x")), "\"security.apparmor\"");
}

#[test]
fn whiteouts_name_something_in_their_directory() {
    check(Archive::default().file(".wh...", b""), "contains \"..\"");
    check(Archive::default().file("d/.wh..", b""), "contains \"..\"");
    check(Archive::default().file(".wh.", b""), "empty");
}

#[test]
fn the_root_stays_a_directory() {
    check(Archive::default().file(".", b"x"), "replaces its own root");
    check(Archive::default().symlink("./", "/etc"), "replaces its own root");
}

#[test]
fn files_have_no_files_below_them() {
    check(Archive::default().file("a", b"x").file("a/b", b"x"), "no directory");
}

#[test]
fn bombs_are_stopped_at_the_limits() {
    let zeros = vec![0; 3 << 20];
    check(Archive::default().file("bomb", &zeros), "100000 bytes of files");
    // Behind the end of the archive nothing is written, but it is read for the digest.
    let mut trailing = Archive::default().file("a", b"x").end();
    trailing.extend_from_slice(&zeros);
    check_layer(Layer::gzip(&trailing), "10 times");
    check_layer(Layer::zstd(&trailing), "10 times");
    let many = (0..51).fold(Archive::default(), |archive, n| archive.file(&format!("{n}"), b""));
    check(many, "50 files");
    let deep = format!("{}x", "d/".repeat(49));
    check(Archive::default().file(&deep, b"").file("y", b"").file("z", b""), "50 files");
}

#[test]
fn long_names_and_headers_are_bounded() {
    let long = |length: usize| Entry {
        records: vec![("path", "a/".repeat(length / 2).into_bytes())],
        ..Entry::new("a", EntryType::Directory)
    };
    check(with(long(302)), "longer than 300 bytes");
    check(with(long(8000)), "larger than 4096 bytes");
    let name = vec![b'n'; 256];
    let entry = Entry { records: vec![("path", name)], ..Entry::new("a", EntryType::Regular) };
    check(with(entry), "longer than 255 bytes");
    let gnu =
        Entry { content: &[b'x'; 5000], ..Entry::new("././@LongLink", EntryType::GNULongName) };
    check(with(gnu).file("a", b""), "larger than 4096 bytes");
    // Global headers count as well: a stream of them is no entry.
    let global = Entry { content: &[b'x'; 2000], ..Entry::new("g", EntryType::XGlobalHeader) };
    check(with(global.clone()).entry(&global).file("a", b""), "larger than 4096 bytes");
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    check(with(Entry::new("s", EntryType::new(b'S'))), "sparse file");
    let pax = Entry {
        records: vec![("GNU.sparse.major", b"1".to_vec())],
        ..Entry::new("s", EntryType::Regular)
    };
    check(with(pax), "sparse file");
    check(with(Entry::new("v", EntryType::new(b'V'))), "type 'V'");
}

#[test]
fn links_to_nowhere_are_refused() {
    check(Archive::default().symlink("s", ""), "empty, too long");
}

#[test]
fn an_archive_that_is_damaged_says_where() {
    let whole = Archive::default().file("file", &[7; 2000]).end();
    check_layer(Layer::plain(whole[..1200].to_vec()), "cut off inside \"file\"");
    check_layer(Layer::plain(whole[..100].to_vec()), "cut off inside \"a header\"");
    let mut checksum = whole.clone();
    checksum[0] ^= 1;
    check_layer(Layer::plain(checksum), "checksum");
    let packed = gzip(&whole);
    let cut = packed[..packed.len() - 10].to_vec();
    check_layer(
        Layer::of("application/vnd.oci.image.layer.v1.tar+gzip", cut, &whole),
        "not a readable archive",
    );
    let wrong =
        Entry { records: vec![("size", b"many".to_vec())], ..Entry::new("a", EntryType::Regular) };
    check(with(wrong), "a number in an extended header");
}

#[test]
fn a_layer_that_is_another_than_the_configuration_says_is_refused() {
    let (one, other) =
        (Archive::default().file("a", b"1").end(), Archive::default().file("a", b"2").end());
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    check_layer(Layer::of(kind, gzip(&one), &other), "but the image's configuration says");
}

#[test]
fn an_image_with_too_many_or_too_large_layers_is_refused() {
    let layer = Layer::gzip(&Archive::default().file("a", b"1").end());
    let refused = |image: &Image, limits: Limits, reason: &str| {
        let desk = Desk::new(Settings { limits, ..Settings::default() });
        let path = desk.files().join("layout");
        image.layout(&path, "v1");
        let fault = desk.import(&format!("oci:{}", path.display())).expect_err(reason);
        assert_eq!(fault.kind, ImageFaultKind::Unusable);
        assert!(fault.message.contains(reason), "{fault:?}");
        desk.assert_clean();
    };
    let image = Image::new(&[layer.clone(), layer]);
    refused(&image, Limits { layers: 1, ..Limits::default() }, "squash it");
    refused(&image, Limits { image_bytes: 50, ..Limits::default() }, "more than the 50");
    refused(&image, Limits { document_bytes: 100, ..Limits::default() }, "more than 100 bytes");
    let count = Image::with(&image.layers, |config| {
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
    });
    refused(&count, Limits::default(), "2 layers, but its configuration names 1");
}
