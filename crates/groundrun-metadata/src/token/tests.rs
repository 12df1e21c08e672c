//! Keys on disk, tokens over time, and tokens that others made.

use std::{fs, os::unix::fs::PermissionsExt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Mint, TokenFault};
use crate::fixture::{self, ISSUER};

const DAY: i64 = 24 * 3600;

fn scopes() -> Vec<String> {
    vec!["s".to_owned()]
}

fn access(mint: &Mint) -> String {
    mint.access(&fixture::asker(), &scopes()).expect("a token").text
}

fn kid(token: &str) -> String {
    let header = token.trim_start_matches("grt1.").split('.').next().expect("a header");
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64")).expect("JSON");
    header["kid"].as_str().expect("a key's id").to_owned()
}

fn published(mint: &Mint) -> Vec<String> {
    let set = mint.jwks().expect("keys");
    let keys = set["keys"].as_array().expect("a list");
    keys.iter().map(|key| key["kid"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn keys_are_the_owners_alone_and_outlive_the_server() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (world, _) = fixture::world();
    let token = access(&fixture::mint(dir.path(), &world));
    let keys = dir.path().join("keys");
    let mode = |path: &std::path::Path| {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&keys), 0o700);
    let files: Vec<_> = fs::read_dir(&keys).expect("keys").flatten().map(|e| e.path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(mode(&files[0]), 0o600);
    let next = fixture::mint(dir.path(), &world);
    assert_eq!(next.verify(&token).expect("the same key").attempt, fixture::id());
    assert_eq!(published(&next), [kid(&token)]);
}

#[test]
fn a_token_ends() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (world, clock) = fixture::world();
    let mint = fixture::mint(dir.path(), &world);
    let token = access(&mint);
    clock.forward(3599);
    assert!(mint.verify(&token).is_ok());
    clock.forward(1);
    assert!(matches!(mint.verify(&token), Err(TokenFault::Expired(_))));
}

#[test]
fn a_token_that_was_changed_or_is_anothers_is_not_believed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (world, _) = fixture::world();
    let mint = fixture::mint(dir.path(), &world);
    let token = access(&mint);
    let foreign = |text: &str| {
        assert!(matches!(mint.verify(text), Err(TokenFault::Foreign)), "{text}");
    };
    for text in
        ["", "grt1.", "grt1.a.b.c", "ya29.x", &token["grt1.".len()..], &token[..token.len() - 8]]
    {
        foreign(text);
    }
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let (header, body) = signed.rsplit_once('.').expect("three parts");
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(body).expect("base64")).expect("text");
    let more = URL_SAFE_NO_PAD.encode(claims.replace("demo", "prod"));
    foreign(&format!("{header}.{more}.{signature}"));
    let unsigned = json!({"alg": "none", "typ": "at+jwt", "kid": kid(&token)}).to_string();
    foreign(&format!("grt1.{}.{body}.", URL_SAFE_NO_PAD.encode(unsigned)));
    // Of another server, with the same claims.
    let other = tempfile::tempdir().expect("a temporary directory");
    (world.random)(&mut [0; 7]);
    foreign(&access(&fixture::mint(other.path(), &world)));
}

#[test]
fn a_new_key_is_published_before_it_signs_and_the_old_one_until_its_tokens_end() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (world, clock) = fixture::world();
    let mint = fixture::mint(dir.path(), &world);
    let first = kid(&access(&mint));
    clock.forward(30 * DAY);
    let last = access(&mint);
    assert_eq!(kid(&last), first);
    let both = published(&mint);
    assert!(both.len() == 2 && both[0] == first, "{both:?}");
    clock.forward(601);
    assert_eq!(kid(&access(&mint)), both[1]);
    assert!(mint.verify(&last).is_ok(), "what the old key signed is believed");
    clock.forward(2 * 3600);
    assert_eq!(published(&mint), [both[1].clone()]);
    assert_eq!(fs::read_dir(dir.path().join("keys")).expect("keys").count(), 1);
}

#[test]
fn a_file_that_is_no_key_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let keys = dir.path().join("keys");
    fs::create_dir(&keys).expect("a directory");
    fs::write(keys.join("5.pk8"), "x").expect("written");
    let (world, _) = fixture::world();
    let fault = fixture::mint(dir.path(), &world).jwks().expect_err("no key").to_string();
    assert!(fault.contains("5.pk8 is not a signing key") && fault.contains("remove it"), "{fault}");
}

#[test]
fn discovery_leads_to_the_keys() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (world, _) = fixture::world();
    let mint = Mint::new(dir.path().join("keys"), world);
    assert!(matches!(mint.discovery(), Err(TokenFault::Starting)));
    mint.issue_as(ISSUER);
    let document = mint.discovery().expect("a document");
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(document["jwks_uri"], format!("{ISSUER}/oauth2/v3/certs"));
    let pem = mint.pem().expect("keys");
    let [kid] = &published(&mint)[..] else { panic!("one key") };
    assert!(pem[kid].as_str().expect("PEM").starts_with("-----BEGIN PUBLIC KEY-----\n"));
}
