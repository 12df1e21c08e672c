//! `groundrun executions`.

use clap::Subcommand;
use serde_json::Value;

use super::{
    OutputArgs, ServerArgs,
    exit::{Exit, Stop},
    output::{
        condition, listing, none_here, number, print, print_json, reason, seconds, show, table,
        text,
    },
};
use crate::{
    client::{Client, Seen, Watch},
    progress::{Progress, Stand},
    world,
};

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
            } else if rows.is_empty() {
                none_here("executions", &server);
            } else {
                print(&list(&rows))?;
            }
        }
        ExecutionsVerb::Describe { execution, server, output } => {
            let execution = Client::new(&server)?.execution_json(&execution).await?;
            show(output, &execution, describe)?;
        }
        ExecutionsVerb::Cancel { execution, wait, server } => {
            let client = Client::new(&server)?;
            client.cancel(&execution).await?;
            if !wait {
                print(&format!("execution {execution} is being cancelled\n"))?;
                return Ok(Exit::Succeeded);
            }
            let object = wait_for_completion(&client, &execution, Progress::of_terminal()).await?;
            print(&format!("execution {execution}: {}\n", condition(&object, "Completed").1))?;
        }
        ExecutionsVerb::Delete { execution, server } => {
            Client::new(&server)?.delete("executions", &execution).await?;
            print(&format!("execution {execution} deleted\n"))?;
        }
    }
    Ok(Exit::Succeeded)
}

/// Watches until `Completed` is True or False. As long as the execution itself takes: attempts have timeouts.
pub(crate) async fn wait_for_completion(
    client: &Client,
    name: &str,
    mut progress: Progress,
) -> Result<Value, Stop> {
    let mut watch = Watch::new(client, "executions", name);
    loop {
        let execution = match watch.next().await? {
            Seen::Is(execution) => execution,
            // Its error says what is not there.
            Seen::Gone => client.execution_json(name).await?,
        };
        let now = world::now();
        let created = text(&execution, &["metadata", "creationTimestamp"]).parse().unwrap_or(now);
        progress.show(&stand(&execution), created, now);
        if condition(&execution, "Completed").0 != "Unknown" {
            progress.end();
            return Ok(execution);
        }
    }
}

/// Where it stands, and what it waits for.
fn stand(execution: &Value) -> Stand {
    let status = |key| u64::try_from(number(execution, &["status", key])).unwrap_or_default();
    let waits_for = ["ContainerReady", "ResourcesAvailable", "Started"]
        .into_iter()
        .find_map(|kind| waits(condition(execution, kind)))
        .map(str::to_owned);
    Stand {
        all: u64::try_from(number(execution, &["spec", "taskCount"])).unwrap_or_default(),
        succeeded: status("succeededCount"),
        failed: status("failedCount"),
        cancelled: status("cancelledCount"),
        running: status("runningCount"),
        retried: status("retriedCount"),
        waits_for,
    }
}

/// The exit code that tells how a completed execution came out.
pub(crate) fn completed(execution: &Value) -> Exit {
    if condition(execution, "Completed").0 == "True" { Exit::Succeeded } else { Exit::Failed }
}

fn list(rows: &[Value]) -> String {
    table(
        ["EXECUTION", "JOB", "STATE", "TASKS", "RUNNING", "SUCCEEDED", "FAILED", "CREATED"],
        rows.iter().map(|row| {
            let status = |key| number(row, &["status", key]).to_string();
            [
                text(row, &["metadata", "name"]).to_owned(),
                label(row, "run.googleapis.com/job").to_owned(),
                state(row).to_owned(),
                number(row, &["spec", "taskCount"]).to_string(),
                status("runningCount"),
                status("succeededCount"),
                status("failedCount"),
                seconds(text(row, &["metadata", "creationTimestamp"])),
            ]
        }),
    )
}

fn label<'v>(row: &'v Value, key: &str) -> &'v str {
    row["metadata"]["labels"][key].as_str().unwrap_or_default()
}

/// What a condition waits for: one that is not settled says it, and so does room that is there for some tasks only.
fn waits<'m>((status, message): (&str, &'m str)) -> Option<&'m str> {
    match status {
        "Unknown" => Some(message).filter(|message| !message.is_empty()),
        _ => message.find("Waiting for ").map(|at| &message[at..]),
    }
}

/// One word for where it is.
fn state(row: &Value) -> &'static str {
    match condition(row, "Completed").0 {
        "True" => "succeeded",
        "False" if reason(row, "Completed") == "Cancelled" => "cancelled",
        "False" => "failed",
        _ if !label(row, "run.googleapis.com/cancelTime").is_empty() => "cancelling",
        _ if text(row, &["status", "startTime"]).is_empty() => "waiting",
        _ => "running",
    }
}

fn describe(row: &Value) -> String {
    let status = |key| number(row, &["status", key]);
    let name = text(row, &["metadata", "name"]);
    let mut out = listing(&[
        ("Execution", name.to_owned()),
        ("Job", label(row, "run.googleapis.com/job").to_owned()),
        ("State", state(row).to_owned()),
        ("Tasks", number(row, &["spec", "taskCount"]).to_string()),
        (
            "Counts",
            format!(
                "running {}, succeeded {}, failed {}, cancelled {}, retried {}",
                status("runningCount"),
                status("succeededCount"),
                status("failedCount"),
                status("cancelledCount"),
                status("retriedCount")
            ),
        ),
        ("Created", seconds(text(row, &["metadata", "creationTimestamp"]))),
        ("Started", seconds(text(row, &["status", "startTime"]))),
        ("Completed", seconds(text(row, &["status", "completionTime"]))),
        ("Logs", format!("groundrun logs {name}")),
    ]);
    out.push('\n');
    out.push_str(&conditions(row));
    out
}

/// The conditions of an execution or a task, as a table.
pub(crate) fn conditions(object: &Value) -> String {
    table(
        ["CONDITION", "STATUS", "REASON", "MESSAGE"],
        object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| ["type", "status", "reason", "message"].map(|key| text(c, &[key]).to_owned())),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(completed: Value, rest: Value) -> Value {
        let mut row = json!({"status": {"conditions": [completed]}, "metadata": {}});
        for (key, value) in rest.as_object().into_iter().flatten() {
            row[key.as_str()] = value.clone();
        }
        row
    }

    #[test]
    fn an_execution_is_in_one_of_six_states() {
        let completed = |status: &str, reason: &str| json!({"type": "Completed", "status": status, "reason": reason});
        assert_eq!(state(&row(completed("True", ""), json!({}))), "succeeded");
        assert_eq!(state(&row(completed("False", "Cancelled"), json!({}))), "cancelled");
        assert_eq!(state(&row(completed("False", "NonZeroExitCode"), json!({}))), "failed");
        assert_eq!(state(&row(completed("Unknown", ""), json!({}))), "waiting");
        let cancel = json!({"metadata": {"labels": {"run.googleapis.com/cancelTime": "now"}}});
        assert_eq!(state(&row(completed("Unknown", ""), cancel)), "cancelling");
        let mut running = row(completed("Unknown", ""), json!({}));
        running["status"]["startTime"] = "2026-11-24T07:46:48Z".into();
        assert_eq!(state(&running), "running");
    }

    #[test]
    fn a_wait_names_what_it_is_for() {
        let mut execution = row(
            json!({"type": "Completed", "status": "Unknown"}),
            json!({"spec": {"taskCount": 3}}),
        );
        assert_eq!(stand(&execution), Stand { all: 3, ..Stand::default() });
        execution["status"]["conditions"] = json!([
            {"type": "Completed", "status": "Unknown", "message": "not this one"},
            {"type": "ResourcesAvailable", "status": "Unknown", "message": "Waiting for cpu."},
            {"type": "ContainerReady", "status": "True", "message": "Imported container image."},
        ]);
        assert_eq!(stand(&execution).waits_for.as_deref(), Some("Waiting for cpu."));
        execution["status"]["conditions"][1]["status"] = "True".into();
        execution["status"]["conditions"][1]["message"] =
            "Provisioned imported containers. Waiting for memory.".into();
        assert_eq!(stand(&execution).waits_for.as_deref(), Some("Waiting for memory."));
    }
}
