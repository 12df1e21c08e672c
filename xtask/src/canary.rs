//! The gate's own canary: tests give it to secrets, and nothing that they print or leave may have it.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Instant,
};

use testkit::canary::{CANARY, Search};

use crate::sh;

/// Where systemd keeps cores.
const COREDUMPS: &str = "/var/lib/systemd/coredump";

/// A value that is nowhere before the tests.
pub(crate) struct Canary {
    value: String,
    search: Search,
}

impl Canary {
    /// A new one.
    pub(crate) fn hatch() -> Self {
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let value = format!("canary-{:x}-{:x}", since_1970.as_nanos(), std::process::id());
        Self { search: Search::of(&value), value }
    }

    /// Runs a command that knows the canary, with its output shown; fails when that has it.
    pub(crate) fn run_with(&self, line: &[&str], env: &[(&str, &str)]) -> Result<(), String> {
        let text = line.join(" ");
        eprintln!("\n== {text}");
        let begun = Instant::now();
        let mut command = sh::command(line);
        command.envs(env.iter().copied()).env(CANARY, &self.value);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{text}: {e}"))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let sung = thread::scope(|scope| {
            let out = scope.spawn(|| self.pass_on(out, io::stdout()));
            let err = scope.spawn(|| self.pass_on(err, io::stderr()));
            [out, err].map(|reader| reader.join().expect("it does not panic"))
        });
        let status = child.wait().map_err(|e| format!("{text}: {e}"))?;
        eprintln!("== {text}: {status} after {} s", begun.elapsed().as_secs());
        if !status.success() {
            return Err(format!("failed: {text}"));
        }
        for (sung, stream) in sung.into_iter().zip(["standard output", "standard error"]) {
            if sung.map_err(|e| format!("{text}: read its {stream}: {e}"))? {
                return Err(format!("{text}: what a secret holds is in its {stream}"));
            }
        }
        Ok(())
    }

    fn pass_on(&self, from: Option<impl Read>, mut to: impl Write) -> io::Result<bool> {
        let Some(from) = from else { return Ok(false) };
        // Whoever reads ours may have gone; what the command says is still searched.
        self.search.finds_in_all_of(from, |bytes| {
            let _ = to.write_all(bytes);
        })
    }

    /// Fails with the files that have it: of those that the tests left below `dir`, and of the cores on this machine.
    pub(crate) fn check(&self, dir: &Path) -> Result<(), String> {
        let mut found = self.search.files_below(dir);
        found.extend(cores().into_iter().filter(|core| self.search.is_in_file(core)));
        if found.is_empty() {
            return Ok(());
        }
        Err(format!("what a secret holds is in {found:?}"))
    }
}

/// Files that may be cores: where the kernel puts them by its pattern, and where systemd does.
fn cores() -> Vec<PathBuf> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let pattern = Path::new(pattern.trim());
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('%').next().unwrap_or_default().to_owned();
    // Of a relative pattern: beside what was running, and tests run in their crate.
    let mut places = vec![pattern.parent().unwrap_or(Path::new("")).to_owned()];
    if pattern.is_relative() {
        places = vec![sh::root(), PathBuf::from("/")];
        places.extend(files_in(&sh::root().join("crates")));
    }
    let is_core = |path: &PathBuf| {
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        !name.is_empty() && own.starts_with(&name) && path.is_file()
    };
    let by_pattern = places.iter().flat_map(|place| files_in(place)).filter(is_core);
    by_pattern.chain(files_in(Path::new(COREDUMPS))).collect()
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_that_is_printed_or_left_in_a_file_is_noticed() {
        let canary = Canary::hatch();
        let variable = format!("${CANARY}");
        canary.run_with(&["sh", "-c", "echo nothing"], &[]).expect("nothing is noticed");
        for stream in ["1", "2"] {
            let script = format!("echo before; echo {variable} >&{stream}");
            let fault = canary.run_with(&["sh", "-c", &script], &[]).expect_err("it is noticed");
            assert!(fault.contains("what a secret holds is in its standard"), "{fault}");
        }
        let dir = std::env::temp_dir().join(format!("xtask-canary-{}", std::process::id()));
        fs::create_dir(&dir).expect("made");
        canary.check(&dir).expect("nothing is noticed");
        fs::write(dir.join("journal"), format!("{{\"data\": \"{}\"}}", canary.value))
            .expect("written");
        let fault = canary.check(&dir).expect_err("it is noticed");
        fs::remove_dir_all(&dir).expect("removed");
        assert!(fault.contains("journal"), "{fault}");
    }
}
