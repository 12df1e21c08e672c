//! `groundrun executions`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::{
    OutputArgs, ServerArgs,
    exit::{Exit, Stop},
    output::{condition, number, print, print_json, seconds, table, text, word},
};
use crate::client::Client;

/// Between two looks at an execution that runs: often enough for a person, and rare enough for a server.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Subcommand)]
pub(crate) enum ExecutionsVerb {
    /// List executions, newest first.
    List {
        /// Of this job only.
        #[arg(long)]
        job: Option<String>,
        /// The most rows to show.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one execution.
    Describe {
        /// Name of the execution.
        execution: String,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Cancel an execution: SIGTERM to its tasks, SIGKILL after 10 seconds.
    Cancel {
        /// Name of the execution.
        execution: String,
        /// Wait until nothing of it runs.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Delete an execution and its logs; what runs is stopped.
    Delete {
        /// Name of the execution.
        execution: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub(crate) async fn main(verb: ExecutionsVerb) -> Result<Exit, Stop> {
    match verb {
        ExecutionsVerb::List { job, limit, server, output } => {
            let rows = Client::new(&server)?.executions(job.as_deref(), limit).await?;
            if output.json {
                print_json(&Value::Array(rows))?;
            } else {
                print(&list(&rows))?;
            }
        }
        ExecutionsVerb::Describe { execution, server, output } => {
            let execution = Client::new(&server)?.execution_json(&execution).await?;
            if output.json {
                print_json(&execution)?;
            } else {
                print(&describe(&execution))?;
            }
        }
        ExecutionsVerb::Cancel { execution, wait, server } => {
            let client = Client::new(&server)?;
            client.cancel(&execution).await?;
            if !wait {
                print(&format!("execution {execution} is being cancelled\n"))?;
                return Ok(Exit::Succeeded);
            }
            let object = wait_for_completion(&client, &execution).await?;
            print(&format!("execution {execution}: {}\n", condition(&object, "Completed").1))?;
        }
        ExecutionsVerb::Delete { execution, server } => {
            Client::new(&server)?.delete("executions", &execution).await?;
            print(&format!("execution {execution} deleted\n"))?;
        }
    }
    Ok(Exit::Succeeded)
}

/// Looks until `Completed` is True or False. As long as the execution itself takes: attempts have timeouts.
pub(crate) async fn wait_for_completion(client: &Client, name: &str) -> Result<Value, Stop> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let execution = client.execution_json(name).await?;
        if condition(&execution, "Completed").0 != "Unknown" {
            return Ok(execution);
        }
    }
}

/// The exit code that tells how a completed execution came out.
pub(crate) fn completed(execution: &Value) -> Exit {
    if condition(execution, "Completed").0 == "True" { Exit::Succeeded } else { Exit::Failed }
}

fn list(rows: &[Value]) -> String {
    table(
        ["EXECUTION", "JOB", "STATE", "RUNNING", "DONE", "CREATED"],
        rows.iter().map(|row| {
            [
                text(row, &["metadata", "name"]).to_owned(),
                row["metadata"]["labels"]["run.googleapis.com/job"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                state(row).to_owned(),
                number(row, &["status", "runningCount"]).to_string(),
                format!(
                    "{}/{}",
                    number(row, &["status", "succeededCount"]),
                    number(row, &["spec", "taskCount"])
                ),
                seconds(text(row, &["metadata", "creationTimestamp"])),
            ]
        }),
    )
}

fn state(row: &Value) -> &'static str {
    word(condition(row, "Completed").0, "succeeded", "failed", "running")
}

fn describe(row: &Value) -> String {
    let mut out = format!(
        "Execution  {}\nState      {}\nTasks      {}\nCreated    {}\nCompleted  {}\nCounts     running {}, succeeded {}, failed {}, cancelled {}, retried {}\n",
        text(row, &["metadata", "name"]),
        state(row),
        number(row, &["spec", "taskCount"]),
        seconds(text(row, &["metadata", "creationTimestamp"])),
        seconds(text(row, &["status", "completionTime"])),
        number(row, &["status", "runningCount"]),
        number(row, &["status", "succeededCount"]),
        number(row, &["status", "failedCount"]),
        number(row, &["status", "cancelledCount"]),
        number(row, &["status", "retriedCount"]),
    );
    for c in row["status"]["conditions"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "{:<20}{:<9}{}\n",
            text(c, &["type"]),
            text(c, &["status"]),
            text(c, &["message"])
        ));
    }
    out
}
