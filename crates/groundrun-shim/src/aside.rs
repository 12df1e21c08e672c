//! Work that the kernel may hold up for long, such as asking a server that does not answer: done in a process of its own,
//! so that whoever waits for it does not wait longer than it wants to.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::RecvFlags,
    process::{PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    shim::Ear,
    spawner::packet_pair,
    sys::{self, process::Fork},
};

/// Longest answer: an address, or an error in words.
const ANSWER_BYTES_MAX: usize = 4096;

/// How long a killed process may take to end. Where the kernel holds it longer, it is left: it ends when it can, and is
/// reaped by whoever inherits it.
const END_WITHIN: Duration = Duration::from_secs(2);

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<T> {
    /// Its answer.
    Said(T),
    /// There was none in time.
    Late,
    /// The attempt was to stop before there was one.
    Asked,
}

/// Runs `work` in a process that was forked for it, ends with this one, and has no descriptors but `kept`; until `ear`
/// hears that the attempt is to stop, where there is one.
///
/// # Errors
/// When there can be no such process.
pub(crate) fn aside<T: Serialize + DeserializeOwned>(
    within: Duration,
    kept: &[BorrowedFd<'_>],
    ear: Option<&mut Ear<'_>>,
    work: impl FnOnce() -> T,
) -> io::Result<Outcome<T>> {
    let (ours, theirs) = packet_pair()?;
    let parent = rustix::process::getpid();
    match sys::process::fork()? {
        Fork::Child => {
            let kept = [kept, &[theirs.as_fd()]].concat();
            let _ = sys::fds::close_all_but(&kept);
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            if rustix::process::getppid() == Some(parent)
                && let Ok(packet) = postcard::to_allocvec(&work())
            {
                let _ = rustix::io::write(&theirs, &packet);
            }
            sys::process::exit(0)
        }
        Fork::Parent(child) => {
            drop(theirs);
            let process = pidfd_open(child, PidfdFlags::empty())?;
            let outcome = match wait(ours.as_fd(), within, ear) {
                Waited::Ready => answer(&ours).map_or(Outcome::Late, Outcome::Said),
                Waited::Late => Outcome::Late,
                Waited::Asked => Outcome::Asked,
            };
            if !matches!(outcome, Outcome::Said(_)) {
                let _ = pidfd_send_signal(&process, Signal::KILL);
            }
            if matches!(wait(process.as_fd(), END_WITHIN, None), Waited::Ready) {
                let id = WaitId::PidFd(process.as_fd());
                let _ = rustix::process::waitid(id, WaitIdOptions::EXITED);
            }
            Ok(outcome)
        }
    }
}

fn answer<T: DeserializeOwned>(from: &OwnedFd) -> Option<T> {
    let mut packet = [0; ANSWER_BYTES_MAX];
    let (_, length) = rustix::net::recv(from, &mut packet, RecvFlags::DONTWAIT).ok()?;
    postcard::from_bytes(&packet[..length.min(ANSWER_BYTES_MAX)]).ok()
}

enum Waited {
    Ready,
    Late,
    Asked,
}

fn wait(fd: BorrowedFd<'_>, within: Duration, mut ear: Option<&mut Ear<'_>>) -> Waited {
    let until = Instant::now() + within;
    loop {
        if ear.as_mut().is_some_and(|ear| ear.is_asked_to_stop()) {
            return Waited::Asked;
        }
        let left = until.saturating_duration_since(Instant::now());
        let sockets = ear.iter().flat_map(|ear| ear.sockets());
        let mut ready = vec![PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        ready.extend(sockets.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)));
        match poll(&mut ready, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) => {}
            Ok(1..) if !ready[0].revents().is_empty() => return Waited::Ready,
            Ok(1..) => {}
            Ok(0) | Err(_) => return Waited::Late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_answers_or_is_left_behind() {
        const PLENTY: Duration = Duration::from_secs(30);
        let said: Outcome<Result<u8, String>> =
            aside(PLENTY, &[], None, || Ok(7)).expect("there can be processes");
        assert_eq!(said, Outcome::Said(Ok(7)));
        let hangs = || -> u8 {
            loop {
                std::thread::park();
            }
        };
        let begun = Instant::now();
        let hung = aside(Duration::from_millis(20), &[], None, hangs);
        assert_eq!(hung.expect("there can be processes"), Outcome::Late);
        assert!(begun.elapsed() < PLENTY);
    }

    #[test]
    fn work_has_the_descriptors_that_it_is_given_alone() {
        let (given, other) = packet_pair().expect("there can be sockets");
        let fds = [given.as_fd(), other.as_fd()];
        let look = || fds.map(|fd| rustix::io::fcntl_getfd(fd).is_ok());
        let kept = aside(Duration::from_secs(30), &fds[..1], None, look);
        assert_eq!(kept.expect("there can be processes"), Outcome::Said([true, false]));
    }
}
