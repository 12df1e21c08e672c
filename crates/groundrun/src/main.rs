//! The binary. It wires the parts, reads the clock, and has no logic of its own.

use std::{io::IsTerminal, path::Path, process::ExitCode};

use clap::Parser;

use crate::{
    cli::{
        Cli, Verb,
        exit::{Exit, Stop},
    },
    config::{Config, Ground},
    rights::Rights,
};

mod authorization;
mod cli;
mod client;
mod cloudsql;
mod config;
mod document;
mod follow;
mod ground;
mod networks;
mod notify;
mod prepare;
mod progress;
mod provisions;
mod rights;
mod scratch;
mod serve;
mod services;
mod shared_files;
mod show;
mod vault;
mod world;

fn main() -> ExitCode {
    let done =
        if cli::streaming::is_meant() { cli::streaming::main() } else { dispatch(Cli::parse()) };
    match done {
        Ok(exit) => exit.into(),
        Err(stop) => {
            for line in &stop.lines {
                eprintln!("groundrun: {line}");
            }
            stop.exit.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<Exit, Stop> {
    match cli.verb {
        Verb::Run(args) => {
            let ground = cli::run::ground(&args)?;
            let rights = begin(&ground, args.data_dir(), &cli.log)?;
            cli::run::main(args, ground, rights)
        }
        Verb::Serve(args) => {
            let config = Config::load(&args, &world::surroundings())?;
            let rights = begin(&config.ground, Some(&config.ground.data_dir), &cli.log)?;
            serve::main(&config, rights)
        }
        Verb::Doctor(args) => cli::doctor::main(&args),
        Verb::Env(args) => cli::gcloud::env(&args),
        Verb::Gcloud(args) => cli::gcloud::gcloud(&args),
        Verb::Jobs(verb) => runtime()?.block_on(cli::jobs::main(verb)),
        Verb::Executions(verb) => runtime()?.block_on(cli::executions::main(verb)),
        Verb::Tasks(verb) => runtime()?.block_on(cli::tasks::main(verb)),
        Verb::Secrets(verb) => runtime()?.block_on(cli::secrets::main(verb)),
        Verb::Logs(args) => runtime()?.block_on(cli::logs::main(args)),
        Verb::Completions { shell } => cli::manual::completions(shell),
        Verb::Man { directory } => cli::manual::man(&directory),
    }
}

/// What comes before the first thread, in this order.
fn begin(ground: &Ground, data_dir: Option<&Path>, filter: &str) -> Result<Rights, Stop> {
    prepare::prepare(ground)?;
    let rights = Rights::take(data_dir)?;
    log(filter)?;
    if let Some(scope) = prepare::demand(ground).scope {
        tracing::debug!(scope, "started in a scope of the user's systemd");
    }
    Ok(rights)
}

/// Two threads serve HTTP: the work is in the journal's and the engine's threads.
fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Stop::failed(format!("start threads: {e}")))
}

fn log(filter: &str) -> Result<(), Stop> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|e| Stop::bad_input(format!("--log {filter}: {e}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
