//! The form of a line as a log entry (fact: semantics 5.4, gcloud-wire E.1).

use std::{collections::BTreeMap, sync::Arc};

use groundrun_api::{
    logging::{LogEntry, MonitoredResource, Severity},
    time::Time,
};
use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    log::{LogLine, Stream},
    render,
};

use super::{
    merge::Position,
    sources::Source,
    structured::{Parts, parts},
};

/// A line of either kind, before it has its form.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// What the container of that name wrote, or what its monitor noted.
    Task(LogLine, Arc<str>),
    /// What the service says about it.
    System(render::LogLine),
}

/// The entry of `line` at `position`.
pub(super) fn entry(source: &Source, position: Position, line: Line) -> LogEntry {
    let (log, container, parts) = match line {
        Line::Task(LogLine { stream, text, .. }, container) => {
            let (log, parts) = match stream {
                Stream::Ended(exit) => {
                    let (how, text) = render::container_ended(exit);
                    ("varlog%2Fsystem", said(severity(how), text))
                }
                Stream::Stdout => ("stdout", parts(&text)),
                Stream::Stderr => ("stderr", parts(&text)),
                // In stderr, since gcloud shows no other log: what was dropped must be visible.
                Stream::Note => ("stderr", said(Severity::Warning, text)),
            };
            (log, container.to_string(), parts)
        }
        Line::System(line) => {
            ("varlog%2Fsystem", line.container, said(severity(line.severity), line.text))
        }
    };
    let Parts { text, json, severity, labels, members } = parts;
    let Position { at, execution, task, attempt, sequence } = position;
    let own = [
        ("execution_name", source.name.clone()),
        ("task_index", task.to_string()),
        ("task_attempt", attempt.to_string()),
    ];
    let own = own.map(|(key, value)| (format!("run.googleapis.com/{key}"), value));
    let container = Some(container).filter(|name| !name.is_empty());
    let container = container.map(|name| ("container_name".to_owned(), name));
    // What tells one attempt from all others, whatever its containers: long hexadecimal digits, as Google's.
    let instance = AttemptId { execution: ExecutionUid(execution), task, attempt }.instance();
    LogEntry {
        insert_id: format!("{}-{task}-{attempt}-{sequence}", execution.simple()),
        log_name: format!("projects/{}/logs/run.googleapis.com%2F{log}", source.project),
        resource: Some(resource(source)),
        timestamp: Some(Time(at)),
        receive_timestamp: Some(Time(at)),
        severity,
        labels: labels
            .into_iter()
            .chain(own)
            .chain(container)
            .chain([("instanceId".to_owned(), instance)])
            .collect(),
        text_payload: Some(text),
        json_payload: json,
        members,
    }
}

fn said(severity: Severity, text: String) -> Parts {
    Parts { text, severity, ..Parts::default() }
}

fn severity(given: render::Severity) -> Severity {
    match given {
        render::Severity::Info => Severity::Info,
        render::Severity::Warning => Severity::Warning,
        render::Severity::Error => Severity::Error,
    }
}

fn resource(source: &Source) -> MonitoredResource {
    let labels =
        [("project_id", &source.project), ("job_name", &source.job), ("location", &source.region)];
    let labels: BTreeMap<String, String> =
        labels.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
    MonitoredResource { r#type: "cloud_run_job".to_owned(), labels }
}
