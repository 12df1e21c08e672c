//! Google's own document of the API, as its client for Python brings it: what it has, the table has.

use std::{collections::BTreeSet, fs};

use groundrun_api::check::Schema;
use serde_json::{Map, Value};

use super::{
    coverage::{DELETED, MESSAGES},
    rows::{Kind, Section},
};
use crate::needs;

/// Below the folder of Python's packages.
const DOCUMENT: &str = "googleapiclient/discovery_cache/documents/run.v1.json";

/// The resources whose methods are served.
const RESOURCES: [&str; 4] = [
    "run.namespaces.jobs.",
    "run.namespaces.executions.",
    "run.namespaces.tasks.",
    "run.projects.locations.",
];

/// Of them, what has to do with services and other kinds alone.
const OTHERS: [&str; 10] = [
    ".services.",
    ".instances.",
    ".workerpools.",
    ".workerPools.",
    ".domainmappings.",
    ".configurations.",
    ".revisions.",
    ".operations.",
    ".authorizeddomains.",
    ".routes.",
];

/// What the document has and the table lacks.
pub(super) fn faults(sections: &[Section]) -> Result<Vec<String>, String> {
    let file = needs::python_packages()?.join(DOCUMENT);
    let text = fs::read_to_string(&file)
        .map_err(|e| format!("read {}: {e}; `cargo xtask needs` brings it", file.display()))?;
    let document: Value =
        serde_json::from_str(&text).map_err(|e| format!("read {}: {e}", file.display()))?;
    let mut faults = Vec::new();
    fields(&document, &mut faults);
    annotations(&document, sections, &mut faults);
    let mut methods = Vec::new();
    gather(&document, &mut methods);
    let methods: Vec<&Value> = methods
        .into_iter()
        .filter(|method| {
            let id = text_of(&method["id"]);
            RESOURCES.iter().any(|own| id.starts_with(own))
                && !OTHERS.iter().any(|other| id.contains(other))
        })
        .collect();
    if methods.len() < 15 {
        faults.push(format!("{}: has {} methods of jobs", file.display(), methods.len()));
    }
    for method in &methods {
        route(method, sections, &mut faults);
    }
    parameters(&document, &methods, sections, &mut faults);
    Ok(faults)
}

/// The table follows the schema of the wire, so that has to have them.
fn fields(document: &Value, faults: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    let mut left: Vec<String> = MESSAGES.into_iter().chain([DELETED]).map(str::to_owned).collect();
    while let Some(message) = left.pop() {
        if !seen.insert(message.clone()) {
            continue;
        }
        let ours: BTreeSet<&str> =
            Schema::v1().fields(&message).iter().map(|field| field.name.as_str()).collect();
        for (name, property) in entries(&document["schemas"][&message]["properties"]) {
            if !ours.contains(name.as_str()) {
                faults.push(format!("{message}.{name}: the schema lacks it"));
            }
            let of_items = &property["items"]["$ref"];
            let of_entries = &property["additionalProperties"]["$ref"];
            for next in [&property["$ref"], of_items, of_entries] {
                left.extend(next.as_str().map(str::to_owned));
            }
        }
    }
}

/// In the text about `ObjectMeta.annotations`: `` * `key`: Kind, Kind. ``
fn annotations(document: &Value, sections: &[Section], faults: &mut Vec<String>) {
    let described = &document["schemas"]["ObjectMeta"]["properties"]["annotations"]["description"];
    let paths: BTreeSet<String> = sections
        .iter()
        .flat_map(|section| section.rows.iter().flat_map(|row| section.paths(&row.subject)))
        .collect();
    let mut found = 0;
    for entry in text_of(described).split("* `").skip(1) {
        let Some((key, kinds)) = entry.split_once("`:") else { continue };
        for (kind, owner) in [("Job", "Job.metadata"), ("Execution", "Job.spec.template.metadata")]
        {
            let all = kinds.contains("All resources");
            let named = kinds.split([',', '.', ' ']).any(|word| word == kind);
            if !all && !named {
                continue;
            }
            found += 1;
            let path = format!("{owner}.annotations[\"{key}\"]");
            if !paths.contains(&path) {
                faults.push(format!("{path}: has no row"));
            }
        }
    }
    if found < 10 {
        faults.push(format!("the document's text about annotations names {found} of ours"));
    }
}

fn gather<'a>(resource: &'a Value, methods: &mut Vec<&'a Value>) {
    methods.extend(entries(&resource["methods"]).map(|(_, method)| method));
    for (_, inner) in entries(&resource["resources"]) {
        gather(inner, methods);
    }
}

fn route(method: &Value, sections: &[Section], faults: &mut Vec<String>) {
    let (verb, path) = (text_of(&method["httpMethod"]), text_of(&method["flatPath"]));
    let wanted = shape(&format!("{verb} /{path}"));
    let rows = sections.iter().filter(|section| section.kind == Kind::Routes);
    if !rows.flat_map(|section| &section.rows).any(|row| shape(&row.subject) == wanted) {
        faults.push(format!("{}: has no row", text_of(&method["id"])));
    }
}

/// A path whose variables have no names.
fn shape(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        out.push('_');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    out + rest
}

fn parameters(
    document: &Value,
    methods: &[&Value],
    sections: &[Section],
    faults: &mut Vec<String>,
) {
    let of_methods = methods
        .iter()
        .flat_map(|method| entries(&method["parameters"]))
        .filter(|(_, parameter)| parameter["location"] == "query")
        .map(|(name, _)| name);
    let wanted: BTreeSet<&String> =
        entries(&document["parameters"]).map(|(name, _)| name).chain(of_methods).collect();
    let rows = sections.iter().filter(|section| section.kind == Kind::Parameters);
    let said: BTreeSet<&String> =
        rows.flat_map(|section| &section.rows).map(|row| &row.subject).collect();
    let lacking = wanted.difference(&said);
    faults.extend(lacking.map(|name| format!("parameter {name}: has no row")));
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_of_a_path_have_no_names() {
        assert_eq!(shape("GET /a/{b}/c/{d}:run"), "GET /a/_/c/_:run");
    }

    #[test]
    fn what_the_table_lacks_is_found() {
        let document = json!({
            "parameters": {"alt": {"location": "query"}},
            "schemas": {
                "Job": {"properties": {"metadata": {"$ref": "ObjectMeta"}, "novelty": {}}},
                "ObjectMeta": {"properties": {"annotations": {
                    "description": "Keys. * `run.googleapis.com/new`: Service, Job. * `a/b`: Revision.",
                }}},
            },
        });
        let mut found = Vec::new();
        fields(&document, &mut found);
        annotations(&document, &[], &mut found);
        route(&json!({"id": "x.y", "httpMethod": "GET", "flatPath": "v1/{a}"}), &[], &mut found);
        parameters(&document, &[], &[], &mut found);
        for fault in [
            "Job.novelty: the schema lacks it",
            "Job.metadata.annotations[\"run.googleapis.com/new\"]: has no row",
            "x.y: has no row",
            "parameter alt: has no row",
        ] {
            assert!(found.iter().any(|one| one == fault), "{fault}: {found:?}");
        }
    }
}
