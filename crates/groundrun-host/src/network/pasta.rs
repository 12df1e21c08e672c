//! The way out of an ordinary user's router: one process of pasta, which makes ordinary connections of the user's of what
//! comes to it.
//!
//! It outlives the server, as the router does, and ends with the last that needs either: whoever does holds the writing end
//! of a pipe, and a shell that waits for the end of that pipe then ends pasta.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{links, netlink::Netlink, subnet::Subnet};
use crate::program;

/// Where an ordinary user's tasks have their bridge.
#[derive(Debug)]
pub struct Router {
    /// A network namespace of the user's own.
    pub namespace: OwnedFd,
    /// The writing end of a pipe that everybody holds who needs the namespace.
    pub hold: OwnedFd,
}

/// Its link in the router.
const LINK: &str = "outside";

/// How long it may take to set that up: some milliseconds, more on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks where the kernel offers nothing to wait for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits for the end of the pipe that is its input, and ends its process group then, which is itself and pasta; where pasta
/// ends first, it does not outlive that. A terminal that is closed is not meant for it. Its output is the router's namespace,
/// which becomes pasta's input: pasta may open no other process's by then, and its own only.
const KEEPER: &str = r#"trap '' HUP INT; { "$@" <&1 >/dev/null; kill 0; } & read -r _; kill 0"#;

/// A thread that stays in the machine's network namespace: an ordinary user who has left that has no way back.
pub(super) struct Home {
    ask: SyncSender<Command>,
    thread: JoinHandle<Option<io::Result<Child>>>,
}

impl Home {
    /// Where the caller is.
    pub(super) fn here() -> io::Result<Self> {
        let (ask, asked) = sync_channel::<Command>(1);
        let spawn = move || asked.recv().ok().map(|mut command| command.spawn());
        let thread = thread::Builder::new().name("host-outside".to_owned()).spawn(spawn)?;
        Ok(Self { ask, thread })
    }

    fn spawn(self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that starts it is gone");
        self.ask.send(command).map_err(|_| gone())?;
        self.thread.join().ok().flatten().ok_or_else(gone)?
    }
}

/// The range of its link, where an earlier server started it.
pub(super) fn present(netlink: &mut Netlink) -> io::Result<Option<Subnet>> {
    match links::list(netlink)?.into_iter().find(|link| link.name == LINK) {
        Some(link) => links::subnet_of(netlink, link.index),
        None => Ok(None),
    }
}

/// Starts it, unless it is there, with the first of a task's addresses of `between` for the router and with the gateway's for
/// the host. To be called in the router's namespace; pasta itself belongs into the machine's, where `home` is.
pub(super) fn start(
    router: &Router,
    home: Home,
    netlink: &mut Netlink,
    between: Subnet,
) -> io::Result<()> {
    if present(netlink)?.is_some() {
        return Ok(());
    }
    let (own, gateway) = (between.task(0), between.gateway());
    let pasta = program::find("pasta").ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "the program pasta is not installed (package passt)",
        )
    })?;
    let end = File::open(format!("/proc/self/fd/{}", router.hold.as_raw_fd()))?;
    let complaints = program::file()?;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", KEEPER, "keeper"])
        .arg(pasta)
        .args(["--foreground", "--quiet", "--stderr", "--ipv4-only", "--config-net"])
        .args(["--address", &own.to_string(), "--netmask", "255.255.252.0"])
        .args(["--gateway", &gateway.to_string(), "--ns-ifname", LINK])
        .args(["--tcp-ports", "none", "--udp-ports", "none"])
        .args(["--tcp-ns", "none", "--udp-ns", "none", "--no-dhcp"])
        .args(["--netns-only", "--no-netns-quit", "--netns", "/proc/self/fd/0"])
        .stdin(end)
        .stdout(router.namespace.try_clone()?)
        .stderr(complaints.try_clone()?)
        .process_group(0);
    let mut keeper = home.spawn(command)?;
    let begun = Instant::now();
    while present(netlink)?.is_none() {
        let ended = keeper.try_wait()?.is_some();
        if ended || begun.elapsed() > UP_WITHIN {
            if !ended {
                kill_process_group(Pid::from_child(&keeper), Signal::KILL)?;
                keeper.wait()?;
            }
            let said = program::contents(complaints)?;
            let last = said.lines().last().unwrap_or("it gave no reason");
            return Err(io::Error::other(format!("pasta did not begin: {last}")));
        }
        thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}
