//! What labels, annotations, aliases and payloads may be: every fault with the path of its field (fact: the discovery
//! document of `secretmanager.googleapis.com/v1`).

use std::collections::BTreeMap;

use crc::{CRC_32_ISCSI, Crc, Table};
use groundrun_api::FieldViolation;

use crate::names::is_alias;

/// Bytes that a version may hold.
pub const PAYLOAD_MAX: usize = 64 << 10;

/// Labels of a secret.
const LABELS_MAX: usize = 64;

/// Characters of a key, and of a label's value.
const CHARACTERS_MAX: usize = 63;

/// Bytes of the same.
const BYTES_MAX: usize = 128;

/// Bytes of all annotations together, less one.
const ANNOTATIONS_MAX: usize = 16 << 10;

/// Aliases of a secret.
const ALIASES_MAX: usize = 50;

/// CRC-32C (Castagnoli), as `dataCrc32c` has it.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    static TABLES: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);
    TABLES.checksum(bytes)
}

/// Adds what is wrong with what a version is to hold, in Google's words where they are known. None of it is shown.
pub fn check_payload(payload: &[u8], checksum: Option<i64>, faults: &mut Vec<FieldViolation>) {
    if payload.is_empty() {
        faults.push(FieldViolation::new("payload.data", "Secret Payload cannot be empty."));
    }
    if payload.len() > PAYLOAD_MAX {
        let text = format!("has {} bytes, and a secret holds at most {PAYLOAD_MAX}", payload.len());
        faults.push(FieldViolation::new("payload.data", text));
    }
    if checksum.is_some_and(|given| given != i64::from(crc32c(payload))) {
        let text = "An incorrect data_crc32c was calculated for the provided payload. This might be a transient issue \
                    that resolves with a retry.";
        faults.push(FieldViolation::new("payload.data_crc32c", text));
    }
}

/// Adds what is wrong with labels at the path `at`.
pub fn check_labels(at: &str, labels: &BTreeMap<String, String>, faults: &mut Vec<FieldViolation>) {
    if labels.len() > LABELS_MAX {
        faults.push(FieldViolation::new(at, format!("at most {LABELS_MAX} labels")));
    }
    let small = |c: char| (c.is_alphabetic() && !c.is_uppercase()) || c.is_lowercase();
    let rest = |c: char| small(c) || c.is_numeric() || "_-".contains(c);
    for (key, value) in labels {
        if !(fits(key) && key.starts_with(small) && key.chars().all(rest)) {
            let text = "the key must have 1 to 63 characters: lowercase letters, digits, '_' and '-', beginning with a \
                        letter";
            faults.push(FieldViolation::new(format!("{at}[{key}]"), text));
        }
        if !(fits(value) && value.chars().all(rest)) {
            let text =
                "the value must have at most 63 characters: lowercase letters, digits, '_' and '-'";
            faults.push(FieldViolation::new(format!("{at}[{key}]"), text));
        }
    }
}

/// Adds what is wrong with annotations at the path `at`.
pub fn check_annotations(
    at: &str,
    annotations: &BTreeMap<String, String>,
    faults: &mut Vec<FieldViolation>,
) {
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size >= ANNOTATIONS_MAX {
        let text = format!("keys and values must be less than {ANNOTATIONS_MAX} bytes together");
        faults.push(FieldViolation::new(at, text));
    }
    for key in annotations.keys() {
        let ends = |c: char| c.is_ascii_alphanumeric();
        let inside = |c: char| ends(c) || "-_.".contains(c);
        let named = key.starts_with(ends) && key.ends_with(ends) && key.chars().all(inside);
        if !(named && fits(key)) {
            let text = "the key must have 1 to 63 characters: letters, digits, '-', '_' and '.', beginning and ending \
                        with a letter or digit";
            faults.push(FieldViolation::new(format!("{at}[{key}]"), text));
        }
    }
}

fn fits(text: &str) -> bool {
    text.len() <= BYTES_MAX && text.chars().count() <= CHARACTERS_MAX
}

/// Adds what is wrong with aliases, at the path `at`, of a secret whose newest version is `newest`.
pub fn check_aliases(
    at: &str,
    aliases: &BTreeMap<String, i64>,
    newest: i64,
    faults: &mut Vec<FieldViolation>,
) {
    if aliases.len() > ALIASES_MAX {
        faults.push(FieldViolation::new(at, format!("at most {ALIASES_MAX} aliases")));
    }
    for (alias, version) in aliases {
        if !is_alias(alias) {
            let text = "an alias has at most 63 letters, digits, '-' and '_', begins with a letter, and is neither \
                        'latest' nor 'NEW'";
            faults.push(FieldViolation::new(format!("{at}[{alias}]"), text));
        }
        if !(1..=newest).contains(version) {
            let text = format!("there is no version {version} that it could stand for");
            faults.push(FieldViolation::new(format!("{at}[{alias}]"), text));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(check: impl FnOnce(&mut Vec<FieldViolation>)) -> Vec<String> {
        let mut faults = Vec::new();
        check(&mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    fn one<T: Clone>(key: &str, value: T) -> BTreeMap<String, T> {
        BTreeMap::from([(key.to_owned(), value)])
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        // The check value of CRC-32/ISCSI in every catalogue.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn a_payload_is_1_to_64_kib_and_has_the_checksum_that_came_with_it() {
        let fault =
            |payload: &[u8], checksum| told(|faults| check_payload(payload, checksum, faults));
        assert!(fault(&[b'x'; PAYLOAD_MAX], None).is_empty());
        assert!(fault(b"123456789", Some(0xe306_9283)).is_empty());
        assert_eq!(fault(b"", None), ["payload.data: Secret Payload cannot be empty."]);
        let large = fault(&[b'x'; PAYLOAD_MAX + 1], Some(0));
        assert_eq!(large[0], "payload.data: has 65537 bytes, and a secret holds at most 65536");
        assert!(large[1].starts_with("payload.data_crc32c: An incorrect data_crc32c"), "{large:?}");
        let wrong = fault(b"123456789", Some(1));
        assert_eq!(wrong.len(), 1);
        assert!(!wrong[0].contains("123456789"));
    }

    #[test]
    fn labels_are_small_letters_in_any_script() {
        let faults = |key: &str, value: &str| {
            told(|faults| check_labels("secret.labels", &one(key, value.to_owned()), faults)).len()
        };
        for (key, value) in [("a", ""), ("ä-1_", "9_x"), ("数", "数1"), (&"a".repeat(63), "b")] {
            assert_eq!(faults(key, value), 0, "{key}");
        }
        for (key, value) in [
            ("", "x"),
            ("A", "x"),
            ("1a", "x"),
            ("a.b", "x"),
            (&"a".repeat(64), "x"),
            ("a", "X"),
            ("a", &"x".repeat(64)),
            ("a", &"数".repeat(43)),
        ] {
            assert_eq!(faults(key, value), 1, "{key:?} {value:?}");
        }
        let many: BTreeMap<String, String> =
            (0..65).map(|n| (format!("a{n}"), String::new())).collect();
        assert_eq!(told(|faults| check_labels("l", &many, faults)), ["l: at most 64 labels"]);
    }

    #[test]
    fn annotations_have_keys_of_a_form_and_a_size_together() {
        let faults = |key: &str, value: String| {
            told(|faults| check_annotations("a", &one(key, value), faults)).len()
        };
        assert_eq!(faults("A.b-c_9", "anything at all".to_owned()), 0);
        for key in ["", "-a", "a-", "a/b", "ä", &"a".repeat(64)] {
            assert_eq!(faults(key, String::new()), 1, "{key}");
        }
        assert_eq!(faults("a", "x".repeat((16 << 10) - 2)), 0);
        assert_eq!(faults("a", "x".repeat((16 << 10) - 1)), 1);
    }

    #[test]
    fn an_alias_stands_for_a_version_that_is_there() {
        let faults = |alias: &str, version| {
            told(|faults| check_aliases("v", &one(alias, version), 3, faults))
        };
        assert!(faults("prod", 3).is_empty());
        assert_eq!(faults("prod", 4), ["v[prod]: there is no version 4 that it could stand for"]);
        assert_eq!(faults("latest", 0).len(), 2);
        let many: BTreeMap<String, i64> = (0..51).map(|n| (format!("a{n}"), 1)).collect();
        assert_eq!(told(|faults| check_aliases("v", &many, 1, faults)), ["v: at most 50 aliases"]);
    }

    proptest! {
        #[test]
        fn no_key_and_no_value_makes_it_panic(key in ".{0,70}", value in ".{0,70}") {
            let labels = one(&key, value);
            told(|faults| check_labels("l", &labels, faults));
            told(|faults| check_annotations("a", &labels, faults));
            told(|faults| check_aliases("v", &one(&key, 1), 1, faults));
        }
    }
}
