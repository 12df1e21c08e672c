//! `cargo xtask bench [PART]`: figures beside crun, in one interleaved run. Nothing is asserted.

use crate::{needs, sh};

pub(crate) fn main(parts: &[String]) -> Result<(), String> {
    needs::main()?;
    // The server under test is the binary that was built last: it must be today's.
    sh::run(&["cargo", "build", "--release", "--workspace"])?;
    let mut line = vec!["cargo", "run", "--release", "--package", "e2e", "--bin", "bench", "--"];
    line.extend(parts.iter().map(String::as_str));
    sh::run(&line)
}
