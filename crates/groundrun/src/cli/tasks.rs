//! `groundrun tasks`.

use clap::Subcommand;
use serde_json::Value;

use super::{
    OutputArgs, ServerArgs,
    exit::{Exit, Stop},
    output::{number, print, print_json, seconds, table, text},
};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum TasksVerb {
    /// List the tasks of an execution.
    List {
        /// Name of the execution.
        execution: String,
        /// Only tasks in this state: Pending, Running, Succeeded, Failed, Cancelled or Abandoned.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
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
    },
}

pub(crate) async fn main(verb: TasksVerb) -> Result<Exit, Stop> {
    match verb {
        TasksVerb::List { execution, state, limit, server, output } => {
            let mut selector = format!("run.googleapis.com/execution={execution}");
            if let Some(state) = state {
                selector.push_str(&format!(",run.googleapis.com/runningState={state}"));
            }
            let rows = Client::new(&server)?.tasks(&selector, limit).await?;
            if output.json {
                print_json(&Value::Array(rows))?;
            } else {
                print(&list(&rows))?;
            }
        }
        TasksVerb::Describe { task, server } => {
            print_json(&Client::new(&server)?.task(&task).await?)?;
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
                row["metadata"]["labels"]["run.googleapis.com/runningState"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                number(row, &["status", "retried"]).to_string(),
                seconds(text(row, &["status", "startTime"])),
                seconds(text(row, &["status", "completionTime"])),
                text(row, &["status", "lastAttemptResult", "status", "message"]).to_owned(),
            ]
        }),
    )
}
