//! Walks a document along its table, once.

use serde_json::{Map, Value};

use super::{
    scalar,
    schema::{Field, Kind, Schema},
};
use crate::error::FieldViolation;

/// Values that a document may have. The largest honest job, with 1,000 variables and 1,000 arguments, has some 5,000.
const VALUES_MAX: usize = 100_000;

/// Faults that are reported. Nobody mends more at once, and each costs a few hundred bytes of the reply.
const FAULTS_MAX: usize = 100;

/// Depth of what may hold anything, as in the JSON reader of protobuf.
const DEPTH_MAX: usize = 100;

/// Characters of a wrong value that its fault shows.
const SHOWN_MAX: usize = 64;

/// Fields of which at most one may be set: message, name of the oneof, fields. The discovery document does not tell.
const ONEOFS: &[(&str, &str, &[&str])] =
    &[("JobSpec", "create_execution", &["startExecutionToken", "runExecutionToken"])];

/// Checks a document of type `root` of the table, called `at` in paths (empty if the document is the whole request).
///
/// Returns it normalised, and every fault, in the order of the document's keys. Normalised: only names of the table, in
/// their JSON form; numbers, enums, times and bytes in one form; without nulls and empty lists and maps. With faults,
/// what they concern is left out.
#[must_use]
pub fn check(
    schema: &Schema,
    root: &str,
    at: &str,
    document: Value,
) -> (Value, Vec<FieldViolation>) {
    let mut walk = Walk { schema, faults: Vec::new(), values: 0, full: false };
    let checked = match document {
        Value::Null => Map::new(),
        Value::Object(object) => walk.message(root, at, object),
        other => {
            let shown = shown(&other);
            let text =
                format!("Invalid JSON payload received. An object is expected, not {shown}.");
            walk.fault(at, text);
            Map::new()
        }
    };
    (Value::Object(checked), walk.faults)
}

struct Walk<'s> {
    schema: &'s Schema,
    faults: Vec<FieldViolation>,
    values: usize,
    full: bool,
}

impl Walk<'_> {
    fn message(&mut self, name: &str, at: &str, object: Map<String, Value>) -> Map<String, Value> {
        let schema = self.schema;
        let mut checked = Map::new();
        for (key, value) in object {
            if self.is_full() {
                break;
            }
            let known =
                schema.fields(name).iter().find(|field| field.name == key || field.proto == key);
            match known {
                None => self.unknown(&key, at, "Cannot find field."),
                Some(_) if value.is_null() => {}
                Some(field) if checked.contains_key(&field.name) => {
                    self.unknown(&key, at, &format!("Field '{}' is given twice.", field.proto));
                }
                Some(field) => {
                    if let Some(value) = self.field(field, at, value) {
                        checked.insert(field.name.clone(), value);
                    }
                }
            }
        }
        self.oneofs(name, at, &checked);
        checked
    }

    fn oneofs(&mut self, message: &str, at: &str, checked: &Map<String, Value>) {
        for (_, oneof, names) in ONEOFS.iter().filter(|(owner, ..)| *owner == message) {
            let set: Vec<&&str> =
                names.iter().filter(|name| checked.contains_key(**name)).collect();
            if let [_, second, ..] = set.as_slice() {
                let text = format!(
                    "Invalid value at '{at}' (oneof), oneof field '{oneof}' is already set. Cannot set '{second}'"
                );
                self.fault(at, text);
            }
        }
    }

    /// `None` where there is a fault, or nothing.
    fn field(&mut self, field: &Field, parent: &str, value: Value) -> Option<Value> {
        let at = join(parent, &field.proto);
        match (&field.kind, value) {
            (Kind::List(item), Value::Array(values)) => self.list(item, field, &at, values),
            (Kind::Map(item), Value::Object(values)) => self.map(item, field, &at, values),
            (Kind::List(_) | Kind::Map(_), value) => self.invalid(&at, &field.label, &value),
            (Kind::Any, value) => self.any(&at, value),
            (_, Value::Array(_)) => {
                self.unknown(
                    &field.name,
                    parent,
                    "Proto field is not repeating, cannot start list.",
                );
                None
            }
            (kind, value) => self.one(kind, field, &at, value),
        }
    }

    fn list(&mut self, item: &Kind, field: &Field, at: &str, values: Vec<Value>) -> Option<Value> {
        let mut checked = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            if self.is_full() {
                break;
            }
            checked.extend(self.item(item, field, &format!("{at}[{index}]"), value));
        }
        (!checked.is_empty()).then_some(Value::Array(checked))
    }

    fn map(
        &mut self,
        item: &Kind,
        field: &Field,
        at: &str,
        values: Map<String, Value>,
    ) -> Option<Value> {
        let mut checked = Map::new();
        for (key, value) in values {
            if self.is_full() {
                break;
            }
            if let Some(value) = self.item(item, field, &format!("{at}[{}]", cut(&key)), value) {
                checked.insert(key, value);
            }
        }
        (!checked.is_empty()).then_some(Value::Object(checked))
    }

    /// One element of a list or a map.
    fn item(&mut self, kind: &Kind, field: &Field, at: &str, value: Value) -> Option<Value> {
        match (kind, value) {
            (Kind::Any, value) => self.any(at, value),
            (Kind::Map(inner), Value::Object(values)) if **inner == Kind::Any => {
                self.any(at, Value::Object(values))
            }
            (kind, value) => self.one(kind, field, at, value),
        }
    }

    fn one(&mut self, kind: &Kind, field: &Field, at: &str, value: Value) -> Option<Value> {
        self.values += 1;
        let value = match (kind, value) {
            (Kind::Message(name), Value::Object(object)) => {
                return Some(Value::Object(self.message(name, at, object)));
            }
            (Kind::Message(_), value) => value,
            (_, Value::Object(_)) => {
                let text = format!(
                    "Invalid value at '{at}' ({}), Starting an object on a scalar field",
                    field.name
                );
                self.fault(at, text);
                return None;
            }
            (_, value) => value,
        };
        let checked = match kind {
            Kind::String => return self.string(field, at, value),
            Kind::Bool => scalar::boolean(&value),
            Kind::Int32 => scalar::int32(&value),
            Kind::Int64 => scalar::int64(&value),
            Kind::Bytes => scalar::bytes(&value),
            Kind::Timestamp => scalar::timestamp(&value),
            Kind::FieldMask => scalar::fieldmask(value.clone()),
            Kind::Enum(names) => scalar::name_of(names, &value),
            Kind::Any | Kind::Message(_) | Kind::List(_) | Kind::Map(_) => None,
        };
        match checked {
            None => self.invalid(at, scalar_label(kind, field), &value),
            some => some,
        }
    }

    /// Moved, not copied: the long values of a document are strings.
    fn string(&mut self, field: &Field, at: &str, value: Value) -> Option<Value> {
        match value {
            Value::String(_) => Some(value),
            other => self.invalid(at, scalar_label(&Kind::String, field), &other),
        }
    }

    /// Any JSON, as deep as is decent.
    fn any(&mut self, at: &str, value: Value) -> Option<Value> {
        let Some(size) = size(&value, DEPTH_MAX) else {
            self.fault(at, format!("Invalid value at '{at}', deeper than {DEPTH_MAX} levels"));
            return None;
        };
        self.values = self.values.saturating_add(size);
        Some(value)
    }

    fn unknown(&mut self, name: &str, at: &str, why: &str) {
        let name = cut(name);
        let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
        let text = format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: {why}");
        self.fault(at, text);
    }

    fn invalid(&mut self, at: &str, label: &str, value: &Value) -> Option<Value> {
        let shown = shown(value);
        self.fault(at, format!("Invalid value at '{at}' ({label}), {shown}"));
        None
    }

    fn fault(&mut self, field: &str, description: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(FieldViolation::new(field, description));
        }
    }

    /// Enough was seen. The last fault then says that the rest was not looked at.
    fn is_full(&mut self) -> bool {
        let why = if self.values > VALUES_MAX {
            format!("The document has more than {VALUES_MAX} values.")
        } else if self.faults.len() >= FAULTS_MAX {
            format!("Only the first {FAULTS_MAX} faults are listed.")
        } else {
            return false;
        };
        if !self.full {
            self.full = true;
            self.faults.push(FieldViolation::new("", why));
        }
        true
    }
}

/// The values of a map are not what the map's own label names.
fn scalar_label<'f>(kind: &Kind, field: &'f Field) -> &'f str {
    match (kind, &field.kind) {
        (Kind::String, Kind::Map(_)) => "TYPE_STRING",
        _ => &field.label,
    }
}

/// How many values `value` is made of; `None` when it is deeper than `depth`.
fn size(value: &Value, depth: usize) -> Option<usize> {
    let add = |sum: usize, value: &Value| Some(sum + size(value, depth.checked_sub(1)?)?);
    match value {
        Value::Array(values) => values.iter().try_fold(1, add),
        Value::Object(values) => values.values().try_fold(1, add),
        _ => Some(1),
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// A wrong value as its fault shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => Value::from(cut(text)).to_string(),
        scalar => scalar.to_string(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
