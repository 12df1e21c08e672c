//! Finds what cannot be honoured in a document, by the table of [`FIELDS`], so that nothing is accepted and dropped.

use serde::Serialize;
use serde_json::Value;

use super::{
    faults::Faults,
    fields::{FIELDS, Standing},
};

/// The body of a request, as the table's paths begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Job,
    RunJobRequest,
}

impl Body {
    fn prefix(self) -> &'static str {
        match self {
            Self::Job => "Job.",
            Self::RunJobRequest => "RunJobRequest.",
        }
    }
}

/// Adds a fault for every refused field that `document` uses.
pub(super) fn refuse(body: Body, document: &impl Serialize, faults: &mut Faults) {
    let document = serde_json::to_value(document).expect("messages have string keys only");
    for rule in FIELDS.iter().filter(|rule| rule.standing == Standing::Refused) {
        if let Some(path) = rule.path.strip_prefix(body.prefix()) {
            for field in used(&document, path) {
                faults.add(field, rule.note);
            }
        }
    }
}

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Field(&'a str),
    Each,
    Entry(&'a str),
}

/// The concrete paths, such as `containers[0].ports`, at which something stands that asks for anything.
fn used(document: &Value, path: &str) -> Vec<String> {
    let mut found = vec![(String::new(), document)];
    for step in steps(path) {
        found = found.into_iter().flat_map(|(path, value)| follow(path, value, step)).collect();
    }
    found.into_iter().filter(|(_, value)| asks(value)).map(|(path, _)| path).collect()
}

fn follow<'a>(path: String, value: &'a Value, step: Step<'_>) -> Vec<(String, &'a Value)> {
    match (step, value) {
        (Step::Each, Value::Array(items)) => {
            items.iter().enumerate().map(|(n, item)| (format!("{path}[{n}]"), item)).collect()
        }
        (Step::Field(name), Value::Object(fields)) => {
            let dot = if path.is_empty() { "" } else { "." };
            fields
                .get(name)
                .map(|value| (format!("{path}{dot}{name}"), value))
                .into_iter()
                .collect()
        }
        (Step::Entry(key), Value::Object(entries)) => {
            entries.get(key).map(|value| (format!("{path}[{key:?}]"), value)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Empty values mean "not set", as in proto3.
fn asks(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// Splits `a.b[].c["d.e"]`.
fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(entry) = rest.strip_prefix("[\"") {
            let (key, after) = entry.split_once("\"]").expect("the table's paths are well formed");
            steps.push(Step::Entry(key));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("[]") {
            steps.push(Step::Each);
            rest = after;
        } else {
            let field = rest.trim_start_matches('.');
            let end = field.find(['.', '[']).unwrap_or(field.len());
            steps.push(Step::Field(&field[..end]));
            rest = &field[end..];
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_is_read_step_by_step() {
        let expected = [
            Step::Field("a"),
            Step::Field("b"),
            Step::Each,
            Step::Field("c"),
            Step::Entry("d.e/f"),
        ];
        assert_eq!(steps(r#"a.b[].c["d.e/f"]"#), expected);
    }

    #[test]
    fn every_use_is_found_and_empty_ones_ask_for_nothing() {
        let document =
            json!({"list": [{"x": 1}, {"x": 0}, {"x": false}, {"x": {}}, {"x": [0]}, {"y": 1}]});
        assert_eq!(used(&document, "list[].x"), ["list[0].x", "list[4].x"]);
        assert_eq!(used(&json!({"map": {"k": "v"}}), r#"map["k"]"#), [r#"map["k"]"#]);
        assert!(used(&document, "list.x").is_empty());
    }
}
