//! Running commands from the project's root, loudly.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
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

/// Whether a program is on the PATH.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
