//! The shim: one process per attempt, from before its containers to after them.
//!
//! ```text
//!  begin ──▶ relay, network, cgroups ──▶ shared ──▶ monitor (sandbox of each) ──▶ record ──▶ news ──▶ clean up ──▶ exit
//!    │            └──────────────┴── failed ─────────────────────────────▲
//!    └─ begun before: AlreadyBegun, exit
//! ```
//! It needs nothing of the server once it has its launch. With it each container's init is killed (PDEATHSIG), and a pid
//! namespace without init is empty: so no sub-reaper is needed, and a dead shim leaves nothing running.

mod attempt;
mod cgroups;
mod ensemble;
mod monitor;
mod network;
mod patience;
mod peers;
mod probe;

use std::os::fd::{AsFd, OwnedFd};

use attempt::{Attempt, Begin};
use cgroups::Cgroups;
use ensemble::Verdict;
use monitor::Monitor;
pub(crate) use peers::Ear;
use peers::Peers;

use crate::{
    clock::now,
    log,
    mounter::{Mounters, NotMounted},
    protocol::{Cause, End, Exit, ExitRecord, Given, Launch, News},
    relay::Relay,
    sandbox::{self, Failure, Layers, Tools},
    sealed::Sealed,
    sys,
};

/// Runs one attempt in this process, which was just forked for it, and ends the process.
pub(crate) fn run(
    launch: Launch,
    sealed: Sealed,
    tools: &Tools<'_>,
    server: OwnedFd,
    given: Option<Given>,
) -> ! {
    settle(tools, &sealed, &server, given.as_ref());
    let (namespace, sockets) =
        given.map_or((None, Vec::new()), |given| (Some(given.namespace), given.sockets));
    let mut peers = Peers::new(server, sockets);
    match Attempt::begin(&launch.attempt_dir) {
        Ok(Begin::First(attempt)) => live(launch, sealed, namespace, tools, &attempt, &mut peers),
        Ok(Begin::Already) => peers.tell(&News::AlreadyBegun),
        Err(failure) => peers.tell(&News::NotBegun { why: failure.why }),
    }
    sys::process::exit(0)
}

/// Becomes a process of its own: session, name, no descriptor but those it needs.
fn settle(tools: &Tools<'_>, sealed: &Sealed, server: &OwnedFd, given: Option<&Given>) {
    sys::signals::for_shim();
    // Neither can fail in a way that matters: a forked child leads no group, and the name is for people.
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"groundrun-shim");
    let mut kept = vec![server.as_fd(), tools.user_namespace];
    kept.extend(tools.hold);
    kept.extend(sealed.descriptor());
    kept.extend(tools.layers.iter().flat_map(Layers::descriptors));
    kept.extend(
        given
            .iter()
            .flat_map(|given| given.sockets.iter().chain([&given.namespace]))
            .map(AsFd::as_fd),
    );
    // Without close_range (Linux 5.9) nothing else here would work either.
    let _ = sys::fds::close_all_but(&kept);
}

fn live(
    mut launch: Launch,
    sealed: Sealed,
    namespace: Option<OwnedFd>,
    tools: &Tools<'_>,
    attempt: &Attempt,
    peers: &mut Peers,
) {
    // In the machine's network, which this process leaves next.
    let relay = match launch.instances.is_empty() {
        true => Ok(None),
        false => Relay::start(&launch).map(Some),
    };
    let entered = relay.map_err(NotMounted::Failed).and_then(|relay| {
        // Likewise, and in a mount namespace that nothing else of ours is in.
        let mounters = Mounters::start(&launch, &mut Ear::new(attempt, peers))?;
        sandbox::nfs::resolve(&mut launch, &mut Ear::new(attempt, peers))?;
        network::enter(launch.network, namespace, tools.ids)?;
        Ok((relay, mounters, make_cgroups(&launch)?))
    });
    let (record, cgroups) = match entered {
        Ok((relay, mounters, cgroups)) => {
            let record = attend(&mut launch, sealed, tools, attempt, &cgroups, relay, peers);
            // What is not written back yet is there when the end is told.
            sandbox::nfs::settle(&launch);
            drop(mounters);
            (record, cgroups)
        }
        Err(NotMounted::Failed(failure)) => (failed(failure), Vec::new()),
        Err(NotMounted::Asked) => (stopped(&launch), Vec::new()),
    };
    // The record first: whoever hears the news may look for it at once.
    let recorded = attempt.record(&record);
    peers.tell(&News::Ended(record.clone()));
    if recorded.is_err() {
        attempt.record_later(&record);
    }
    cgroups.into_iter().for_each(Cgroups::remove);
}

/// Those of each container, or none.
fn make_cgroups(launch: &Launch) -> Result<Vec<Cgroups>, Failure> {
    if launch.containers.len() > log::CONTAINERS_MAX {
        return Err(Failure::ours("more containers than a log can tell apart"));
    }
    let mut made = Vec::with_capacity(launch.containers.len());
    for container in &launch.containers {
        match Cgroups::make(&container.cgroups) {
            Ok(cgroups) => made.push(cgroups),
            Err(failure) => {
                made.into_iter().for_each(Cgroups::remove);
                return Err(failure);
            }
        }
    }
    Ok(made)
}

/// Starts the programs, watches them to the end of all, and says how that was.
fn attend(
    launch: &mut Launch,
    sealed: Sealed,
    tools: &Tools<'_>,
    attempt: &Attempt,
    cgroups: &[Cgroups],
    mut relay: Option<Relay>,
    peers: &mut Peers,
) -> ExitRecord {
    let notes = match sandbox::shared::is_needed(launch) {
        true => {
            let ear = &mut Ear::new(attempt, peers);
            sandbox::shared::prepare(launch, tools.ids, relay.as_mut(), &sealed, ear)
        }
        false => Ok(Vec::new()),
    };
    let made =
        notes.and_then(|notes| Ok((notes, Monitor::new(launch, sealed, tools, cgroups, relay)?)));
    let mut monitor = match made {
        Ok((notes, mut monitor)) => {
            notes.iter().for_each(|note| monitor.note(note));
            monitor
        }
        Err(NotMounted::Failed(failure)) => return failed(failure),
        Err(NotMounted::Asked) => return stopped(launch),
    };
    let verdict = monitor.watch(attempt, peers);
    let ended = now();
    cgroups.iter().for_each(Cgroups::see_empty);
    let (index, end) = end_of(verdict, &monitor);
    let started = monitor.started();
    ExitRecord { started, ended, end: told_of(launch, index, end) }
}

/// The end of the container at `index`, with its name where there are several.
fn told_of(launch: &Launch, index: usize, end: End) -> End {
    match (launch.containers.as_slice(), end) {
        ([_, _, ..], end @ (End::Exited { .. } | End::StartFailed { .. })) => {
            End::Of { container: launch.containers[index].name.clone(), end: Box::new(end) }
        }
        (_, end) => end,
    }
}

/// As if the first container had been terminated the moment it started, as an [`Ensemble`](ensemble::Ensemble) has it.
fn stopped(launch: &Launch) -> ExitRecord {
    let end = End::Exited {
        exit: Exit::Signal(libc::SIGTERM),
        cause: Cause::Asked,
        oom_kills: 0,
        memory_peak: None,
        message: None,
    };
    ExitRecord { started: None, ended: now(), end: told_of(launch, 0, end) }
}

/// What an attempt came to, and which container made it so.
fn end_of(verdict: Verdict, monitor: &Monitor<'_>) -> (usize, End) {
    match verdict {
        Verdict::StartFailed { index } => {
            let Failure { whose, why } = monitor
                .failure(index)
                .cloned()
                .unwrap_or_else(|| Failure::ours("the container could not be started"));
            (index, End::StartFailed { whose, why })
        }
        Verdict::ProbeFailed { index, why } => {
            (index, End::ProbeFailed { container: monitor.container(index).name.clone(), why })
        }
        Verdict::Exited { index, exit, cause } => {
            let container = monitor.container(index);
            let oom_kills = monitor.oom_kills(index);
            let cause = match (cause, exit) {
                (Cause::OnItsOwn, Exit::Signal(9)) if oom_kills > 0 => Cause::OutOfMemory,
                (cause, _) => cause,
            };
            let memory_peak = container.memory_peak.as_ref().and_then(cgroups::read);
            let message = monitor.termination_message(index);
            (index, End::Exited { exit, cause, oom_kills, memory_peak, message })
        }
    }
}

fn failed(failure: Failure) -> ExitRecord {
    let end = End::StartFailed { whose: failure.whose, why: failure.why };
    ExitRecord { started: None, ended: now(), end }
}
