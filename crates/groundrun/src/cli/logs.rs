//! `groundrun logs`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    OutputArgs, ServerArgs,
    executions::completed,
    exit::{Exit, Stop},
    output::{condition, print, seconds, text},
};
use crate::client::{Client, ClientError, Tail};

/// Before every line.
const EVER: &str = "1970-01-01T00:00:00Z";

/// The server's name of a container that is alone and has none.
const UNNAMED: &str = "worker";

/// Entries per page: the most that Cloud Logging gives.
const PAGE: usize = 1000;

#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// Name of an execution, or of a job with --job.
    name: String,
    /// The name is a job's: all its executions.
    #[arg(long)]
    job: bool,
    /// Only this task.
    #[arg(long, value_name = "INDEX")]
    task: Option<u32>,
    /// Only this container.
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Go on as lines come, until the execution completes; the exit code tells how it came out.
    #[arg(long, short)]
    follow: bool,
    /// The most lines, the newest ones. Without --follow.
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn main(args: LogsArgs) -> Result<Exit, Stop> {
    let client = Client::new(&args.server)?;
    if !args.follow {
        let mut entries = read(&client, &args).await?;
        entries.reverse();
        if entries.is_empty() {
            subject(&client, &args).await?;
            eprintln!("no lines yet");
        }
        show(&entries, args.output)?;
        return Ok(Exit::Succeeded);
    }
    subject(&client, &args).await?;
    follow(&client, &args).await
}

/// Whether there is what the lines are asked of: a filter that selects nothing is no error of the API.
async fn subject(client: &Client, args: &LogsArgs) -> Result<(), Stop> {
    let name = &args.name;
    if args.job {
        client.job(name).await?;
        return Ok(());
    }
    let Err(error) = client.execution_json(name).await else { return Ok(()) };
    let mut stop = Stop::from(error);
    if client.job(name).await.is_ok() {
        stop.lines.truncate(1);
        stop.lines.push(format!("{name} is a job: groundrun logs --job {name}"));
    }
    Err(stop)
}

/// What there is, and then what comes, until the execution is over. A job never is.
async fn follow(client: &Client, args: &LogsArgs) -> Result<Exit, Stop> {
    let filter = format!("{} AND timestamp>=\"{EVER}\"", filter(client, args));
    let mut tail = Tail::new(client, filter);
    loop {
        if let Some(entries) = tail.next().await? {
            show(&entries, args.output)?;
        } else if !args.job {
            match client.execution_json(&args.name).await {
                Ok(execution) if condition(&execution, "Completed").0 != "Unknown" => {
                    return Ok(completed(&execution));
                }
                // A server that stops ends its tails, too.
                Ok(_) | Err(ClientError::Unreachable { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What was asked for, in the language of Logging.
fn filter(client: &Client, args: &LogsArgs) -> String {
    let mut filter = format!(
        "resource.type=\"cloud_run_job\" AND resource.labels.location=\"{}\"",
        client.region()
    );
    let subject = if args.job {
        "resource.labels.job_name"
    } else {
        "labels.\"run.googleapis.com/execution_name\""
    };
    filter.push_str(&format!(" AND {subject}=\"{}\"", args.name));
    if let Some(task) = args.task {
        filter.push_str(&format!(" AND labels.\"run.googleapis.com/task_index\"=\"{task}\""));
    }
    if let Some(name) = &args.container {
        filter.push_str(&format!(" AND labels.container_name=\"{name}\""));
    }
    filter
}

/// The newest entries, newest first.
async fn read(client: &Client, args: &LogsArgs) -> Result<Vec<Value>, Stop> {
    let (filter, most) = (filter(client, args), args.limit);
    let mut entries = Vec::new();
    let mut token = String::new();
    loop {
        let mut body = json!({
            "resourceNames": [format!("projects/{}", client.project())],
            "filter": filter,
            "orderBy": "timestamp desc",
            "pageSize": PAGE.min(most - entries.len()),
        });
        if !token.is_empty() {
            body["pageToken"] = token.into();
        }
        let mut page = client.log_entries(body).await?;
        if let Some(items) = page["entries"].as_array_mut() {
            entries.append(items);
        }
        token = text(&page, &["nextPageToken"]).to_owned();
        if token.is_empty() || entries.len() >= most {
            return Ok(entries);
        }
    }
}

fn show(entries: &[Value], output: OutputArgs) -> Result<(), Stop> {
    let lines: String = entries
        .iter()
        .map(|entry| if output.json { format!("{entry}\n") } else { line(entry) })
        .collect();
    print(&lines)
}

/// `2026-11-24 07:46:48 3.0 db: the text`: time, task and attempt, the container where it has a name, text.
fn line(entry: &Value) -> String {
    let container = match entry["labels"]["container_name"].as_str() {
        None | Some("" | UNNAMED) => String::new(),
        Some(name) => format!("{name}: "),
    };
    let label = |key: &str| entry["labels"][key].as_str().unwrap_or("0");
    let body = match &entry["textPayload"] {
        Value::String(text) => text.clone(),
        _ => entry["jsonPayload"].to_string(),
    };
    format!(
        "{} {}.{} {container}{body}\n",
        seconds(text(entry, &["timestamp"])),
        label("run.googleapis.com/task_index"),
        label("run.googleapis.com/task_attempt"),
    )
}
