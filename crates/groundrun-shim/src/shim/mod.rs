//! The shim: one process per attempt, from before its container to after it.
//!
//! ```text
//!  begin ──▶ cgroups ──▶ sandbox ──▶ monitor ──▶ record ──▶ news ──▶ clean up ──▶ exit
//!    │          └───────────┴─ failed ─────────────▲
//!    └─ begun before: AlreadyBegun, exit
//! ```
//! It needs nothing of the server once it has its launch. It is killed with its container's init (PDEATHSIG), and a pid
//! namespace without init is empty: so no sub-reaper is needed, and a dead shim leaves nothing running.

mod attempt;
mod cgroups;
mod monitor;
mod network;
mod patience;
mod peers;

use std::os::fd::{AsFd, OwnedFd};

use attempt::{Attempt, Begin};
use cgroups::Cgroups;
use monitor::Monitor;
use peers::Peers;

use crate::{
    clock::now,
    log::Writer,
    protocol::{Cause, Container, End, Exit, ExitRecord, Given, Launch, News},
    sandbox::{self, Failure, Layers, Output, Step, Tools},
    sys,
};

/// Runs one attempt in this process, which was just forked for it, and ends the process.
pub(crate) fn run(launch: Launch, tools: &Tools<'_>, server: OwnedFd, given: Option<Given>) -> ! {
    settle(tools, &server, given.as_ref());
    let (namespace, sockets) =
        given.map_or((None, Vec::new()), |given| (Some(given.namespace), given.sockets));
    let mut peers = Peers::new(server, sockets);
    match Attempt::begin(&launch.attempt_dir) {
        Ok(Begin::First(attempt)) => live(launch, namespace, tools, &attempt, &mut peers),
        Ok(Begin::Already) => peers.tell(&News::AlreadyBegun),
        Err(failure) => peers.tell(&News::NotBegun { why: failure.why }),
    }
    sys::process::exit(0)
}

/// Becomes a process of its own: session, name, no descriptor but those it needs.
fn settle(tools: &Tools<'_>, server: &OwnedFd, given: Option<&Given>) {
    sys::signals::for_shim();
    // Neither can fail in a way that matters: a forked child leads no group, and the name is for people.
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"groundrun-shim");
    let mut kept = vec![server.as_fd(), tools.user_namespace];
    kept.extend(tools.hold);
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
    namespace: Option<OwnedFd>,
    tools: &Tools<'_>,
    attempt: &Attempt,
    peers: &mut Peers,
) {
    let network = network::enter(launch.network, namespace, tools.ids);
    let made = match launch.containers.as_slice() {
        [container] => network.and_then(|()| Cgroups::make(&container.cgroups)),
        _ => Err(Failure::ours("an attempt of several containers cannot be started yet")),
    };
    let (record, cgroups) = match made {
        Ok(cgroups) => (attend(&mut launch, tools, attempt, &cgroups, peers), Some(cgroups)),
        Err(failure) => (failed(failure), None),
    };
    // The record first: whoever hears the news may look for it at once.
    let recorded = attempt.record(&record);
    peers.tell(&News::Ended(record.clone()));
    if recorded.is_err() {
        attempt.record_later(&record);
    }
    if let Some(cgroups) = cgroups {
        cgroups.remove();
    }
}

/// Starts the program, watches it to its end, and says how that was.
fn attend(
    launch: &mut Launch,
    tools: &Tools<'_>,
    attempt: &Attempt,
    cgroups: &Cgroups,
    peers: &mut Peers,
) -> ExitRecord {
    let mut monitor = match begin_program(launch, tools, cgroups) {
        Ok(monitor) => monitor,
        Err(failure) => return failed(failure),
    };
    let started = monitor.started();
    peers.tell(&News::Started { at: started });
    launch.files = Vec::new();
    let container = &mut launch.containers[0];
    forget_the_start(container);
    let (exit, cause) = monitor.watch(attempt, peers);
    let ended = now();
    cgroups.see_empty();
    let oom_kills = container.oom_kills.as_ref().and_then(cgroups::read).unwrap_or(0);
    let cause = match (cause, exit) {
        (Cause::OnItsOwn, Exit::Signal(9)) if oom_kills > 0 => Cause::OutOfMemory,
        (cause, _) => cause,
    };
    let end = End::Exited {
        exit,
        cause,
        oom_kills,
        memory_peak: container.memory_peak.as_ref().and_then(cgroups::read),
        message: monitor.termination_message(&container.termination_message_path),
    };
    ExitRecord { started: Some(started), ended, end }
}

/// Arguments and environment can have megabytes, and are the program's now.
fn forget_the_start(container: &mut Container) {
    container.process.argv = Vec::new();
    container.process.env = Vec::new();
    sys::memory::trim();
}

fn begin_program(
    launch: &Launch,
    tools: &Tools<'_>,
    cgroups: &Cgroups,
) -> Result<Monitor, Failure> {
    let log = Writer::new(launch.attempt_dir.join(crate::dir::LOG), launch.log);
    let (stdout, program_stdout) = monitor::pipe().ours("make a pipe")?;
    let (stderr, program_stderr) = monitor::pipe().ours("make a pipe")?;
    let output = Output { stdout: program_stdout, stderr: program_stderr };
    let running = sandbox::start(launch, 0, tools, cgroups.tasks(), cgroups.birthplace(), output)?;
    Ok(Monitor::new(running, stdout, stderr, log, launch.timeout, launch.grace))
}

fn failed(failure: Failure) -> ExitRecord {
    let end = End::StartFailed { whose: failure.whose, why: failure.why };
    ExitRecord { started: None, ended: now(), end }
}
