//! The kernel's overlay shows of the layers what an unpacker that applies them one after the other would leave.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use groundrun_image::{Owners, Settings};
use rustix::mount::{MountFlags, UnmountFlags};
use tar::EntryType;

use crate::support::{
    archive::{Archive, Entry, Layer},
    desk::Desk,
    image::Image,
};

/// A read-only overlay mount, taken away at the end.
pub(crate) struct Overlay {
    pub(crate) path: PathBuf,
}

impl Overlay {
    /// `layers` the top first.
    pub(crate) fn mount(layers: &[PathBuf], at: &Path) -> Self {
        Self::mount_with(layers, at, "")
    }

    /// With further options, each behind a comma.
    fn mount_with(layers: &[PathBuf], at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let mut lower: Vec<String> = layers.iter().map(|path| path.display().to_string()).collect();
        if lower.len() == 1 {
            // An overlay of one directory needs a second.
            let empty = at.with_extension("empty");
            fs::create_dir_all(&empty).unwrap();
            lower.push(empty.display().to_string());
        }
        let options =
            std::ffi::CString::new(format!("lowerdir={}{options}", lower.join(":"))).unwrap();
        rustix::mount::mount("overlay", at, "overlay", MountFlags::RDONLY, options.as_c_str())
            .expect("mounting needs root: run the tests as root");
        Self { path: at.to_owned() }
    }

    pub(crate) fn paths(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        list(&self.path, &self.path, &mut found);
        found
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.path, UnmountFlags::empty()).expect("unmounts");
    }
}

/// Every path below `folder` with what can be seen of it.
pub(crate) fn list(folder: &Path, root: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else if meta.is_file() {
            groundrun_image::Digest::of(&fs::read(&path).unwrap()).to_string()
        } else {
            String::new()
        };
        let times = if meta.is_dir() {
            String::new()
        } else {
            format!("{}.{:09}", meta.mtime(), meta.mtime_nsec())
        };
        let facts = format!(
            "{:o} {}:{} {times} {:?} {content}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            attributes(&path)
        );
        into.insert(path.strip_prefix(root).unwrap().to_owned(), facts);
        if meta.is_dir() {
            list(&path, root, into);
        }
    }
}

/// Attributes of images; those of the overlay itself are of no image.
fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty() && !name.starts_with(b"trusted."))
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
            (String::from_utf8_lossy(name).into_owned(), value[..length].to_vec())
        })
        .collect()
}

/// Three layers, each of which hides something of those below it.
fn hiding_layers() -> Vec<Layer> {
    let lower = Archive::default()
        .dir("etc")
        .file("etc/kept", b"1")
        .file("etc/gone", b"1")
        .dir("etc/folder")
        .file("etc/folder/old", b"1")
        .dir("var")
        .file("var/old", b"1")
        .dir("opt")
        .file("opt/old", b"1");
    let middle = Archive::default()
        .dir("etc")
        .file("etc/.wh.gone", b"")
        .file("etc/.wh.folder", b"")
        .dir("var")
        .file("var/.wh..wh..opq", b"")
        .file("var/new", b"2")
        .file(".wh.opt", b"");
    let upper = Archive::default()
        .dir("etc")
        .entry(&Entry {
            mode: 0o600,
            owner: (3, 4),
            content: b"3",
            ..Entry::new("etc/gone", EntryType::Regular)
        })
        .dir("opt")
        .file("opt/new", b"3");
    [lower, middle, upper].into_iter().map(|a| Layer::gzip(&a.end())).collect()
}

#[test]
fn whiteouts_and_opaque_directories_hide_what_is_below() {
    let layers = hiding_layers();
    let desk = Desk::new(Settings::default());
    let path = desk.files().join("layout");
    Image::new(&layers).layout(&path, "v1");
    let trees = desk.layers(&format!("oci:{}", path.display()));
    let overlay = Overlay::mount(&trees, &desk.files().join("merged"));
    let paths = overlay.paths();
    let names: Vec<&str> = paths.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["etc", "etc/gone", "etc/kept", "opt", "opt/new", "var", "var/new"]);
    assert!(paths[Path::new("etc/gone")].starts_with("100600 3:4 "), "{paths:?}");
    assert_eq!(fs::read(overlay.path.join("etc/gone")).unwrap(), b"3");
}

/// As an ordinary user has them: the kernel takes its marks from attributes that such a user may write.
#[test]
fn shifted_layers_hide_what_is_below_with_the_users_attributes() {
    let map = "users 0 1000 1, 1 100000 65536\n".to_owned();
    let desk = Desk::owned_by(Owners::Shifted { base: 5000, count: 65_536, map });
    let path = desk.files().join("layout");
    Image::new(&hiding_layers()).layout(&path, "v1");
    let trees = desk.layers(&format!("oci:{}", path.display()));
    let overlay = Overlay::mount_with(&trees, &desk.files().join("merged"), ",userxattr");
    let paths = overlay.paths();
    let names: Vec<&str> = paths.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["etc", "etc/gone", "etc/kept", "opt", "opt/new", "var", "var/new"]);
    assert!(paths[Path::new("etc/gone")].starts_with("100600 5003:5004 "), "{paths:?}");
    for (path, facts) in &paths {
        assert!(facts.contains(" 500"), "{}: {facts}", path.display());
    }
    let root = fs::metadata(&trees[0]).unwrap();
    assert_eq!((root.uid(), root.gid()), (5000, 5000), "also what no entry describes");
}
