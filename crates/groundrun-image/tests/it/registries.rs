//! Registries that send elsewhere, say no, lose the thread, or are not there.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use groundrun_core::port::ImageFaultKind;
use groundrun_image::{Digest, Limits, Settings};

use crate::support::{
    archive::{Archive, Layer},
    desk::{Desk, impatient},
    image::{self, Image, architecture},
    registry::{Broken, Registry, Reply},
};

/// With a layer large enough to be cut off in the middle; numbers do not compress to nothing.
pub(crate) fn large() -> Image {
    let content: Vec<u8> = (0..200_000u32)
        .flat_map(|n| Digest::of(&n.to_le_bytes()).to_string().into_bytes())
        .take(3 << 20)
        .collect();
    Image::new(&[Layer::plain(Archive::default().file("large", &content).end())])
}

pub(crate) fn small() -> Image {
    Image::new(&[Layer::gzip(&Archive::default().file("file", b"x").end())])
}

pub(crate) fn layer_path(repository: &str, image: &Image) -> String {
    format!("/v2/{repository}/blobs/{}", Digest::of(&image.layers[0].bytes))
}

/// Imports, which must fail so; nothing half-done may stay.
pub(crate) fn check_fault(desk: &Desk, reference: &str, kind: ImageFaultKind, reason: &str) {
    let fault = desk.import(reference).expect_err(reason);
    assert_eq!(fault.kind, kind, "{fault:?}");
    assert!(fault.message.contains(reason), "{reason:?} is not the reason: {}", fault.message);
    assert_eq!(fault.image, reference);
    desk.assert_clean();
    assert_eq!(desk.folder("images"), [] as [String; 0]);
}

#[test]
fn an_index_gives_the_image_for_this_machine() {
    let registry = Registry::start();
    let (ours, theirs) = (small(), large());
    registry.push("app", "ours", &ours);
    let index = image::index(&[(&theirs, "z80"), (&ours, architecture())]);
    registry.document("app", "v1", &index);
    let desk = Desk::new(Settings::default());
    let reference = format!("{}/app:v1", registry.host);
    assert_eq!(desk.import(&reference).expect("imports").digest, ours.digest());

    // By the index' digest nothing is asked any more.
    let before = registry.log().len();
    let pinned = format!("{}/app@{}", registry.host, Digest::of(&index));
    assert_eq!(desk.import(&pinned).expect("imports").digest, ours.digest());
    assert_eq!(registry.log().len(), before);

    registry.document("app", "v2", &image::index(&[(&theirs, "z80"), (&theirs, "mips")]));
    let fault = desk.import(&format!("{}/app:v2", registry.host)).expect_err("no such platform");
    assert_eq!(fault.kind, ImageFaultKind::Unusable);
    assert!(fault.message.contains("linux/z80, linux/mips"), "{fault:?}");
    assert!(desk.check(&format!("{}/app:v2", registry.host)).is_err());
}

#[test]
fn a_missing_image_is_missing() {
    let registry = Registry::start();
    let desk = Desk::new(Settings::default());
    let reference = format!("{}/none:v1", registry.host);
    check_fault(&desk, &reference, ImageFaultKind::Missing, "has no such image");
    assert_eq!(desk.check(&reference).expect_err("missing").kind, ImageFaultKind::Missing);
    registry.hook(|_, _| {
        Some(Reply::status(
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#,
        ))
    });
    check_fault(&desk, &reference, ImageFaultKind::Missing, "has no such image");
}

#[test]
fn the_status_decides_what_the_user_is_told() {
    let registry = Registry::start();
    let reference = registry.push("app", "v1", &small());
    let desk = Desk::new(Settings::default());
    for (status, kind, reason) in [
        (403, ImageFaultKind::PermissionDenied, "docker login"),
        (401, ImageFaultKind::PermissionDenied, "docker login"),
        (500, ImageFaultKind::Unreachable, "HTTP 500"),
        (503, ImageFaultKind::Unreachable, "HTTP 503"),
        (429, ImageFaultKind::Unreachable, "429"),
        (400, ImageFaultKind::Unusable, "HTTP 400"),
    ] {
        registry.hook(move |_, _| Some(Reply::status(status, "<html>")));
        check_fault(&desk, &reference, kind, reason);
        assert_eq!(desk.check(&reference).expect_err(reason).kind, kind);
    }
}

#[test]
fn a_registry_that_is_not_there_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let desk = Desk::new(Settings::default());
    check_fault(&desk, &format!("{free}/app:v1"), ImageFaultKind::Unreachable, "refused");
}

#[test]
fn a_registry_that_never_answers_is_given_up() {
    let registry = Registry::start();
    let reference = registry.push("app", "v1", &small());
    registry.hook(|_, _| None);
    let desk = Desk::new(impatient());
    check_fault(&desk, &reference, ImageFaultKind::Unreachable, "no answer within 1 s");
}

#[test]
fn a_download_that_is_cut_off_goes_on_where_it_was() {
    let registry = Registry::start();
    let image = large();
    let reference = registry.push("app", "v1", &image);
    let (layer, cuts) = (layer_path("app", &image), Arc::new(AtomicUsize::new(0)));
    registry.hook(move |request, reply| {
        let mut reply = reply?;
        if request.path == layer && cuts.fetch_add(1, Ordering::SeqCst) < 2 {
            reply.broken = Some((1 << 20, Broken::CutOff));
        }
        Some(reply)
    });
    let desk = Desk::new(Settings::default());
    desk.import(&reference).expect("imports in the third try");
    let ranges: Vec<Option<String>> = registry
        .requests()
        .iter()
        .filter(|request| request.path == layer_path("app", &image))
        .map(|request| request.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [None, Some("bytes=1048576-".into()), Some("bytes=2097152-".into())]);
    desk.assert_clean();
}

#[test]
fn a_registry_without_ranges_sends_it_all_again() {
    let registry = Registry::start();
    let image = large();
    let reference = registry.push("app", "v1", &image);
    let (layer, cuts) = (layer_path("app", &image), Arc::new(AtomicUsize::new(0)));
    let whole = image.layers[0].bytes.clone();
    registry.hook(move |request, reply| {
        if request.path != layer {
            return reply;
        }
        let broken =
            (cuts.fetch_add(1, Ordering::SeqCst) == 0).then_some((1 << 20, Broken::CutOff));
        Some(Reply { status: 200, body: whole.clone(), broken, ..Reply::default() })
    });
    let desk = Desk::new(Settings::default());
    assert_eq!(desk.import(&reference).expect("imports").digest, image.digest());
}

#[test]
fn a_download_that_never_comes_to_its_end_is_given_up_with_the_reason() {
    for (how, reason) in [(Broken::CutOff, "cut off"), (Broken::Stall, "nothing for 0.5 s")] {
        let registry = Registry::start();
        let image = large();
        let reference = registry.push("app", "v1", &image);
        let layer = layer_path("app", &image);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        registry.hook(move |request, reply| {
            let mut reply = reply?;
            if request.path == layer {
                count.fetch_add(1, Ordering::SeqCst);
                reply.broken = Some((1000, how));
            }
            Some(reply)
        });
        let desk = Desk::new(impatient());
        check_fault(&desk, &reference, ImageFaultKind::Unreachable, reason);
        assert_eq!(asked.load(Ordering::SeqCst), 5, "tries are bounded");
        registry.unhook();
        desk.import(&reference).expect("imports when the registry is well again");
    }
}

#[test]
fn a_pull_that_trickles_ends_at_the_bound_for_the_whole() {
    let registry = Registry::start();
    let image = large();
    let reference = registry.push("app", "v1", &image);
    let layer = layer_path("app", &image);
    registry.hook(move |request, reply| {
        let mut reply = reply?;
        if request.path == layer {
            reply.broken = Some((1000, Broken::Stall));
        }
        Some(reply)
    });
    let mut settings = impatient();
    settings.timeouts.whole = Duration::from_millis(200);
    let desk = Desk::new(settings);
    check_fault(&desk, &reference, ImageFaultKind::Unreachable, "did not send the image");
}

#[test]
fn corrupt_content_is_unusable_wherever_it_is() {
    let image = large();
    let config = format!("/v2/app/blobs/{}", Digest::of(&image.config));
    let manifest = format!("/v2/app/manifests/{}", image.digest());
    for path in [layer_path("app", &image), config, manifest] {
        let registry = Registry::start();
        let reference = registry.push("app", "v1", &image);
        registry.hook(move |request, reply| {
            let mut reply = reply?;
            if request.path == path {
                let last = reply.body.len() - 1;
                reply.body[last] ^= 1;
            }
            Some(reply)
        });
        let desk = Desk::new(Settings::default());
        check_fault(&desk, &reference, ImageFaultKind::Unusable, "it is corrupt there");
    }
}

#[test]
fn what_is_longer_than_promised_is_not_read_on() {
    let registry = Registry::start();
    let image = small();
    let reference = registry.push("app", "v1", &image);
    let layer = layer_path("app", &image);
    registry.hook(move |request, reply| {
        let mut reply = reply?;
        if request.path == layer {
            reply.body.extend_from_slice(&[0; 1 << 20]);
        }
        Some(reply)
    });
    let desk = Desk::new(Settings::default());
    check_fault(&desk, &reference, ImageFaultKind::Unusable, "longer than the");

    let limits = Limits { document_bytes: 100, ..Limits::default() };
    let desk = Desk::new(Settings { limits, ..Settings::default() });
    check_fault(&desk, &reference, ImageFaultKind::Unusable, "larger than 100 bytes");
}

#[test]
fn a_lost_layer_is_the_registrys_fault() {
    let registry = Registry::start();
    let image = small();
    let reference = registry.push("app", "v1", &image);
    let layer = layer_path("app", &image);
    registry.hook(
        move |request, reply| {
            if request.path == layer { Some(Reply::status(404, "")) } else { reply }
        },
    );
    let desk = Desk::new(Settings::default());
    check_fault(&desk, &reference, ImageFaultKind::Unusable, "push the image again");
}

#[test]
fn a_registry_that_does_not_know_head_is_asked_otherwise() {
    for status in [405, 200] {
        let registry = Registry::start();
        let reference = registry.push("app", "v1", &small());
        registry.hook(move |request, reply| {
            if request.method == "HEAD" { Some(Reply::status(status, "")) } else { reply }
        });
        let desk = Desk::new(Settings::default());
        desk.import(&reference).expect("imports");
    }
}

#[test]
fn a_redirect_in_circles_ends() {
    let registry = Registry::start();
    let image = small();
    let reference = registry.push("app", "v1", &image);
    let layer = layer_path("app", &image);
    registry.hook(move |request, reply| {
        if request.path == layer {
            Some(Reply::status(307, "").with("Location", layer.clone()))
        } else {
            reply
        }
    });
    let desk = Desk::new(Settings::default());
    check_fault(&desk, &reference, ImageFaultKind::Unreachable, "redirects too often");
}

#[test]
fn a_registry_that_is_down_leaves_the_earlier_digest_of_the_tag() {
    let registry = Registry::start();
    let image = small();
    let reference = registry.push("app", "v1", &image);
    let desk = Desk::new(Settings::default());
    let fresh = desk.import(&reference).expect("imports");
    assert_eq!(fresh.stale, None);
    registry.hook(|_, _| Some(Reply::status(502, "")));
    let stale = desk.import(&reference).expect("the earlier one");
    assert_eq!(stale.digest, fresh.digest);
    assert!(stale.stale.as_ref().is_some_and(|why| why.contains("HTTP 502")), "{stale:?}");
    assert_eq!(desk.check(&reference), Ok(()));
    let desk = desk.restart(Settings::default());
    assert_eq!(desk.import(&reference), Ok(stale), "also after a restart");
    // What the registry says is believed, and there is no earlier digest of another tag.
    registry.hook(|_, _| Some(Reply::status(404, "")));
    assert_eq!(desk.import(&reference).expect_err("gone").kind, ImageFaultKind::Missing);
    registry.hook(|_, _| Some(Reply::status(502, "")));
    let other = format!("{}/app:v2", registry.host);
    assert_eq!(desk.import(&other).expect_err("unknown").kind, ImageFaultKind::Unreachable);
}

#[test]
fn a_tag_is_asked_for_each_time_and_a_digest_never_again() {
    let registry = Registry::start();
    let (first, second) = (small(), large());
    let reference = registry.push("app", "v1", &first);
    let desk = Desk::new(Settings::default());
    assert_eq!(desk.import(&reference).expect("imports").digest, first.digest());
    registry.push("app", "v1", &second);
    assert_eq!(desk.import(&reference).expect("imports").digest, second.digest());
    let before = registry.log().len();
    desk.import(&reference).expect("imports");
    assert_eq!(registry.log()[before..], ["HEAD /v2/app/manifests/v1".to_owned()]);
    drop(registry);
    for by_digest in [first.digest(), format!("any.test/x@{}", first.digest())] {
        assert_eq!(desk.import(&by_digest).expect("present").digest, first.digest());
    }
}

#[test]
fn a_digest_that_is_not_here_and_has_no_place_is_missing() {
    let desk = Desk::new(Settings::default());
    let digest = Digest::of(b"nothing").to_string();
    check_fault(&desk, &digest, ImageFaultKind::Missing, "does not say where it came from");
}
