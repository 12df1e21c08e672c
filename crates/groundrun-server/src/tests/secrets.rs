//! The Secret Manager: what its clients send, and what they get.

use std::{fs, os::unix::fs::PermissionsExt};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture};
use crate::config::PROXY_NAME;

const SECRETS: &str = "/v1/projects/demo/secrets";
const REGIONAL: &str = "/v1/projects/demo/locations/us-east1/secrets";
const NUMBER: &str = "441258804118";

/// What no answer but that of `:access`, no file and no error may show.
const CANARY: &str = "correct horse battery staple";

async fn create(fixture: &Fixture, under: &str, id: &str) -> Value {
    let secret = match under {
        SECRETS => json!({"replication": {"automatic": {}}, "labels": {"team": "x"}}),
        _ => json!({}),
    };
    fixture.post(&format!("{under}?secretId={id}&alt=json"), secret).await.ok()
}

async fn add(fixture: &Fixture, secret: &str, value: &str) -> Value {
    let body = json!({"payload": {"data": STANDARD.encode(value)}});
    fixture.post(&format!("{secret}:addVersion"), body).await.ok()
}

/// The secret `s1` with these values.
async fn with(values: &[&str]) -> (Fixture, String) {
    let fixture = Fixture::new();
    create(&fixture, SECRETS, "s1").await;
    let secret = format!("{SECRETS}/s1");
    for value in values {
        add(&fixture, &secret, value).await;
    }
    (fixture, secret)
}

fn refused(answer: &Answer) -> (u16, String, String) {
    let error = &answer.json()["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), text("status"), text("message"))
}

fn is(code: u16, status: &str, message: &str) -> (u16, String, String) {
    (code, status.to_owned(), message.to_owned())
}

#[tokio::test]
async fn a_secret_is_created_and_read_back_by_the_number_of_its_project() {
    let fixture = Fixture::new();
    let created = create(&fixture, SECRETS, "s1").await;
    let etag = created["etag"].clone();
    assert_eq!(
        created,
        json!({
            "name": format!("projects/{NUMBER}/secrets/s1"), "etag": etag,
            "createTime": "2026-11-24T08:00:00.000000Z", "labels": {"team": "x"},
            "replication": {"automatic": {}},
        })
    );
    assert!(etag.as_str().is_some_and(|etag| etag.starts_with('"') && etag.ends_with('"')));
    assert_eq!(fixture.get(&format!("{SECRETS}/s1?alt=json")).await.ok(), created);
    let by_number = format!("/v1/projects/{NUMBER}/secrets/s1");
    assert_eq!(fixture.get(&by_number).await.ok(), created);
    let managed = json!({"replication": {"userManaged": {"replicas": [{"location": "us-east1"}]}}});
    let created = fixture.post(&format!("{SECRETS}?secretId=s2"), &managed).await.ok();
    assert_eq!(created["replication"], managed["replication"]);
}

#[tokio::test]
async fn a_regional_secret_is_another_than_the_global_one_of_its_name() {
    let fixture = Fixture::new();
    let global = create(&fixture, SECRETS, "s1").await;
    let regional = create(&fixture, REGIONAL, "s1").await;
    assert_eq!(regional["name"], format!("projects/{NUMBER}/locations/us-east1/secrets/s1"));
    assert!(regional.get("replication").is_none(), "{regional}");
    let added = add(&fixture, &format!("{REGIONAL}/s1"), "east").await;
    assert_eq!(
        added["name"],
        format!("projects/{NUMBER}/locations/us-east1/secrets/s1/versions/1")
    );
    assert!(added.get("replicationStatus").is_none(), "{added}");
    let access = fixture.get(&format!("{REGIONAL}/s1/versions/latest:access")).await.ok();
    assert_eq!(access["payload"]["data"], STANDARD.encode("east"));
    let list = |path: &'static str| async { fixture.get(path).await.ok()["secrets"].clone() };
    assert_eq!(list(SECRETS).await, json!([global]));
    assert_eq!(list(REGIONAL).await, json!([regional]));
    assert_eq!(list("/v1/projects/demo/locations/us-west1/secrets").await, Value::Null);
    let versions = fixture.get(&format!("{REGIONAL}/s1/versions")).await.ok();
    assert_eq!(versions["versions"], json!([added]));
    let nowhere = fixture.get("/v1/projects/demo/locations/nowhere/secrets").await;
    assert_eq!(nowhere.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_fault_of_a_secret_is_told_at_once() {
    let fixture = Fixture::new();
    let secret = json!({
        "labels": {"Team": "x"}, "annotations": {"-a": "b"}, "versionAliases": {"prod": "1"},
        "replication": {"userManaged": {"replicas": [{}]}},
    });
    let answer = fixture.post(&format!("{SECRETS}?secretId=a.b"), secret).await;
    insta::assert_snapshot!(answer.message(), @r"
    secretId: The provided Secret ID [a.b] does not match the expected format [[a-zA-Z_0-9-]{1,255}]
    secret.replication.user_managed.replicas: there must be at least one, and each names its location
    secret.labels[Team]: the key must have 1 to 63 characters: lowercase letters, digits, '_' and '-', beginning with a letter
    secret.annotations[-a]: the key must have 1 to 63 characters: letters, digits, '-', '_' and '.', beginning and ending with a letter or digit
    secret.version_aliases[prod]: there is no version 1 that it could stand for
    ");
    let answer = fixture.post(&format!("{SECRETS}?secretId=a"), "{}").await;
    assert_eq!(answer.message(), "secret.replication: Secret.replication must be specified.");
    let regional = json!({"replication": {"automatic": {}}});
    let answer = fixture.post(&format!("{REGIONAL}?secretId=a"), regional).await;
    assert_eq!(
        answer.message(),
        "secret.replication: Secret.replication should not be provided: a regional secret is kept in its location"
    );
}

#[tokio::test]
async fn what_is_not_honoured_of_a_secret_is_refused_by_name() {
    let fixture = Fixture::new();
    let key = json!({"kmsKeyName": "projects/p/locations/global/keyRings/r/cryptoKeys/k"});
    let secret = json!({
        "topics": [{"name": "projects/p/topics/t"}], "expireTime": "2030-01-01T00:00:00Z", "ttl": "600s",
        "rotation": {"rotationPeriod": "3600s"}, "versionDestroyTtl": "86400s", "tags": {"1/a": "b"},
        "customerManagedEncryption": key, "replication": {"automatic": {"customerManagedEncryption": key}},
    });
    let answer = fixture.post(&format!("{SECRETS}?secretId=a"), secret).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    insta::assert_snapshot!(answer.message(), @r"
    secret.topics: not honoured: no Pub/Sub topic is told of changes here
    secret.expire_time: not honoured: secrets do not expire here: delete it when its time has come
    secret.ttl: not honoured: secrets do not expire here: delete it when its time has come
    secret.rotation: not honoured: nobody is told to rotate a secret here
    secret.version_destroy_ttl: not honoured: a version is destroyed at once here
    secret.customer_managed_encryption: not honoured: values are sealed with this server's own key alone
    secret.tags: not honoured: there are no tags of the Resource Manager here
    secret.replication.automatic.customer_managed_encryption: not honoured: values are sealed with this server's own key alone
    ");
    let empty = json!({"topics": [], "rotation": {}, "tags": {}, "replication": {"automatic": {}}});
    fixture.post(&format!("{SECRETS}?secretId=a"), empty).await.ok();
    let patch = format!("{SECRETS}/a?updateMask=name,none");
    insta::assert_snapshot!(fixture.patch(&patch, "{}").await.message(), @r"
    secret.name: cannot be changed once the secret is there
    secret.none: is not a field of a secret
    ");
    let patch = format!("{SECRETS}/a?updateMask=ttl,rotation.next_rotation_time,topics");
    let given = json!({"ttl": "9s", "rotation": {"nextRotationTime": "2030-01-01T00:00:00Z"}, "tags": {"1/a": "b"}});
    insta::assert_snapshot!(fixture.patch(&patch, given).await.message(), @r"
    secret.ttl: not honoured: secrets do not expire here: delete it when its time has come
    secret.rotation: not honoured: nobody is told to rotate a secret here
    ");
    // As gcloud asks for their removal.
    fixture.patch(&patch, "{}").await.ok();
}

#[tokio::test]
async fn a_name_is_taken_once_and_what_is_not_there_is_404() {
    let (fixture, secret) = with(&[]).await;
    let again = json!({"replication": {"automatic": {}}});
    let again = fixture.post(&format!("{SECRETS}?secretId=s1"), again).await;
    let name = format!("projects/{NUMBER}/secrets/s1");
    let text = format!("Secret [{name}] already exists.");
    assert_eq!(refused(&again), is(409, "ALREADY_EXISTS", &text));
    let none = fixture.get(&format!("{SECRETS}/none")).await;
    let text = format!("Secret [projects/{NUMBER}/secrets/none] not found.");
    assert_eq!(refused(&none), is(404, "NOT_FOUND", &text));
    let latest = fixture.get(&format!("{secret}/versions/latest:access")).await;
    let text = format!("Secret [{name}] not found or has no versions.");
    assert_eq!(refused(&latest), is(404, "NOT_FOUND", &text));
    let first = fixture.get(&format!("{secret}/versions/1")).await;
    let text = format!("Secret Version [{name}/versions/1] not found.");
    assert_eq!(refused(&first), is(404, "NOT_FOUND", &text));
    let bad = fixture.get(&format!("{secret}/versions/a.b:access")).await;
    let text = format!("Resource ID [{name}/versions/a.b] is not in a valid format.");
    assert_eq!(refused(&bad), is(400, "INVALID_ARGUMENT", &text));
    let bad = fixture.get(&format!("{SECRETS}/a.b")).await;
    let text = format!("Resource ID [projects/{NUMBER}/secrets/a.b] is not in a valid format.");
    assert_eq!(refused(&bad), is(400, "INVALID_ARGUMENT", &text));
    for path in [format!("{secret}:fly"), format!("{secret}/versions/1:fly")] {
        assert_eq!(fixture.get(&path).await.status, StatusCode::NOT_FOUND);
        assert_eq!(fixture.post(&path, "{}").await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn the_beta_versions_of_the_api_are_v1_under_other_names() {
    let (fixture, secret) = with(&["one"]).await;
    for version in ["v1beta2", "v1beta1"] {
        let path = secret.replace("/v1/", &format!("/{version}/"));
        let access = fixture.get(&format!("{path}/versions/latest:access?alt=json")).await.ok();
        assert_eq!(access["payload"]["data"], STANDARD.encode("one"));
        add(&fixture, &path, "one").await;
        let list = format!("/{version}/projects/demo/secrets?pageSize=1&filter=name:s1");
        assert_eq!(fixture.get(&list).await.ok()["secrets"][0]["labels"], json!({"team": "x"}));
        let east = REGIONAL.replace("/v1/", &format!("/{version}/"));
        create(&fixture, &east, version).await;
    }
    assert_eq!(fixture.get(REGIONAL).await.ok()["totalSize"], 2);
    for path in ["/v1beta2/entries:list", "/v1beta3/projects/demo/secrets", "/v1beta2"] {
        assert_eq!(fixture.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn where_a_secret_is_kept_may_be_said_again_and_not_changed() {
    let fixture = Fixture::new();
    let places = |places: &[&str]| {
        let replicas: Vec<Value> = places.iter().map(|at| json!({"location": at})).collect();
        json!({"replication": {"userManaged": {"replicas": replicas}}})
    };
    let created = places(&["us-east1", "us-west1"]);
    fixture.post(&format!("{SECRETS}?secretId=m"), created).await.ok();
    create(&fixture, SECRETS, "a").await;
    create(&fixture, REGIONAL, "r").await;
    let patch = async |secret: &str, body: &Value| {
        fixture.patch(&format!("{secret}?updateMask=replication"), body).await
    };
    let (managed, automatic) = (format!("{SECRETS}/m"), format!("{SECRETS}/a"));
    patch(&managed, &places(&["us-west1", "us-east1"])).await.ok();
    patch(&automatic, &json!({"replication": {"automatic": {}}})).await.ok();
    let unchanged = "secret.replication: cannot be changed once the secret is there";
    for (secret, body) in [
        (&managed, places(&["us-east1"])),
        (&managed, json!({"replication": {"automatic": {}}})),
        (&automatic, places(&["us-east1"])),
    ] {
        assert_eq!(patch(secret, &body).await.message(), unchanged, "{body}");
    }
    let none = patch(&automatic, &json!({})).await;
    assert_eq!(none.message(), "secret.replication: Secret.replication must be specified.");
    let regional = json!({"replication": {"automatic": {}}});
    let regional = patch(&format!("{REGIONAL}/r"), &regional).await;
    assert!(regional.message().contains("should not be provided"), "{regional}");
    let key =
        json!({"replication": {"automatic": {"customerManagedEncryption": {"kmsKeyName": "k"}}}});
    let keyed = patch(&automatic, &key).await;
    assert!(keyed.message().contains("this server's own key alone"), "{keyed}");
    let maskless = fixture.patch(&automatic, &json!({"labels": {"a": "b"}})).await;
    assert!(maskless.message().contains("Field [update_mask] is required"), "{maskless}");
}

#[tokio::test]
async fn what_was_added_is_accessed_by_number_by_alias_and_as_the_latest() {
    let (fixture, secret) = with(&[]).await;
    // As gcloud sends it: URL-safe, with its checksum.
    let body = json!({"payload": {"data": "_-8_", "dataCrc32c": "2943116053"}});
    let wrong = fixture.post(&format!("{secret}:addVersion"), &body).await;
    assert!(
        wrong.message().starts_with("payload.data_crc32c: An incorrect data_crc32c"),
        "{wrong}"
    );
    let sum = groundrun_secrets::rules::crc32c(&[0xff, 0xef, 0x3f]);
    let body = json!({"parent": "any", "payload": {"data": "_-8_", "dataCrc32c": sum.to_string()}});
    let added = fixture.post(&format!("{secret}:addVersion"), body).await.ok();
    let name = format!("projects/{NUMBER}/secrets/s1/versions");
    assert_eq!(
        added,
        json!({
            "name": format!("{name}/1"), "createTime": "2026-11-24T08:00:00.000000Z",
            "state": "ENABLED", "replicationStatus": {"automatic": {}}, "etag": added["etag"],
            "clientSpecifiedPayloadChecksum": true,
        })
    );
    let second = add(&fixture, &secret, CANARY).await;
    assert!(second.get("clientSpecifiedPayloadChecksum").is_none(), "{second}");
    let aliases = json!({"versionAliases": {"old": "1", "new": 2}});
    let patched =
        fixture.patch(&format!("{secret}?updateMask=version_aliases"), aliases).await.ok();
    assert_eq!(patched["versionAliases"], json!({"old": "1", "new": "2"}));
    for (version, number, data) in [
        ("1", 1, "/+8/".to_owned()),
        ("old", 1, "/+8/".to_owned()),
        ("2", 2, STANDARD.encode(CANARY)),
        ("new", 2, STANDARD.encode(CANARY)),
        ("latest", 2, STANDARD.encode(CANARY)),
    ] {
        let answer =
            fixture.get(&format!("{secret}/versions/{version}:access?alt=json")).await.ok();
        assert_eq!(answer["name"], format!("{name}/{number}"), "{version}");
        assert_eq!(answer["payload"]["data"], data, "{version}");
        let shown = fixture.get(&format!("{secret}/versions/{version}")).await.ok();
        assert_eq!(shown["name"], format!("{name}/{number}"), "{version}");
        assert!(shown.get("payload").is_none());
    }
    let first = fixture.get(&format!("{secret}/versions/1:access")).await.ok();
    assert_eq!(first["payload"]["dataCrc32c"], sum.to_string());
}

#[tokio::test]
async fn a_payload_that_cannot_be_kept_is_refused_and_not_shown() {
    let (fixture, secret) = with(&[]).await;
    let large = STANDARD.encode([b'x'; (64 << 10) + 1]);
    let in_place_of_an_object = json!({"payload": CANARY});
    let not_text = json!({"payload": {"data": {"x": CANARY}}});
    let unknown = json!({"payload": {"data": STANDARD.encode(CANARY), "typo": 1}});
    for (body, why) in [
        (json!({}), "payload.data: Secret Payload cannot be empty."),
        (json!({"payload": {"data": ""}}), "payload.data: Secret Payload cannot be empty."),
        (json!({"payload": {"data": large}}), "payload.data: has 65537 bytes"),
        (json!({"payload": {"data": CANARY}}), "Invalid value at 'payload.data' (TYPE_BYTES)"),
        (in_place_of_an_object, "Invalid value at 'payload'"),
        (not_text, "Invalid value at 'payload.data' (TYPE_BYTES)"),
        (unknown, "Unknown name \"typo\" at 'payload'"),
        (json!([CANARY]), "An object is expected"),
    ] {
        let answer = fixture.post(&format!("{secret}:addVersion"), body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer}");
        let said = answer.to_string();
        assert!(answer.message().contains(why), "{said}");
        assert!(!said.contains("horse") && !said.contains(&STANDARD.encode(CANARY)), "{said}");
    }
    let huge = format!("{{\"payload\":{{\"data\":\"{}\"}}}}", "A".repeat(2 << 20));
    let answer = fixture.post(&format!("{secret}:addVersion"), huge).await;
    assert!(answer.message().contains("a secret holds at most 65536"), "{}", answer.message());
    let none = json!({"payload": {"data": STANDARD.encode(CANARY)}});
    let answer = fixture.post(&format!("{SECRETS}/none:addVersion"), none).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!fixture.dir.path().join("secrets.key").exists(), "no value, no key");
}

#[tokio::test]
async fn a_version_is_disabled_enabled_and_destroyed() {
    let (fixture, secret) = with(&["one", CANARY]).await;
    let second = format!("{secret}/versions/2");
    let shown = format!("projects/{NUMBER}/secrets/s1/versions/2");
    let before = fixture.get(&second).await.ok();
    let disabled = fixture.post(&format!("{second}:disable"), "{}").await.ok();
    assert_eq!(disabled["state"], "DISABLED");
    assert_ne!(disabled["etag"], before["etag"]);
    let latest = fixture.get(&format!("{secret}/versions/latest:access")).await;
    let text = format!("Secret Version [{shown}] is in DISABLED state.");
    assert_eq!(refused(&latest), is(400, "FAILED_PRECONDITION", &text));
    let enabled = fixture.post(&format!("{second}:enable"), "").await.ok();
    assert_eq!(enabled["state"], "ENABLED");
    fixture.get(&format!("{second}:access")).await.ok();
    let destroyed = fixture.at(60).post(&format!("{second}:destroy"), "{}").await.ok();
    assert_eq!(destroyed["state"], "DESTROYED");
    assert_eq!(destroyed["destroyTime"], "2026-11-24T08:01:00.000000Z");
    let text = format!("Secret Version [{shown}] is in DESTROYED state.");
    for verb in ["enable", "disable", "destroy"] {
        let answer = fixture.post(&format!("{second}:{verb}"), "{}").await;
        assert_eq!(refused(&answer), is(400, "FAILED_PRECONDITION", &text));
        let by_name = fixture.post(&format!("{secret}/versions/latest:{verb}"), "{}").await;
        assert!(by_name.message().contains("is not in a valid format"), "{by_name}");
    }
    let access = fixture.get(&format!("{second}:access")).await;
    assert_eq!(refused(&access), is(400, "FAILED_PRECONDITION", &text));
    assert_eq!(fixture.get(&second).await.ok(), destroyed);
    assert_eq!(add(&fixture, &secret, "three").await["name"], shown.replace("/2", "/3"));
}

#[tokio::test]
async fn a_change_of_what_is_no_longer_as_it_was_known_is_refused() {
    let (fixture, secret) = with(&["one"]).await;
    let etag = fixture.get(&secret).await.ok()["etag"].clone();
    let labels = |etag: &Value, label: &str| json!({"etag": etag, "labels": {"team": label}});
    let mask = format!("{secret}?updateMask=labels");
    let changed = fixture.patch(&mask, labels(&etag, "y")).await.ok();
    assert_eq!(changed["labels"], json!({"team": "y"}));
    let stale = fixture.patch(&mask, labels(&etag, "z")).await;
    assert_eq!(stale.json()["error"]["status"], "FAILED_PRECONDITION");
    assert!(stale.message().contains("does not match the current etag"), "{stale}");
    let plain = etag.as_str().expect("a text").trim_matches('"');
    let stale = fixture.delete(&format!("{secret}?etag={plain}")).await;
    assert_eq!(stale.status, StatusCode::BAD_REQUEST, "{stale}");
    let version = fixture.get(&format!("{secret}/versions/1")).await.ok();
    let body = json!({"etag": version["etag"]});
    fixture.post(&format!("{secret}/versions/1:disable"), &body).await.ok();
    let stale = fixture.post(&format!("{secret}/versions/1:destroy"), &body).await;
    assert_eq!(stale.status, StatusCode::BAD_REQUEST, "{stale}");
    let now = changed["etag"].as_str().expect("a text").replace('"', "%22");
    fixture.delete(&format!("{secret}?etag={now}")).await.ok();
}

#[tokio::test]
async fn a_patch_replaces_what_its_mask_names_and_nothing_else() {
    let (fixture, secret) = with(&["one"]).await;
    let body =
        json!({"labels": {"a": "b"}, "annotations": {"note": "n"}, "topics": [{"name": "t"}]});
    let patched = fixture.patch(&format!("{secret}?updateMask=annotations"), &body).await.ok();
    assert_eq!(
        (&patched["labels"], &patched["annotations"]),
        (&json!({"team": "x"}), &body["annotations"])
    );
    let both = format!("{secret}?updateMask=labels,annotations,versionAliases");
    let patched = fixture.patch(&both, json!({"versionAliases": {"prod": 1}})).await.ok();
    assert!(patched.get("labels").is_none() && patched.get("annotations").is_none(), "{patched}");
    assert_eq!(patched["versionAliases"], json!({"prod": "1"}));
    let wrong = fixture.patch(&both, json!({"versionAliases": {"latest": 1, "dev": 9}})).await;
    let text = wrong.message();
    assert!(text.contains("secret.version_aliases[dev]: there is no version 9"), "{text}");
    assert!(text.contains("secret.version_aliases[latest]"), "{text}");
    let none = fixture.patch(&format!("{secret}?updateMask=etag"), "{}").await;
    assert!(none.message().starts_with("updateMask: names no field"), "{none}");
}

#[tokio::test]
async fn a_deleted_secret_is_gone_with_its_versions_and_its_name_is_free() {
    let (fixture, secret) = with(&["one", "two"]).await;
    assert_eq!(fixture.delete(&secret).await.ok(), json!({}));
    for path in
        [secret.clone(), format!("{secret}/versions"), format!("{secret}/versions/1:access")]
    {
        assert_eq!(fixture.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(fixture.delete(&secret).await.status, StatusCode::NOT_FOUND);
    create(&fixture, SECRETS, "s1").await;
    let again = add(&fixture, &secret, "three").await;
    assert_eq!(again["name"], format!("projects/{NUMBER}/secrets/s1/versions/1"));
}

#[tokio::test]
async fn lists_are_newest_first_by_page_and_by_filter() {
    let fixture = Fixture::new();
    for (second, name) in (1..).zip(["db-a", "db-b", "web"]) {
        create(fixture.at(second), SECRETS, name).await;
    }
    let names = |list: &Value, kind: &str| -> Vec<String> {
        let rows = list[kind].as_array().into_iter().flatten();
        let name = |row: &Value| {
            row["name"].as_str().unwrap_or_default().rsplit('/').next().map(str::to_owned)
        };
        rows.filter_map(name).collect()
    };
    let all = fixture.get(&format!("{SECRETS}?pageSize=2")).await.ok();
    assert_eq!(names(&all, "secrets"), ["web", "db-b"]);
    assert_eq!(all["totalSize"], 3);
    let token = all["nextPageToken"].as_str().expect("there is more");
    let rest = fixture.get(&format!("{SECRETS}?pageSize=2&pageToken={token}")).await.ok();
    assert_eq!(names(&rest, "secrets"), ["db-a"]);
    assert!(rest.get("nextPageToken").is_none(), "{rest}");
    let some = fixture.get(&format!("{SECRETS}?pageSize=1&filter=name:db")).await.ok();
    assert_eq!(names(&some, "secrets"), ["db-b"]);
    assert!(some.get("totalSize").is_none(), "{some}");
    let token = some["nextPageToken"].as_str().expect("there is more");
    let rest = fixture.get(&format!("{SECRETS}?filter=name:db&pageToken={token}")).await.ok();
    assert_eq!(names(&rest, "secrets"), ["db-a"]);
    let secret = format!("{SECRETS}/web");
    for value in ["one", "two", "three"] {
        add(&fixture, &secret, value).await;
    }
    fixture.post(&format!("{secret}/versions/2:disable"), "{}").await.ok();
    let all = fixture.get(&format!("{secret}/versions?pageSize=2")).await.ok();
    assert_eq!(names(&all, "versions"), ["3", "2"]);
    assert_eq!((&all["totalSize"], &all["nextPageToken"]), (&json!(3), &json!("2")));
    let rest = fixture.get(&format!("{secret}/versions?pageToken=2")).await.ok();
    assert_eq!(names(&rest, "versions"), ["1"]);
    let some =
        fixture.get(&format!("{secret}/versions?filter=state:ENABLED&pageSize=0")).await.ok();
    assert_eq!(names(&some, "versions"), ["3", "1"]);
    for query in ["pageToken=x", "pageSize=-1", "filter=(a)", "limit=1"] {
        for path in [SECRETS, &format!("{secret}/versions")] {
            let answer = fixture.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_policy_of_a_secret_is_kept_and_one_with_a_condition_is_refused() {
    let (fixture, secret) = with(&["one"]).await;
    let get = format!("{secret}:getIamPolicy?options.requestedPolicyVersion=3");
    assert_eq!(fixture.get(&get).await.ok(), json!({"etag": "ACAB"}));
    let member = "serviceAccount:a@demo.iam.gserviceaccount.com";
    let binding = json!({"role": "roles/secretmanager.secretAccessor", "members": [member]});
    let policy = json!({"bindings": [binding], "etag": "ACAB", "version": 3});
    let set = fixture.post(&format!("{secret}:setIamPolicy"), json!({"policy": policy})).await.ok();
    assert_eq!(set["bindings"], json!([binding]));
    assert_eq!(fixture.get(&get).await.ok(), set);
    let stale = fixture.post(&format!("{secret}:setIamPolicy"), json!({"policy": policy})).await;
    assert_eq!(stale.json()["error"]["status"], "ABORTED");
    let mut conditional = json!({"bindings": [binding], "version": 3});
    conditional["bindings"][0]["condition"] = json!({"expression": "true"});
    let answer =
        fixture.post(&format!("{secret}:setIamPolicy"), json!({"policy": conditional})).await;
    assert_eq!(
        answer.message(),
        "policy.bindings[0].condition: not honoured: conditions are not looked at here"
    );
    let asked = json!({"permissions": ["secretmanager.versions.access"]});
    assert_eq!(fixture.post(&format!("{secret}:testIamPermissions"), &asked).await.ok(), asked);
    let none = fixture.post(&format!("{SECRETS}/none:testIamPermissions"), &asked).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    // A change of the policy is none of the secret.
    let etag = fixture.get(&secret).await.ok()["etag"].clone();
    fixture.post(&format!("{secret}:setIamPolicy"), json!({"policy": {}})).await.ok();
    assert_eq!(fixture.get(&secret).await.ok()["etag"], etag);
}

#[tokio::test]
async fn what_secrets_hold_is_in_no_file_and_the_key_is_its_owners_alone() {
    let (fixture, _) = with(&[CANARY]).await;
    let dir = fixture.dir.path();
    let key = fs::metadata(dir.join("secrets.key")).expect("it is made at the first value");
    assert_eq!((key.len(), key.permissions().mode() & 0o7777), (32, 0o600));
    let encoded = STANDARD.encode(CANARY);
    for file in fs::read_dir(dir).expect("it reads") {
        let path = file.expect("it reads").path();
        let bytes = fs::read(&path).expect("it reads");
        for shown in [CANARY, &encoded] {
            let found = bytes.windows(shown.len()).any(|window| window == shown.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_key_that_is_lost_is_told_to_the_client_and_deleting_makes_room_for_a_new_one() {
    let (fixture, secret) = with(&["one"]).await;
    fs::remove_file(fixture.dir.path().join("secrets.key")).expect("it is there");
    let body = json!({"payload": {"data": STANDARD.encode("two")}});
    for answer in [
        fixture.get(&format!("{secret}/versions/1:access")).await,
        fixture.post(&format!("{secret}:addVersion"), body).await,
    ] {
        let (code, status, text) = refused(&answer);
        assert_eq!((code, status.as_str()), (400, "FAILED_PRECONDITION"));
        assert!(text.contains("secrets.key is gone") && text.contains("restore it"), "{text}");
    }
    fixture.delete(&secret).await.ok();
    create(&fixture, SECRETS, "s1").await;
    add(&fixture, &secret, "two").await;
    fixture.get(&format!("{secret}/versions/1:access")).await.ok();
}

#[tokio::test]
async fn a_client_that_has_the_server_as_its_proxy_reaches_secrets() {
    let (fixture, _) = with(&["one"]).await;
    let request = Request::builder()
        .uri(format!("http://{PROXY_NAME}{SECRETS}/s1/versions/latest:access?alt=json"))
        .header(header::HOST, PROXY_NAME)
        .body(Body::empty())
        .expect("a good request");
    let answer = fixture.send(request).await.ok();
    assert_eq!(answer["payload"]["data"], STANDARD.encode("one"));
}
