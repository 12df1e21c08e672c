//! Every kind of reference becomes an image that can be mounted.

use std::{borrow::Cow, fs};

use groundrun_core::{port::ImageFaultKind, process::ImageConfig};
use groundrun_image::{BuiltIn, BuiltInFile, Digest, Settings};
use serde_json::json;

use crate::support::{
    archive::{Archive, Layer, gzip},
    desk::Desk,
    image::{self, Image, architecture},
    registry::Registry,
};

fn two_layers() -> Image {
    let lower = Archive::default().dir("bin/").file("bin/job", b"job").end();
    let upper = Archive::default().dir("etc/").file("etc/motd", b"hello").end();
    Image::new(&[Layer::gzip(&lower), Layer::zstd(&upper)])
}

fn assert_mountable(desk: &Desk, digest: &str) {
    let mountable = desk.store.mountable(digest).expect("imported");
    let [upper, lower] = &mountable.layers[..] else { panic!("{:?}", mountable.layers) };
    assert_eq!(fs::read(lower.join("bin/job")).unwrap(), b"job");
    assert_eq!(fs::read(upper.join("etc/motd")).unwrap(), b"hello");
    assert_eq!(mountable.config.entrypoint, ["/bin/job"]);
    assert_eq!(mountable.config.cmd, ["run"]);
    assert_eq!(mountable.config.env, [("A".to_owned(), "1".to_owned())]);
    assert_eq!(mountable.config.user, "7:8");
    assert_eq!(mountable.config.working_dir, "/w");
    desk.assert_clean();
}

#[test]
fn a_built_in_image_is_served_like_any_other() {
    let file = |path: &str, mode| BuiltInFile {
        path: path.to_owned(),
        bytes: Cow::Borrowed(b"program"),
        mode,
    };
    let config = ImageConfig { entrypoint: vec!["/bin/job".to_owned()], ..ImageConfig::default() };
    let built_in = BuiltIn {
        reference: "builtin.groundrun/job".to_owned(),
        files: vec![file("bin/job", 0o755), file("etc/deep/er/conf", 0o600)],
        config: config.clone(),
    };
    let settings = || Settings { built_ins: vec![built_in.clone()], ..Settings::default() };
    let desk = Desk::new(settings());
    assert_eq!(desk.check("builtin.groundrun/job"), Ok(()));
    let imported = desk.import("builtin.groundrun/job").expect("imports");
    let mountable = desk.store.mountable(&imported.digest).expect("imported");
    assert_eq!(mountable.config, config);
    let [layer] = &mountable.layers[..] else { panic!("one layer") };
    assert_eq!(fs::read(layer.join("bin/job")).unwrap(), b"program");
    assert!(layer.join("etc/deep/er/conf").is_file());
    desk.assert_clean();

    let desk = desk.restart(settings());
    assert_eq!(desk.import("builtin.groundrun/job:latest").expect("imports"), imported);
    assert_eq!(desk.store.mountable(&imported.digest).expect("kept").config, config);
    let other = desk.import("builtin.groundrun/other").expect_err("nobody brings it");
    assert_eq!(other.kind, ImageFaultKind::Missing);
    assert!(other.message.contains("builtin.groundrun/job"), "{}", other.message);
}

#[test]
fn an_oci_layout_is_found_by_its_name_or_alone() {
    let desk = Desk::new(Settings::default());
    let path = desk.files().join("layout");
    let image = two_layers();
    image.layout(&path, "v1");
    let named = format!("oci:{}:v1", path.display());
    assert_eq!(desk.check(&named), Ok(()));
    assert_eq!(desk.import(&named).expect("imports").digest, image.digest());
    assert_eq!(desk.import(&format!("oci:{}", path.display())).unwrap().digest, image.digest());
    assert_mountable(&desk, &image.digest());

    let fault = desk.import(&format!("oci:{}:v2", path.display())).expect_err("no v2");
    assert_eq!(fault.kind, ImageFaultKind::Missing);
    assert!(fault.message.contains("v1"), "{fault:?}");
    let fault = desk.check("oci:/nowhere").expect_err("no directory");
    assert_eq!(fault.kind, ImageFaultKind::Missing);
    assert_eq!(fault.image, "oci:/nowhere");
}

#[test]
fn a_layout_of_several_platforms_gives_the_one_of_this_machine() {
    let desk = Desk::new(Settings::default());
    let path = desk.files().join("layout");
    let (ours, theirs) =
        (two_layers(), Image::with(&[], |config| config["architecture"] = json!("z80")));
    let index = image::index(&[(&theirs, "z80"), (&ours, architecture())]);
    let mut blobs = ours.blobs();
    blobs.extend(theirs.blobs());
    blobs.insert(Digest::of(&index).to_string(), index.clone());
    let entry = image::descriptor("application/vnd.oci.image.index.v1+json", &index);
    image::write_layout(&path, &json!({"schemaVersion": 2, "manifests": [entry]}), &blobs);
    let imported = desk.import(&format!("oci:{}", path.display())).expect("imports");
    assert_mountable(&desk, &imported.digest);
    assert_eq!(imported.digest, ours.digest());
}

#[test]
fn a_corrupt_layout_is_refused() {
    let desk = Desk::new(Settings::default());
    let path = desk.files().join("layout");
    let image = two_layers();
    image.layout(&path, "v1");
    let layer = path.join("blobs/sha256").join(Digest::of(&image.layers[0].bytes).hex());
    let mut bytes = image.layers[0].bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, bytes).unwrap();
    let fault = desk.import(&format!("oci:{}", path.display())).expect_err("corrupt");
    assert_eq!(fault.kind, ImageFaultKind::Unusable);
    assert!(fault.message.contains("corrupt"), "{fault:?}");
    fs::remove_file(&layer).unwrap();
    let fault = desk.import(&format!("oci:{}", path.display())).expect_err("incomplete");
    assert!(fault.message.contains("cannot be read"), "{fault:?}");
    desk.assert_clean();
}

#[test]
fn what_docker_save_writes_is_read_plain_and_compressed() {
    for compress in [|bytes: Vec<u8>| bytes, |bytes: Vec<u8>| gzip(&bytes)] {
        let desk = Desk::new(Settings::default());
        let image = two_layers();
        let path = desk.files().join("saved.tar");
        fs::write(&path, compress(image.saved("localhost:5000/me/app:v1"))).unwrap();
        let named = format!("docker-archive:{}:localhost:5000/me/app:v1", path.display());
        assert_eq!(desk.check(&named), Ok(()));
        let imported = desk.import(&named).expect("imports");
        assert_eq!(imported.digest, Digest::of(&image.config).to_string());
        assert_mountable(&desk, &imported.digest);
        let alone = desk.import(&format!("docker-archive:{}", path.display())).expect("imports");
        assert_eq!(alone, imported);

        let other = format!("docker-archive:{}:other", path.display());
        let fault = desk.import(&other).expect_err("not in it");
        assert_eq!(fault.kind, ImageFaultKind::Missing);
        assert!(fault.message.contains("me/app:v1"), "{fault:?}");
    }
}

#[test]
fn an_archive_that_changed_is_read_again() {
    let desk = Desk::new(Settings::default());
    let path = desk.files().join("saved.tar");
    let reference = format!("docker-archive:{}", path.display());
    fs::write(&path, two_layers().saved("app:v1")).unwrap();
    let first = desk.import(&reference).expect("imports");
    let other = Image::with(&two_layers().layers, |config| config["config"]["User"] = json!("9"));
    fs::write(&path, other.saved("app:v1")).unwrap();
    let second = desk.import(&reference).expect("imports");
    assert_ne!(first.digest, second.digest);
    assert_eq!(desk.store.mountable(&second.digest).expect("imported").config.user, "9");
}

#[test]
fn an_archive_that_is_none_says_so() {
    let desk = Desk::new(Settings::default());
    let path = desk.files().join("saved.tar");
    let reference = format!("docker-archive:{}", path.display());
    let kinds = |desk: &Desk| desk.import(&reference).expect_err("no image");
    assert_eq!(kinds(&desk).kind, ImageFaultKind::Missing);
    fs::write(&path, Archive::default().file("oci-layout", b"{}").end()).unwrap();
    assert!(kinds(&desk).message.contains("oci:DIRECTORY"));
    let cut = two_layers().saved("app:v1");
    fs::write(&path, &cut[..cut.len() / 2]).unwrap();
    assert_eq!(kinds(&desk).kind, ImageFaultKind::Unusable);
    fs::write(&path, b"").unwrap();
    assert!(kinds(&desk).message.contains("empty"));
    desk.assert_clean();
}

#[test]
fn a_registry_is_asked_for_the_tag_and_sends_the_layers() {
    let registry = Registry::start();
    let image = two_layers();
    let reference = registry.push("team/app", "v1", &image);
    let desk = Desk::new(Settings::default());
    assert_eq!(desk.check(&reference), Ok(()));
    assert!(!registry.log().iter().any(|line| line.contains("/blobs/")), "{:?}", registry.log());
    let imported = desk.import(&reference).expect("imports");
    assert_eq!((imported.digest.as_str(), imported.stale.as_ref()), (&*image.digest(), None));
    assert_mountable(&desk, &imported.digest);
}

#[test]
fn an_alias_leads_to_another_reference_once() {
    let registry = Registry::start();
    let image = two_layers();
    let target = registry.push("team/app", "v1", &image);
    let aliases = [
        ("us-docker.pkg.dev/cloudrun/container/job".to_owned(), target),
        ("a.test/x".to_owned(), "us-docker.pkg.dev/cloudrun/container/job".to_owned()),
    ];
    let settings = Settings { aliases: aliases.into(), ..Settings::default() };
    let desk = Desk::new(settings);
    let imported = desk.import("us-docker.pkg.dev/cloudrun/container/job:latest").expect("aliased");
    assert_eq!(imported.digest, image.digest());
}

#[test]
fn an_image_without_layers_can_be_mounted() {
    let desk = Desk::new(Settings::default());
    let path = desk.files().join("layout");
    Image::new(&[]).layout(&path, "v1");
    let layers = desk.layers(&format!("oci:{}", path.display()));
    assert_eq!(layers.len(), 1);
    assert_eq!(fs::read_dir(&layers[0]).unwrap().count(), 0);
}

#[test]
fn a_malformed_reference_is_unusable_and_says_why() {
    let desk = Desk::new(Settings::default());
    for image in ["UPPER", "a:b:c", "", "x@sha256:1"] {
        let fault = desk.import(image).expect_err("malformed");
        assert_eq!(fault.kind, ImageFaultKind::Unusable, "{image}");
        assert!(fault.message.contains("is not an image reference"), "{fault:?}");
        assert_eq!(desk.check(image), Err(fault));
    }
}
