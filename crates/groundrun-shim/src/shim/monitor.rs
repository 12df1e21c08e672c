//! Watches the containers of an attempt to their end: one loop that waits for whatever comes first, and does what the
//! [`Ensemble`] decides.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
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
    cgroups::{self, Cgroups},
    ensemble::{Ensemble, Order, Verdict},
    peers::Peers,
    probe::Question,
};
use crate::{
    clock::now,
    log::{Source, Stream, Writer},
    protocol::{Container, Exit, Launch, News, TERMINATION_MESSAGE_BYTES_MAX, UnixNanos, Wish},
    relay::{Relay, Standing},
    sandbox::{self, Failure, Output, Running, Step, Tools},
    sealed::Sealed,
    sys,
};

/// The containers of an attempt and their output.
#[derive(Debug)]
pub(super) struct Monitor<'shim> {
    launch: &'shim mut Launch,
    /// Until all programs have begun.
    sealed: Sealed,
    tools: &'shim Tools<'shim>,
    cgroups: &'shim [Cgroups],
    ensemble: Ensemble,
    programs: Vec<Program>,
    log: Writer,
    started: Option<UnixNanos>,
    /// To databases, if the attempt has any. Ends with this.
    relay: Option<Relay>,
}

/// What the monitor holds of one container.
#[derive(Debug, Default)]
struct Program {
    /// From its start on.
    running: Option<Running>,
    /// Its init was seen to have ended.
    has_ended: bool,
    /// Memory was not enough: until then it is looked whether the kernel killed a process for that.
    looked_at_until: Option<Instant>,
    /// How, where the log may still have to tell it.
    untold: Option<(UnixNanos, Exit)>,
    /// Why it never ran.
    failure: Option<Failure>,
    /// Open until they end.
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// Asked and not answered yet.
    question: Option<Question>,
}

/// What a descriptor is waited for for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    End(usize),
    WantOfMemory(usize),
    Output(Stream),
    Answer(usize),
    Knock,
    Wish,
    Word,
}

/// One read of output. A pipe holds 64 KiB; a shim should hold little.
const READ_BYTES: usize = 16 * 1024;

/// Reads of what a container that has ended left in a pipe: a program may widen its pipe to 1 MiB.
const REST_READS_MAX: usize = (1 << 20) / READ_BYTES + 1;

/// The kernel tells that memory is not enough a moment before it kills, or finds that it is enough by now.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOKED_AT: Duration = Duration::from_millis(200);

/// How long output is still read when the programs have ended: somebody else may hold a pipe, and must not hold the news.
const DRAIN: Duration = Duration::from_secs(1);

impl<'shim> Monitor<'shim> {
    /// `cgroups` are those of each container.
    pub(super) fn new(
        launch: &'shim mut Launch,
        sealed: Sealed,
        tools: &'shim Tools<'shim>,
        cgroups: &'shim [Cgroups],
        relay: Option<Relay>,
    ) -> Result<Self, Failure> {
        let containers = launch.containers.iter();
        let containers = containers
            .map(|container| (container.depends_on.clone(), container.startup_probe.clone()));
        let ensemble = Ensemble::new(containers, launch.timeout, launch.grace)
            .map_err(|_| Failure::ours("the containers wait for each other"))?;
        let log = Writer::new(launch.attempt_dir.join(crate::dir::LOG), launch.log);
        let programs = launch.containers.iter().map(|_| Program::default()).collect();
        Ok(Self { launch, sealed, tools, cgroups, ensemble, programs, log, started: None, relay })
    }

    /// Writes a line of the machine's into the log.
    pub(super) fn note(&mut self, text: &str) {
        self.log.note(now(), text);
    }

    /// When the first program began.
    pub(super) fn started(&self) -> Option<UnixNanos> {
        self.started
    }

    pub(super) fn container(&self, index: usize) -> &Container {
        &self.launch.containers[index]
    }

    /// What became of a container that could not be started.
    pub(super) fn failure(&self, index: usize) -> Option<&Failure> {
        self.programs[index].failure.as_ref()
    }

    /// Watches until nothing runs any more and all output is in the log.
    pub(super) fn watch(&mut self, attempt: &Attempt, peers: &mut Peers) -> Verdict {
        loop {
            while !self.prepares()
                && let Some(order) = self.ensemble.next_order()
            {
                self.obey(order, peers);
            }
            self.tell_ends();
            if let Some(verdict) = self.ensemble.verdict() {
                self.drain();
                return verdict;
            }
            let ready = self.wait(attempt, peers);
            self.take(&ready, attempt, peers);
            self.look_at_memory(Instant::now());
            self.ensemble.look(Instant::now());
        }
    }

    /// Whether no container may start yet.
    fn prepares(&self) -> bool {
        let relay = self.relay.as_ref();
        relay.is_some_and(|relay| *relay.standing() == Standing::Preparing)
    }

    fn obey(&mut self, order: Order, peers: &mut Peers) {
        match order {
            Order::Start(index) => self.start(index, peers),
            Order::Ask(index) => self.ask(index),
            Order::GiveUp(index) => self.programs[index].question = None,
            Order::Terminate(index) => self.signal(index, Signal::TERM),
            Order::Kill(index) => self.signal(index, Signal::KILL),
        }
    }

    fn start(&mut self, index: usize, peers: &mut Peers) {
        match self.begin_program(index) {
            Ok(program) => {
                let at = program.running.as_ref().map(|running| running.started);
                self.programs[index] = program;
                if let (Some(at), None) = (at, self.started) {
                    self.started = Some(at);
                    peers.tell(&News::Started { at });
                }
                self.ensemble.started(index, Instant::now());
            }
            Err(failure) => {
                self.programs[index].failure = Some(failure);
                self.ensemble.could_not_start(index, Instant::now());
            }
        }
        forget_the_start(&mut self.launch.containers[index]);
        if self.programs.iter().all(Program::was_tried) {
            self.launch.files = Vec::new();
            self.sealed = Sealed::default();
        }
        sys::memory::trim();
    }

    fn begin_program(&self, index: usize) -> Result<Program, Failure> {
        if let Some(Standing::Failed(failure)) = self.relay.as_ref().map(Relay::standing) {
            return Err(failure.clone());
        }
        let (stdout, program_stdout) = pipe().ours("make a pipe")?;
        let (stderr, program_stderr) = pipe().ours("make a pipe")?;
        let output = Output { stdout: program_stdout, stderr: program_stderr };
        let cgroups = &self.cgroups[index];
        let (tasks, birthplace) = (cgroups.tasks(), cgroups.birthplace());
        let running = sandbox::start(
            (self.launch, index),
            &self.sealed,
            self.tools,
            tasks,
            birthplace,
            output,
        )?;
        Ok(Program {
            running: Some(running),
            stdout: Some(stdout),
            stderr: Some(stderr),
            ..Program::default()
        })
    }

    fn ask(&mut self, index: usize) {
        let Some(probe) = &self.launch.containers[index].startup_probe else { return };
        match Question::ask(&probe.check) {
            Ok(question) => self.programs[index].question = Some(question),
            Err(why) => self.ensemble.answered(index, Err(why), Instant::now()),
        }
    }

    fn signal(&self, index: usize, signal: Signal) {
        if let Some(running) = &self.programs[index].running {
            // It can only fail because the program has ended, and then the loop sees that.
            let _ = pidfd_send_signal(&running.init, signal);
        }
    }

    fn wait(&self, attempt: &Attempt, peers: &Peers) -> Vec<Awaited> {
        let sockets = peers.sockets().collect::<Vec<_>>();
        let mut awaited = vec![(Awaited::Knock, attempt.listener().as_fd(), PollFlags::IN)];
        for (index, program) in self.programs.iter().enumerate() {
            awaited.extend(program.outputs(index));
            if let (Some(running), false) = (&program.running, program.has_ended) {
                awaited.push((Awaited::End(index), running.init.as_fd(), PollFlags::IN));
                let want = self.cgroups[index].want_of_memory();
                awaited
                    .extend(want.map(|want| (Awaited::WantOfMemory(index), want, PollFlags::IN)));
            }
            if let Some(question) = &program.question {
                awaited.push((Awaited::Answer(index), question.socket(), question.events()));
            }
        }
        let words = self.relay.as_ref().and_then(Relay::words);
        awaited.extend(words.map(|words| (Awaited::Word, words, PollFlags::IN)));
        awaited.extend(sockets.iter().map(|socket| (Awaited::Wish, *socket, PollFlags::IN)));
        let timeout =
            self.ensemble.wake_at().map(|at| at.saturating_duration_since(Instant::now()));
        let looks = self.programs.iter().any(|program| program.looked_at_until.is_some());
        wait_for(&awaited, timeout.into_iter().chain(looks.then_some(LOOK_EVERY)).min())
    }

    /// In this order: what a program has written is read before its end is seen.
    fn take(&mut self, ready: &[Awaited], attempt: &Attempt, peers: &mut Peers) {
        self.read_output(ready);
        if ready.contains(&Awaited::Word) {
            self.hear_relay();
        }
        if ready.contains(&Awaited::Knock) {
            peers.accept(attempt.listener());
        }
        if ready.contains(&Awaited::Wish) {
            for Wish::Stop { grace } in peers.hear() {
                self.ensemble.ask(Instant::now(), grace);
            }
        }
        for what in ready {
            match what {
                Awaited::Answer(index) => self.hear_answer(*index),
                Awaited::WantOfMemory(index) => {
                    self.cgroups[*index].hear_want_of_memory();
                    self.programs[*index].looked_at_until = Some(Instant::now() + LOOKED_AT);
                }
                Awaited::End(index) => {
                    let exit = self.reap(*index);
                    self.programs[*index].untold = Some((now(), exit));
                    self.ensemble.exited(*index, exit, Instant::now());
                }
                Awaited::Output(_) | Awaited::Knock | Awaited::Wish | Awaited::Word => {}
            }
        }
    }

    /// Of several containers the log has the end of each, but for the one that the attempt's own end tells.
    fn tell_ends(&mut self) {
        for index in 0..self.programs.len() {
            let Some((at, exit)) = self.programs[index].untold else { continue };
            let Some(is_the_attempts) = self.ensemble.is_the_attempts_end(index) else { continue };
            self.programs[index].untold = None;
            if !is_the_attempts {
                self.read_rest(index);
                self.log.ended(index, at, exit);
            }
        }
    }

    /// What a container wrote comes before its end.
    fn read_rest(&mut self, index: usize) {
        let program = &mut self.programs[index];
        let pipes = [(&mut program.stdout, Source::Stdout), (&mut program.stderr, Source::Stderr)];
        for (pipe, source) in pipes {
            let stream = Stream { container: index, source };
            for _ in 0..REST_READS_MAX {
                if read_into(&mut self.log, pipe, stream) == Read::Nothing {
                    break;
                }
            }
        }
    }

    /// Cloud Run ends a container as a whole when its memory is over.
    fn look_at_memory(&mut self, now: Instant) {
        for index in 0..self.programs.len() {
            let Some(until) = self.programs[index].looked_at_until else { continue };
            let was_killed = self.oom_kills(index) > 0;
            if was_killed {
                self.signal(index, Signal::KILL);
            }
            if was_killed || now >= until {
                self.programs[index].looked_at_until = None;
            }
        }
    }

    /// How many of a container's processes the kernel killed for want of memory.
    pub(super) fn oom_kills(&self, index: usize) -> u64 {
        let counter = self.launch.containers[index].oom_kills.as_ref();
        counter.and_then(cgroups::read).unwrap_or(0)
    }

    /// How it ended. One that was quick to end by itself when a process of it was killed for want of memory did not make it.
    fn reap(&mut self, index: usize) -> Exit {
        let program = &mut self.programs[index];
        program.looked_at_until = None;
        let exit = program.reap();
        let is_told = self.cgroups[index].want_of_memory().is_some();
        if is_told && self.oom_kills(index) > 0 { Exit::Signal(libc::SIGKILL) } else { exit }
    }

    fn hear_relay(&mut self) {
        let notes = self.relay.as_mut().map(Relay::hear).unwrap_or_default();
        notes.iter().for_each(|note| self.log.note(now(), note));
    }

    fn hear_answer(&mut self, index: usize) {
        let question = &mut self.programs[index].question;
        if let Some(answer) = question.as_mut().and_then(Question::go_on) {
            *question = None;
            self.ensemble.answered(index, answer, Instant::now());
        }
    }

    fn read_output(&mut self, ready: &[Awaited]) {
        for what in ready {
            let Awaited::Output(stream) = what else { continue };
            let program = &mut self.programs[stream.container];
            let pipe = match stream.source {
                Source::Stderr => &mut program.stderr,
                Source::Stdout | Source::Note | Source::Ended => &mut program.stdout,
            };
            let _ = read_into(&mut self.log, pipe, *stream);
        }
    }

    /// Reads what is left in the pipes, at most for [`DRAIN`].
    fn drain(&mut self) {
        self.hear_relay();
        let until = Instant::now() + DRAIN;
        loop {
            let programs = self.programs.iter().enumerate();
            let open: Vec<_> =
                programs.flat_map(|(index, program)| program.outputs(index)).collect();
            let left = until.saturating_duration_since(Instant::now());
            if open.is_empty() || left.is_zero() {
                break;
            }
            let ready = wait_for(&open, Some(left));
            self.read_output(&ready);
        }
        self.log.finish(now());
    }

    /// What the program of a container left as its last words.
    pub(super) fn termination_message(&self, index: usize) -> Option<String> {
        let running = self.programs[index].running.as_ref()?;
        let path = self.launch.containers[index].termination_message_path.as_str();
        // `/dev` is a mount of its own, which the root does not lead to any more.
        let (root, path) = match path.strip_prefix("/dev/") {
            Some(below) => (&running.dev, below),
            None => (&running.root, path),
        };
        let bytes =
            sandbox::read_inside(root.as_fd(), path, TERMINATION_MESSAGE_BYTES_MAX).ok()??;
        let text = String::from_utf8_lossy(&bytes);
        (!text.is_empty()).then(|| text.into_owned())
    }
}

impl Program {
    fn was_tried(&self) -> bool {
        self.running.is_some() || self.failure.is_some()
    }

    fn outputs(
        &self,
        container: usize,
    ) -> impl Iterator<Item = (Awaited, BorrowedFd<'_>, PollFlags)> {
        let pipes = [(&self.stdout, Source::Stdout), (&self.stderr, Source::Stderr)];
        pipes.into_iter().filter_map(move |(pipe, source)| {
            let stream = Stream { container, source };
            Some((Awaited::Output(stream), pipe.as_ref()?.as_fd(), PollFlags::IN))
        })
    }

    /// The init is a zombie, which it becomes only when all others of its pid namespace are gone.
    fn reap(&mut self) -> Exit {
        self.has_ended = true;
        // Only what runs ends. The worst reading is the safe one, here and below.
        let Some(running) = &self.running else { return Exit::Signal(libc::SIGKILL) };
        loop {
            let waited =
                rustix::process::waitid(WaitId::PidFd(running.init.as_fd()), WaitIdOptions::EXITED);
            match waited {
                Err(Errno::INTR) => {}
                Ok(Some(status)) => {
                    return exit_of(status.exit_status(), status.terminating_signal());
                }
                // Nobody else waits for it, so this does not happen.
                Ok(None) | Err(_) => return Exit::Signal(libc::SIGKILL),
            }
        }
    }
}

/// Arguments and environment can have megabytes, and are the program's now.
fn forget_the_start(container: &mut Container) {
    container.process.argv = Vec::new();
    container.process.env = Vec::new();
}

fn exit_of(code: Option<i32>, signal: Option<i32>) -> Exit {
    match (code.map(u8::try_from), signal) {
        (Some(Ok(code)), _) => Exit::Code(code),
        (_, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// What of `awaited` comes within `timeout`.
fn wait_for(
    awaited: &[(Awaited, BorrowedFd<'_>, PollFlags)],
    timeout: Option<Duration>,
) -> Vec<Awaited> {
    let mut fds: Vec<PollFd<'_>> =
        awaited.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    // A timeout too long for the kernel is none.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    if !matches!(poll(&mut fds, timeout.as_ref()), Ok(1..)) {
        return Vec::new();
    }
    let ready = awaited.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    ready.map(|((what, ..), _)| *what).collect()
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
}

/// One read: the program's pipes are always emptied, whatever becomes of the log.
fn read_into(log: &mut Writer, pipe: &mut Option<OwnedFd>, stream: Stream) -> Read {
    let Some(open) = pipe else { return Read::Nothing };
    let mut bytes = [0; READ_BYTES];
    match rustix::io::read(&*open, &mut bytes) {
        Ok(length @ 1..) => {
            log.feed(stream, now(), &bytes[..length]);
            return Read::Some;
        }
        Err(Errno::INTR | Errno::AGAIN) => {}
        Ok(0) | Err(_) => {
            *pipe = None;
            log.close(stream);
        }
    }
    Read::Nothing
}

/// A pipe for output: the reading end never waits.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reading, true)?;
    Ok((reading, writing))
}
