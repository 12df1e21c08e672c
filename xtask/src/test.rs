//! The gate, step by step; the first step that fails ends it.

use crate::{compat, leftovers::Scene, needs, sh, tidy};

pub(crate) fn main() -> Result<(), String> {
    needs::main()?;
    sh::run(&["cargo", "fmt", "--all", "--check"])?;
    tidy::main()?;
    compat::check()?;
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
    sh::run_with(
        &["cargo", "test", "--release", "--workspace", "--no-fail-fast"],
        &[("TMPDIR", &scene.dir())],
    )?;
    scene.check()?;
    sh::run_with(
        &["cargo", "doc", "--release", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )
}
