//! The gate, step by step; the first step that fails ends it.

use std::path::Path;

use crate::{canary::Canary, compat, leftovers::Scene, needs, sh, tidy, vm};

/// Fresh seeds of the simulation in one run of the gate: a minute on two processors.
const SEEDS: &str = "20000";

/// Where they begin: another place each second; printed with the command, so that a failure can be played again.
fn seed() -> String {
    let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    (since_1970.as_secs() * 100_000).to_string()
}

pub(crate) fn main() -> Result<(), String> {
    needs::main()?;
    sh::run(&["cargo", "fmt", "--all", "--check"])?;
    tidy::main()?;
    compat::check()?;
    compat::hold_against_discovery()?;
    // One profile for everything: what is built here is what the tests and the program use.
    sh::run(&["cargo", "build", "--release", "--workspace"])?;
    sh::run(&[
        "cargo",
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])?;
    let scene = Scene::before()?;
    let canary = Canary::hatch();
    canary.run_with(
        &["cargo", "test", "--release", "--workspace", "--no-fail-fast"],
        &[("TMPDIR", &scene.dir())],
    )?;
    canary.check(Path::new(&scene.dir()))?;
    scene.check()?;
    vm::test(&[])?;
    // The simulation with fresh seeds; then faults built into the core on purpose, each of which must be noticed.
    let sim = ["cargo", "run", "--release", "-p", "testkit", "--bin", "sim", "--"];
    sh::run(&[&sim[..], &["--seed", &seed(), "--seeds", SEEDS]].concat())?;
    let mutants = ["--features", "mutants", "--test", "mutants"];
    sh::run(&[&["cargo", "test", "--release", "-p", "testkit"], &mutants[..]].concat())?;
    sh::run_with(
        &["cargo", "doc", "--release", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )
}
