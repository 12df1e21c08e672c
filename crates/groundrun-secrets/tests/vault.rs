//! What a task is given: the version that it names, if it may have it; else why not, in Google's words.

use std::sync::Arc;

use groundrun_core::{
    needs::SecretVersion,
    port::{SecretFaultKind, Secrets},
    record::Revision,
    secret::{Replication, Secret, SecretName, SecretUid, Version, VersionState},
};
use groundrun_secrets::{KeyFile, Origin, Place, Project, Sealer, Vault};
use groundrun_store::{Policy, Sealed, Store, StoreError, Tx, WriteError};
use jiff::Timestamp;
use uuid::Uuid;

const ACCOUNT: &str = "a@demo.iam.gserviceaccount.com";

struct World {
    dir: tempfile::TempDir,
    store: Store,
    vault: Vault,
    sealer: Arc<Sealer>,
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path()).expect("it opens");
    let key = KeyFile::new(dir.path().join("secrets.key"), Origin::MadeHere);
    let sealer = Arc::new(Sealer::new(key, Arc::new(|bytes| bytes.fill(7))));
    let projects = Arc::new(|named: &str, _: Vec<String>| {
        let project = Project { id: "demo".to_owned(), number: "42".to_owned() };
        matches!(named, "demo" | "42").then_some(project)
    });
    let vault = Vault::new(store.clone(), Arc::clone(&sealer), projects);
    World { dir, store, vault, sealer }
}

impl World {
    fn write(&self, body: impl FnOnce(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static) {
        let done: Result<(), WriteError<String>> =
            self.store.write(Timestamp::UNIX_EPOCH, |tx| Ok(body(tx)?));
        done.expect("the write holds");
    }

    /// The secret `s` with these values, and the alias `prod` for its first version.
    fn keep(&self, values: &[&str]) -> Vec<Version> {
        let name = SecretName { project: "demo".into(), location: None, secret: "s".into() };
        let mut secret = Secret {
            uid: SecretUid(Uuid::from_u128(1)),
            name: name.clone(),
            labels: [].into(),
            annotations: [].into(),
            aliases: [("prod".to_owned(), 1)].into(),
            replication: Replication::Automatic,
            created: Timestamp::UNIX_EPOCH,
            revision: Revision(0),
            newest: 0,
        };
        let uid = secret.uid;
        self.write(move |tx| tx.insert_secret(&mut secret));
        (1..)
            .zip(values)
            .map(|(number, value)| {
                let key = self.sealer.key_or_new(None).expect("it is made");
                let place = Place { uid, name: &name, version: number };
                let bytes = key.seal(&place, value.as_bytes(), self.sealer.once());
                let version = Version {
                    secret: uid,
                    number,
                    state: VersionState::Enabled,
                    created: Timestamp::UNIX_EPOCH,
                    revision: Revision(0),
                    checksum_given: false,
                };
                let mut kept = version.clone();
                let key = key.fingerprint();
                self.write(move |tx| {
                    tx.insert_secret_version(&mut kept, Sealed { bytes: &bytes, key })
                });
                version
            })
            .collect()
    }

    fn set(&self, version: &Version, state: VersionState) {
        let mut version = Version { state, ..version.clone() };
        self.write(move |tx| tx.set_version_state(&mut version));
    }

    fn access(&self, project: &str, version: &str) -> Result<String, (SecretFaultKind, String)> {
        self.access_as(ACCOUNT, project, version)
    }

    fn access_as(
        &self,
        account: &str,
        project: &str,
        version: &str,
    ) -> Result<String, (SecretFaultKind, String)> {
        let version = SecretVersion {
            project: project.to_owned(),
            secret: "s".to_owned(),
            version: version.to_owned(),
        };
        match self.vault.access(&version, account) {
            Ok(value) => Ok(String::from_utf8_lossy(value.bytes()).into_owned()),
            Err(fault) => Err((fault.kind, fault.message)),
        }
    }
}

fn missing(message: &str) -> Result<String, (SecretFaultKind, String)> {
    Err((SecretFaultKind::Missing, message.to_owned()))
}

#[test]
fn a_version_is_had_by_number_by_alias_and_as_the_latest() {
    let world = world();
    world.keep(&["one", "two"]);
    for (project, version, value) in
        [("demo", "1", "one"), ("42", "2", "two"), ("demo", "latest", "two"), ("42", "prod", "one")]
    {
        assert_eq!(world.access(project, version).as_deref(), Ok(value), "{project} {version}");
    }
}

#[test]
fn what_is_not_there_is_named_in_full() {
    let world = world();
    assert_eq!(
        world.access("demo", "latest"),
        missing("Secret [projects/42/secrets/s] not found or has no versions.")
    );
    world.keep(&[]);
    assert_eq!(
        world.access("demo", "latest"),
        missing("Secret [projects/42/secrets/s] not found or has no versions.")
    );
    for version in ["1", "dev", "no version"] {
        let text = format!("Secret Version [projects/42/secrets/s/versions/{version}] not found.");
        assert_eq!(world.access("demo", version), missing(&text));
    }
    assert_eq!(world.access("else", "1"), missing("Secret [projects/else/secrets/s] not found."));
}

#[test]
fn latest_is_the_newest_version_also_where_that_cannot_be_had() {
    let world = world();
    let versions = world.keep(&["one", "two"]);
    for (state, word) in [
        (VersionState::Disabled, "DISABLED"),
        (VersionState::Destroyed { at: Timestamp::UNIX_EPOCH }, "DESTROYED"),
    ] {
        world.set(&versions[1], state);
        let text = format!("Secret Version [projects/42/secrets/s/versions/2] is in {word} state.");
        assert_eq!(world.access("demo", "latest"), Err((SecretFaultKind::Disabled, text)));
    }
    assert_eq!(world.access("demo", "1").as_deref(), Ok("one"));
}

#[test]
fn a_policy_lets_those_whom_it_names_and_without_one_everybody_may() {
    let world = world();
    let uid = world.keep(&["one"])[0].secret;
    assert!(world.access_as("", "demo", "1").is_ok());
    let set = |member: &str| {
        let json = format!(
            r#"{{"bindings":[{{"role":"roles/secretmanager.secretAccessor","members":["{member}"]}}]}}"#
        );
        world.write(move |tx| tx.set_secret_policy(uid, &Policy { json, etag: "e".to_owned() }));
    };
    set(&format!("serviceAccount:{ACCOUNT}"));
    assert_eq!(world.access("demo", "1").as_deref(), Ok("one"));
    let (kind, text) = world.access_as("", "demo", "latest").expect_err("the default one may not");
    assert_eq!(kind, SecretFaultKind::Denied);
    assert_eq!(
        text,
        "Permission denied on secret: projects/42/secrets/s/versions/latest for Revision service account \
         42-compute@developer.gserviceaccount.com. The service account used must be granted the 'Secret Manager Secret \
         Accessor' role (roles/secretmanager.secretAccessor) at the secret, project or higher level."
    );
    set("serviceAccount:42-compute@developer.gserviceaccount.com");
    assert!(world.access_as("", "demo", "1").is_ok());
    assert!(world.access("demo", "1").is_err());
}

#[test]
fn a_key_that_is_lost_is_told_with_what_to_do_and_one_that_is_back_opens_again() {
    let world = world();
    world.keep(&["correct horse"]);
    let key = world.dir.path().join("secrets.key");
    let moved = world.dir.path().join("elsewhere");
    std::fs::rename(&key, &moved).expect("it is moved");
    let (kind, text) = world.access("demo", "1").expect_err("its key is gone");
    assert_eq!(kind, SecretFaultKind::Unavailable);
    assert!(text.contains("restore it from a copy"), "{text}");
    std::fs::rename(&moved, &key).expect("it is moved back");
    assert!(world.access("demo", "1").is_ok());
}
