//! What `status.logUri` leads to: the newest lines that its filter selects, as plain text, in order of time.

use std::{collections::BTreeSet, fmt::Write, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderValue, header},
};
use groundrun_api::logging::{ListLogEntriesRequest, ListLogEntriesResponse, LogEntry};

use super::list::{PAGE_MAX, Wanted};
use crate::{app::App, call::Call, error::Outcome, query::Parameter, reply};

/// As the real console's viewer takes them (fact: semantics 5.4).
const PARAMETERS: &[Parameter] = &[Parameter::Taken("project"), Parameter::Taken("advancedFilter")];

pub(crate) async fn viewer(State(app): State<Arc<App>>, call: Call) -> Outcome {
    call.shape(PARAMETERS)?;
    let request = ListLogEntriesRequest {
        resource_names: call
            .query
            .get("project")
            .map(|id| format!("projects/{id}"))
            .into_iter()
            .collect(),
        filter: call.query.get("advancedFilter").map(str::to_owned),
        order_by: Some("timestamp desc".to_owned()),
        page_size: i32::try_from(PAGE_MAX).ok(),
        ..ListLogEntriesRequest::default()
    };
    let wanted = Wanted::read(&app, &request)?;
    let page = app.heavy(move |app| wanted.page(app)).await?;
    let mut response = reply::whole(text(&page).into_bytes());
    let plain = HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(response)
}

fn text(page: &ListLogEntriesResponse) -> String {
    let mut text = String::new();
    if page.next_page_token.is_some() {
        text.push_str("(older lines are left out: `groundrun logs` has them)\n");
    }
    if page.entries.is_empty() {
        text.push_str("(no lines yet)\n");
    }
    let names: BTreeSet<&str> = page.entries.iter().map(container).collect();
    for entry in page.entries.iter().rev() {
        let container = if names.len() > 1 { container(entry) } else { "" };
        line(&mut text, entry, container);
    }
    text
}

fn container(entry: &LogEntry) -> &str {
    entry.labels.get("container_name").map_or("", String::as_str)
}

/// `2026-11-24T07:46:48.123456Z j1-x7p2q 3.0 the text`: time, execution, task and attempt, of several containers the
/// name, text.
fn line(text: &mut String, entry: &LogEntry, container: &str) {
    let label = |name: &str| {
        entry.labels.get(&format!("run.googleapis.com/{name}")).map_or("", String::as_str)
    };
    let time = entry.timestamp.map(|time| time.to_string()).unwrap_or_default();
    writeln!(
        text,
        "{time} {} {}.{} {}{}",
        label("execution_name"),
        label("task_index"),
        label("task_attempt"),
        if container.is_empty() { String::new() } else { format!("{container} ") },
        entry.text_payload.as_deref().unwrap_or_default()
    )
    .expect("writing to a string succeeds");
}
