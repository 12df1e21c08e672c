//! The port: one answer to each request, at once where nothing has to be fetched, with the progress in between.

use std::{
    borrow::Cow,
    sync::mpsc,
    time::{Duration, Instant},
};

use groundrun_core::{
    port::{ImageFaultKind, ImageRequest, News},
    process::ImageConfig,
};
use groundrun_image::{BuiltIn, BuiltInFile, ImageService, Settings, StartFault};

use crate::support::{
    archive::{Archive, Layer},
    desk::{Desk, execution},
    image::Image,
    registry::Registry,
};

fn built_in(name: &str) -> BuiltIn {
    let bytes = Cow::Borrowed(&b"program"[..]);
    BuiltIn {
        reference: format!("builtin.groundrun/{name}"),
        files: vec![BuiltInFile { path: "bin/job".to_owned(), bytes, mode: 0o755 }],
        config: ImageConfig::default(),
    }
}

#[test]
fn several_images_are_answered_together_in_their_order() {
    let settings =
        Settings { built_ins: vec![built_in("a"), built_in("b")], ..Settings::default() };
    let desk = Desk::new(settings);
    let images = ["builtin.groundrun/b", "builtin.groundrun/a", "builtin.groundrun/b"];
    let imported = desk.import_for(1, &images).expect("imports");
    assert_eq!(imported.len(), 3);
    assert_eq!(imported[0], imported[2]);
    assert_ne!(imported[0], imported[1]);
    let fault =
        desk.import_for(1, &["builtin.groundrun/a", "oci:/none", "UPPER"]).expect_err("the second");
    assert_eq!((fault.image.as_str(), fault.kind), ("oci:/none", ImageFaultKind::Missing));
}

#[test]
fn an_image_that_is_here_is_answered_without_the_disk_or_the_network() {
    let desk = Desk::new(Settings { built_ins: vec![built_in("job")], ..Settings::default() });
    desk.import("builtin.groundrun/job").expect("imports");
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            desk.import("builtin.groundrun/job").expect("here");
            start.elapsed()
        })
        .collect();
    times.sort();
    // No figure is asserted in a timed test; whoever wants it runs with --nocapture.
    println!("import of a present image: median {:?}, worst {:?}", times[100], times[199]);
}

#[test]
fn asking_twice_is_answered_once_and_progress_is_seen() {
    let registry = Registry::start();
    let layer = Layer::plain(Archive::default().file("large", &vec![1; 1 << 20]).end());
    let size = layer.bytes.len() as u64;
    let image = Image::new(&[layer]);
    let reference = registry.push("app", "v1", &image);
    let (asked, when_asked) = mpsc::sync_channel(1);
    let (go, gate) = mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    registry.hook(move |request, reply| {
        if request.path.ends_with(&groundrun_image::Digest::of(&image.layers[0].bytes).to_string())
        {
            asked.send(()).unwrap();
            gate.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
        }
        reply
    });
    let desk = Desk::new(Settings::default());
    assert_eq!(desk.service.progress(execution(1)), None);
    let import =
        || ImageRequest::Import { execution: execution(1), images: vec![reference.clone()] };
    desk.ask(import());
    when_asked.recv_timeout(Duration::from_secs(60)).unwrap();
    let progress = desk.service.progress(execution(1)).expect("under way");
    assert_eq!((progress.done, progress.total), (0, size));
    desk.ask(import());
    go.send(()).unwrap();
    let News::Imported { result, .. } = desk.next() else { panic!("no import") };
    result.expect("imports");
    desk.check("UPPER").expect_err("a later answer");
    assert!(desk.is_silent(), "the second request was the first one's");
    assert_eq!(desk.service.progress(execution(1)), None);
}

#[test]
fn settings_that_mean_nothing_are_told_at_the_start() {
    let start = |settings: Settings| {
        let desk = Desk::new(Settings::default());
        struct Nobody;
        impl groundrun_core::port::Inbox for Nobody {
            fn tell(&self, _: News) {}
        }
        match ImageService::start(desk.store.clone(), settings, std::sync::Arc::new(Nobody)) {
            Err(StartFault::Settings(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let alias = |from: &str| Settings {
        aliases: [(from.to_owned(), "a".to_owned())].into(),
        ..Settings::default()
    };
    assert!(start(alias("UPPER")).contains("UPPER"));
    let many = (0..1025).map(|n| (format!("a{n}"), "b".to_owned())).collect();
    assert!(start(Settings { aliases: many, ..Settings::default() }).contains("1024"));
    let pem = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_vec();
    assert!(
        start(Settings { extra_roots: vec![pem], ..Settings::default() }).contains("certificates")
    );
}
