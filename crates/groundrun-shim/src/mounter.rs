//! Volumes that a program of the machine's user mounts: gcsfuse. Each is started before the containers, in the machine's
//! network and with the rights of the server's user, and ends with its attempt.
//!
//! It mounts in the shim's own mount namespace, where nobody else sees it: what ends the shim ends the program, and takes
//! down the mount. No end of a server does.

use std::{
    fs::File,
    io::{Read, Seek},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, Mode, OFlags, SealFlags},
    io::Errno,
    mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount},
    process::{Pid, PidfdFlags, Signal, pidfd_open},
};

use crate::{
    protocol::{Launch, Mounter, Volume},
    sandbox::{self, Failure, Step},
    shim::Ear,
    sys,
};

/// Below the attempt's directory, the places at which they mount.
const PLACES: &str = "mounts";

/// How long all of them may take until they have mounted: they ask Google about their buckets.
const MOUNTED_WITHIN: Duration = Duration::from_secs(60);

/// How long it may take to write back what it has, after its mount was taken down.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Of what it says; the rest is lost. Its last words before it mounts are told where it does not.
const SAID_BYTES: u64 = 16 << 10;

/// Of its words in an error.
const WORDS_BYTES: usize = 512;

/// The programs of one attempt.
#[derive(Debug)]
pub(crate) struct Mounters {
    attempt_dir: PathBuf,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    place: PathBuf,
    child: Child,
    process: OwnedFd,
    said: File,
}

/// Why not all have mounted.
#[derive(Debug)]
pub(crate) enum NotMounted {
    /// The attempt is to stop.
    Asked,
    /// One cannot, or all that comes before.
    Failed(Failure),
}

impl From<Failure> for NotMounted {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Mounters {
    /// Starts those of the launch, in a new mount namespace around this process, and waits until all have mounted, or
    /// `ear` hears that the attempt is to stop. To be called in the machine's network. `None`: there are none.
    pub(crate) fn start(launch: &Launch, ear: &mut Ear<'_>) -> Result<Option<Self>, NotMounted> {
        if !is_needed(launch) {
            return Ok(None);
        }
        let step = "make a place for what programs mount";
        sys::process::new_mount_namespace().ours(step)?;
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .ours(step)?;
        let mut started = Self { attempt_dir: launch.attempt_dir.clone(), running: Vec::new() };
        for (index, volume) in launch.volumes.iter().enumerate() {
            let Volume::Mounted(mounter) = volume else { continue };
            let place = place(&launch.attempt_dir, index);
            std::fs::create_dir_all(&place).ours(step)?;
            let step = format!("mount {} by {}", mounter.what, mounter.program.display());
            // Kept before it has mounted: whatever goes wrong, it is ended.
            started.running.push(spawn(mounter, place).ours(&step)?);
        }
        let until = Instant::now() + MOUNTED_WITHIN;
        for (running, mounter) in started.running.iter_mut().zip(mounters(launch)) {
            match running.mounted(until, ear) {
                Ok(Mounted::Yes) => {}
                Ok(Mounted::Asked) => return Err(NotMounted::Asked),
                Err(why) => {
                    let program = mounter.program.display();
                    let why = format!("mount {} by {program}: {why}", mounter.what);
                    return Err(Failure::ours(why).into());
                }
            }
        }
        Ok(Some(started))
    }
}

/// Whether the launch has any; then the shim is in a mount namespace of its own from the start.
pub(crate) fn is_needed(launch: &Launch) -> bool {
    mounters(launch).next().is_some()
}

/// Where the volume at `index` is mounted.
pub(crate) fn place(attempt_dir: &Path, index: usize) -> PathBuf {
    attempt_dir.join(PLACES).join(index.to_string())
}

fn mounters(launch: &Launch) -> impl Iterator<Item = &Mounter> {
    launch.volumes.iter().filter_map(|volume| match volume {
        Volume::Mounted(mounter) => Some(mounter),
        _ => None,
    })
}

fn spawn(mounter: &Mounter, place: PathBuf) -> std::io::Result<Running> {
    let said = bounded_file()?;
    let mut command = Command::new(&mounter.program);
    command.args(&mounter.arguments).arg(&place).stdin(Stdio::null());
    command.stdout(said.try_clone()?).stderr(said.try_clone()?);
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    sys::exec::beside_its_parent(&mut command, root);
    let child = command.spawn()?;
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // The shim's protection from the kernel's want of memory is not for it. Whoever may not undo it has none.
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "0");
    Ok(Running { place, child, process, said })
}

/// A file in memory that never grows.
fn bounded_file() -> std::io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(c"said", flags)?;
    rustix::fs::ftruncate(&file, SAID_BYTES)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

/// What a wait for a mount came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mounted {
    Yes,
    /// The attempt is to stop.
    Asked,
}

impl Running {
    /// Waits until it has mounted, or says why not.
    fn mounted(&mut self, until: Instant, ear: &mut Ear<'_>) -> Result<Mounted, String> {
        let table = File::open(TABLE).map_err(|err| format!("open {TABLE}: {err}"))?;
        loop {
            if is_mounted(&self.place).map_err(|err| format!("read {TABLE}: {err}"))? {
                return Ok(Mounted::Yes);
            }
            if ear.is_asked_to_stop() {
                return Ok(Mounted::Asked);
            }
            // One that goes on in the background has mounted by the time that its first process ends.
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.how(Some(status)));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.how(None));
            }
            let mut ready = vec![
                PollFd::new(&table, PollFlags::PRI),
                PollFd::new(&self.process, PollFlags::IN),
            ];
            let sockets = ear.sockets();
            ready.extend(sockets.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)));
            match poll(&mut ready, Timespec::try_from(left).ok().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(err) => return Err(format!("wait for it: {err}")),
            }
        }
    }

    fn how(&mut self, ended: Option<ExitStatus>) -> String {
        let how = match ended {
            Some(status) => format!("it ended without a mount, {status}"),
            None => format!("it has not mounted in {} s", MOUNTED_WITHIN.as_secs()),
        };
        let mut said = Vec::new();
        let read =
            self.said.rewind().and_then(|()| (&self.said).take(SAID_BYTES).read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said).replace('\0', "");
        let said = said.trim().replace('\n', " ");
        let from = said.len().saturating_sub(WORDS_BYTES);
        match said[said.ceil_char_boundary(from)..].trim() {
            words if read.is_ok() && !words.is_empty() => format!("{how}: {words}"),
            _ => how,
        }
    }
}

impl Drop for Mounters {
    /// Takes the mounts down, so that each program writes back what it has and ends, and sees that it has ended.
    fn drop(&mut self) {
        // Those that containers were shown; before the first start there are none.
        let _ = unmount(self.attempt_dir.join(sandbox::VOLUMES), UnmountFlags::DETACH);
        for Running { place, child, process, .. } in &mut self.running {
            let is_there = unmount(&*place, UnmountFlags::DETACH).is_ok();
            let within = if is_there { END_WITHIN } else { Duration::ZERO };
            let mut ended = [PollFd::new(&*process, PollFlags::IN)];
            let ready = poll(&mut ended, Timespec::try_from(within).ok().as_ref());
            if !matches!(ready, Ok(1..)) {
                // It leads a process group; not yet reaped, its number is nobody else's.
                let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
            }
            let _ = child.wait();
            let _ = std::fs::remove_dir(place);
        }
        let _ = std::fs::remove_dir(self.attempt_dir.join(PLACES));
    }
}

const TABLE: &str = "/proc/self/mountinfo";

fn is_mounted(place: &Path) -> std::io::Result<bool> {
    let table = std::fs::read(TABLE)?;
    let wanted = escaped(place);
    let at = |line: &[u8]| line.split(|byte| *byte == b' ').nth(4) == Some(&wanted[..]);
    Ok(table.split(|byte| *byte == b'\n').any(at))
}

/// As the kernel writes paths there.
fn escaped(path: &Path) -> Vec<u8> {
    let escape = |byte: &u8| match *byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![byte],
    };
    path.as_os_str().as_bytes().iter().flat_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_whatever_its_path() {
        assert_eq!(escaped(Path::new("/a b/c\\d")), b"/a\\040b/c\\134d");
        assert_eq!(is_mounted(Path::new("/proc")).ok(), Some(true));
        assert_eq!(is_mounted(Path::new("/proc/self")).ok(), Some(false));
    }

    #[test]
    fn what_a_program_says_is_kept_up_to_a_bound() {
        use std::io::Write;
        let mut file = bounded_file().expect("it is made");
        let all = usize::try_from(SAID_BYTES).expect("a small number");
        file.write_all(&vec![b'x'; all]).expect("it fits");
        assert!(file.write_all(b"x").is_err());
    }
}
