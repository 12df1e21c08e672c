//! The store: shared, pinned, collected, opened again, and swept after a crash.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use groundrun_core::port::{ImageRequest, News};
use groundrun_image::{Collected, ImageStore, OpenFault, Owners, Settings};

use crate::support::{
    archive::{Archive, Layer},
    desk::{Desk, execution},
    image::Image,
    registry::{Registry, Reply},
};

fn layer(name: &str, bytes: usize) -> Layer {
    Layer::gzip(&Archive::default().file(name, &vec![b'x'; bytes]).end())
}

fn layout(desk: &Desk, name: &str, layers: &[Layer]) -> String {
    let path = desk.files().join(name);
    Image::new(layers).layout(&path, "v1");
    format!("oci:{}", path.display())
}

#[test]
fn a_layer_is_unpacked_once_and_shared() {
    let desk = Desk::new(Settings::default());
    let shared = layer("shared", 1000);
    let one = layout(&desk, "one", &[shared.clone(), layer("one", 10)]);
    let two = layout(&desk, "two", &[shared, layer("two", 20)]);
    let (one, two) = (desk.layers(&one), desk.layers(&two));
    assert_eq!(one[1], two[1]);
    assert_eq!(desk.folder("layers").len(), 3);
    assert_eq!(desk.store.bytes(), 1030);
}

#[test]
fn two_imports_at_once_download_and_unpack_once() {
    let registry = Registry::start();
    let image = Image::new(&[layer("a", 3 << 20), layer("b", 10)]);
    let reference = registry.push("app", "v1", &image);
    let desk = Desk::new(Settings::default());
    for number in 0..6 {
        let images = vec![reference.clone()];
        desk.ask(ImageRequest::Import { execution: execution(number), images });
    }
    for _ in 0..6 {
        let News::Imported { result, .. } = desk.next() else { panic!("no import") };
        assert_eq!(result.expect("imports")[0].digest, image.digest());
    }
    for layer in &image.layers {
        let path = format!("GET /v2/app/blobs/{}", groundrun_image::Digest::of(&layer.bytes));
        assert_eq!(registry.log().iter().filter(|line| **line == path).count(), 1, "{path}");
    }
    assert_eq!(desk.folder("layers").len(), 2);
    desk.assert_clean();
}

#[test]
fn layers_in_another_order_do_not_wait_for_each_other() {
    let registry = Registry::start();
    let (a, b, c) = (layer("a", 1 << 20), layer("b", 1 << 20), layer("c", 1 << 20));
    let orders = [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a], [&a, &c, &b]];
    let references: Vec<String> = orders
        .iter()
        .enumerate()
        .map(|(n, order)| {
            registry.push(&format!("app{n}"), "v1", &Image::new(&order.map(Clone::clone)))
        })
        .collect();
    let desk = Desk::new(Settings::default());
    for (number, reference) in references.iter().enumerate() {
        let images = vec![reference.clone()];
        desk.ask(ImageRequest::Import { execution: execution(number as u128), images });
    }
    for _ in &references {
        let News::Imported { result, .. } = desk.next() else { panic!("no import") };
        result.expect("imports");
    }
    assert_eq!(desk.folder("layers").len(), 3);
}

#[test]
fn what_is_pinned_stays_and_the_longest_unused_goes_first() {
    let desk = Desk::new(Settings::default());
    let shared = layer("shared", 1000);
    let old = layout(&desk, "old", &[shared.clone(), layer("old", 100)]);
    let new = layout(&desk, "new", &[shared.clone(), layer("new", 200)]);
    let held = layout(&desk, "held", &[shared, layer("held", 400)]);
    let digest =
        |number, image: &str| desk.import_for(number, &[image]).expect("imports")[0].digest.clone();
    let (old, new, held) = (digest(1, &old), digest(2, &new), digest(3, &held));
    assert_eq!(desk.store.collect(0), Ok(Collected::Done { images: 0, bytes: 1700 }));
    for number in [1, 2] {
        desk.ask(ImageRequest::Release(execution(number)));
    }
    // A request behind the releases: when it is answered, they were heard.
    desk.check(&held).expect("here");
    assert_eq!(desk.store.collect(1650), Ok(Collected::Done { images: 1, bytes: 1600 }));
    assert!(desk.store.mountable(&old).is_err());
    assert!(desk.store.mountable(&new).is_ok());
    assert_eq!(desk.store.collect(0), Ok(Collected::Done { images: 1, bytes: 1400 }));
    assert!(desk.store.mountable(&new).is_err());
    assert!(desk.store.mountable(&held).unwrap().layers.iter().all(|layer| layer.is_dir()));
    desk.assert_clean();
    assert_eq!(desk.folder("layers").len(), 2);
    let missing = desk.store.mountable(&old).expect_err("collected");
    assert!(missing.message.contains("not on this machine any more"), "{missing}");
}

#[test]
fn the_order_of_use_outlives_the_server() {
    let desk = Desk::new(Settings::default());
    let one = layout(&desk, "one", &[layer("one", 100)]);
    let two = layout(&desk, "two", &[layer("two", 100)]);
    let first = desk.import_for(1, &[&one]).expect("imports")[0].digest.clone();
    desk.import_for(2, &[&two]).expect("imports");
    desk.import_for(1, &[&one]).expect("used again");
    let desk = desk.restart(Settings::default());
    assert_eq!(desk.store.collect(100), Ok(Collected::Done { images: 1, bytes: 100 }));
    assert!(desk.store.mountable(&first).is_ok(), "the one that was used last stays");
}

#[test]
fn nothing_is_collected_while_an_image_is_imported() {
    let registry = Registry::start();
    let desk = Desk::new(Settings::default());
    let idle = layout(&desk, "idle", &[layer("idle", 100)]);
    let idle = desk.import_for(9, &[&idle]).expect("imports")[0].digest.clone();
    desk.ask(ImageRequest::Release(execution(9)));
    let reference = registry.push("app", "v1", &Image::new(&[layer("a", 10)]));
    let (asked, when_asked) = mpsc::sync_channel(1);
    registry.hook(move |_, _| {
        let _ = asked.try_send(());
        None
    });
    desk.ask(ImageRequest::Import { execution: execution(1), images: vec![reference] });
    when_asked.recv_timeout(Duration::from_secs(60)).expect("the registry is asked");
    assert_eq!(desk.store.collect(0), Ok(Collected::Busy));
    assert!(desk.store.mountable(&idle).is_ok());
    // Released in the middle: it is let go, and answers nothing.
    desk.ask(ImageRequest::Release(execution(1)));
    desk.check(&idle).expect("here");
    let mut collected = desk.store.collect(0);
    for _ in 0..100 {
        if collected != Ok(Collected::Busy) {
            break;
        }
        desk.check(&idle).expect("here");
        std::thread::yield_now();
        collected = desk.store.collect(0);
    }
    assert_eq!(collected, Ok(Collected::Done { images: 1, bytes: 0 }));
    assert!(desk.is_silent());
    desk.assert_clean();
}

#[test]
fn layers_of_an_interrupted_import_are_used_by_the_next() {
    let registry = Registry::start();
    let image = Image::new(&[layer("a", 10), layer("b", 10)]);
    let reference = registry.push("app", "v1", &image);
    let broken = format!("/v2/app/blobs/{}", groundrun_image::Digest::of(&image.layers[1].bytes));
    let path = broken.clone();
    // Once the first layer is in the store, the second one fails.
    let desk = Desk::new(Settings::default());
    let layers = desk.path().join("layers");
    registry.hook(move |request, reply| {
        if request.path != path {
            return reply;
        }
        while fs::read_dir(&layers).map_or(0, Iterator::count) == 0 {
            std::thread::yield_now();
        }
        Some(Reply::status(404, ""))
    });
    desk.import(&reference).expect_err("the second layer is lost");
    assert_eq!(desk.folder("layers").len(), 1);
    registry.unhook();
    let before = registry.log().len();
    let desk = desk.restart(Settings::default());
    assert_eq!(desk.store.collect(1 << 30), Ok(Collected::Done { images: 0, bytes: 10 }));
    desk.import(&reference).expect("imports");
    let blobs: Vec<String> = registry.log()[before..]
        .iter()
        .filter(|line| {
            line.contains("/blobs/")
                && !line.contains(&groundrun_image::Digest::of(&image.config).to_string())
        })
        .cloned()
        .collect();
    assert_eq!(blobs, [format!("GET {broken}")]);
}

#[test]
fn loose_layers_are_the_first_to_go() {
    let desk = Desk::new(Settings::default());
    let image = layout(&desk, "image", &[layer("kept", 10)]);
    let digest = desk.import(&image).expect("imports").digest;
    let record = desk.path().join("images");
    let loose = layout(&desk, "loose", &[layer("loose", 10)]);
    let loose = desk.import_for(2, &[&loose]).expect("imports")[0].digest.clone();
    fs::remove_file(record.join(loose.trim_start_matches("sha256:"))).unwrap();
    let desk = desk.restart(Settings::default());
    assert_eq!(desk.store.bytes(), 20);
    assert_eq!(desk.store.collect(10), Ok(Collected::Done { images: 0, bytes: 10 }));
    assert!(desk.store.mountable(&digest).is_ok());
}

#[test]
fn damage_to_the_records_costs_a_new_import_and_no_more() {
    let desk = Desk::new(Settings::default());
    let one = layout(&desk, "one", &[layer("one", 10)]);
    let two = layout(&desk, "two", &[layer("two", 10)]);
    desk.import_for(1, &[&one]).expect("imports");
    desk.import_for(2, &[&two]).expect("imports");
    for (n, image) in desk.folder("images").iter().enumerate() {
        let path = desk.path().join("images").join(image);
        if n == 0 {
            fs::write(path, "{").unwrap()
        } else {
            fs::rename(path, desk.path().join("images/junk")).unwrap()
        }
    }
    for name in desk.folder("layers").iter().take(1) {
        fs::remove_file(desk.path().join("layers").join(name).join("meta.json")).unwrap();
    }
    let desk = desk.restart(Settings::default());
    assert_eq!(desk.folder("images"), [] as [String; 0]);
    desk.import_for(1, &[&one]).expect("imports again");
    desk.import_for(2, &[&two]).expect("imports again");
    assert_eq!(desk.store.collect(1 << 30), Ok(Collected::Done { images: 0, bytes: 20 }));
    desk.assert_clean();
}

#[test]
fn one_server_uses_a_store_and_nobody_else_looks_into_it() {
    let desk = Desk::new(Settings::default());
    match ImageStore::open(&desk.path(), Owners::OfTheImage) {
        Err(OpenFault::InUse(path)) => assert_eq!(path, desk.path()),
        other => panic!("opened twice: {other:?}"),
    }
    assert_eq!(fs::metadata(desk.path()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(desk.files().join("file"), "").unwrap();
    assert!(matches!(
        ImageStore::open(&desk.files().join("file"), Owners::OfTheImage),
        Err(OpenFault::Disk { .. })
    ));
}

/// Started by the test below as a process of its own: imports for ever.
#[test]
fn crash_victim() {
    let (Ok(store), Ok(reference)) = (std::env::var("VICTIM_STORE"), std::env::var("VICTIM_IMAGE"))
    else {
        return;
    };
    struct Nobody;
    impl groundrun_core::port::Inbox for Nobody {
        fn tell(&self, _: News) {}
    }
    let store = Arc::new(ImageStore::open(Path::new(&store), Owners::OfTheImage).unwrap());
    let service =
        groundrun_image::ImageService::start(store, Settings::default(), Arc::new(Nobody)).unwrap();
    groundrun_core::port::Images::ask(
        &service,
        ImageRequest::Import { execution: execution(1), images: vec![reference] },
    );
    loop {
        std::thread::park();
    }
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_but_what_the_next_open_sweeps() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = folder.path().join("images");
    // Many small files: unpacking takes a while.
    let many =
        (0..20_000).fold(Archive::default(), |archive, n| archive.file(&format!("{n}"), b"x"));
    let image = Image::new(&[Layer::gzip(&many.end())]);
    image.layout(&folder.path().join("layout"), "v1");
    let reference = format!("oci:{}", folder.path().join("layout").display());
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::crash_victim", "--nocapture"])
        .env("VICTIM_STORE", &store)
        .env("VICTIM_IMAGE", &reference)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let staged = || {
        let entries = fs::read_dir(store.join("staging")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().join("tree/100").exists()).count()
    };
    while staged() == 0 {
        assert!(victim.try_wait().unwrap().is_none(), "the victim ended by itself");
        std::thread::yield_now();
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(staged(), 1, "killed in the middle");
    let opened = ImageStore::open(&store, Owners::OfTheImage).expect("opens after a crash");
    assert_eq!(fs::read_dir(store.join("staging")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.join("layers")).unwrap().count(), 0);
    assert_eq!(opened.bytes(), 0);
}

#[test]
fn a_release_makes_room_where_more_is_kept_than_shall_be() {
    let desk = Desk::new(Settings { keep_bytes: 250, ..Settings::default() });
    let one = layout(&desk, "one", &[layer("one", 200)]);
    let two = layout(&desk, "two", &[layer("two", 200)]);
    let first = desk.import_for(1, &[&one]).expect("imports")[0].digest.clone();
    let second = desk.import_for(2, &[&two]).expect("imports")[0].digest.clone();
    desk.ask(ImageRequest::Release(execution(1)));
    let begun = std::time::Instant::now();
    while desk.store.mountable(&first).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not collected");
        std::thread::yield_now();
    }
    assert!(desk.store.mountable(&second).is_ok(), "what is in use stays");
}

#[test]
fn a_store_is_for_the_owners_that_it_was_made_for() {
    let shifted = |map: &str| Owners::Shifted { base: 1, count: 65_536, map: map.to_owned() };
    let ada = shifted("users 0 1000 1, 1 100000 65536\n");
    let made = tempfile::tempdir().unwrap();
    let path = made.path().join("images");
    drop(ImageStore::open(&path, ada.clone()).expect("opens"));
    drop(ImageStore::open(&path, ada).expect("opens again"));
    for (owners, whose) in [
        (Owners::OfTheImage, "this server runs by the machine's root"),
        (shifted("users 0 1001 1\n"), "this server runs with the ids users 0 1001 1"),
    ] {
        let fault = ImageStore::open(&path, owners).expect_err("it is another's").to_string();
        assert!(fault.contains("unpacked with the ids users 0 1000 1, 1 100000 65536"), "{fault}");
        assert!(fault.contains(whose) && fault.contains("another data directory"), "{fault}");
    }
}

/// Of a version that noted nothing, and had one kind of owners.
#[test]
fn layers_without_a_note_are_the_machines_roots() {
    let made = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(made.path().join("layers/some")).unwrap();
    let shifted = Owners::Shifted { base: 0, count: 1, map: "users 0 1000 1\n".into() };
    assert!(matches!(ImageStore::open(made.path(), shifted), Err(OpenFault::Owners { .. })));
    assert!(!made.path().join("lock").exists(), "nothing was made");
    ImageStore::open(made.path(), Owners::OfTheImage).expect("opens");
}
