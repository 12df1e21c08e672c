//! Secrets are kept as given, their values sealed alone, and a destroyed value is nowhere in the database any more.

use std::{fs, num::NonZeroU32};

use groundrun_core::{
    record::Revision,
    secret::{Replication, Secret, SecretName, SecretUid, Version, VersionState},
};
use groundrun_store::{Policy, Sealed, Store, StoreError, Tx};
use uuid::Uuid;

use crate::support::*;

pub(crate) const KEY: [u8; 16] = [7; 16];

pub(crate) fn secret(name: &str, number: u128) -> Secret {
    Secret {
        uid: SecretUid(Uuid::from_u128(number)),
        name: named(name, None),
        labels: Labels::from([("team".to_owned(), "x".to_owned())]),
        annotations: Labels::from([("note".to_owned(), "y".to_owned())]),
        aliases: [("prod".to_owned(), 1)].into(),
        replication: Replication::UserManaged(vec!["us-east1".to_owned()]),
        created: at(i64::try_from(number).expect("tests are small")),
        revision: Revision(0),
        newest: 0,
    }
}

fn named(name: &str, location: Option<&str>) -> SecretName {
    SecretName {
        project: "p".to_owned(),
        location: location.map(str::to_owned),
        secret: name.to_owned(),
    }
}

pub(crate) fn version(of: SecretUid, number: i64) -> Version {
    Version {
        secret: of,
        number,
        state: VersionState::Enabled,
        created: at(5),
        revision: Revision(0),
        checksum_given: number % 2 == 0,
    }
}

pub(crate) fn keep(store: &Store, mut secret: Secret) -> Secret {
    write(store, at(0), move |tx| {
        tx.insert_secret(&mut secret)?;
        Ok(secret)
    })
}

pub(crate) fn add(store: &Store, mut version: Version, bytes: &'static [u8]) -> Version {
    write(store, at(0), move |tx| {
        tx.insert_secret_version(&mut version, Sealed { bytes, key: KEY })?;
        Ok(version)
    })
}

fn change<T: Send + 'static>(
    store: &Store,
    change: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    write(store, at(9), change)
}

#[test]
fn a_secret_and_its_versions_are_read_back_as_they_were_written() {
    let (dir, store) = open();
    let kept = keep(&store, secret("s", 1));
    let regional = Secret {
        name: named("s", Some("us-east1")),
        replication: Replication::Regional,
        ..secret("s", 2)
    };
    let regional = keep(&store, regional);
    let first = add(&store, version(kept.uid, 1), b"sealed one");
    let second = add(&store, version(kept.uid, 2), b"sealed two");
    drop(store);
    let store = Store::open(dir.path()).expect("it opens again");
    let shown = Secret { newest: 2, ..kept.clone() };
    assert_eq!(read(&store, |view| view.secret(&kept.name)), Some(shown));
    assert_eq!(read(&store, |view| view.secret(&regional.name)), Some(regional));
    assert_eq!(read(&store, |view| view.secret_version(kept.uid, 1)), Some(first.clone()));
    let limit = NonZeroU32::new(9).expect("9 is not zero");
    let versions = |before| read(&store, |view| view.secret_versions(kept.uid, before, limit));
    assert_eq!(versions(None), [second, first.clone()]);
    assert_eq!(versions(Some(2)), [first]);
    assert_eq!(
        read(&store, |view| view.sealed_value(kept.uid, 2)).as_deref(),
        Some(&b"sealed two"[..])
    );
    assert_eq!(read(&store, |view| view.secret_key()), Some(KEY));
    assert_eq!(read(&store, |view| view.secret_projects()), ["p"]);
}

#[test]
fn what_is_changed_of_a_secret_has_a_new_revision_and_its_versions_keep_theirs() {
    let (_dir, store) = open();
    let kept = keep(&store, secret("s", 1));
    let first = add(&store, version(kept.uid, 1), b"one");
    let untouched = read(&store, |view| view.secret(&kept.name)).expect("it is there");
    assert_eq!(untouched.revision, kept.revision, "a version is no change of its secret");
    let mut changed = Secret { labels: Labels::new(), aliases: [].into(), ..untouched };
    let changed = change(&store, move |tx| {
        tx.update_secret(&mut changed)?;
        Ok(changed)
    });
    assert!(changed.revision > kept.revision);
    assert_eq!(read(&store, |view| view.secret(&kept.name)), Some(changed));
    assert_eq!(read(&store, |view| view.secret_version(kept.uid, 1)), Some(first));
    let policy = Policy { json: "{}".to_owned(), etag: "e".to_owned() };
    assert_eq!(read(&store, |view| view.secret_policy(kept.uid)), None);
    let set = policy.clone();
    change(&store, move |tx| tx.set_secret_policy(kept.uid, &set));
    assert_eq!(read(&store, |view| view.secret_policy(kept.uid)), Some(policy));
}

#[test]
fn a_destroyed_value_and_a_deleted_one_are_nowhere_in_the_database() {
    const HELD: &[u8] = b"sealed-and-to-be-destroyed-for-ever";
    const DELETED: &[u8] = b"sealed-and-to-be-deleted-for-ever";
    let (dir, store) = open();
    let [kept, other] = [1, 2].map(|number| keep(&store, secret(&format!("s{number}"), number)));
    let mut first = add(&store, version(kept.uid, 1), HELD);
    add(&store, version(other.uid, 1), DELETED);
    assert_eq!(read(&store, |view| view.live_version_count(kept.uid)), 1);
    first.state = VersionState::Destroyed { at: at(9) };
    let first = change(&store, move |tx| {
        tx.set_version_state(&mut first)?;
        Ok(first)
    });
    assert_eq!(read(&store, |view| view.secret_version(kept.uid, 1)), Some(first));
    assert_eq!(read(&store, |view| view.sealed_value(kept.uid, 1)), None);
    assert_eq!(read(&store, |view| view.live_version_count(kept.uid)), 0);
    assert_eq!(read(&store, |view| view.secret_key()), Some(KEY), "one value is left");
    change(&store, move |tx| tx.delete_secret(other.uid));
    assert_eq!(read(&store, |view| view.secret(&other.name)), None);
    assert_eq!(read(&store, |view| view.secret_version(other.uid, 1)), None);
    assert_eq!(read(&store, |view| view.secret_key()), None, "another key may come");
    drop(store);
    for file in fs::read_dir(dir.path()).expect("it reads") {
        let bytes = fs::read(file.expect("it reads").path()).expect("it reads");
        for gone in [HELD, DELETED] {
            assert!(!bytes.windows(gone.len()).any(|window| window == gone));
        }
    }
}

#[test]
fn the_secrets_of_a_location_are_listed_newest_first_by_page() {
    let (_dir, store) = open();
    for number in 1..=5 {
        keep(&store, secret(&format!("s{number}"), number));
    }
    let elsewhere = Secret { name: named("e", Some("us-east1")), ..secret("e", 9) };
    keep(&store, elsewhere);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let limit = NonZeroU32::new(2).expect("2 is not zero");
        let page = read(&store, |view| view.secrets("p", None, after, limit));
        seen.extend(page.items.into_iter().map(|secret| secret.name.secret));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["s5", "s4", "s3", "s2", "s1"]);
    assert_eq!(read(&store, |view| view.secret_count("p", None)), 5);
    assert_eq!(read(&store, |view| view.secret_count("p", Some("us-east1"))), 1);
}

#[test]
fn a_version_out_of_order_is_not_taken() {
    let (_dir, store) = open();
    let kept = keep(&store, secret("s", 1));
    let mut third = version(kept.uid, 3);
    let done: Result<(), groundrun_store::WriteError<String>> = store.write(at(0), move |tx| {
        Ok(tx.insert_secret_version(&mut third, Sealed { bytes: b"x", key: KEY })?)
    });
    assert!(done.is_err());
    assert_eq!(read(&store, |view| view.sealed_value(kept.uid, 3)), None);
}
