//! The holder: a small process that keeps the namespaces of a server alive as long as the server, its spawner or one of
//! its shims lives, so that the next server can join them again.
//!
//! Those who need it hold the writing end of a pipe; it holds the reading end, and waits until there is no writer. Where it
//! is stands in the file `namespaces` of the data directory. Whoever changes or ends that holds the file's lock.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
    pipe::PipeFlags,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{
    spawner::packet_pair,
    sys::{self, process::Fork},
};

/// What keeps the holder alive. Kept by the server, its spawner and every shim; closed by exec.
#[derive(Debug)]
pub struct Hold(OwnedFd);

impl Hold {
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl AsFd for Hold {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A holder and the namespaces that it keeps.
#[derive(Debug)]
pub(super) struct Holder {
    pid: Pid,
    /// The number of its end of the pipe.
    end: i32,
    pub(super) hold: Hold,
    pub(super) user: OwnedFd,
    /// Empty but for a loopback: the place of a router for tasks. `None` where the machine refuses them.
    pub(super) network: Option<OwnedFd>,
}

/// A holder that waits for its ids.
pub(super) struct Newborn {
    pid: Pid,
    end: i32,
    hold: Hold,
    socket: File,
}

/// Why there is no newborn.
pub(super) enum Unborn {
    /// The kernel refused the user namespace.
    Refused(io::Error),
    /// Something before that.
    Failed(io::Error),
}

impl Newborn {
    /// Forks a process in a new user namespace, which maps nobody yet, and a new network namespace. Dropped, it ends.
    pub(super) fn fork(file: Option<&HoldFile>) -> Result<Self, Unborn> {
        let (end, hold) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .map_err(|err| Unborn::Failed(err.into()))?;
        let (ours, theirs) = packet_pair().map_err(Unborn::Failed)?;
        match sys::process::fork().map_err(Unborn::Failed)? {
            Fork::Child => {
                drop((ours, hold));
                live(end, theirs, file)
            }
            Fork::Parent(pid) => {
                let mut socket = File::from(ours);
                drop(theirs);
                let mut errno = [0; 4];
                socket.read_exact(&mut errno).map_err(Unborn::Failed)?;
                match i32::from_le_bytes(errno) {
                    0 => Ok(Self { pid, end: end.as_raw_fd(), hold: Hold(hold), socket }),
                    errno => Err(Unborn::Refused(io::Error::from_raw_os_error(errno))),
                }
            }
        }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Its ids are mapped: from now on it lives as long as somebody holds it.
    pub(super) fn mapped(mut self) -> io::Result<Holder> {
        self.socket.write_all(&[1])?;
        let (user, network) = namespaces(self.pid)?;
        Ok(Holder { pid: self.pid, end: self.end, hold: self.hold, user, network })
    }
}

/// The holder's life.
fn live(end: OwnedFd, socket: OwnedFd, file: Option<&HoldFile>) -> ! {
    let mut socket = File::from(socket);
    let made = sys::process::new_user_namespace();
    let errno = made.err().and_then(|err| err.raw_os_error()).unwrap_or(0);
    // Without one there is no router for tasks; who needs it says so.
    let _ = sys::process::new_network_namespace();
    let _ = socket.write_all(&errno.to_le_bytes());
    // Dropped before it was mapped, it is of no use.
    if socket.read(&mut [0]).ok() != Some(1) {
        sys::process::exit(0)
    }
    drop(socket);
    // A description of its own: the lock of the one that was inherited is the server's.
    let file = file.and_then(|file| file.reopened().ok());
    sys::signals::for_spawner();
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let _ = rustix::thread::set_name(c"groundrun-hold");
    let _ = sys::fds::silence_standard();
    let mut kept = vec![end.as_fd()];
    kept.extend(file.iter().map(AsFd::as_fd));
    let _ = sys::fds::close_all_but(&kept);
    sys::memory::trim();
    while is_held(&end, None) || came_back(&end, file.as_ref()) {}
    sys::process::exit(0)
}

/// Whether somebody holds `end`; waits until nobody does, or for `patience`.
fn is_held(end: &OwnedFd, patience: Option<&Timespec>) -> bool {
    let mut end = [PollFd::new(end, PollFlags::empty())];
    // An interrupted wait taught nothing.
    poll(&mut end, patience).is_err() || !end[0].revents().contains(PollFlags::HUP)
}

/// Nobody holds it, but a new server may be about to: with the file's lock it is decided. When it is not, the file says
/// from now on that there is no holder.
fn came_back(end: &OwnedFd, file: Option<&File>) -> bool {
    let Some(file) = file else { return false };
    if flock(file, FlockOperation::LockExclusive).is_err() {
        return false;
    }
    if is_held(end, Some(&Timespec::default())) {
        let _ = flock(file, FlockOperation::Unlock);
        return true;
    }
    let _ = file.set_len(0);
    false
}

fn namespaces(pid: Pid) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let of = |name: &str| PathBuf::from(format!("/proc/{}/ns/{name}", pid.as_raw_nonzero()));
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}"));
    let user = File::open(of("user"))?.into();
    let network = match fs::read_link(of("net"))? == own("net")? {
        true => None,
        false => Some(File::open(of("net"))?.into()),
    };
    Ok((user, network))
}

/// The file that says where the holder is, locked.
#[derive(Debug)]
pub(super) struct HoldFile {
    file: File,
}

/// Name of the file in the data directory.
const NAME: &str = "namespaces";

/// What the file says: pid, start time in clock ticks since boot, number of its end of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whereabouts {
    pid: Pid,
    begun: u64,
    end: i32,
}

impl HoldFile {
    /// Opens and locks it, making it and the data directory where they are missing. Waits for a holder that is about to end
    /// and for a server that is just entering: milliseconds.
    pub(super) fn lock(data_dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(data_dir.join(NAME))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self { file })
    }

    fn reopened(&self) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// The holder that the file names, if it is that process still. Another is ignored, and so is one that does not let
    /// itself be held.
    pub(super) fn holder(&mut self) -> Option<Holder> {
        let mut text = String::new();
        (&self.file).take(WHEREABOUTS_BYTES_MAX).read_to_string(&mut text).ok()?;
        let Whereabouts { pid, begun, end } = parse(&text)?;
        // Opened before it is looked at: from then on nobody else can be meant.
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        if start_of(pid) != Some(begun) {
            return None;
        }
        let (user, network) = namespaces(pid).ok()?;
        let path = format!("/proc/{}/fd/{end}", pid.as_raw_nonzero());
        let hold = OpenOptions::new().write(true).open(path).ok()?;
        // It cannot have ended in order, for that takes the lock; but somebody may have killed it.
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        match poll(&mut ended, Some(&Timespec::default())) {
            Ok(0) => Some(Holder { pid, end, hold: Hold(hold.into()), user, network }),
            _ => None,
        }
    }

    /// Notes the holder and unlocks.
    pub(super) fn note(mut self, holder: &Holder) -> io::Result<()> {
        let begun = start_of(holder.pid).ok_or_else(|| io::Error::other("the holder ended"))?;
        let line = written(Whereabouts { pid: holder.pid, begun, end: holder.end });
        self.file.set_len(0)?;
        io::Seek::rewind(&mut self.file)?;
        self.file.write_all(line.as_bytes())?;
        // The holder has a copy of this descriptor until it has closed it.
        Ok(flock(&self.file, FlockOperation::Unlock)?)
    }
}

/// Three numbers.
const WHEREABOUTS_BYTES_MAX: u64 = 64;

fn written(Whereabouts { pid, begun, end }: Whereabouts) -> String {
    format!("{} {begun} {end}\n", pid.as_raw_nonzero())
}

fn parse(text: &str) -> Option<Whereabouts> {
    let mut fields = text.split_whitespace();
    let pid = Pid::from_raw(fields.next()?.parse().ok().filter(|pid| *pid > 0)?)?;
    Some(Whereabouts {
        pid,
        begun: fields.next()?.parse().ok()?,
        end: fields.next()?.parse().ok()?,
    })
}

fn start_of(pid: Pid) -> Option<u64> {
    start_in(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
}

/// The 22nd field of a `/proc/…/stat`. The name before it may hold anything.
fn start_in(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let pid = Pid::from_raw(42).expect("a pid");
        let whereabouts = Whereabouts { pid, begun: 123_456, end: 7 };
        assert_eq!(parse(&written(whereabouts)), Some(whereabouts));
        for text in ["", "0 1 2", "-1 1 2", "1 2", "x y z"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987 0 0";
        assert_eq!(start_in(stat), Some(987));
        assert_eq!(start_of(rustix::process::getpid()), start_of(rustix::process::getpid()));
        assert!(start_of(rustix::process::getpid()).is_some());
    }
}
