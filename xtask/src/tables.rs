//! The table of v1 messages, made from Google's discovery document: names and types, in order of names.
//!
//! The document comes with `google-api-python-client`, as `googleapiclient/discovery_cache/documents/run.v1.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
};

use serde_json::{Map, Value};

/// Where the table is kept.
const TABLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/groundrun-api/src/v1/schema.txt");

/// The collections whose methods are served: what these send and answer with is in the table.
const COLLECTIONS: &[&[&str]] = &[
    &["namespaces", "jobs"],
    &["namespaces", "executions"],
    &["namespaces", "tasks"],
    &["projects", "locations"],
    &["projects", "locations", "jobs"],
];

const USAGE: &str = "cargo xtask tables [--check] --discovery FILE";

/// Writes the table, or with `--check` says what would change and fails.
pub(crate) fn main(arguments: &[String]) -> Result<(), String> {
    let (check, file) = match arguments {
        [flag, file] if flag == "--discovery" => (false, file),
        [check, flag, file] | [flag, file, check]
            if check == "--check" && flag == "--discovery" =>
        {
            (true, file)
        }
        _ => return Err(USAGE.to_owned()),
    };
    let text = fs::read_to_string(file).map_err(|error| format!("read {file}: {error}"))?;
    let document = serde_json::from_str(&text).map_err(|error| format!("parse {file}: {error}"))?;
    let table = table(&document)?;
    if !check {
        return fs::write(TABLE, table).map_err(|error| format!("write {TABLE}: {error}"));
    }
    let kept = fs::read_to_string(TABLE).map_err(|error| format!("read {TABLE}: {error}"))?;
    match differences(&kept, &table).as_str() {
        "" => Ok(()),
        differences => Err(format!("{TABLE} is not what {file} makes of it:\n{differences}")),
    }
}

/// The whole text of the table.
fn table(document: &Value) -> Result<String, String> {
    let schemas = document["schemas"].as_object().ok_or("the document has no schemas")?;
    let mut messages = BTreeMap::new();
    let mut waiting = roots(document)?;
    while let Some(name) = waiting.pop_first() {
        let schema = schemas.get(&name).ok_or_else(|| format!("no schema {name}"))?;
        let fields = fields(&name, schema)?;
        waiting
            .extend(references(schema).into_iter().filter(|inner| !messages.contains_key(inner)));
        waiting.remove(&name);
        messages.insert(name, fields);
    }
    let revision = document["revision"].as_str().ok_or("the document has no revision")?;
    let mut text = format!(
        "# Field names and types of run.googleapis.com/v1, discovery revision {revision}.\n"
    );
    for (name, fields) in messages {
        writeln!(text, "{name}").map_err(|error| error.to_string())?;
        for (field, kind) in fields {
            writeln!(text, "  {field} {kind}").map_err(|error| error.to_string())?;
        }
    }
    Ok(text)
}

/// The messages that the served methods send and answer with.
fn roots(document: &Value) -> Result<BTreeSet<String>, String> {
    let mut roots = BTreeSet::new();
    for path in COLLECTIONS {
        let collection = path.iter().fold(document, |at, name| &at["resources"][name]);
        let methods = collection["methods"].as_object();
        let methods = methods.ok_or_else(|| format!("no collection {}", path.join(".")))?;
        let sides = methods.values().flat_map(|method| [&method["request"], &method["response"]]);
        roots.extend(sides.filter_map(|side| side["$ref"].as_str()).map(str::to_owned));
    }
    Ok(roots)
}

fn fields(message: &str, schema: &Value) -> Result<BTreeMap<String, String>, String> {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let kinds = properties.iter().map(|(name, property)| match kind(property) {
        Some(kind) => Ok((name.clone(), kind)),
        None => Err(format!("{message}.{name} has a type that tables do not know: {property}")),
    });
    kinds.collect()
}

/// A type as the table writes it.
fn kind(property: &Value) -> Option<String> {
    if let Some(message) = property["$ref"].as_str() {
        return Some(message.to_owned());
    }
    let format = property["format"].as_str();
    let kind = match (property["type"].as_str()?, format) {
        ("string", None) => match property["enum"].as_array() {
            Some(names) => {
                let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
                format!("enum({})", names?.join("|"))
            }
            None => "string".to_owned(),
        },
        ("string", Some("google-datetime")) => "timestamp".to_owned(),
        ("string", Some("google-fieldmask")) => "fieldmask".to_owned(),
        ("string", Some("byte")) => "bytes".to_owned(),
        ("string", Some("int64")) => "int64".to_owned(),
        ("integer", Some("int32")) => "int32".to_owned(),
        ("boolean", None) => "boolean".to_owned(),
        ("any", None) => "any".to_owned(),
        ("array", None) => format!("[{}]", kind(&property["items"])?),
        ("object", None) => format!("{{{}}}", kind(&property["additionalProperties"])?),
        _ => return None,
    };
    Some(kind)
}

/// Every message that a schema names.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(object) => {
            let own = object.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(object.values().flat_map(references)).collect()
        }
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Lines with their message that only one side has: `- JobSpec: template Other`.
fn differences(kept: &str, made: &str) -> String {
    let lines = |table: &str| -> BTreeSet<String> {
        let mut message = String::new();
        let line = |line: &str| {
            if !line.starts_with(' ') {
                line.clone_into(&mut message);
            }
            format!("{message}: {}", line.trim())
        };
        table.lines().map(line).collect()
    };
    let (kept, made) = (lines(kept), lines(made));
    let gone = kept.difference(&made).map(|line| format!("- {line}\n"));
    let new = made.difference(&kept).map(|line| format!("+ {line}\n"));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        let jobs = json!({"methods": {"create": {"request": {"$ref": "Job"}, "response": {"$ref": "Job"}}}});
        let none = json!({"methods": {}});
        json!({
            "revision": "20261031",
            "resources": {
                "namespaces": {"resources": {"jobs": jobs, "executions": none, "tasks": none}},
                "projects": {"resources": {"locations": {"methods": {}, "resources": {"jobs": none}}}},
            },
            "schemas": {
                "Job": {"properties": {
                    "spec": {"$ref": "Spec"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                }},
                "Spec": {"properties": {
                    "seconds": {"type": "string", "format": "int64"},
                    "state": {"type": "string", "enum": ["A", "B"]},
                    "specs": {"type": "array", "items": {"$ref": "Inner"}},
                }},
                "Inner": {},
                "Unused": {"properties": {"x": {"type": "weird"}}},
            },
        })
    }

    const WANTED: &str = "\
# Field names and types of run.googleapis.com/v1, discovery revision 20261031.
Inner
Job
  labels {string}
  spec Spec
Spec
  seconds int64
  specs [Inner]
  state enum(A|B)
";

    #[test]
    fn the_table_holds_what_the_served_methods_reach_and_no_more() {
        assert_eq!(table(&document()).as_deref(), Ok(WANTED));
    }

    #[test]
    fn an_unknown_type_is_refused_with_its_field() {
        let mut document = document();
        document["schemas"]["Inner"] = json!({"properties": {"x": {"type": "weird"}}});
        let error = table(&document).unwrap_err();
        assert_eq!(error, r#"Inner.x has a type that tables do not know: {"type":"weird"}"#);
    }

    #[test]
    fn differences_name_the_message_of_each_line() {
        let other = WANTED.replace("seconds int64", "seconds int32");
        assert_eq!(differences(WANTED, WANTED), "");
        assert_eq!(differences(WANTED, &other), "- Spec: seconds int64\n+ Spec: seconds int32\n");
    }
}
