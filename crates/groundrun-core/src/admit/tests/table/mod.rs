//! Section 2 of the reference, row by row: what is out of range, and Google's words for it with the field's path; and what
//! Google was seen to accept. Section 2.5 is the checker's of `groundrun-api`.

mod accepted;
mod containers;
mod tasks;
mod volumes;

use serde_json::Value;

use crate::samples::{faults, least, with};

const TASK: &str = "/spec/template/spec/template/spec";
const NOTES: &str = "/spec/template/metadata/annotations/run.googleapis.com~1";
/// The internal path of the task.
const T: &str = "spec.template.spec.task_spec";
/// Its JSON path.
const J: &str = "spec.template.spec.template.spec";

/// What the row is about, where, what stands there, and the fault.
struct Row(&'static str, String, Value, String);

fn row(
    name: &'static str,
    pointer: impl Into<String>,
    value: Value,
    fault: impl Into<String>,
) -> Row {
    Row(name, pointer.into(), value, fault.into())
}

fn rows() -> impl Iterator<Item = Row> {
    tasks::rows().into_iter().chain(containers::rows()).chain(volumes::rows())
}

#[test]
fn every_row_of_the_reference_is_refused_with_its_words_and_its_path() {
    for Row(name, pointer, value, fault) in rows() {
        let found = faults(with(least(), &pointer, value));
        assert!(found.contains(&fault), "{name}: not told:\n  {fault}\nbut:\n  {found:#?}");
    }
}

/// Rows that can stand in one document beside each other.
#[test]
fn the_rows_of_a_document_are_told_all_at_once() {
    let together = [
        "taskCount",
        "parallelism",
        "maxRetries",
        "timeoutSeconds",
        "serviceAccountName",
        "template name",
        "execution-environment",
        "launch-stage",
        "token",
        "image: absent",
        "env: reserved",
        "ports: two",
        "livenessProbe",
        "readinessProbe",
        "securityContext",
        "envFrom",
        "terminationMessagePath",
        "startupProbe: no action",
        "name",
        "cpu 3",
        "emptyDir: size",
        "mount: relative",
        "cloudsql-instances",
        "vpc: connector",
        "vpc: egress",
        "secrets of other projects",
        "annotation of no execution",
    ];
    let rows = rows().filter(|Row(name, ..)| together.contains(name));
    let (mut document, mut expected) = (least(), Vec::new());
    for Row(_, pointer, value, fault) in rows {
        document = with(document, &pointer, value);
        expected.push(fault);
    }
    assert_eq!(expected.len(), together.len());
    let found = faults(document);
    for fault in &expected {
        assert!(found.contains(fault), "not told: {fault}\nbut: {found:#?}");
    }
}
