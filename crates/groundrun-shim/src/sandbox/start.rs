//! The shim's side of a start: prepares all that can be prepared outside, clones the init, hears what came of it.

use std::{
    ffi::CString,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
    process::{PidfdFlags, WaitId, WaitIdOptions},
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{Failure, Layers, Owner, Step, init, shared};
use crate::{
    clock::now,
    enter::Ids,
    protocol::{Container, Launch, Process, UnixNanos},
    sealed::Sealed,
    seccomp::Instruction,
    sys::{self, clone::Birthplace},
};

/// What every start needs and the spawner keeps ready.
#[derive(Clone, Debug)]
pub(crate) struct Tools<'spawner> {
    /// The filter of system calls.
    pub(crate) filter: &'spawner [Instruction],
    /// That of the launch's id range.
    pub(crate) user_namespace: BorrowedFd<'spawner>,
    /// Those of each container of the launch.
    pub(crate) layers: Vec<Layers<'spawner>>,
    /// What is to be undone of the shim's.
    pub(crate) oom_score: OomScore,
    /// The ids that containers can have.
    pub(crate) ids: Ids,
    /// What the shim keeps open as long as it lives.
    pub(crate) hold: Option<BorrowedFd<'spawner>>,
}

/// What the shim inherited of the kernel's inclination to kill it for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OomScore {
    /// What a program shall have.
    Usual,
    /// Less: a program must not have it from us, but this.
    Reset(i32),
}

impl OomScore {
    /// `before` is what this process was born with, `now` what it could make of it. A program is as likely to be killed as
    /// what started the server, and never less than every process.
    pub(crate) fn of(before: i32, now: i32) -> Self {
        let usual = before.max(0);
        if now == usual { Self::Usual } else { Self::Reset(usual) }
    }
}

impl OomScore {
    pub(super) fn reset(self) -> Result<(), Failure> {
        match self {
            Self::Usual => Ok(()),
            Self::Reset(score) => std::fs::write("/proc/self/oom_score_adj", score.to_string())
                .ours("reset the oom score"),
        }
    }
}

/// The writing ends of the program's output.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// A container whose program runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// When its program began, by the init's own look at the clock: the shim's comes later.
    pub(crate) started: UnixNanos,
    /// Its init, as a pidfd.
    pub(crate) init: OwnedFd,
    /// Its root directory, readable after its end too.
    pub(crate) root: OwnedFd,
    /// Its `/dev`, likewise.
    pub(crate) dev: OwnedFd,
}

/// All that the init works with.
#[derive(Debug)]
pub(super) struct Plan<'shim> {
    pub(super) launch: &'shim Launch,
    pub(super) container: &'shim Container,
    pub(super) layers: &'shim Layers<'shim>,
    pub(super) tools: &'shim Tools<'shim>,
    pub(super) tasks: &'shim [OwnedFd],
    pub(super) stdout: BorrowedFd<'shim>,
    pub(super) stderr: BorrowedFd<'shim>,
    pub(super) argv: &'shim [CString],
    pub(super) env: &'shim [CString],
    /// The shim, as a pidfd.
    pub(super) shim: BorrowedFd<'shim>,
    report: BorrowedFd<'shim>,
}

/// What the init tells the shim.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    /// All is done but the exec. Carries the root and `/dev`.
    Executing {
        /// Now.
        at: UnixNanos,
    },
    /// It will not be the program.
    Failed(Failure),
}

/// Starts the program of the container at `index` of `launch`. Nothing is left of it when that fails.
///
/// `sealed` has the values of its variables; `tasks` are the files by which version 1 cgroups are joined, `birthplace` is the version 2 one.
pub(crate) fn start(
    (launch, index): (&Launch, usize),
    sealed: &Sealed,
    tools: &Tools<'_>,
    tasks: &[OwnedFd],
    birthplace: Birthplace<'_>,
    output: Output,
) -> Result<Running, Failure> {
    let (Some(container), Some(layers)) = (launch.containers.get(index), tools.layers.get(index))
    else {
        return Err(Failure::ours(format!("there is no container {index}")));
    };
    let process = &container.process;
    let argv = c_strings(process.argv.iter().cloned())?;
    let env = environment(process, sealed)?;
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .ours("open the shim's pidfd")?;
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .ours("make a socket")?;
    let plan = Plan {
        launch,
        container,
        layers,
        tools,
        tasks,
        stdout: output.stdout.as_fd(),
        stderr: output.stderr.as_fd(),
        argv: &argv,
        env: &env,
        shim: own.as_fd(),
        report: theirs.as_fd(),
    };
    let init = sys::clone::borrow_until_exec(namespaces(launch), birthplace, || {
        match init::become_program(&plan) {
            Ok(never) => never,
            Err(failure) => {
                // Unsaid, it is still seen that nothing was executed.
                let _ = plan.send(&Report::Failed(failure), &[]);
                sys::clone::end_child()
            }
        }
    })
    .ours("clone the container")?;
    drop(theirs);
    hear(&ours, init)
}

/// Wiped when the program has it.
fn environment(process: &Process, sealed: &Sealed) -> Result<Zeroizing<Vec<CString>>, Failure> {
    let plain = c_strings(process.env.iter().map(|(name, value)| format!("{name}={value}")))?;
    let mut env = Zeroizing::new(plain);
    for (name, place) in &process.sealed_env {
        let step = || format!("set variable {name:?} from a secret");
        let before = format!("{name}=");
        let mut text = sealed.read_behind(before.as_bytes(), *place, b"\0").ours(step())?;
        let text = CString::from_vec_with_nul(std::mem::take(&mut *text));
        env.push(text.map_err(|err| {
            // It would show the value.
            err.into_bytes().zeroize();
            Failure::theirs(format!("{}: it has a NUL in it", step()))
        })?);
    }
    Ok(env)
}

/// The network is the shim's own, which entered it.
fn namespaces(launch: &Launch) -> libc::c_int {
    let own = libc::CLONE_NEWNS | libc::CLONE_NEWPID;
    match shared::is_needed(launch) {
        true => own,
        false => own | shared::NAMESPACES,
    }
}

/// The init has executed or ended: reads what it said.
fn hear(socket: &OwnedFd, init: OwnedFd) -> Result<Running, Failure> {
    let mut executing = None;
    loop {
        match receive(socket).ours("hear the container")? {
            Some((Report::Executing { at }, fds)) => executing = fds.map(|fds| (at, fds)),
            Some((Report::Failed(failure), _)) => {
                reap(&init);
                return Err(failure);
            }
            None => break,
        }
    }
    match executing {
        Some((started, [root, dev])) => Ok(Running { started, init, root, dev }),
        None => Err(Failure::ours(match reap(&init) {
            Some(signal) => format!("the container was killed by signal {signal} while starting"),
            None => "the container ended while starting".to_owned(),
        })),
    }
}

/// Waits for an init that has ended; the signal that killed it.
fn reap(init: &OwnedFd) -> Option<i32> {
    let status = rustix::process::waitid(WaitId::PidFd(init.as_fd()), WaitIdOptions::EXITED);
    status.ok().flatten().and_then(|status| status.terminating_signal())
}

fn receive(socket: &OwnedFd) -> rustix::io::Result<Option<(Report, Option<[OwnedFd; 2]>)>> {
    let mut packet = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut packet)];
    let received = loop {
        match rustix::net::recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let report = postcard::from_bytes(&packet[..received.bytes]).map_err(|_| Errno::BADMSG)?;
    let fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    Ok(Some((report, fds.try_into().ok())))
}

impl Plan<'_> {
    /// Ids inside, as the machine sees them.
    pub(super) fn owner(&self, uid: u32, gid: u32) -> Owner {
        // Both are below IDS, and the server gives ranges that fit.
        let base = self.launch.id_base;
        Owner { uid: base.saturating_add(uid), gid: base.saturating_add(gid) }
    }

    pub(super) fn report_executing(&self, root: &OwnedFd, dev: &OwnedFd) -> Result<(), Failure> {
        self.send(&Report::Executing { at: now() }, &[root.as_fd(), dev.as_fd()])
            .ours("tell the shim")
    }

    fn send(&self, report: &Report, fds: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
        let packet = postcard::to_allocvec(report).map_err(|_| Errno::BADMSG)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let slices = [IoSlice::new(&packet)];
        rustix::net::sendmsg(self.report, &slices, &mut control, SendFlags::NOSIGNAL).map(drop)
    }
}

fn c_strings(strings: impl Iterator<Item = String>) -> Result<Vec<CString>, Failure> {
    strings
        .map(|text| {
            CString::new(text).map_err(|err| {
                let text = String::from_utf8_lossy(&err.into_vec()).into_owned();
                Failure::theirs(format!("an argument or variable has a NUL in it: {text:?}"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_as_likely_to_be_killed_as_every_process_or_more() {
        assert_eq!(OomScore::of(0, 0), OomScore::Usual);
        assert_eq!(OomScore::of(0, -999), OomScore::Reset(0));
        assert_eq!(OomScore::of(-500, -999), OomScore::Reset(0));
        // As the user manager of systemd has it, and it may not be lowered.
        assert_eq!(OomScore::of(200, 200), OomScore::Usual);
    }
}
