//! Each script in `scenarios/` is a test: the core must answer as written there.
//!
//! `UPDATE_SCENARIOS=1 cargo test --release -p groundrun-core --test scenarios` writes the answers anew; read the diff.

use std::{fs, path::Path};

use testkit::scenario;

fn plays_as_written(path: &Path) -> datatest_stable::Result<()> {
    let written = fs::read_to_string(path)?;
    let played = scenario::play(&written);
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        return Ok(fs::write(path, played)?);
    }
    assert!(written == played, "{} now plays:\n{played}", path.display());
    Ok(())
}

datatest_stable::harness! {
    { test = plays_as_written, root = "tests/scenarios", pattern = r"\.txt$" },
}
