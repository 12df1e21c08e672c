//! Brings about what is wanted of one attempt: looks at its directory, and starts, connects to or clears it.
//!
//! The decision is a table; the rest does one step at a time and looks again. Lost is said only after the attempt's cgroup
//! was killed and seen empty.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use groundrun_core::{
    chain,
    id::AttemptId,
    port::{AttemptSpec, ContainerSpec},
    record::{Cause, Ending, Exit, Fault},
};
use groundrun_shim::{
    Connection, LaunchError, Received, SpawnerHandle,
    dir::{self, DirError, Standing},
    protocol::{ExitRecord, Given, Launch, News},
};
use jiff::Timestamp;
use rustix::process::Signal;

use crate::{
    attempts::{Attempts, Closed, make},
    book::Wants,
    cgroup::Cgroups,
    config::{HostConfig, Mounts, Network},
    launch::{Attached, Ground, HostFiles, directories, images, launch},
    network::{Namespace, TakeError, TaskNetwork, TaskSockets},
    orphans,
    secrets::{FetchFault, Fetched},
    volumes::make_image,
    watch::{Bell, Waited, wait_readable},
};

/// How often one settling looks again before it is put off. A shim that ends between two of our looks costs two; more mean
/// that something is odd, and then others should have the worker.
const LOOKS_MAX: u32 = 8;

/// Between two looks where the kernel offers nothing to wait for: a shim that holds its lock but does not listen yet, or
/// no longer.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a worker waits for the first news of a launch. A start takes milliseconds; on a machine that is busy enough
/// for this, waiting longer would only keep other starts from being tried.
const FIRST_NEWS: Duration = Duration::from_secs(10);

/// How long SIGKILL may take to empty a cgroup before the attempt is put off. Processes in uninterruptible I/O can take
/// any time.
const KILL: Duration = Duration::from_secs(5);

/// What came of one settling.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It runs, or is about to; the rest is heard on the connection.
    Live {
        connection: Arc<Connection>,
        started: Option<Timestamp>,
        /// Where it already said that it keeps any.
        sockets: Option<TaskSockets>,
    },
    /// It is over, and nothing of it is left running.
    Over { at: Timestamp, ending: Ending },
    /// Nothing can be said yet.
    Later { wants: Wants, why: String },
}

/// Whatever a settling needs.
pub(crate) struct Means {
    pub(crate) config: HostConfig,
    pub(crate) attempts: Attempts,
    pub(crate) cgroups: Cgroups,
    pub(crate) mounts: Arc<dyn Mounts>,
    pub(crate) spawner: SpawnerHandle,
    pub(crate) host_files: HostFiles,
    /// Where tasks have private ones.
    pub(crate) network: Option<TaskNetwork>,
    pub(crate) closing: Bell,
}

/// The next step for an attempt.
#[derive(Debug, PartialEq)]
enum Step {
    /// Its record says how it ended.
    Report(ExitRecord),
    /// Its shim lives.
    Connect,
    /// Run it.
    Launch(Box<AttemptSpec>),
    /// See to it that it never begins.
    Close,
    /// See to it that it never begins, kill what may be left of it after all; then it is lost.
    GiveUp { why: String },
    /// It began: kill what may be left of it; then it is lost.
    Clear { why: String },
}

/// Starts nothing that was ever begun, and nothing that is to stop.
fn decide(standing: Result<Standing, DirError>, wants: &Wants) -> Result<Step, DirError> {
    Ok(match standing {
        Ok(Standing::Ended(record)) => Step::Report(record),
        Ok(Standing::Running) => Step::Connect,
        Ok(Standing::Vanished) => {
            Step::Clear { why: "its monitor died without a record of how it ended".to_owned() }
        }
        Ok(Standing::NotBegun) => match wants {
            Wants { stop: Some(_), .. } => Step::Close,
            Wants { start: Some(spec), stop: None } => Step::Launch(spec.clone()),
            Wants { start: None, stop: None } => {
                Step::GiveUp { why: "no trace of it was found on this machine".to_owned() }
            }
        },
        // The lock was looked at before: no shim lives that could still write it.
        Err(err) if err.err.kind() == io::ErrorKind::Other && err.path.ends_with(dir::EXIT) => {
            Step::Clear { why: format!("its record cannot be used: {}", chain(&err)) }
        }
        Err(err) => return Err(err),
    })
}

impl Means {
    /// Settles `id`. `stop_asked` tells whether a wish to stop came meanwhile.
    pub(crate) fn settle(
        &self,
        id: AttemptId,
        mut wants: Wants,
        stop_asked: impl Fn() -> Option<Duration>,
    ) -> Settled {
        let dir = self.attempts.dir(id);
        let mut why = String::new();
        for _ in 0..LOOKS_MAX {
            wants.stop = wants.stop.or_else(&stop_asked);
            let settled = match decide(dir::standing(&dir), &wants) {
                Ok(Step::Report(record)) => Ok(Some(reported(record))),
                Ok(Step::Connect) => self.connect(&dir),
                Ok(Step::Launch(spec)) => self.launch(&spec),
                Ok(Step::Close) => self.close(id),
                Ok(Step::GiveUp { why }) => self.give_up(id, why),
                Ok(Step::Clear { why }) => self.clear(id, why).map(Some),
                Err(err) => Err(chain(&err)),
            };
            match settled {
                Ok(Some(settled)) => return settled,
                Ok(None) => {}
                Err(err) => {
                    why = err;
                    break;
                }
            }
        }
        if why.is_empty() {
            why = "its directory says one thing and its shim another".to_owned();
        }
        Settled::Later { wants, why }
    }

    /// `None`: nobody listens; look again.
    fn connect(&self, dir: &Path) -> Result<Option<Settled>, String> {
        match Connection::open(dir) {
            Ok(connection) => {
                let connection = Arc::new(connection);
                Ok(Some(Settled::Live { connection, started: None, sockets: None }))
            }
            Err(_) => match self.closing.wait(LOOK_EVERY) {
                Waited::Rung => Err("the server stops".to_owned()),
                Waited::TimedOut => Ok(None),
            },
        }
    }

    /// `None`: it was begun by somebody else; look again.
    fn launch(&self, spec: &AttemptSpec) -> Result<Option<Settled>, String> {
        let (attached, given) = match self.attach(spec) {
            Ok(attached) => attached,
            // It is nobody's fault, and can be had when another one ends.
            Err(TakeError::Full(why)) => return Err(why),
            Err(TakeError::Failed(why)) => {
                return Ok(Some(self.not_started(StartFailed::ours(why))));
            }
        };
        let (launch, fetched) = match self.prepare(spec, &attached) {
            Ok(prepared) => prepared,
            Err(failed) => return Ok(Some(self.not_started(failed))),
        };
        let launched = self.spawner.launch_sealed(&launch, &fetched.sealed(), given.as_ref());
        drop(fetched);
        let connection = match launched {
            Ok(connection) => Arc::new(connection),
            // Nothing can be started any more, and that is no fault of this attempt: it waits for the next server.
            Err(err @ LaunchError::SpawnerGone) => return Err(chain(&err)),
            Err(err) => return Ok(Some(self.not_started(StartFailed::of_ours(err)))),
        };
        // What the shim has, lives with it from now on.
        drop(given);
        let mut kept = None;
        loop {
            match wait_readable(&connection, &self.closing, FIRST_NEWS) {
                Waited::Rung => {}
                Waited::TimedOut => {
                    return Ok(Some(Settled::Live { connection, started: None, sockets: kept }));
                }
            }
            match connection.try_receive() {
                Ok(Received::Hello { sockets, .. }) => kept = TaskSockets::from_list(sockets),
                Ok(Received::News(News::Hello { .. })) => {}
                Ok(Received::Nothing) if self.closing.is_rung() => {
                    return Err("the server stops".to_owned());
                }
                Ok(Received::Nothing) => {}
                Ok(Received::News(News::Started { at })) => {
                    let started = Some(at.into());
                    return Ok(Some(Settled::Live { connection, started, sockets: kept }));
                }
                Ok(Received::News(News::Ended(record))) => return Ok(Some(reported(record))),
                Ok(Received::News(News::AlreadyBegun)) => return Ok(None),
                Ok(Received::News(News::NotBegun { why })) => {
                    return Ok(Some(self.not_started(StartFailed::ours(why))));
                }
                Ok(Received::Closed) | Err(_) => return self.hung_up_early(spec.id),
            }
        }
    }

    /// The shim, or the spawner before it made one, is gone without a word. `None`: it was begun; look again.
    fn hung_up_early(&self, id: AttemptId) -> Result<Option<Settled>, String> {
        match self.attempts.close(id) {
            Ok(Closed::Now) => {
                let why = "the spawner died, or the attempt's monitor before it began".to_owned();
                Ok(Some(self.not_started(StartFailed::ours(why))))
            }
            Ok(Closed::TooLate) => Ok(None),
            Err(err) => Err(chain(&err)),
        }
    }

    /// The network for an attempt, and what of it goes with the launch.
    fn attach(&self, spec: &AttemptSpec) -> Result<(Attached, Option<Given>), TakeError> {
        let network = match (&self.config.network, &self.network, &spec.connection) {
            (Network::Private(_), network, _) => network.as_ref(),
            // Whoever has no network of its own cannot be attached to a second one, and is told so.
            (_, _, Some(connection)) => {
                return Err(TakeError::from(self.config.networks.refusal(connection)));
            }
            (Network::Host, _, None) => return Ok((Attached::Host, None)),
            (Network::None, _, None) => return Ok((Attached::None, None)),
        };
        let network =
            network.ok_or_else(|| TakeError::Failed("the private network is not up".to_owned()))?;
        let mut namespace = network.take()?;
        if let Some(connection) = &spec.connection {
            self.config.networks.attach(connection, &mut namespace)?;
        }
        let Namespace { namespace, address, sockets, .. } = namespace;
        let attached = Attached::Private { address, host: network.host() };
        Ok((attached, Some(Given { namespace, sockets: sockets.into_list() })))
    }

    fn prepare(
        &self,
        spec: &AttemptSpec,
        attached: &Attached,
    ) -> Result<(Launch, Fetched), StartFailed> {
        let fetched = Fetched::of(spec, &*self.config.secrets)
            .map_err(|FetchFault { whose, why }| StartFailed { whose, why })?;
        self.cgroups.stand().map_err(StartFailed::of_ours)?;
        let grounds = self.grounds(spec)?;
        let dir = self
            .make_dirs(spec)
            .map_err(|(dir, err)| StartFailed::ours(format!("make {}: {err}", dir.display())))?;
        launch(spec, grounds, &dir, &self.config, attached, &self.host_files, &fetched)
            .map(|launch| (launch, fetched))
            .map_err(|fault| StartFailed { whose: Fault::Theirs, why: fault.to_string() })
    }

    fn grounds(&self, spec: &AttemptSpec) -> Result<Vec<Ground>, StartFailed> {
        let is_one = spec.containers.len() == 1;
        let ground = |(index, container): (usize, &ContainerSpec)| {
            let image = self.mounts.mountable(&container.image).map_err(StartFailed::of_ours)?;
            let cgroup = match is_one {
                true => self.cgroups.attempt(spec.id, container.limits),
                false => self.cgroups.container(spec.id, index, container.limits),
            };
            Ok(Ground { image, cgroup })
        };
        spec.containers.iter().enumerate().map(ground).collect()
    }

    fn make_dirs(&self, spec: &AttemptSpec) -> Result<PathBuf, (PathBuf, io::Error)> {
        let dir = self.attempts.dir(spec.id);
        self.attempts.make(spec.id).map_err(|err| (dir.clone(), err))?;
        for below in directories(spec, &dir, &self.config) {
            make(&below).map_err(|err| (below, err))?;
        }
        for (file, bytes) in images(spec, &dir) {
            make_image(&file, bytes).map_err(|err| (file, err))?;
        }
        Ok(dir)
    }

    fn not_started(&self, StartFailed { whose, why }: StartFailed) -> Settled {
        Settled::Over {
            at: (self.config.clock)(),
            ending: Ending::StartFailed { whose, why, container: None },
        }
    }

    /// `None`: it was begun meanwhile; look again.
    fn close(&self, id: AttemptId) -> Result<Option<Settled>, String> {
        match self.attempts.close(id) {
            Ok(Closed::Now) => {
                Ok(Some(Settled::Over { at: (self.config.clock)(), ending: stopped_unbegun() }))
            }
            Ok(Closed::TooLate) => Ok(None),
            Err(err) => Err(format!("close {id}: {err}")),
        }
    }

    /// `None`: it was begun meanwhile, by a launch that an earlier server left on its way; look again.
    fn give_up(&self, id: AttemptId, why: String) -> Result<Option<Settled>, String> {
        match self.attempts.close(id) {
            Ok(Closed::Now) => self.clear(id, why).map(Some),
            Ok(Closed::TooLate) => Ok(None),
            Err(err) => Err(format!("close {id}: {err}")),
        }
    }

    fn clear(&self, id: AttemptId, why: String) -> Result<Settled, String> {
        self.cgroups.kill(id, KILL).map_err(|err| chain(&err))?;
        orphans::kill(&self.attempts.dir(id), KILL)
            .map_err(|err| format!("kill the containers of {id}: {err}"))?;
        Ok(Settled::Over { at: (self.config.clock)(), ending: Ending::Lost { why } })
    }

    /// When a settling that said `Later` is tried again.
    pub(crate) fn again_at() -> Instant {
        /// Long enough to cost nothing, short enough that nobody notices when what stood in the way is gone.
        const AGAIN_AFTER: Duration = Duration::from_secs(1);
        Instant::now() + AGAIN_AFTER
    }
}

/// Nothing of it ran.
struct StartFailed {
    whose: Fault,
    why: String,
}

impl StartFailed {
    fn ours(why: String) -> Self {
        Self { whose: Fault::Ours, why }
    }

    fn of_ours(err: impl Error) -> Self {
        Self::ours(chain(&err))
    }
}

fn reported(record: ExitRecord) -> Settled {
    Settled::Over { at: record.ended.into(), ending: record.end.into() }
}

/// An attempt that was asked to stop before it began: as if it had been stopped the moment it did.
fn stopped_unbegun() -> Ending {
    Ending::Exited {
        exit: Exit::Signal(Signal::TERM.as_raw()),
        cause: Cause::Asked,
        memory_peak: None,
        message: None,
        container: None,
    }
}

#[cfg(test)]
mod tests {
    use groundrun_shim::protocol::{End, Exit, UnixNanos};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn spec() -> Box<AttemptSpec> {
        Box::new(AttemptSpec {
            id: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/0-0".parse().expect("it is an id"),
            hostname: String::new(),
            service_account: String::new(),
            containers: vec![ContainerSpec::default()],
            volumes: vec![],
            connection: None,
            timeout: SECOND,
            grace: SECOND,
        })
    }

    fn record() -> ExitRecord {
        let end = End::Exited {
            exit: Exit::Code(3),
            cause: groundrun_shim::protocol::Cause::OnItsOwn,
            oom_kills: 0,
            memory_peak: None,
            message: None,
        };
        ExitRecord { started: None, ended: UnixNanos(0), end }
    }

    fn every_wish() -> Vec<Wants> {
        let starts = [None, Some(spec())];
        let stops = [None, Some(SECOND)];
        starts
            .into_iter()
            .flat_map(|start| stops.map(|stop| Wants { start: start.clone(), stop }))
            .collect()
    }

    fn step(standing: Standing, wants: &Wants) -> Step {
        decide(Ok(standing), wants).expect("the directory could be read")
    }

    #[test]
    fn only_what_was_never_begun_and_is_not_to_stop_is_launched() {
        let standings =
            [Standing::Running, Standing::Ended(record()), Standing::Vanished, Standing::NotBegun];
        for standing in standings {
            for wants in every_wish() {
                let launched = matches!(step(standing.clone(), &wants), Step::Launch(_));
                let expected =
                    standing == Standing::NotBegun && wants.start.is_some() && wants.stop.is_none();
                assert_eq!(launched, expected, "{standing:?} {wants:?}");
            }
        }
    }

    #[test]
    fn a_record_is_reported_whatever_is_wanted() {
        for wants in every_wish() {
            assert_eq!(step(Standing::Ended(record()), &wants), Step::Report(record()));
        }
    }

    #[test]
    fn a_vanished_attempt_is_cleared_before_it_is_lost() {
        for wants in every_wish() {
            assert!(matches!(step(Standing::Vanished, &wants), Step::Clear { .. }));
        }
    }

    #[test]
    fn what_is_said_to_run_and_never_began_is_closed_before_it_is_lost() {
        let step = step(Standing::NotBegun, &Wants::default());
        assert!(matches!(step, Step::GiveUp { .. }), "{step:?}");
    }

    #[test]
    fn what_is_to_stop_before_it_began_is_closed() {
        let wants = Wants { start: Some(spec()), stop: Some(SECOND) };
        assert_eq!(step(Standing::NotBegun, &wants), Step::Close);
    }

    #[test]
    fn a_record_that_cannot_be_used_is_as_good_as_none_and_a_failing_disk_is_not() {
        let fault = |kind: io::ErrorKind| DirError {
            path: PathBuf::from("/a").join(dir::EXIT),
            err: io::Error::new(kind, "bad"),
        };
        let wants = Wants::default();
        let step = decide(Err(fault(io::ErrorKind::Other)), &wants).expect("it is decided");
        assert!(matches!(step, Step::Clear { .. }));
        assert!(decide(Err(fault(io::ErrorKind::PermissionDenied)), &wants).is_err());
    }

    #[test]
    fn a_chain_of_errors_is_one_line() {
        let err = io::Error::other(io::Error::other("inner"));
        assert!(chain(&err).contains("inner"));
    }
}
