//! `groundrun serve`.

use std::io::{IsTerminal, stderr};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{
        exit::{Exit, Stop},
        output::print,
    },
    config::{Config, DEFAULT_PROJECT, DEFAULT_REGION, Ground},
    ground::{Front, Running},
    notify,
    rights::Rights,
};

/// Serves until SIGTERM or SIGINT; tasks that run go on and are found again by the next server.
pub(crate) fn main(config: &Config, rights: Rights) -> Result<Exit, Stop> {
    crate::runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())
            .map_err(|e| Stop::failed(format!("watch for SIGTERM: {e}")))?;
        let mut interrupt = signal(SignalKind::interrupt())
            .map_err(|e| Stop::failed(format!("watch for SIGINT: {e}")))?;
        let front = Front {
            listen: config.listen,
            token: config.token.clone(),
            public_names: config.public_names.clone(),
        };
        let running = Running::start(&config.ground, front, rights).await?;
        print(&format!("groundrun serves {}\n", running.url()))?;
        notify::tell(notify::State::Ready);
        let person = stderr().is_terminal();
        if person {
            eprintln!("{}", next_steps(&running.url(), config));
        }
        let told = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let broken = tokio::select! {
            () = told => None,
            part = running.broken() => Some(part),
        };
        notify::tell(notify::State::Stopping);
        tracing::info!("stopping; running tasks go on");
        if person {
            eprintln!("stopping: tasks that run go on, and the next server on this data directory finds them");
        }
        running.stop().await;
        match broken {
            None => Ok(Exit::Succeeded),
            Some(part) => Err(Stop::failed(format!("the {part} ended; start the server again"))),
        }
    })
}

/// What a person types in another shell. The port is the one that was picked.
fn next_steps(url: &str, config: &Config) -> String {
    let Ground { project, region, .. } = &config.ground;
    let mut flags = format!("--url {url}");
    for (flag, value, default) in
        [("project", project, DEFAULT_PROJECT), ("region", region, DEFAULT_REGION)]
    {
        if value != default {
            flags.push_str(&format!(" --{flag} {value}"));
        }
    }
    if config.token.is_some() {
        flags.push_str(" --token-file FILE");
    }
    format!(
        "point gcloud and groundrun's own verbs here, in another shell:  eval \"$(groundrun env {flags})\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::ServeArgs, config::Surroundings};

    #[test]
    fn the_next_step_names_what_is_not_the_default() {
        let root = Surroundings { root: true, ..Surroundings::default() };
        let mut args = ServeArgs::default();
        let said = |args: &ServeArgs| {
            next_steps("http://127.0.0.1:9", &Config::load(args, &root).expect("loads"))
        };
        assert!(said(&args).contains("$(groundrun env --url http://127.0.0.1:9)"));
        args.ground.project = Some("demo".into());
        assert!(said(&args).contains("--url http://127.0.0.1:9 --project demo)"));
    }
}
