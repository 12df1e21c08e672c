//! The loop: waits for mail, ticks, does what the tick says.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use groundrun_core::{
    id::BootId,
    port::{Backend, Images, Limits},
};
use groundrun_store::Store;
use jiff::Timestamp;

use crate::{
    brain::{Brain, BrainConfig, Events},
    mailbox::{Closing, Mailbox},
    stored::{self, Stored},
};

/// Completed executions kept per job (fact: semantics 6).
pub const RETAINED_PER_JOB: u32 = 1000;

/// What reads the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the engine is told once.
#[derive(Clone)]
pub struct EngineConfig {
    /// What the machine gives to tasks; CPU with the overcommit in it.
    pub budget: Limits,
    /// This boot of the machine.
    pub boot_id: BootId,
    /// Reads the time.
    pub clock: Clock,
    /// How often everything that is live is asked about again, in case news was lost.
    pub resync: Duration,
}

/// A running engine. Dropping it stops it; what runs goes on running.
#[derive(Debug)]
pub struct Engine {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Takes up all that is not over and goes on with it. Backend and images tell what they see to `mailbox`, which they
    /// were given before.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(
        config: EngineConfig,
        store: Store,
        mailbox: Arc<Mailbox>,
        backend: Arc<dyn Backend>,
        images: Arc<dyn Images>,
    ) -> io::Result<Self> {
        let inbox = mailbox.clone();
        let thread = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || run(&config, store, &inbox, &*backend, &*images))?;
        Ok(Self { mailbox, thread: Some(thread) })
    }

    /// Does it still run? If not, it has met what it cannot go on from, and said so; nothing is begun any more.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends after the tick that is going on. Tasks that run are left running.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.mailbox.close();
        if let Some(thread) = self.thread.take() {
            // A panic in it was reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn run(
    config: &EngineConfig,
    store: Store,
    mailbox: &Arc<Mailbox>,
    backend: &dyn Backend,
    images: &dyn Images,
) {
    let mut watcher = store.watch();
    watcher.on_change({
        let mailbox = mailbox.clone();
        move || mailbox.records_changed()
    });
    let now = (config.clock)();
    let mut brain = Brain::new(Stored(store), brain_config(config), now);
    let mut wake_at = now;
    loop {
        // A clock that was set back must not let the engine sleep for long.
        let wait = Duration::try_from(wake_at.duration_since((config.clock)()));
        let mail = mailbox.take(wait.unwrap_or_default().min(config.resync));
        if mail.closing == Closing::Yes {
            return;
        }
        let Some(changes) = stored::changes(&mut watcher) else { return };
        let now = (config.clock)();
        for request in brain.think(Events { news: mail.news, changes }, now) {
            images.ask(request);
        }
        let tick = brain.write(now);
        for action in tick.actions {
            backend.apply(action);
        }
        for request in tick.images {
            images.ask(request);
        }
        wake_at = tick.wake_at;
    }
}

fn brain_config(config: &EngineConfig) -> BrainConfig {
    BrainConfig {
        budget: config.budget,
        boot: config.boot_id,
        resync: config.resync,
        retained_per_job: RETAINED_PER_JOB,
    }
}
