//! What a line means: text, or a JSON object with the special members of structured logging (fact: semantics 5.4).
//!
//! `time` and `timestamp` stay in the payload: entries are ordered by when they were read, which no task can forge. So does
//! `insertId`: an entry's is the place of its line, which no two have.

use std::collections::BTreeMap;

use groundrun_api::logging::Severity;
use serde_json::{Map, Value};

const PREFIX: &str = "logging.googleapis.com/";

/// A line, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    /// Always there: gcloud fails on an entry without it (fact: gcloud-wire E.1).
    pub(crate) text: String,
    /// Where the line is an object with more than a message.
    pub(crate) json: Option<Map<String, Value>>,
    /// As the line says.
    pub(crate) severity: Severity,
    /// `logging.googleapis.com/labels`.
    pub(crate) labels: BTreeMap<String, String>,
    /// Members of the entry by their names there: `httpRequest`, `trace`, `spanId`, `operation`, …
    pub(crate) members: Map<String, Value>,
}

/// Takes a line apart.
pub(crate) fn parts(line: &str) -> Parts {
    let plain =
        || Parts { text: line.trim_end_matches(['\n', '\r']).to_owned(), ..Parts::default() };
    if !line.starts_with('{') {
        return plain();
    }
    let Ok(Value::Object(mut object)) = serde_json::from_str::<Value>(line) else { return plain() };
    let severity = object.get("severity").and_then(severity);
    if severity.is_some() {
        object.remove("severity");
    }
    let members = members(&mut object);
    let labels = labels(&mut object);
    let text = match object.get("message") {
        Some(Value::String(message)) => message.trim_end_matches(['\n', '\r']).to_owned(),
        _ => line.trim_end().to_owned(),
    };
    let only_message = object.len() == 1 && object.contains_key("message");
    let json = (!object.is_empty() && !only_message).then_some(object);
    Parts { text, json, severity: severity.unwrap_or_default(), labels, members }
}

/// The members that are the entry's own, moved out of `object`.
fn members(object: &mut Map<String, Value>) -> Map<String, Value> {
    let mut moved = Map::new();
    let mut take = |from: &str, to: &str, fits: fn(&Value) -> bool| {
        if object.get(from).is_some_and(fits)
            && let Some(value) = object.remove(from)
        {
            moved.insert(to.to_owned(), value);
        }
    };
    take("httpRequest", "httpRequest", Value::is_object);
    take("logging.googleapis.com/trace", "trace", Value::is_string);
    take("logging.googleapis.com/spanId", "spanId", Value::is_string);
    take("logging.googleapis.com/trace_sampled", "traceSampled", Value::is_boolean);
    take("logging.googleapis.com/operation", "operation", Value::is_object);
    take("logging.googleapis.com/sourceLocation", "sourceLocation", Value::is_object);
    moved
}

fn labels(object: &mut Map<String, Value>) -> BTreeMap<String, String> {
    let key = format!("{PREFIX}labels");
    let Some(Value::Object(labels)) = object.get(&key).cloned() else { return BTreeMap::new() };
    object.remove(&key);
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    labels.into_iter().map(|(key, value)| (key, text(value))).collect()
}

/// By name in any case or by number; `warn` and `fatal` are what common libraries write.
fn severity(value: &Value) -> Option<Severity> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) if text.eq_ignore_ascii_case("warn") => Some(Severity::Warning),
        Value::String(text) if text.eq_ignore_ascii_case("fatal") => Some(Severity::Critical),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_text_stays_text() {
        for line in ["hello", "{not json", "[1,2]", "", "\"text\"", " {\"a\":1}"] {
            let parts = parts(line);
            assert_eq!(parts, Parts { text: line.to_owned(), ..Parts::default() });
        }
        assert_eq!(parts("with a break\r\n").text, "with a break");
    }

    #[test]
    fn special_members_become_the_entrys() {
        let line = json!({
            "severity": "warning", "message": "low", "left": 3, "time": "2026-01-01T00:00:00Z",
            "httpRequest": {"status": 200},
            "logging.googleapis.com/trace": "projects/p/traces/1",
            "logging.googleapis.com/spanId": "2", "logging.googleapis.com/trace_sampled": true,
            "logging.googleapis.com/operation": {"id": "o"},
            "logging.googleapis.com/sourceLocation": {"line": "3"},
            "logging.googleapis.com/insertId": "mine",
            "logging.googleapis.com/labels": {"a": "b", "n": 1},
        });
        let parts = parts(&line.to_string());
        assert_eq!(parts.text, "low");
        assert_eq!(parts.severity, Severity::Warning);
        assert_eq!(
            Value::Object(parts.json.expect("there is more than a message")),
            json!({
                "message": "low", "left": 3, "time": "2026-01-01T00:00:00Z",
                "logging.googleapis.com/insertId": "mine",
            })
        );
        assert_eq!(
            Value::Object(parts.members),
            json!({
                "httpRequest": {"status": 200}, "trace": "projects/p/traces/1", "spanId": "2",
                "traceSampled": true, "operation": {"id": "o"}, "sourceLocation": {"line": "3"},
            })
        );
        assert_eq!(
            parts.labels,
            BTreeMap::from([("a".into(), "b".into()), ("n".into(), "1".into())])
        );
    }

    #[test]
    fn an_object_of_a_message_alone_is_text() {
        let parts = parts(r#"{"severity":"ERROR","message":"gone"}"#);
        assert_eq!(
            (parts.text.as_str(), parts.json, parts.severity),
            ("gone", None, Severity::Error)
        );
    }

    #[test]
    fn an_object_without_a_message_is_its_own_text() {
        let parts = parts(r#"{"n":1,"severity":"nonsense"}"#);
        assert_eq!(parts.text, r#"{"n":1,"severity":"nonsense"}"#);
        assert_eq!(parts.severity, Severity::Default);
        assert_eq!(parts.json.expect("an object")["severity"], "nonsense");
    }

    #[test]
    fn severities_are_names_in_any_case_or_numbers() {
        for (given, wanted) in [
            (json!("info"), Some(Severity::Info)),
            (json!(500), Some(Severity::Error)),
            (json!("warn"), Some(Severity::Warning)),
            (json!(550), None),
            (json!(900), None),
            (json!(null), None),
        ] {
            assert_eq!(severity(&given), wanted, "{given}");
        }
    }
}
