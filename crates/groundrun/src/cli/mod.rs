//! Every verb of the command line, defined once: help, completions and man pages come from here.

use std::{net::SocketAddr, num::NonZeroU16, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    config::{DEFAULT_PROJECT, DEFAULT_REGION},
    networks::NetworkFlag,
};

pub(crate) mod args;
pub(crate) mod doctor;
pub(crate) mod executions;
pub(crate) mod exit;
pub(crate) mod gcloud;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod manual;
pub(crate) mod output;
pub(crate) mod run;
pub(crate) mod secrets;
pub(crate) mod streaming;
pub(crate) mod tasks;
pub(crate) mod unready;

/// Cloud Run jobs on your own ground.
///
/// Runs the same job.yaml and answers the same gcloud as Google Cloud Run jobs, on this machine, without Docker.
#[derive(Debug, Parser)]
#[command(name = "groundrun", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to say on standard error: a level, or a filter such as `groundrun_engine=debug`.
    #[arg(
        long,
        global = true,
        env = "GROUNDRUN_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    pub(crate) log: String,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a job.yaml to completion with a private engine, and show what it does.
    Run(run::RunArgs),
    /// Serve the Cloud Run Admin API v1 for jobs.
    Serve(ServeArgs),
    /// Tell what this machine can do, what is missing, and what mends it.
    Doctor(doctor::DoctorArgs),
    /// Print the shell lines that point gcloud at a server, or take them back.
    Env(gcloud::EnvArgs),
    /// Run gcloud against a server, for one command.
    Gcloud(gcloud::GcloudArgs),
    /// List, describe, apply, execute and delete jobs.
    #[command(subcommand)]
    Jobs(jobs::JobsVerb),
    /// List, describe, cancel and delete executions.
    #[command(subcommand)]
    Executions(executions::ExecutionsVerb),
    /// List and describe the tasks of an execution.
    #[command(subcommand)]
    Tasks(tasks::TasksVerb),
    /// Set, list and delete the secrets that jobs use.
    #[command(subcommand)]
    Secrets(secrets::SecretsVerb),
    /// Read or follow the logs of a job, an execution or a task.
    Logs(logs::LogsArgs),
    /// Print the completions of a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory.
    Man {
        /// Where to; made if missing.
        directory: PathBuf,
    },
}

/// Settings of a server. Each can stand in the file, in the environment, or as a flag; the later wins.
#[derive(Args, Debug, Default)]
pub(crate) struct ServeArgs {
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:8080].
    #[arg(long, env = "GROUNDRUN_LISTEN", value_name = "ADDRESS", value_parser = args::address)]
    pub(crate) listen: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) ground: GroundArgs,

    /// File with the bearer token that every request must carry; required for an address that is not loopback.
    #[arg(long, env = "GROUNDRUN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Host name that clients may use besides loopback names; may be repeated.
    #[arg(
        long = "public-name",
        env = "GROUNDRUN_PUBLIC_NAMES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub(crate) public_names: Vec<String>,
}

/// Settings that `serve` and `run` share.
#[derive(Args, Debug, Default)]
pub(crate) struct GroundArgs {
    /// Settings file (TOML).
    #[arg(long, env = "GROUNDRUN_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Directory of all state [default for serve: /var/lib/groundrun as root, else ~/.local/share/groundrun].
    #[arg(long, env = "GROUNDRUN_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Project id of requests that name none, and of `groundrun env` [default: groundrun].
    #[arg(long, env = "GROUNDRUN_PROJECT", value_name = "ID")]
    pub(crate) project: Option<String>,

    /// Region of requests whose host has no region prefix [default: us-central1].
    #[arg(long, env = "GROUNDRUN_REGION", value_name = "REGION")]
    pub(crate) region: Option<String>,

    /// Network of a task: one of its own, the machine's, or a loopback and nothing else [default: private].
    #[arg(long, env = "GROUNDRUN_NETWORK", value_enum)]
    pub(crate) network: Option<Network>,

    /// Keep tasks in private networks from what listens on the machine's loopback, which else they reach as
    /// `host.docker.internal` and `host.groundrun.internal`.
    #[arg(long, env = "GROUNDRUN_NO_HOST_ACCESS", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(crate) no_host_access: Option<bool>,

    /// TCP port of the machine's loopback that tasks are to reach as `host.docker.internal` also where only relays lead
    /// there: an ordinary user's without `pasta`. Else all ports are reached, and this changes nothing. May be repeated.
    #[arg(
        long = "host-port",
        env = "GROUNDRUN_HOST_PORTS",
        value_delimiter = ',',
        value_name = "PORT"
    )]
    pub(crate) host_ports: Vec<NonZeroU16>,

    /// A network of this machine for jobs that name NAME as their connector, network or subnetwork:
    /// `NAME=bridge:br0,range:10.8.0.64/26`, or `docker:NETWORK` or `interface:eth1` in place of the bridge; `range` is the
    /// addresses that tasks get there. Also `subnet:` and `gateway:`, where the machine's own are not meant. May be repeated.
    #[arg(long = "vpc-network", value_parser = crate::networks::flag, value_name = "NAME=…")]
    pub(crate) vpc_networks: Vec<NetworkFlag>,

    /// Directory that is the bucket NAME of Cloud Storage, or `gcsfuse` to have it mounted by that program [default: `buckets/NAME`
    /// below the data directory]. May be repeated.
    #[arg(
        long = "bucket",
        env = "GROUNDRUN_BUCKETS",
        value_delimiter = ',',
        value_name = "NAME=DIR",
        value_parser = crate::shared_files::mapping
    )]
    pub(crate) buckets: Vec<(String, PathBuf)>,

    /// Directory that stands for what an NFS server has at PATH. May be repeated.
    #[arg(
        long = "nfs",
        env = "GROUNDRUN_NFS",
        value_delimiter = ',',
        value_name = "SERVER:/PATH=DIR",
        value_parser = crate::shared_files::mapping
    )]
    pub(crate) nfs: Vec<(String, PathBuf)>,

    /// Whose tokens the metadata server of a private network hands out: the task's own, which this server alone knows, or
    /// your own Google credentials (`gcloud auth application-default login`), with all that you may do [default: task].
    #[arg(long, env = "GROUNDRUN_ADC", value_enum)]
    pub(crate) adc: Option<Adc>,

    /// Where a task's writable layer lives; in memory it counts against the task's limit, as on Cloud Run [default: memory].
    #[arg(long, env = "GROUNDRUN_WRITABLE_LAYER", value_enum)]
    pub(crate) writable_layer: Option<WritableLayer>,

    /// What a Cloud SQL instance is for tasks that name it: `p:r:i=postgres://HOST:PORT`, `p:r:i=mysql://HOST:PORT`,
    /// `p:r:i=unix:/PATH`, or `p:r:i=cloud-sql-proxy` for your own program. May be repeated.
    #[arg(
        long = "cloudsql",
        env = "GROUNDRUN_CLOUDSQL",
        value_delimiter = ';',
        value_name = "INSTANCE=TARGET"
    )]
    pub(crate) cloudsql: Vec<crate::cloudsql::Flag>,

    /// Start also where limits of CPU, memory and processes cannot hold, and let tasks have what they take.
    #[arg(long, env = "GROUNDRUN_NO_LIMITS", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(crate) no_limits: Option<bool>,

    /// Percentage of the machine's memory that tasks may reserve together; above 100 overcommits [default: 80].
    #[arg(long, env = "GROUNDRUN_MEMORY_SHARE", value_name = "PERCENT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) memory_share: Option<u16>,

    /// How many times the machine's CPUs tasks may reserve together [default: 4].
    #[arg(long, env = "GROUNDRUN_CPU_OVERCOMMIT", value_name = "FACTOR")]
    pub(crate) cpu_overcommit: Option<NonZeroU16>,

    /// File of 32 random bytes, readable by this user alone, that secrets are sealed with [default: made in the data
    /// directory at the first secret].
    #[arg(long, env = "GROUNDRUN_SECRETS_KEY_FILE", value_name = "FILE")]
    pub(crate) secrets_key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// One of its own, with a way to the outside, its metadata server and names.
    Private,
    /// The machine's own network.
    Host,
    /// A loopback of its own and nothing else.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Adc {
    /// Tokens of this server, in the name of the task's service account.
    Task,
    /// The user's own Google credentials.
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WritableLayer {
    /// In memory, counted against the task's limit.
    Memory,
    /// In the data directory.
    Disk,
}

/// Which server a client verb talks to.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// Address of the server.
    #[arg(
        long,
        env = "GROUNDRUN_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) url: String,

    /// Project id.
    #[arg(long, env = "GROUNDRUN_PROJECT", default_value = DEFAULT_PROJECT, value_name = "ID")]
    pub(crate) project: String,

    /// Region.
    #[arg(long, env = "GROUNDRUN_REGION", default_value = DEFAULT_REGION, value_name = "REGION")]
    pub(crate) region: String,

    /// File with the bearer token of the server.
    #[arg(long, env = "GROUNDRUN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// Print JSON as the API gave it, instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}
