//! House rules that no compiler knows.

use std::{fs, path::Path};

use crate::sh;

/// A Rust file of more lines is probably two topics (tables of data are exempt by name).
const LINES_MAX: usize = 600;

/// No committed file is larger: what is larger is made by a test, not kept.
const BYTES_MAX: u64 = 1024 * 1024;

/// Words that say nothing in a name.
const EMPTY_WORDS: &[&str] = &["manager", "helper", "utils", "common", "misc"];

pub(crate) fn main() -> Result<(), String> {
    let listing = sh::command(&["git", "ls-files", "-co", "--exclude-standard"])
        .output()
        .map_err(|e| format!("git ls-files: {e}"))?;
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    let faults: Vec<String> = listing.lines().flat_map(|file| faults_of(Path::new(file))).collect();
    if faults.is_empty() {
        eprintln!("tidy: {} files", listing.lines().count());
        return Ok(());
    }
    Err(format!("tidy:\n  {}", faults.join("\n  ")))
}

fn faults_of(file: &Path) -> Vec<String> {
    let path = sh::root().join(file);
    let shown = file.display();
    let mut faults = Vec::new();
    let Ok(metadata) = fs::metadata(&path) else { return faults };
    if metadata.len() > BYTES_MAX {
        faults.push(format!("{shown}: {} bytes, the most is {BYTES_MAX}", metadata.len()));
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    if EMPTY_WORDS.contains(&stem.as_ref()) {
        faults.push(format!("{shown}: the name says nothing"));
    }
    if file.extension().is_none_or(|e| e != "rs") {
        return faults;
    }
    let Ok(text) = fs::read_to_string(&path) else { return faults };
    if !text.starts_with("//!") {
        faults.push(format!("{shown}:1: a file begins with what it keeps (`//!`)"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{shown}: {lines} lines, the most is {LINES_MAX}"));
    }
    let is_table_of_contents = matches!(file.file_name().and_then(|n| n.to_str()), Some("lib.rs"));
    if is_table_of_contents
        && text.lines().any(|l| l.starts_with("fn ") || l.starts_with("pub fn "))
    {
        faults.push(format!("{shown}: lib.rs is a table of contents, without functions"));
    }
    faults
}
