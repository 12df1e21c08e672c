//! What is sealed opens with its key in its place, and nowhere else; a key is never made over another's values.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use groundrun_core::secret::{SecretName, SecretUid};
use groundrun_secrets::{KeyFault, KeyFile, Origin, Place, Sealer, seal::Random};
use proptest::prelude::*;
use uuid::Uuid;

fn random(seed: u64) -> Random {
    let state = AtomicU64::new(seed);
    Arc::new(move |bytes| {
        for byte in bytes {
            let next = |old: u64| Some(old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            let old = state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
            *byte = old.unwrap_or_default().to_be_bytes()[0];
        }
    })
}

fn sealer(path: &Path, origin: Origin, seed: u64) -> Sealer {
    Sealer::new(KeyFile::new(path.to_owned(), origin), random(seed))
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("secrets.key");
    (dir, path)
}

fn name(project: &str, location: Option<&str>, secret: &str) -> SecretName {
    SecretName {
        project: project.to_owned(),
        location: location.map(str::to_owned),
        secret: secret.to_owned(),
    }
}

const UID: SecretUid = SecretUid(Uuid::from_u128(1));

#[test]
fn the_key_is_made_at_the_first_value_for_its_owner_alone_and_stays() {
    let (dir, path) = folder();
    let made = sealer(&path, Origin::MadeHere, 1).key_or_new(None).expect("it is made");
    let metadata = fs::metadata(&path).expect("it is there");
    assert_eq!((metadata.len(), metadata.mode() & 0o7777), (32, 0o600));
    assert_eq!(fs::read_dir(dir.path()).expect("it reads").count(), 1, "nothing else is left");
    let later = sealer(&path, Origin::MadeHere, 2);
    for known in [None, Some(made.fingerprint())] {
        let again = later.key_or_new(known).expect("it is there");
        assert_eq!(again.fingerprint(), made.fingerprint());
    }
    let opened = later.key(made.fingerprint()).expect("it is there");
    assert_eq!(opened.fingerprint(), made.fingerprint());
}

#[test]
fn who_need_the_first_key_at_once_get_the_same() {
    for round in 0..20 {
        let (dir, path) = folder();
        let sealer = sealer(&path, Origin::MadeHere, round);
        let at_once = Barrier::new(4);
        let get = || {
            at_once.wait();
            sealer.key_or_new(None).expect("it is made").fingerprint()
        };
        let all: Vec<_> = thread::scope(|scope| {
            let waiting: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
            waiting.into_iter().map(|one| one.join().expect("it does not panic")).collect()
        });
        assert_eq!(all, [all[0]; 4]);
        assert_eq!(fs::read_dir(dir.path()).expect("it reads").count(), 1, "nothing else is left");
    }
}

#[test]
fn a_file_of_a_server_that_was_killed_while_making_the_key_is_no_hindrance() {
    let (_dir, path) = folder();
    fs::write(path.with_extension("new"), b"half").expect("it is written");
    sealer(&path, Origin::MadeHere, 1).key_or_new(None).expect("it is made");
}

#[test]
fn a_key_that_is_gone_is_told_and_no_new_one_is_made_over_its_values() {
    let (_dir, path) = folder();
    let sealer = sealer(&path, Origin::MadeHere, 1);
    let made = sealer.key_or_new(None).expect("it is made").fingerprint();
    fs::remove_file(&path).expect("it is removed");
    for fault in [sealer.key(made), sealer.key_or_new(Some(made))] {
        let fault = fault.expect_err("it is gone");
        assert!(matches!(fault, KeyFault::Gone(_)), "{fault}");
        assert!(fault.to_string().contains("restore it from a copy"), "{fault}");
    }
    assert!(!path.exists());
}

#[test]
fn a_file_with_wrong_rights_a_wrong_length_or_of_another_directory_says_what_to_do() {
    let (_dir, path) = folder();
    let first = sealer(&path, Origin::MadeHere, 1);
    let made = first.key_or_new(None).expect("it is made").fingerprint();
    let told = || first.key_or_new(Some(made)).expect_err("it is refused").to_string();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("it is opened");
    let fault = told();
    assert!(fault.contains("mode 0640") && fault.contains("`chmod 600 "), "{fault}");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is closed");
    fs::write(&path, [1; 32]).expect("it is written");
    let fault = told();
    assert!(fault.contains("is not the one that the secrets"), "{fault}");
    for length in [0, 31, 33] {
        fs::write(&path, vec![1; length]).expect("it is written");
        let fault = told();
        assert!(fault.contains("exactly 32 bytes"), "{fault}");
    }
    fs::remove_file(&path).expect("it is removed");
    fs::create_dir(&path).expect("it is made");
    assert!(told().contains("is not a key"));
}

#[test]
fn a_file_that_the_settings_name_is_the_users_to_make() {
    let (_dir, path) = folder();
    let named = sealer(&path, Origin::Named, 1);
    let fault = named.key_or_new(None).expect_err("it is not there").to_string();
    assert!(fault.contains("head -c 32 /dev/urandom"), "{fault}");
    assert!(!path.exists());
    fs::write(&path, [5; 32]).expect("it is written");
    fs::set_permissions(&path, Permissions::from_mode(0o400)).expect("it is closed");
    named.key_or_new(None).expect("it is a key");
}

#[test]
fn what_is_sealed_for_one_place_opens_in_no_other() {
    let (_dir, path) = folder();
    let sealer = sealer(&path, Origin::MadeHere, 1);
    let key = sealer.key_or_new(None).expect("it is made");
    let home = name("demo", None, "s");
    let place = Place { uid: UID, name: &home, version: 1 };
    let sealed = key.seal(&place, b"correct horse", sealer.once());
    assert_eq!(key.open(&place, &sealed).expect("it opens").bytes(), b"correct horse");
    let others = [name("demp", None, "s"), name("demo", Some("s"), ""), name("demo", None, "t")];
    for other in &others {
        assert!(key.open(&Place { name: other, ..place }, &sealed).is_err(), "{other:?}");
    }
    assert!(key.open(&Place { version: 2, ..place }, &sealed).is_err());
    assert!(key.open(&Place { uid: SecretUid(Uuid::from_u128(2)), ..place }, &sealed).is_err());
    let again = key.seal(&place, b"correct horse", sealer.once());
    assert_ne!(again, sealed, "two values that are the same do not look the same");
}

#[test]
fn neither_a_key_nor_a_value_is_printed() {
    let (_dir, path) = folder();
    let sealer = sealer(&path, Origin::MadeHere, 1);
    let key = sealer.key_or_new(None).expect("it is made");
    let home = name("demo", None, "s");
    let place = Place { uid: UID, name: &home, version: 1 };
    let value = key.open(&place, &key.seal(&place, b"horse", sealer.once())).expect("it opens");
    assert_eq!(
        (format!("{key:?}"), format!("{value:?}")),
        ("Key(..)".into(), "SecretValue(..)".into())
    );
}

proptest! {
    #[test]
    fn every_value_comes_back_and_no_changed_one_does(
        plain in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (_dir, path) = folder();
        let sealer = sealer(&path, Origin::MadeHere, 1);
        let key = sealer.key_or_new(None).expect("it is made");
        let home = name("demo", Some("us-east1"), "s");
        let place = Place { uid: UID, name: &home, version: 7 };
        let mut sealed = key.seal(&place, &plain, sealer.once());
        let opened = key.open(&place, &sealed).expect("it opens");
        prop_assert_eq!(opened.bytes(), &plain[..]);
        prop_assert!(plain.len() < 8 || !sealed.windows(plain.len()).any(|window| window == plain));
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(key.open(&place, &sealed).is_err());
        prop_assert!(key.open(&place, &sealed[..at]).is_err());
    }
}
