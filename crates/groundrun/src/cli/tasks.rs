//! `groundrun tasks`.

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::{
    OutputArgs, ServerArgs,
    executions::conditions,
    exit::{Exit, Stop},
    output::{listing, number, print, print_json, seconds, show, table, text},
};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum TasksVerb {
    /// List the tasks of an execution.
    List {
        /// Name of the execution.
        execution: String,
        /// Only tasks in this state.
        #[arg(long, value_enum, ignore_case = true)]
        state: Option<State>,
        /// The most rows to show.
        #[arg(long, default_value_t = 10_000)]
        limit: usize,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one task.
    Describe {
        /// Name of the task: `{execution}-task{index}`.
        task: String,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Values of the label `run.googleapis.com/runningState`.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum State {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Abandoned,
}

pub(crate) async fn main(verb: TasksVerb) -> Result<Exit, Stop> {
    match verb {
        TasksVerb::List { execution, state, limit, server, output } => {
            let mut selector = format!("run.googleapis.com/execution={execution}");
            if let Some(state) = state {
                selector.push_str(&format!(",run.googleapis.com/runningState={state:?}"));
            }
            let client = Client::new(&server)?;
            let rows = client.tasks(&selector, limit).await?;
            if rows.is_empty() {
                // A selector that selects nothing is no error of the API; a name that is none is one of ours.
                client.execution_json(&execution).await?;
            }
            if output.json {
                print_json(&Value::Array(rows))?;
            } else {
                print(&list(&rows))?;
            }
        }
        TasksVerb::Describe { task, server, output } => {
            let task = Client::new(&server)?.task(&task).await?;
            show(output, &task, describe)?;
        }
    }
    Ok(Exit::Succeeded)
}

fn list(rows: &[Value]) -> String {
    table(
        ["INDEX", "STATE", "RETRIED", "STARTED", "COMPLETED", "LAST RESULT"],
        rows.iter().map(|row| {
            [
                number(row, &["status", "index"]).to_string(),
                label(row, "run.googleapis.com/runningState"),
                number(row, &["status", "retried"]).to_string(),
                seconds(text(row, &["status", "startTime"])),
                seconds(text(row, &["status", "completionTime"])),
                last_result(row),
            ]
        }),
    )
}

fn describe(task: &Value) -> String {
    let execution = label(task, "run.googleapis.com/execution");
    let index = number(task, &["status", "index"]);
    let mut out = listing(&[
        ("Task", text(task, &["metadata", "name"]).to_owned()),
        ("Job", label(task, "run.googleapis.com/job")),
        ("State", label(task, "run.googleapis.com/runningState")),
        ("Retried", number(task, &["status", "retried"]).to_string()),
        ("Started", seconds(text(task, &["status", "startTime"]))),
        ("Completed", seconds(text(task, &["status", "completionTime"]))),
        ("Last result", last_result(task)),
        ("Logs", format!("groundrun logs {execution} --task {index}")),
    ]);
    out.push('\n');
    out.push_str(&conditions(task));
    out
}

fn label(task: &Value, key: &str) -> String {
    task["metadata"]["labels"][key].as_str().unwrap_or_default().to_owned()
}

/// What became of the last attempt that ended: nothing is said of a success.
fn last_result(task: &Value) -> String {
    let result = &task["status"]["lastAttemptResult"];
    let message = text(result, &["status", "message"]);
    match (result["exitCode"].as_i64(), result["termSignal"].as_i64()) {
        (Some(code), _) => format!("exit code {code}: {message}"),
        (None, Some(signal)) => format!("signal {signal}: {message}"),
        (None, None) => message.to_owned(),
    }
}
