//! `groundrun serve`.

use groundrun_shim::SpawnerHandle;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{
        ServeArgs,
        exit::{Exit, Stop},
        output::print,
    },
    config::Config,
    ground::{Front, Running},
    world,
};

/// Serves until SIGTERM or SIGINT; tasks that run go on and are found again by the next server.
pub(crate) fn main(args: &ServeArgs, spawner: SpawnerHandle) -> Result<Exit, Stop> {
    let config = Config::load(args, &world::surroundings())?;
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
        let running = Running::start(&config.ground, front, spawner).await?;
        print(&format!("groundrun serves {}\n", running.url()))?;
        let told = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let works = tokio::select! {
            () = told => true,
            () = running.engine_ended() => false,
        };
        tracing::info!("stopping; running tasks go on");
        running.stop().await;
        if works {
            Ok(Exit::Succeeded)
        } else {
            Err(Stop::failed("the engine ended; start the server again"))
        }
    })
}
