//! The user's `cloud-sql-proxy`: started beside the relay, with a socket of its own for each of its instances, started again
//! when it ends, and ended with the relay.

use std::{
    cell::Cell,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Stdio,
    rc::Rc,
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    time::{Instant, sleep, timeout},
};

use super::{serve::Teller, sockets};
use crate::sys;

/// How long it may take until its sockets are there: it asks Google about each instance.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How often they are looked for: it has no better way to tell that is the same in all its versions.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// From its end to the next start.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long its last words may take: somebody else may hold the pipe.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Of a line that it says.
const LINE_BYTES_MAX: u64 = 1024;

/// The program and what it serves.
pub(super) struct Program {
    file: PathBuf,
    instances: Vec<String>,
    mount: Rc<OwnedFd>,
    teller: Teller,
    /// Its process group, while its first process is not reaped.
    group: Cell<Option<Pid>>,
}

/// Its process.
pub(super) struct Running {
    child: Child,
    stderr: Option<BufReader<ChildStderr>>,
    /// What it said last.
    last: String,
}

impl Program {
    pub(super) fn new(
        file: PathBuf,
        instances: Vec<String>,
        mount: Rc<OwnedFd>,
        teller: Teller,
    ) -> Self {
        Self { file, instances, mount, teller, group: Cell::new(None) }
    }

    /// Starts it and waits until it serves all of its instances.
    pub(super) async fn start(&self) -> Result<Running, String> {
        let mut running = self.spawn()?;
        let began = Instant::now();
        let is_there = |name: &&String| sockets::is_there(self.mount.as_fd(), name);
        while !self.instances.iter().all(|name| is_there(&name)) {
            if let Ok(ended) = timeout(LOOK_EVERY, running.child.wait()).await {
                self.group.set(None);
                return Err(self.how(&mut running, ended).await);
            }
            if began.elapsed() > READY_WITHIN {
                let without = self.instances.iter().find(|name| !is_there(name));
                let why = format!(
                    "{} made no socket for {} in {} s",
                    self.file.display(),
                    without.map_or("", String::as_str),
                    READY_WITHIN.as_secs()
                );
                self.end();
                return Err(why);
            }
        }
        Ok(running)
    }

    /// Tells what it says, and starts it again when it ends. For ever.
    pub(super) async fn keep(&self, mut running: Running) {
        loop {
            let why = self.to_its_end(&mut running).await;
            self.tell(&why);
            running = loop {
                sleep(AGAIN_AFTER).await;
                self.instances.iter().for_each(|name| sockets::remove(self.mount.as_fd(), name));
                match self.start().await {
                    Ok(running) => break running,
                    Err(why) => self.tell(&why),
                }
            };
        }
    }

    /// Kills it, with all that is in its process group, and waits for its end.
    pub(super) fn end(&self) {
        let Some(group) = self.group.take() else { return };
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitpid(Some(group), WaitOptions::empty())
        {}
    }

    fn tell(&self, line: &str) {
        self.teller.fault(&self.instances.join(", "), line);
    }

    fn spawn(&self) -> Result<Running, String> {
        let failed = |err: std::io::Error| format!("start {}: {err}", self.file.display());
        let mut command = std::process::Command::new(&self.file);
        // A short path, since a socket's has at most 107 bytes.
        command.args(["--unix-socket", "."]).args(&self.instances);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        sys::exec::beside_its_parent(&mut command, self.mount.try_clone().map_err(failed)?);
        let mut child = Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        self.group.set(pid);
        let stderr = child.stderr.take().map(BufReader::new);
        Ok(Running { child, stderr, last: String::new() })
    }

    async fn to_its_end(&self, running: &mut Running) -> String {
        while let Some(line) = running.line().await {
            self.tell(&line);
            running.last = line;
        }
        let ended = running.child.wait().await;
        self.group.set(None);
        self.how(running, ended).await
    }

    async fn how(
        &self,
        running: &mut Running,
        ended: std::io::Result<std::process::ExitStatus>,
    ) -> String {
        while let Ok(Some(line)) = timeout(LAST_WORDS, running.line()).await {
            running.last = line;
        }
        let how = ended.map_or_else(|err| err.to_string(), |status| status.to_string());
        let said =
            if running.last.is_empty() { String::new() } else { format!(": {}", running.last) };
        format!("{} ended: {how}{said}", self.file.display())
    }
}

impl Running {
    /// The next line that it says; `None` when there will be none.
    async fn line(&mut self) -> Option<String> {
        let stderr = self.stderr.as_mut()?;
        let mut line = Vec::new();
        // A longer one comes in pieces.
        match stderr.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(1..) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Ok(0) | Err(_) => None,
        }
    }
}
