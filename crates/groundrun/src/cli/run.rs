//! `groundrun run`: one job to completion, with a private engine, and everything that it does shown.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use groundrun_core::{id::ExecutionUid, record::Outcome};
use serde_json::Value;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use zeroize::Zeroizing;

use super::{
    GroundArgs, ServerArgs,
    exit::{Exit, Stop},
    jobs::OverrideArgs,
    output::condition,
    secrets::{self, FromFile},
    unready,
};
use crate::{
    client::{Client, ClientError, Seen, Watch},
    config::{File, Ground},
    document::{self, Document},
    follow::Follow,
    ground::{Front, Running},
    rights::Rights,
    scratch,
    show::Show,
    world,
};

/// Between two looks at how far the import of an image is, which is for the eye, and at logs where the kernel has no more
/// watches for this user.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The longest that the readiness of the job may be unknown before its execution is tried all the same.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A wait that is longer is told.
const TELL_AFTER: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// A job.yaml that runs on Cloud Run; `-` is standard input.
    file: PathBuf,
    #[command(flatten)]
    overrides: OverrideArgs,
    /// The most tasks at once; 0 is as many as fit.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..=10_000))]
    parallelism: Option<i32>,
    /// Retries of a task that failed.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..=10))]
    max_retries: Option<i32>,
    /// Print events as JSON, one a line; the last one has the execution.
    #[arg(long)]
    json: bool,
    /// Keep what a file holds as a secret of the server that this run has to itself, before the job is created; may be
    /// repeated.
    #[arg(long = "secret", value_name = "NAME=@FILE")]
    secrets: Vec<String>,
    #[command(flatten)]
    ground: GroundArgs,
}

/// The settings; without a data directory among the flags the one in which a temporary one is made: what the settings file
/// names is a server's.
pub(crate) fn ground(args: &RunArgs) -> Result<Ground, Stop> {
    let file = File::load(args.ground.config.as_deref())?;
    let mut ground = Ground::resolve(&args.ground, &file, &world::surroundings())?;
    if args.ground.data_dir.is_none() {
        ground.data_dir = std::env::temp_dir();
    }
    Ok(ground)
}

impl RunArgs {
    /// Where the state is kept, if it is.
    pub(crate) fn data_dir(&self) -> Option<&Path> {
        self.ground.data_dir.as_deref()
    }
}

/// Runs it with rights that were taken before any thread was made.
pub(crate) fn main(args: RunArgs, mut ground: Ground, rights: Rights) -> Result<Exit, Stop> {
    let document = edited(document::read(&args.file)?, &args)?;
    let overrides = args.overrides.overrides()?;
    if let Some(execution) = document.execution().filter(|_| overrides.is_some()) {
        return Err(Stop::bad_input(format!(
            "the job's token makes the execution {execution} as the job says: remove the token, or the options that change \
             the execution"
        )));
    }
    let secrets = held(&args.secrets)?;
    let directory = match args.ground.data_dir {
        Some(_) => None,
        None => {
            scratch::clear();
            Some(scratch::make()?)
        }
    };
    if let Some(directory) = &directory {
        ground.data_dir = directory.path().to_owned();
    }
    let token = world::secret();
    let runtime = crate::runtime()?;
    runtime.block_on(async {
        let mut ends = Ends::watch()?;
        let running = Running::start(&ground, Front::private(token.clone()), rights).await?;
        let client = Client::new(&ServerArgs {
            url: running.url(),
            project: ground.project.clone(),
            region: ground.region.clone(),
            token_file: None,
        })?
        .with_token(token);
        if let Err(refused) = keep(&client, &secrets).await {
            running.stop().await;
            return Err(refused.into());
        }
        let asked = Asked { document: &document, overrides, project: &ground.project };
        let outcome = follow(&running, &client, asked, args.json, &mut ends).await;
        running.stop().await;
        outcome
    })
}

/// Names of secrets, and what they are to hold.
type Held = Vec<(String, Zeroizing<Vec<u8>>)>;

/// What the files hold: a file that is none ends the run before it begins.
/// Not the parser's to refuse: it would show a value that was given in place of a file.
fn held(secrets: &[String]) -> Result<Held, Stop> {
    let read = |text: &String| {
        let FromFile { secret, file } =
            secrets::from_file(text).map_err(|e| Stop::bad_input(format!("--secret: {e}")))?;
        let payload = secrets::read(&file)?;
        Ok((secret, payload))
    };
    secrets.iter().map(read).collect()
}

/// Secrets are there before the job that names them.
async fn keep(client: &Client, secrets: &Held) -> Result<(), ClientError> {
    for (secret, payload) in secrets {
        client.set_secret(secret, payload).await?;
    }
    Ok(())
}

/// `--parallelism` and `--max-retries` are no overrides of an execution: they change the document.
fn edited(mut document: Document, args: &RunArgs) -> Result<Document, Stop> {
    let mut set = |path: &[&str], value: Option<i32>| -> Result<(), Stop> {
        let Some(value) = value else { return Ok(()) };
        let mut place = &mut document.value;
        for key in path {
            let object = place.as_object_mut().ok_or_else(|| {
                Stop::bad_input(format!("{}: expected a mapping above {key}", path.join(".")))
            })?;
            place = object.entry(*key).or_insert_with(|| Value::Object(serde_json::Map::new()));
        }
        *place = value.into();
        Ok(())
    };
    set(&["spec", "template", "spec", "parallelism"], args.parallelism)?;
    set(&["spec", "template", "spec", "template", "spec", "maxRetries"], args.max_retries)?;
    Ok(document)
}

/// What asks this program to end: Ctrl-C, SIGTERM, and the end of its terminal, unless `nohup` made that nothing. Watched
/// before anything is started, and kept while nobody waits: what was started must not be left behind.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Ends {
    fn watch() -> Result<Self, Stop> {
        let of = |kind| signal(kind).map_err(|e| Stop::failed(format!("watch for signals: {e}")));
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = (!hangup_is_ignored(&status)).then(|| of(SignalKind::hangup()));
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hangup: hangup.transpose()?,
        })
    }

    async fn come(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether a process of which `/proc` says `status` was started with SIGHUP ignored; bit 0 of that mask.
fn hangup_is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// What is to be run, and where its secrets are.
struct Asked<'a> {
    document: &'a Document,
    overrides: Option<groundrun_api::v1::Overrides>,
    project: &'a str,
}

async fn follow(
    running: &Running,
    client: &Client,
    Asked { document, overrides, project }: Asked<'_>,
    json: bool,
    ends: &mut Ends,
) -> Result<Exit, Stop> {
    let prepared = async {
        client.apply(&document.name, &document.value).await?;
        match document.execution() {
            // It is on its way, and the job is not Ready before it has come to something.
            Some(_) => Ok(()),
            None => ready(client, &document.name, project).await,
        }
    };
    tokio::select! {
        prepared = prepared => prepared?,
        () = ends.come() => return Ok(Exit::Cancelled),
    }
    let execution = match document.execution() {
        Some(name) => client.execution(&name).await?,
        None => client.execute(&document.name, overrides).await?,
    };
    let metadata = execution.metadata.unwrap_or_default();
    let name = metadata.name.unwrap_or_default();
    let uid = metadata.uid.as_deref().and_then(|uid| uid.parse().ok()).map(ExecutionUid);
    let uid = uid.ok_or_else(|| Stop::failed("the execution has no uid"))?;

    let changed = Arc::new(Notify::new());
    let mut watcher = running.store().watch();
    let wake = Arc::clone(&changed);
    watcher.on_change(move || wake.notify_one());
    let bell = Arc::clone(&changed);
    let grown = Arc::new(move || bell.notify_one());
    let mut follow = Follow::new(running.store(), running.logs(), uid, grown);
    let mut show = Show::new(name.clone(), json);
    let mut interrupted = false;
    let mut broken = None;
    loop {
        let look = tokio::task::block_in_place(|| follow.look())
            .map_err(|e| Stop::failed(groundrun_core::chain(&e)))?;
        let look = look.ok_or_else(|| Stop::failed(format!("execution {name} was deleted")))?;
        let import = running.import(uid);
        let must_look = import.is_some() || follow.must_look();
        show.look(&look, import, world::now())?;
        if let Some(completed) = &look.execution.state.completed {
            show.end(&client.execution_json(&name).await?, &look.execution)?;
            if let Some(part) = broken {
                return Err(Stop::failed(format!("the {part} ended; run it again")));
            }
            return Ok(match completed.outcome {
                _ if interrupted => Exit::Cancelled,
                Outcome::Succeeded => Exit::Succeeded,
                Outcome::Failed(_) | Outcome::Cancelled => Exit::Failed,
            });
        }
        // Each may be dropped and begun again: a permit of `changed` and a signal are kept.
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY), if must_look => {}
            part = running.broken(), if broken.is_none() => match part {
                "engine" => return Err(Stop::failed("the engine ended; run it again")),
                part => {
                    // What runs must not be left behind.
                    broken = Some(part);
                    client.cancel(&name).await?;
                }
            },
            () = ends.come() => {
                show.stopping();
                interrupted = true;
                client.cancel(&name).await?;
            }
        }
    }
}

/// Waits until the job is Ready; a job that cannot be is told with its reason.
async fn ready(client: &Client, name: &str, project: &str) -> Result<(), Stop> {
    let mut watch = Watch::new(client, "jobs", name);
    let begun = tokio::time::Instant::now();
    let mut tell = true;
    loop {
        let until = begun + if tell { TELL_AFTER } else { READY_WITHIN };
        match tokio::time::timeout_at(until, watch.next()).await {
            Ok(Ok(Seen::Is(job))) => match condition(&job, "Ready") {
                ("True", _) => return Ok(()),
                ("False", message) => {
                    let mut stop = Stop::failed(format!("job {name} cannot run: {message}"));
                    stop.lines.extend(unready::of_run(message, project));
                    return Err(stop);
                }
                _ => {}
            },
            Ok(Ok(Seen::Gone)) => return Err(Stop::failed(format!("job {name} was deleted"))),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) if tell => {
                tell = false;
                eprintln!("asking whether the image can be had");
            }
            Err(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_heeded() {
        assert!(hangup_is_ignored("Name:\tgroundrun\nSigIgn:\t0000000000001001\n"));
        assert!(!hangup_is_ignored("Name:\tgroundrun\nSigIgn:\t0000000000001000\n"));
        assert!(!hangup_is_ignored(""));
    }
}
