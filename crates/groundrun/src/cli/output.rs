//! Tables for people, JSON for programs.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

use super::{OutputArgs, exit::Stop};

/// Writes to standard output; a closed pipe (`| head`) is not an error worth a message.
pub(crate) fn print(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::failed(format!("write standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// The object as the API gave it, or `text` of it for a person.
pub(crate) fn show(
    output: OutputArgs,
    object: &Value,
    text: impl FnOnce(&Value) -> String,
) -> Result<(), Stop> {
    if output.json { print_json(object) } else { print(&text(object)) }
}

/// Pretty JSON with a final newline.
pub(crate) fn print_json(value: &Value) -> Result<(), Stop> {
    print(&format!("{value:#}\n"))
}

/// A table without rules: columns two blanks apart.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    let mut text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    if text.is_empty() {
        text.push('\n');
    }
    text
}

/// The text at `path` (dots between keys), or nothing.
pub(crate) fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    path.iter().try_fold(value, |v, key| v.get(key)).and_then(Value::as_str).unwrap_or_default()
}

/// The number at `path`, 0 where absent (proto3 leaves zeros out).
pub(crate) fn number(value: &Value, path: &[&str]) -> i64 {
    path.iter().try_fold(value, |v, key| v.get(key)).and_then(Value::as_i64).unwrap_or_default()
}

/// Status and message of the condition of that type.
pub(crate) fn condition<'v>(object: &'v Value, kind: &str) -> (&'v str, &'v str) {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == kind)
        .map(|c| (text(c, &["status"]), text(c, &["message"])))
        .unwrap_or(("Unknown", ""))
}

/// Reason of the condition of that type, or nothing.
pub(crate) fn reason<'v>(object: &'v Value, kind: &str) -> &'v str {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == kind)
        .map(|c| text(c, &["reason"]))
        .unwrap_or_default()
}

/// Said beside an empty table, on standard error.
pub(crate) fn none_here(what: &str, server: &super::ServerArgs) {
    let super::ServerArgs { url, project, region, .. } = server;
    eprintln!("no {what} in project {project}, region {region}, at {url}");
}

/// Lines of `name  value`, the values below each other; those without a value are left out.
pub(crate) fn listing(rows: &[(&str, String)]) -> String {
    let rows = || rows.iter().filter(|(_, value)| !value.is_empty());
    let width = rows().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows().map(|(name, value)| format!("{name:width$}  {}\n", value.trim_end())).collect()
}

/// A word for a condition's status.
pub(crate) fn word(
    status: &str,
    yes: &'static str,
    no: &'static str,
    pending: &'static str,
) -> &'static str {
    match status {
        "True" => yes,
        "False" => no,
        _ => pending,
    }
}

/// `2026-11-24T07:46:48.123456Z` as `2026-11-24 07:46:48`.
pub(crate) fn seconds(timestamp: &str) -> String {
    timestamp.get(..19).unwrap_or(timestamp).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_aligned_and_leaves_out_what_is_not_there() {
        let rows = [("Job", "a".to_owned()), ("Gone", String::new()), ("Region", "b ".to_owned())];
        assert_eq!(listing(&rows), "Job     a\nRegion  b\n");
    }
}
