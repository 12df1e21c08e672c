//! Each named wrong turn of the core and the engine must be noticed: by a scenario, by a world, or by both.
//!
//! `cargo test --release -p testkit --features mutants --test mutants -- --nocapture` shows by which.

#![cfg(feature = "mutants")]

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use groundrun_core::mutants;
use testkit::{
    scenario,
    sim::{self, Trace},
};

/// Worlds that a mutant may live through before it counts as one that survives them.
const SEEDS: u64 = 5_000;

/// Fewer would be too few to trust the tests by.
const MUTANTS_MIN: usize = 30;

#[test]
fn every_mutant_is_noticed() {
    let scenarios = scenarios();
    assert_eq!(broken_scenario(&scenarios), None, "without a mutant");
    assert_eq!(broken_world(200), None, "without a mutant");

    let names = names();
    assert!(names.len() >= MUTANTS_MIN, "only {} mutants are left", names.len());
    // A mutant that panics is noticed, and need not say so.
    std::panic::set_hook(Box::new(|_| {}));
    let mut survivors = Vec::new();
    for name in names {
        let name: &'static str = name.leak();
        let scenario = mutants::with(name, || broken_scenario(&scenarios));
        let world = mutants::with(name, || broken_world(SEEDS));
        println!("{name:30} {:38} {}", or_none(&scenario), or_none(&world));
        if scenario.is_none() && world.is_none() {
            survivors.push(name);
        }
    }
    let _ = std::panic::take_hook();
    assert!(survivors.is_empty(), "not noticed by anything: {survivors:?}");
}

/// The first scenario that plays otherwise than written.
fn broken_scenario(scenarios: &[(String, String)]) -> Option<String> {
    let plays = |script: &str| {
        let played = catch_unwind(AssertUnwindSafe(|| scenario::play(script)));
        played.is_ok_and(|played| played == script)
    };
    scenarios.iter().find(|(_, script)| !plays(script)).map(|(name, _)| name.clone())
}

/// The first world that is not in order, and why.
fn broken_world(seeds: u64) -> Option<String> {
    (0..seeds).find_map(|seed| {
        match catch_unwind(AssertUnwindSafe(|| sim::run(seed, Trace::Off))) {
            Ok(Ok(_)) => None,
            Ok(Err(fault)) => Some(format!("seed {seed}: {:.70}", fault.what)),
            Err(_) => Some(format!("seed {seed}: panics")),
        }
    })
}

fn or_none(what: &Option<String>) -> &str {
    what.as_deref().unwrap_or("-")
}

fn scenarios() -> Vec<(String, String)> {
    let files = files(&crate_dir("groundrun-core").join("tests/scenarios"), "txt");
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("a scenario can be read"))
    };
    files.into_iter().map(read).collect()
}

/// The mutants that the sources name.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in ["groundrun-core", "groundrun-engine"] {
        for path in files(&crate_dir(source).join("src"), "rs") {
            let text = fs::read_to_string(&path).expect("a source can be read");
            let found = text.split("mutant!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(found.map(str::to_owned));
        }
    }
    names
}

fn crate_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Files of this kind in a directory and below.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory can be read") {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
