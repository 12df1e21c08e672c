//! Real clients, run as a user runs them.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

/// What a client printed and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; a signal is -1.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Fails the test unless the client ended well.
    pub fn well(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Fails the test unless the client ended with that code.
    pub fn badly(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| {
        panic!("{:?}: {e}; `cargo xtask needs` brings it", command.get_program())
    });
    Said { code: status.code().unwrap_or(-1), out: plain(&stdout), err: plain(&stderr) }
}

/// Text without the codes that make it bold on a terminal.
fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\u{1b}[1m", "").replace("\u{1b}[m", "")
}

/// The project's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the crate lies in the project")
}

/// The binary under test, as the workspace built it. `cargo build --release` makes it.
pub fn groundrun() -> PathBuf {
    let mut dir = std::env::current_exe().expect("a test has a path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let binary = dir.join("groundrun");
    assert!(binary.is_file(), "{} is not there: cargo build --release", binary.display());
    binary
}

/// The Python with Google's discovery client that `cargo xtask needs` made.
pub fn python() -> PathBuf {
    let python = root().join("target/e2e/python/bin/python");
    assert!(python.is_file(), "{} is not there: cargo xtask needs", python.display());
    python
}

/// Where the packages of that Python are.
pub fn python_packages() -> PathBuf {
    let code = "import sysconfig; print(sysconfig.get_path('purelib'))";
    run(Command::new(python()).args(["-c", code])).well().out.trim().into()
}

/// The folder with Google's Node client that `cargo xtask needs` made.
pub fn node_modules() -> PathBuf {
    let dir = root().join("target/e2e/node/node_modules");
    assert!(dir.join("googleapis").is_dir(), "{} is not there: cargo xtask needs", dir.display());
    dir
}
