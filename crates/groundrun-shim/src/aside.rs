//! Work that the kernel may hold up for long, such as asking a server that does not answer: done in a process of its own,
//! so that whoever waits for it does not wait longer than it wants to.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::RecvFlags,
    process::{PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    spawner::packet_pair,
    sys::{self, process::Fork},
};

/// Longest answer: an address, or an error in words.
const ANSWER_BYTES_MAX: usize = 4096;

/// How long a killed process may take to end. Where the kernel holds it longer, it is left: it ends when it can, and is
/// reaped by whoever inherits it.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Runs `work` in a process that was forked for it, ends with this one, and has no descriptors but `kept`. `None`: there
/// was no answer in time.
///
/// # Errors
/// When there can be no such process.
pub(crate) fn aside<T: Serialize + DeserializeOwned>(
    within: Duration,
    kept: &[BorrowedFd<'_>],
    work: impl FnOnce() -> T,
) -> io::Result<Option<T>> {
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
            let answer = answer(&ours, within);
            if answer.is_none() {
                let _ = pidfd_send_signal(&process, Signal::KILL);
            }
            if is_ready(process.as_fd(), END_WITHIN) {
                let id = WaitId::PidFd(process.as_fd());
                let _ = rustix::process::waitid(id, WaitIdOptions::EXITED);
            }
            Ok(answer)
        }
    }
}

fn answer<T: DeserializeOwned>(from: &OwnedFd, within: Duration) -> Option<T> {
    if !is_ready(from.as_fd(), within) {
        return None;
    }
    let mut packet = [0; ANSWER_BYTES_MAX];
    let (_, length) = rustix::net::recv(from, &mut packet, RecvFlags::DONTWAIT).ok()?;
    postcard::from_bytes(&packet[..length.min(ANSWER_BYTES_MAX)]).ok()
}

fn is_ready(fd: BorrowedFd<'_>, within: Duration) -> bool {
    let until = std::time::Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        let mut ready = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut ready, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) => {}
            Ok(count) => return count > 0,
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_answers_or_is_left_behind() {
        const PLENTY: Duration = Duration::from_secs(30);
        let answer: Option<Result<u8, String>> =
            aside(PLENTY, &[], || Ok(7)).expect("there can be processes");
        assert_eq!(answer, Some(Ok(7)));
        let hangs = || -> u8 {
            loop {
                std::thread::park();
            }
        };
        let begun = std::time::Instant::now();
        let answer = aside(Duration::from_millis(20), &[], hangs).expect("there can be processes");
        assert_eq!(answer, None);
        assert!(begun.elapsed() < PLENTY);
    }

    #[test]
    fn work_has_the_descriptors_that_it_is_given_alone() {
        let (given, other) = packet_pair().expect("there can be sockets");
        let fds = [given.as_fd(), other.as_fd()];
        let look = || fds.map(|fd| rustix::io::fcntl_getfd(fd).is_ok());
        let kept = aside(Duration::from_secs(30), &fds[..1], look).expect("there can be processes");
        assert_eq!(kept, Some([true, false]));
    }
}
