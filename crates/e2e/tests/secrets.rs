//! Real gcloud and our own verbs keep secrets; a kill -9 loses none that was acknowledged; nothing holds one in the open.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use e2e::{
    Lab,
    lab::{Options, PROJECT},
};
use serde_json::json;

/// What no file below the data directory may hold.
const CANARY: &str = "correct horse battery staple";

fn file(lab: &Lab, name: &str, holds: &[u8]) -> String {
    let path = lab.dir().join(name);
    fs::write(&path, holds).expect("written");
    path.display().to_string()
}

/// A file below `dir` that holds `wanted` as it is.
fn held_in(dir: &Path, wanted: &str) -> Option<PathBuf> {
    fs::read_dir(dir).expect("it reads").find_map(|entry| {
        let path = entry.expect("it reads").path();
        if path.is_dir() && !path.is_symlink() {
            return held_in(&path, wanted);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes()).then_some(path)
    })
}

#[test]
fn gcloud_keeps_reads_and_destroys_secrets() {
    let mut lab = Lab::start();
    let first = file(&lab, "first", CANARY.as_bytes());
    let said = lab
        .gcloud(&["secrets", "create", "db-pass", "--data-file", &first, "--labels=team=x"])
        .well();
    assert!(said.err.contains("Created version [1] of the secret [db-pass]."), "{}", said.err);
    let again = lab.gcloud(&["secrets", "create", "db-pass"]).badly(1);
    assert!(again.err.contains("already exists"), "{}", again.err);
    // Any bytes: gcloud sends them URL-safe, and checks the sum of what it gets.
    let bytes: Vec<u8> = (0..=255).collect();
    let second = file(&lab, "second", &bytes);
    let said =
        lab.gcloud(&["secrets", "versions", "add", "db-pass", "--data-file", &second]).well();
    assert!(said.err.contains("Created version [2] of the secret [db-pass]."), "{}", said.err);
    let access = |version: &str, more: &[&str]| {
        let words = ["secrets", "versions", "access", version, "--secret=db-pass"];
        lab.gcloud(&[&words[..], more].concat())
    };
    assert_eq!(access("1", &[]).well().out, CANARY);
    let out = lab.dir().join("out").display().to_string();
    access("latest", &["--out-file", &out]).well();
    assert_eq!(fs::read(&out).expect("gcloud wrote it"), bytes);

    let described = lab.gcloud(&["secrets", "describe", "db-pass", "--format=json"]).well().json();
    assert_eq!(described["labels"], json!({"team": "x"}));
    assert_eq!(described["replication"], json!({"automatic": {}}));
    let update = [
        "secrets",
        "update",
        "db-pass",
        "--update-labels=team=y",
        "--update-version-aliases=old=1",
        // There are none, and that is how it stays.
        "--clear-topics",
    ];
    let said = lab.gcloud(&update).well();
    assert!(said.err.contains("Updated secret [db-pass]."), "{}", said.err);
    assert_eq!(access("old", &[]).well().out, CANARY);
    let list = lab.gcloud(&["secrets", "list"]).well();
    assert!(list.out.contains("db-pass") && list.out.contains("automatic"), "{}", list.out);
    for (filter, there) in [("name:db", true), ("labels.team=y", true), ("labels.team=z", false)] {
        let filter = format!("--filter={filter}");
        let list = lab.gcloud(&["secrets", "list", &filter, "--format=value(name)"]).well();
        assert_eq!(list.out.contains("db-pass"), there, "{filter}: {}", list.out);
    }

    let disabled = ["secrets", "versions", "disable", "2", "--secret=db-pass"];
    let said = lab.gcloud(&disabled).well();
    assert!(said.err.contains("Disabled version [2] of the secret [db-pass]."), "{}", said.err);
    let latest = access("latest", &[]).badly(1);
    assert!(latest.err.contains("is in DISABLED state."), "{}", latest.err);
    lab.gcloud(&["secrets", "versions", "enable", "2", "--secret=db-pass"]).well();
    access("latest", &["--out-file", &out]).well();
    let etag = lab
        .gcloud(&[
            "secrets",
            "versions",
            "describe",
            "2",
            "--secret=db-pass",
            "--format=value(etag)",
        ])
        .well();
    let etag = format!("--etag={}", etag.out.trim());
    let destroyed = ["secrets", "versions", "destroy", "2", "--secret=db-pass", &etag];
    let said = lab.gcloud(&destroyed).well();
    assert!(said.err.contains("Destroyed version [2] of the secret [db-pass]."), "{}", said.err);
    let states = lab
        .gcloud(&[
            "secrets",
            "versions",
            "list",
            "db-pass",
            "--format=value(name.basename(),state)",
        ])
        .well();
    let states: Vec<&str> = states.out.split_whitespace().collect();
    // In lists gcloud writes them so.
    assert_eq!(states, ["2", "destroyed", "1", "enabled"]);

    lab.kill();
    lab.launch();
    let access = ["secrets", "versions", "access", "1", "--secret=db-pass"];
    assert_eq!(lab.gcloud(&access).well().out, CANARY, "after kill -9");
    assert_eq!(held_in(&lab.data_dir(), CANARY), None);
    let key = fs::metadata(lab.data_dir().join("secrets.key")).expect("it was made");
    assert_eq!((key.len(), key.permissions().mode() & 0o7777), (32, 0o600));
    let said = lab.gcloud(&["secrets", "delete", "db-pass"]).well();
    assert!(said.err.contains("Deleted secret [db-pass]."), "{}", said.err);
    lab.gcloud(&access).badly(1);
    lab.finish();
}

#[test]
fn gcloud_keeps_regional_secrets_and_policies() {
    let lab = Lab::start();
    let east = file(&lab, "east", b"east");
    let location = "--location=us-east1";
    lab.gcloud(&["secrets", "create", "s", location, "--data-file", &east]).well();
    lab.gcloud(&["secrets", "versions", "add", "s", location, "--data-file", &east]).well();
    let said =
        lab.gcloud(&["secrets", "versions", "access", "latest", "--secret=s", location]).well();
    assert_eq!(said.out, "east");
    let list = lab.gcloud(&["secrets", "list", location, "--format=value(name)"]).well();
    assert_eq!(list.out.trim(), "s", "lists have the last part of names");
    assert_eq!(lab.gcloud(&["secrets", "list", "--format=value(name)"]).well().out.trim(), "");
    let member = "--member=serviceAccount:a@demo.iam.gserviceaccount.com";
    let role = "--role=roles/secretmanager.secretAccessor";
    lab.gcloud(&["secrets", "create", "s", "--data-file", &east]).well();
    lab.gcloud(&["secrets", "add-iam-policy-binding", "s", member, role]).well();
    let policy = lab.gcloud(&["secrets", "get-iam-policy", "s", "--format=json"]).well().json();
    assert_eq!(policy["bindings"][0]["role"], "roles/secretmanager.secretAccessor");
    lab.gcloud(&["secrets", "remove-iam-policy-binding", "s", member, role]).well();
    let policy = json!({"bindings": policy["bindings"]}).to_string();
    let policy = file(&lab, "policy.json", policy.as_bytes());
    lab.gcloud(&["secrets", "set-iam-policy", "s", &policy]).well();
    lab.gcloud(&["secrets", "replication", "update", "s", "--remove-cmek"]).well();
    let region = lab.gcloud(&["secrets", "locations", "describe", "us-east1"]).well();
    assert!(region.out.contains("locationId: us-east1"), "{}", region.out);
    assert!(lab.gcloud(&["beta", "secrets", "list"]).well().out.contains("automatic"));
    lab.gcloud(&["secrets", "add-iam-policy-binding", "s", location, member, role]).well();
    let said = lab.gcloud(&["secrets", "create", "t", "--ttl=600s"]).badly(1);
    assert!(said.err.contains("secret.ttl: not honoured"), "{}", said.err);
    lab.finish();
}

#[test]
fn our_own_verbs_keep_list_and_delete_secrets() {
    let lab = Lab::start();
    let from = file(&lab, "value", CANARY.as_bytes());
    for version in 1..=2 {
        let said = lab.groundrun(&["secrets", "set", "db-pass", "--from-file", &from]).well();
        assert_eq!(said.out, format!("version {version} of secret db-pass added\n"));
    }
    let access = format!("/v1/projects/{PROJECT}/secrets/db-pass/versions/latest:access");
    let held = lab.call("GET", &access, None).json()["payload"]["data"].clone();
    assert_eq!(held, "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==");
    let list = lab.groundrun(&["secrets", "list"]).well();
    assert!(list.out.contains("db-pass") && !list.out.contains(CANARY), "{}", list.out);
    let versions = lab.groundrun(&["secrets", "versions", "db-pass", "--json"]).well().json();
    assert_eq!(versions[0]["state"], "ENABLED");
    assert_eq!(versions.as_array().map(Vec::len), Some(2));
    let table = lab.groundrun(&["secrets", "versions", "db-pass"]).well();
    assert!(table.out.contains("enabled"), "{}", table.out);
    let said = lab.groundrun(&["secrets", "delete", "db-pass"]).well();
    assert_eq!(said.out, "secret db-pass deleted\n");
    let gone = lab.groundrun(&["secrets", "versions", "db-pass"]).badly(1);
    assert!(gone.err.contains("not found.") && gone.err.contains("secrets list"), "{}", gone.err);
    let missing = lab.groundrun(&["secrets", "set", "x", "--from-file", "/nowhere"]).badly(2);
    assert!(missing.err.contains("secret from /nowhere"), "{}", missing.err);
    lab.finish();
}

#[test]
fn a_key_of_the_settings_seals_and_one_that_cannot_be_used_ends_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = dir.path().join("key");
    fs::write(&key, [7; 32]).expect("written");
    let mode =
        |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("it is set");
    mode(0o600);
    let named = key.display().to_string();
    let env = vec![("GROUNDRUN_SECRETS_KEY_FILE".to_owned(), named.clone())];
    let mut lab = Lab::with(Options { env, ..Options::default() });
    let from = file(&lab, "value", CANARY.as_bytes());
    lab.groundrun(&["secrets", "set", "db-pass", "--from-file", &from]).well();
    assert!(!lab.data_dir().join("secrets.key").exists());
    assert_eq!(lab.stop(), Some(0));
    let refused = |why: &str| {
        let mut command = std::process::Command::new(e2e::clients::groundrun());
        command.args(["serve", "--listen", "127.0.0.1:0", "--secrets-key-file", &named]);
        command.arg("--data-dir").arg(lab.data_dir());
        let said = e2e::clients::run(&mut command).badly(2);
        assert!(said.err.contains(why), "{}", said.err);
    };
    mode(0o644);
    refused("is open to others (mode 0644): `chmod 600 ");
    mode(0o600);
    fs::write(&key, [8; 32]).expect("written");
    refused("is not the one that the secrets of this data directory are sealed with");
    fs::write(&key, [7; 31]).expect("written");
    refused("exactly 32 bytes");
    fs::remove_file(&key).expect("it is removed");
    refused("head -c 32 /dev/urandom");
    fs::write(&key, [7; 32]).expect("written");
    mode(0o600);
    lab.launch();
    let list = lab.groundrun(&["secrets", "versions", "db-pass"]).well();
    assert!(list.out.contains("enabled"), "{}", list.out);
    lab.finish();
}
