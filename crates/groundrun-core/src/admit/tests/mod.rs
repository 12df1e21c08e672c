//! What is accepted and what is not, as tables of documents.

mod composition;
mod containers;
mod defaults;
mod dependencies;
mod fields;
mod instances;
mod metadata;
mod networks;
mod probes;
mod properties;
mod replacements;
mod resources;
mod runs;
mod secrets;
mod table;
mod tasks;
mod volumes;

use serde_json::Value;

use crate::samples::{faults, least, with};

/// The least job with `value` at `pointer` has exactly these faults.
#[track_caller]
fn check(pointer: &str, value: Value, expected: &[&str]) {
    assert_eq!(faults(with(least(), pointer, value.clone())), expected, "{pointer} = {value}");
}

/// The same, where other faults do not matter.
#[track_caller]
fn has(pointer: &str, value: Value, expected: &str) {
    let found = faults(with(least(), pointer, value.clone()));
    assert!(found.iter().any(|fault| fault == expected), "{pointer} = {value}: {found:#?}");
}

/// The least job with `value` at `pointer` has no fault.
#[track_caller]
fn fine(pointer: &str, value: Value) {
    check(pointer, value, &[]);
}
