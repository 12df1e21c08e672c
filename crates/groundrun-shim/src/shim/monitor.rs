//! Watches a running program to its end: one loop that waits for whatever comes first.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    pipe::PipeFlags,
    process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal},
};

use super::{
    attempt::Attempt,
    patience::{Order, Patience},
    peers::Peers,
};
use crate::{
    clock::now,
    log::{Source, Stream, Writer},
    protocol::{Cause, Exit, TERMINATION_MESSAGE_BYTES_MAX, UnixNanos, Wish},
    sandbox::{self, Running},
};

/// A running program and its output.
#[derive(Debug)]
pub(super) struct Monitor {
    running: Running,
    /// Open until they end.
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    log: Writer,
    patience: Patience,
}

/// What can be done without waiting.
#[derive(Debug, Default)]
struct Ready {
    ended: bool,
    stdout: bool,
    stderr: bool,
    knock: bool,
    wishes: bool,
}

/// One read of output. A pipe holds 64 KiB; a shim should hold little.
const READ_BYTES: usize = 16 * 1024;

/// How long output is still read when the program has ended: somebody else may hold the pipe, and must not hold the news.
const DRAIN: Duration = Duration::from_secs(1);

impl Monitor {
    pub(super) fn new(
        running: Running,
        stdout: OwnedFd,
        stderr: OwnedFd,
        log: Writer,
        timeout: Duration,
        grace: Duration,
    ) -> Self {
        Self {
            running,
            stdout: Some(stdout),
            stderr: Some(stderr),
            log,
            patience: Patience::new(Instant::now(), timeout, grace),
        }
    }

    pub(super) fn started(&self) -> UnixNanos {
        self.running.started
    }

    /// Watches until the program has ended and its output is in the log.
    pub(super) fn watch(&mut self, attempt: &Attempt, peers: &mut Peers) -> (Exit, Cause) {
        loop {
            let ready = self.wait(attempt, peers);
            self.read_output(&ready);
            if ready.knock {
                peers.accept(attempt.listener());
            }
            if ready.wishes {
                for Wish::Stop { grace } in peers.hear() {
                    let order = self.patience.ask(Instant::now(), grace);
                    self.obey(order);
                }
            }
            if ready.ended {
                break;
            }
            let order = self.patience.look(Instant::now());
            self.obey(order);
        }
        let exit = self.reap();
        self.drain();
        (exit, self.patience.cause())
    }

    fn wait(&self, attempt: &Attempt, peers: &Peers) -> Ready {
        let sockets = peers.sockets().collect::<Vec<_>>();
        let mut fds = vec![
            PollFd::new(&self.running.init, PollFlags::IN),
            PollFd::new(attempt.listener(), PollFlags::IN),
        ];
        fds.extend(self.stdout.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.stderr.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        let timeout =
            self.patience.wake_at().map(|at| at.saturating_duration_since(Instant::now()));
        if !wait_for(&mut fds, timeout) {
            return Ready::default();
        }
        let mut answers = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = || answers.next().unwrap_or(false);
        Ready {
            ended: next(),
            knock: next(),
            stdout: self.stdout.is_some() && next(),
            stderr: self.stderr.is_some() && next(),
            wishes: answers.any(|answer| answer),
        }
    }

    fn obey(&self, order: Order) {
        let signal = match order {
            Order::Wait => return,
            Order::Terminate => Signal::TERM,
            Order::Kill => Signal::KILL,
        };
        // It can only fail because the program has ended, and then the loop sees that.
        let _ = pidfd_send_signal(&self.running.init, signal);
    }

    fn read_output(&mut self, ready: &Ready) {
        if ready.stdout {
            read_into(
                &mut self.log,
                &mut self.stdout,
                Stream { container: 0, source: Source::Stdout },
            );
        }
        if ready.stderr {
            read_into(
                &mut self.log,
                &mut self.stderr,
                Stream { container: 0, source: Source::Stderr },
            );
        }
    }

    /// The init is a zombie, which it becomes only when all others of its pid namespace are gone.
    fn reap(&self) -> Exit {
        loop {
            match rustix::process::waitid(
                WaitId::PidFd(self.running.init.as_fd()),
                WaitIdOptions::EXITED,
            ) {
                Err(Errno::INTR) => {}
                Ok(Some(status)) => {
                    return exit_of(status.exit_status(), status.terminating_signal());
                }
                // Nobody else waits for it, so this does not happen; the worst reading is the safe one.
                Ok(None) | Err(_) => return Exit::Signal(libc::SIGKILL),
            }
        }
    }

    /// Reads what is left in the pipes, at most for [`DRAIN`].
    fn drain(&mut self) {
        let until = Instant::now() + DRAIN;
        while self.stdout.is_some() || self.stderr.is_some() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut fds = Vec::new();
            fds.extend(self.stdout.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            fds.extend(self.stderr.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            if !wait_for(&mut fds, Some(left)) {
                continue;
            }
            let mut answers = fds.iter().map(|fd| !fd.revents().is_empty());
            let stdout = self.stdout.is_some() && answers.next().unwrap_or(false);
            let stderr = self.stderr.is_some() && answers.next().unwrap_or(false);
            self.read_output(&Ready { stdout, stderr, ..Ready::default() });
        }
        self.log.finish(now());
    }

    /// What the program left as its last words.
    pub(super) fn termination_message(&self, path: &str) -> Option<String> {
        // `/dev` is a mount of its own, which the root does not lead to any more.
        let (root, path) = match path.strip_prefix("/dev/") {
            Some(below) => (&self.running.dev, below),
            None => (&self.running.root, path),
        };
        let bytes =
            sandbox::read_inside(root.as_fd(), path, TERMINATION_MESSAGE_BYTES_MAX).ok()??;
        let text = String::from_utf8_lossy(&bytes);
        (!text.is_empty()).then(|| text.into_owned())
    }
}

fn exit_of(code: Option<i32>, signal: Option<i32>) -> Exit {
    match (code.map(u8::try_from), signal) {
        (Some(Ok(code)), _) => Exit::Code(code),
        (_, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// Whether something of `fds` is ready within `timeout`.
fn wait_for(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> bool {
    // A timeout too long for the kernel is none.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    matches!(poll(fds, timeout.as_ref()), Ok(1..))
}

/// One read: the program's pipes are always emptied, whatever becomes of the log.
fn read_into(log: &mut Writer, pipe: &mut Option<OwnedFd>, stream: Stream) {
    let Some(open) = pipe else { return };
    let mut bytes = [0; READ_BYTES];
    match rustix::io::read(&*open, &mut bytes) {
        Ok(length @ 1..) => log.feed(stream, now(), &bytes[..length]),
        Err(Errno::INTR | Errno::AGAIN) => {}
        Ok(0) | Err(_) => {
            *pipe = None;
            log.close(stream);
        }
    }
}

/// A pipe for output: the reading end never waits.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reading, true)?;
    Ok((reading, writing))
}
