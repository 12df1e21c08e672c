//! `docs/compatibility.md`: what becomes of every field, method, parameter and command, each with the tests that show it.
//!
//! It is made from the table of fields that admission itself refuses by (`groundrun_core::admit::FIELDS`) and from
//! `docs/compatibility.rows`, and held against the schema, the router, the query parameters and the names of all tests.

mod code;
mod coverage;
mod discovery;
mod proofs;
mod rows;
mod security;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
};

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
sources say, when a test that it names is gone or does not speak of the field or parameter, or when a field, route,
parameter or command has no row.
";

const USAGE: &str = "cargo xtask compat [--check|--discovery]";

/// Writes the document, or with `--check` fails where it is not what the sources say.
pub(crate) fn main(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => {
            let document = document()?;
            fs::write(sh::root().join(DOCUMENT), document)
                .map_err(|error| format!("write {DOCUMENT}: {error}"))
        }
        [flag] if flag == "--check" => check(),
        [flag] if flag == "--discovery" => hold_against_discovery(),
        _ => Err(USAGE.to_owned()),
    }
}

/// Whether the committed document is what the sources say, and the other that names tests names those that are there.
pub(crate) fn check() -> Result<(), String> {
    let faults = security::faults(&code::read(security::DOCUMENT)?, &Proofs::collect()?);
    if !faults.is_empty() {
        return Err(format!("{}:\n  {}", security::DOCUMENT, faults.join("\n  ")));
    }
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

/// Whether the table has all that Google's own document of the API has, as `cargo xtask needs` brought it.
pub(crate) fn hold_against_discovery() -> Result<(), String> {
    let sections = rows::complete(rows::parse(&code::read(ROWS)?)?)?;
    let faults = discovery::faults(&sections)?;
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("Google's discovery document has what {ROWS} lacks:\n  {}", faults.join("\n  ")))
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
    let mut links = Links::new();
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
            let shown = shown(row, proofs, &mut links, faults);
            let subject = if section.kind.is_code() {
                format!("`{}`", row.subject)
            } else {
                row.subject.clone()
            };
            let _ =
                writeln!(out, "| {subject} | {} | {} | {shown} |", row.standing.word(), row.note);
        }
    }
    out.push('\n');
    for (name, file) in links {
        let _ = writeln!(out, "[{name}]: ../{file}");
    }
    out
}

/// Where each test that is named lies.
type Links = BTreeMap<String, String>;

/// The tests of a row, as links that the end of the document resolves; what cannot be found is a fault.
fn shown(row: &Row, proofs: &Proofs, links: &mut Links, faults: &mut Vec<String>) -> String {
    let mut names = Vec::new();
    for name in &row.shown {
        match proofs.find(name) {
            Ok(proof) => {
                // Where several files have a test of the name, the row's name says which.
                let label = if name.contains("::") { name } else { &proof.shown };
                names.push(format!("[{label}]"));
                links.insert(label.clone(), proof.file.clone());
            }
            Err(why) => faults.push(format!("{}: {why}", row.subject)),
        }
    }
    names.join(", ")
}
