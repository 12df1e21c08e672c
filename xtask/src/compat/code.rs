//! Reading the project's own sources: as much of them as the names of tests, routes and parameters need.

use std::fs;

use crate::sh;

/// A file of the project.
pub(super) fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(sh::root().join(path)).map_err(|error| format!("read {path}: {error}"))
}

/// Every file that git knows or would, below `under`, that ends with `end`.
pub(super) fn files(under: &str, end: &str) -> Result<Vec<String>, String> {
    let listing = sh::command(&["git", "ls-files", "-co", "--exclude-standard", under])
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    let there = |file: &&str| file.ends_with(end) && sh::root().join(file).is_file();
    Ok(listing.lines().filter(there).map(str::to_owned).collect())
}

/// What stands in quotes, without regard to escapes.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// The text of a function that begins at the margin, to its closing brace.
pub(super) fn function<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("fn {name}("))?;
    let body = &text[start..];
    body.find("\n}").map(|end| &body[..end])
}

/// What lies between `start` and the next `end`, wherever that is.
pub(super) fn between<'a>(
    text: &'a str,
    start: &'a str,
    end: &'a str,
) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split_once(end)).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn a() {\n    x(\"one\", \"two\");\n}\n\nfn b() {\n    y(\"three\");\n}\n";

    #[test]
    fn a_function_ends_at_its_brace() {
        let a = function(TEXT, "a").expect("it is there");
        assert_eq!(quoted(a).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(function(TEXT, "c"), None);
    }

    #[test]
    fn everything_between_two_marks_is_found() {
        assert_eq!(between(TEXT, "(\"", "\"").collect::<Vec<_>>(), ["one", "three"]);
    }
}
