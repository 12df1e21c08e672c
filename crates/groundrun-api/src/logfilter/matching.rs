//! Does a filter select an entry?

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Comparison, Filter, Literal, Operator};
use crate::logging::{LogEntry, Severity};

/// One value of an entry, as it is compared.
enum Seen<'e> {
    Text(&'e str),
    Time(Timestamp),
    Severity(Severity),
    Json(&'e Value),
}

impl Filter {
    /// Does it select `entry`?
    #[must_use]
    pub fn matches(&self, entry: &LogEntry) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(entry)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(entry)),
            Self::Not(part) => !part.matches(entry),
            Self::Compare(comparison) => comparison.matches(entry),
            Self::Text(text) => has_text(entry, text),
        }
    }
}

impl Comparison {
    fn matches(&self, entry: &LogEntry) -> bool {
        let names: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let test = |seen: Seen<'_>| self.holds(&seen);
        let text = |text: &str| !text.is_empty() && test(Seen::Text(text));
        match names.as_slice() {
            ["logName"] => text(&entry.log_name),
            ["insertId"] => text(&entry.insert_id),
            ["textPayload"] => entry.text_payload.as_deref().is_some_and(text),
            ["severity"] => test(Seen::Severity(entry.severity)),
            ["timestamp"] => entry.timestamp.is_some_and(|time| test(Seen::Time(time.0))),
            ["receiveTimestamp"] => {
                entry.receive_timestamp.is_some_and(|time| test(Seen::Time(time.0)))
            }
            ["resource", "type"] => {
                entry.resource.as_ref().is_some_and(|resource| text(&resource.r#type))
            }
            ["resource", "labels", key @ ..] => {
                let label = entry
                    .resource
                    .as_ref()
                    .and_then(|resource| resource.labels.get(&key.join(".")));
                label.is_some_and(|label| test(Seen::Text(label)))
            }
            ["labels", key @ ..] => {
                entry.labels.get(&key.join(".")).is_some_and(|label| test(Seen::Text(label)))
            }
            ["jsonPayload", path @ ..] => {
                entry.json_payload.as_ref().is_some_and(|object| self.holds_in(object, path))
            }
            path => self.holds_in(&entry.members, path),
        }
    }

    /// Somewhere along `path`. Keys with dots may be written without quotes.
    fn holds_in(&self, object: &Map<String, Value>, path: &[&str]) -> bool {
        if path.is_empty() {
            return object.values().any(|value| self.holds_at(value, &[]));
        }
        (1..=path.len()).any(|taken| {
            let (key, rest) = path.split_at(taken);
            object.get(&key.join(".")).is_some_and(|value| self.holds_at(value, rest))
        })
    }

    /// At `path` in `value`; of a list, for one of its elements.
    fn holds_at(&self, value: &Value, path: &[&str]) -> bool {
        match value {
            Value::Array(values) => values.iter().any(|value| self.holds_at(value, path)),
            Value::Object(object) if !path.is_empty() || self.operator == Operator::Has => {
                self.holds_in(object, path)
            }
            scalar => path.is_empty() && self.holds(&Seen::Json(scalar)),
        }
    }

    fn holds(&self, seen: &Seen<'_>) -> bool {
        if self.value == Literal::Anything {
            return true;
        }
        if self.operator == Operator::Has
            && let (Some(text), Literal::Text(wanted)) = (seen.text(), &self.value)
        {
            return text.to_lowercase().contains(wanted);
        }
        let Some(order) = seen.compare(&self.value) else {
            return self.operator == Operator::NotEqual;
        };
        match self.operator {
            Operator::Equal | Operator::Has => order == Ordering::Equal,
            Operator::NotEqual => order != Ordering::Equal,
            Operator::Greater => order == Ordering::Greater,
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual => order != Ordering::Greater,
        }
    }
}

impl Seen<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(value) => value.as_str(),
            Self::Time(_) | Self::Severity(_) => None,
        }
    }

    /// `None` where the two are of different kinds.
    fn compare(&self, literal: &Literal) -> Option<Ordering> {
        match (self, literal) {
            (Self::Time(time), Literal::Time(wanted)) => Some(time.cmp(wanted)),
            (Self::Severity(severity), Literal::Severity(wanted)) => Some(severity.cmp(wanted)),
            (Self::Text(text), Literal::Text(wanted)) => {
                Some(text.to_lowercase().as_str().cmp(wanted))
            }
            (Self::Json(value), Literal::Text(wanted)) => match value {
                Value::String(text) => Some(text.to_lowercase().as_str().cmp(wanted)),
                Value::Number(number) => number.as_f64()?.partial_cmp(&wanted.parse().ok()?),
                Value::Bool(flag) => Some(flag.cmp(&wanted.parse().ok()?)),
                Value::Null => (wanted == "null_value").then_some(Ordering::Equal),
                Value::Array(_) | Value::Object(_) => None,
            },
            _ => None,
        }
    }
}

/// Is the text, in lower case, in any field?
fn has_text(entry: &LogEntry, wanted: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(wanted);
    let in_labels = |labels: &std::collections::BTreeMap<String, String>| {
        labels.values().any(|label| has(label))
    };
    let in_resource = || {
        entry
            .resource
            .as_ref()
            .is_some_and(|resource| has(&resource.r#type) || in_labels(&resource.labels))
    };
    let in_object =
        |object: &Map<String, Value>| object.values().any(|value| value_has(value, wanted));
    entry.text_payload.as_deref().is_some_and(has)
        || entry.json_payload.as_ref().is_some_and(in_object)
        || in_labels(&entry.labels)
        || in_resource()
        || has(&entry.log_name)
        || has(&entry.insert_id)
        || has(entry.severity.name())
        || in_object(&entry.members)
}

fn value_has(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(wanted),
        Value::Array(values) => values.iter().any(|value| value_has(value, wanted)),
        Value::Object(object) => object.values().any(|value| value_has(value, wanted)),
        Value::Null => false,
        scalar => scalar.to_string().contains(wanted),
    }
}
