//! The relay: a process beside the shim that passes connections from sockets in a task's containers to databases, in the
//! machine's own network. It lives as long as its shim, so that no end of a server cuts a connection.
//!
//! ```text
//!  container ──/cloudsql/p:r:i──▶ relay ──▶ database          machine's network, the server's user, no cgroup of the task
//!                                  │ ▲
//!                     Word: ready, note ▼ │ hangs up: end
//!                                 shim ── its task's network, mounts and log
//! ```
//! Only attempts with instances have one. The sockets are made before it is forked, on a file system of their own that
//! containers see read-only; where each leads is fixed from then on, and nothing of what is passed is understood.

mod notes;
mod pass;
mod program;
mod serve;
mod sockets;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, Shutdown},
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

use crate::{
    protocol::Launch,
    sandbox::{Failure, Owner, Step},
    spawner::packet_pair,
    sys::{self, process::Fork},
};

/// What the relay tells the shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Word {
    /// Whoever connects from now on is served.
    Ready,
    /// It will not be ready.
    Failed(String),
    /// A line for the task's log.
    Note(String),
}

/// Longest packet: a note quotes a path and an error.
const WORD_BYTES_MAX: usize = 4096;

/// How long its end may take; then it is killed. It has nothing to save, and only kills what it started.
const END_WITHIN: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The shim's hold of a relay.
#[derive(Debug)]
pub(crate) struct Relay {
    process: OwnedFd,
    words: OwnedFd,
    /// The file system with the sockets, until it is mounted.
    mount: Option<OwnedFd>,
    standing: Standing,
}

/// Whether containers may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not yet.
    Preparing,
    /// They may.
    Ready,
    /// They never may.
    Failed(Failure),
}

impl Relay {
    /// Makes the sockets of the launch's instances, and the process that serves them. To be called in the machine's network.
    pub(crate) fn start(launch: &Launch) -> Result<Self, Failure> {
        let owner = Owner { uid: launch.id_base, gid: launch.id_base };
        let sockets = sockets::make(&launch.instances, owner)?;
        let step = "start the relay to databases";
        let (ours, theirs) = packet_pair().ours(step)?;
        match sys::process::fork().ours(step)? {
            Fork::Child => {
                drop(ours);
                serve::live(&launch.instances, sockets, theirs)
            }
            Fork::Parent(pid) => Ok(Self {
                process: open(pid).ours(step)?,
                words: ours,
                mount: Some(sockets.mount),
                standing: Standing::Preparing,
            }),
        }
    }

    /// The file system with the sockets, once.
    pub(crate) fn take_mount(&mut self) -> Option<OwnedFd> {
        self.mount.take()
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Readable when there is something to [hear](Self::hear).
    pub(crate) fn words(&self) -> Option<BorrowedFd<'_>> {
        (!matches!(self.standing, Standing::Failed(_))).then(|| self.words.as_fd())
    }

    /// Takes in what it said; the lines for the log.
    pub(crate) fn hear(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        loop {
            let mut packet = [0; WORD_BYTES_MAX];
            let word = match rustix::net::recv(&self.words, &mut packet, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return notes,
                Ok((1.., length)) => {
                    postcard::from_bytes(&packet[..length.min(WORD_BYTES_MAX)]).ok()
                }
                Ok((0, _)) | Err(_) => None,
            };
            match word {
                Some(Word::Ready) => self.standing = Standing::Ready,
                Some(Word::Note(text)) => notes.push(text),
                Some(Word::Failed(why)) => self.standing = Standing::Failed(Failure::ours(why)),
                None => {
                    let why = "the relay to databases ended";
                    if self.standing == Standing::Ready {
                        notes.push(format!("{why}: there are no more connections to them"));
                    }
                    // What it said before it ended stays.
                    if !matches!(self.standing, Standing::Failed(_)) {
                        self.standing = Standing::Failed(Failure::ours(why));
                    }
                    return notes;
                }
            }
        }
    }
}

impl Drop for Relay {
    /// Ends it, and sees that it has ended.
    fn drop(&mut self) {
        // It may be gone already.
        let _ = rustix::net::shutdown(&self.words, Shutdown::Both);
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        if !matches!(poll(&mut ended, Some(&END_WITHIN)), Ok(1..)) {
            let _ = pidfd_send_signal(&self.process, Signal::KILL);
        }
        let process = || WaitId::PidFd(self.process.as_fd());
        while let Err(Errno::INTR) = rustix::process::waitid(process(), WaitIdOptions::EXITED) {}
    }
}

/// A child that was just forked: nobody has reaped it.
fn open(pid: Pid) -> rustix::io::Result<OwnedFd> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}
