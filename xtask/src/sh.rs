//! Running commands from the project's root, loudly.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_owned()
}

/// A command in the project's root.
pub(crate) fn command(line: &[&str]) -> Command {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(root());
    command
}

/// Runs a command with its output shown; an error names it.
pub(crate) fn run(line: &[&str]) -> Result<(), String> {
    run_with(line, &[])
}

/// The same with environment variables.
pub(crate) fn run_with(line: &[&str], env: &[(&str, &str)]) -> Result<(), String> {
    let text = line.join(" ");
    eprintln!("\n== {text}");
    let begun = Instant::now();
    let status =
        command(line).envs(env.iter().copied()).status().map_err(|e| format!("{text}: {e}"))?;
    let seconds = begun.elapsed().as_secs();
    eprintln!("== {text}: {status} after {seconds} s");
    if status.success() { Ok(()) } else { Err(format!("failed: {text}")) }
}

/// Runs a command in another directory.
pub(crate) fn run_in(dir: &Path, line: &[&str]) -> Result<(), String> {
    let text = line.join(" ");
    eprintln!("\n== {text}");
    let status = command(line).current_dir(dir).status().map_err(|e| format!("{text}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("failed: {text}")) }
}

/// What a command writes to its standard output; an error has what it complained of.
pub(crate) fn output(line: &[&str]) -> Result<String, String> {
    let text = line.join(" ");
    let output = command(line).output().map_err(|e| format!("{text}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("failed: {text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Between two looks at a condition.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// Whether a program is on the PATH.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
