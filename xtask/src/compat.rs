//! `docs/compatibility.md`: what becomes of every field, method, parameter and command, each with the tests that show it.
//!
//! It is made from the table of fields that admission itself refuses by (`groundrun_core::admit::FIELDS`) and from
//! `docs/compatibility.rows`, and held against the schema, the router, the query parameters and the names of all tests.

mod code;
mod coverage;
mod proofs;
mod rows;

use std::{collections::BTreeSet, fmt::Write, fs};

use crate::sh;
use proofs::Proofs;
use rows::{Row, Section};

const DOCUMENT: &str = "docs/compatibility.md";
const ROWS: &str = "docs/compatibility.rows";

const HEAD: &str = "\
<!-- Made by `cargo xtask compat` from crates/groundrun-core/src/admit/fields.rs and docs/compatibility.rows. -->
# Compatibility

What Groundrun does with every field, method, parameter and command of Cloud Run jobs, and which test shows it.

| Standing | Means |
|---|---|
| honoured | It does what it does on Cloud Run. |
| stored | Accepted and returned as given; it has no effect here. |
| refused | Refused by name, with the text given, unless it is empty, `false` or absent. Nothing is accepted and dropped. |
| ignored | What a client sends is not looked at, as on Cloud Run. |
| decided | Google's documents are silent, or we differ on purpose: what we do, in one place. |

A test's name is a link to its file. `scenario` is a script that the core must answer as written; a sentence in italics
is a test with real containers. All of them run in `cargo xtask test`, which also fails when this page is not what the
sources say, when a test that it names is gone, or when a field, route, parameter or command has no row.
";

const USAGE: &str = "cargo xtask compat [--check]";

/// Writes the document, or with `--check` fails where it is not what the sources say.
pub(crate) fn main(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => {
            let document = document()?;
            fs::write(sh::root().join(DOCUMENT), document)
                .map_err(|error| format!("write {DOCUMENT}: {error}"))
        }
        [flag] if flag == "--check" => check(),
        _ => Err(USAGE.to_owned()),
    }
}

/// Whether the committed document is what the sources say.
pub(crate) fn check() -> Result<(), String> {
    let made = document()?;
    let kept = code::read(DOCUMENT)?;
    if made == kept {
        eprintln!("compat: {} lines", made.lines().count());
        return Ok(());
    }
    let known: BTreeSet<&str> = kept.lines().collect();
    let first = made.lines().find(|line| !known.contains(line));
    let first = first.unwrap_or("(only the order or what is gone)");
    Err(format!("{DOCUMENT} is not up to date: run `cargo xtask compat`. First new line:\n{first}"))
}

fn document() -> Result<String, String> {
    let sections = rows::complete(rows::parse(&code::read(ROWS)?)?)?;
    let proofs = Proofs::collect()?;
    let mut faults = coverage::faults(&sections, &proofs)?;
    let text = render(&sections, &proofs, &mut faults);
    if faults.is_empty() { Ok(text) } else { Err(format!("{ROWS}:\n  {}", faults.join("\n  "))) }
}

fn render(sections: &[Section], proofs: &Proofs, faults: &mut Vec<String>) -> String {
    let mut out = HEAD.to_owned();
    for section in sections {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n## {}\n\n", section.title);
        for line in &section.intro {
            let _ = writeln!(out, "{line}");
        }
        if !section.intro.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "| {} | Standing | What it does here | Shown by |",
            section.kind.column()
        );
        out.push_str("|---|---|---|---|\n");
        for row in &section.rows {
            let shown = shown(row, proofs, faults);
            let subject = if section.kind.is_code() {
                format!("`{}`", row.subject)
            } else {
                row.subject.clone()
            };
            let _ =
                writeln!(out, "| {subject} | {} | {} | {shown} |", row.standing.word(), row.note);
        }
    }
    out
}

/// The links of a row; what cannot be found is a fault.
fn shown(row: &Row, proofs: &Proofs, faults: &mut Vec<String>) -> String {
    let links: Vec<String> = row
        .shown
        .iter()
        .filter_map(|name| match proofs.find(name) {
            Ok(proof) => Some(format!("[{}](../{})", proof.shown, proof.file)),
            Err(why) => {
                faults.push(format!("{}: {why}", row.subject));
                None
            }
        })
        .collect();
    links.join(", ")
}
