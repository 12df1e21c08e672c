//! `groundrun jobs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use groundrun_api::v1;
use serde_json::Value;

use super::{
    OutputArgs, ServerArgs, args,
    executions::{completed, wait_for_completion},
    exit::{Exit, Stop},
    output::{
        condition, listing, none_here, number, print, print_json, seconds, show, table, text, word,
    },
    unready,
};
use crate::{client::Client, document, progress::Progress};

#[derive(Debug, Subcommand)]
pub(crate) enum JobsVerb {
    /// List the jobs of a project and region, newest first.
    List {
        /// The most rows to show.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one job.
    Describe {
        /// Name of the job.
        job: String,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Create the job of a file, or replace the one of the same name.
    Apply {
        /// A job.yaml or JSON, as `gcloud run jobs describe --format=export` writes it.
        file: PathBuf,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Execute a job.
    Execute(ExecuteArgs),
    /// Delete a job, its executions and their logs; what runs is stopped.
    Delete {
        /// Name of the job.
        job: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ExecuteArgs {
    /// Name of the job.
    job: String,
    /// Wait for the execution to complete; the exit code tells how it came out.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    overrides: OverrideArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What one execution may change, as in gcloud.
#[derive(Args, Debug, Default)]
pub(crate) struct OverrideArgs {
    /// Number of tasks of this execution.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub(crate) tasks: Option<i32>,
    /// Arguments for the container, separated by commas.
    #[arg(long, allow_hyphen_values = true, value_name = "ARG,…")]
    pub(crate) args: Option<String>,
    /// Environment variables to set on top of the job's.
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub(crate) update_env_vars: Option<String>,
    /// The longest that an attempt of a task may take: 90s, 10m, 1h30m.
    #[arg(long, value_parser = args::seconds, value_name = "DURATION")]
    pub(crate) task_timeout: Option<i32>,
}

impl OverrideArgs {
    /// The request's overrides; absent when nothing is overridden.
    pub(crate) fn overrides(&self) -> Result<Option<v1::Overrides>, Stop> {
        let env = match &self.update_env_vars {
            None => Vec::new(),
            Some(text) => args::pairs(text)
                .map_err(|e| Stop::bad_input(format!("--update-env-vars: {e}")))?
                .into_iter()
                .map(|(name, value)| v1::EnvVar {
                    name: Some(name),
                    value: Some(value),
                    value_from: None,
                })
                .collect(),
        };
        let arguments = self.args.as_deref().map(args::list);
        let mut container_overrides = Vec::new();
        if arguments.is_some() || !env.is_empty() {
            let clear = arguments.as_ref().is_some_and(Vec::is_empty);
            container_overrides.push(v1::ContainerOverride {
                args: arguments.unwrap_or_default(),
                clear_args: clear.then_some(true),
                env,
                name: None,
            });
        }
        let overrides = v1::Overrides {
            container_overrides,
            delay_execution: None,
            task_count: self.tasks,
            timeout_seconds: self.task_timeout,
        };
        Ok((overrides != v1::Overrides::default()).then_some(overrides))
    }
}

pub(crate) async fn main(verb: JobsVerb) -> Result<Exit, Stop> {
    match verb {
        JobsVerb::List { limit, server, output } => {
            let jobs = Client::new(&server)?.jobs(limit).await?;
            if output.json {
                print_json(&Value::Array(jobs))?;
            } else if jobs.is_empty() {
                none_here("jobs", &server);
            } else {
                print(&list(&jobs))?;
            }
        }
        JobsVerb::Describe { job, server, output } => {
            let job = Client::new(&server)?.job(&job).await?;
            show(output, &job, describe)?;
        }
        JobsVerb::Apply { file, server, output } => {
            let document = document::read(&file)?;
            let job = Client::new(&server)?.apply(&document.name, &document.value).await?;
            show(output, &job, |job| applied(job, &server.project))?;
        }
        JobsVerb::Execute(args) => return execute(args).await,
        JobsVerb::Delete { job, server } => {
            Client::new(&server)?.delete("jobs", &job).await?;
            print(&format!("job {job} deleted\n"))?;
        }
    }
    Ok(Exit::Succeeded)
}

async fn execute(args: ExecuteArgs) -> Result<Exit, Stop> {
    let client = Client::new(&args.server)?;
    let execution = match client.execute(&args.job, args.overrides.overrides()?).await {
        Ok(execution) => execution,
        Err(refusal) => {
            return Err(unready::told(&client, &args.job, &args.server.project, refusal).await);
        }
    };
    let name = execution.metadata.and_then(|m| m.name).unwrap_or_default();
    if !args.wait {
        if args.output.json {
            print_json(&client.execution_json(&name).await?)?;
        } else {
            print(&format!(
                "execution {name} is accepted; follow it with: groundrun logs {name} --follow\n"
            ))?;
        }
        return Ok(Exit::Succeeded);
    }
    let progress = if args.output.json {
        Progress::Silent
    } else {
        eprintln!("execution {name} is accepted");
        Progress::of_terminal()
    };
    let execution = wait_for_completion(&client, &name, progress).await?;
    let exit = completed(&execution);
    if args.output.json {
        print_json(&execution)?;
    } else {
        print(&format!("execution {name}: {}\n", condition(&execution, "Completed").1))?;
        if exit != Exit::Succeeded {
            eprintln!("see: groundrun tasks list {name} --state failed, groundrun logs {name}");
        }
    }
    Ok(exit)
}

/// Whether a job that was just applied can run, and what to do next.
fn applied(job: &Value, project: &str) -> String {
    let name = text(job, &["metadata", "name"]);
    let (status, message) = condition(job, "Ready");
    let how = match status {
        "True" => format!("is ready; execute it with: groundrun jobs execute {name}"),
        "False" => {
            let next = unready::of_server(message, project);
            [vec![format!("is NOT ready: {message}")], next].concat().join("\n")
        }
        _ => format!("is being checked; see: groundrun jobs describe {name}"),
    };
    format!("job {name} {how}\n")
}

fn list(jobs: &[Value]) -> String {
    table(
        ["JOB", "READY", "EXECUTIONS", "LATEST EXECUTION", "OUTCOME", "CREATED"],
        jobs.iter().map(|job| {
            let latest = &job["status"]["latestCreatedExecution"];
            [
                text(job, &["metadata", "name"]).to_owned(),
                word(condition(job, "Ready").0, "yes", "no", "checking").to_owned(),
                number(job, &["status", "executionCount"]).to_string(),
                text(latest, &["name"]).to_owned(),
                outcome(latest),
                seconds(text(job, &["metadata", "creationTimestamp"])),
            ]
        }),
    )
}

fn describe(job: &Value) -> String {
    let (status, message) = condition(job, "Ready");
    let template = &job["spec"]["template"]["spec"];
    let task = &template["template"]["spec"];
    let latest = &job["status"]["latestCreatedExecution"];
    let mut rows = vec![
        ("Job", text(job, &["metadata", "name"]).to_owned()),
        ("Region", text(&job["metadata"]["labels"], &["cloud.googleapis.com/location"]).to_owned()),
        ("Ready", format!("{} {message}", word(status, "yes", "no", "checking"))),
        ("Generation", number(job, &["metadata", "generation"]).to_string()),
        ("Executions", number(job, &["status", "executionCount"]).to_string()),
        ("Latest", format!("{} {}", text(latest, &["name"]), outcome(latest)).trim().to_owned()),
        ("Tasks", number(template, &["taskCount"]).max(1).to_string()),
        (
            "Parallelism",
            match number(template, &["parallelism"]) {
                0 => "no limit".to_owned(),
                n => n.to_string(),
            },
        ),
        ("Max retries", number(task, &["maxRetries"]).to_string()),
        ("Timeout", format!("{}s", text(task, &["timeoutSeconds"]))),
    ];
    for container in task["containers"].as_array().into_iter().flatten() {
        let limit = |key| text(container, &["resources", "limits", key]);
        rows.extend([
            ("Image", text(container, &["image"]).to_owned()),
            ("Command", words(&container["command"])),
            ("Args", words(&container["args"])),
            ("Environment", variables(&container["env"])),
            ("Limits", format!("cpu {}, memory {}", limit("cpu"), limit("memory"))),
        ]);
    }
    listing(&rows)
}

/// `EXECUTION_SUCCEEDED` as `succeeded`.
fn outcome(latest: &Value) -> String {
    text(latest, &["completionStatus"]).trim_start_matches("EXECUTION_").to_lowercase()
}

/// A list of strings as JSON: it shows where one ends and the next begins.
fn words(list: &Value) -> String {
    if list.is_array() { list.to_string() } else { String::new() }
}

fn variables(env: &Value) -> String {
    let pairs = env.as_array().into_iter().flatten();
    let pairs: Vec<String> =
        pairs.map(|v| format!("{}={}", text(v, &["name"]), text(v, &["value"]))).collect();
    pairs.join(", ")
}
