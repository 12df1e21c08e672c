//! Containers without a cgroup whose shim is dead: their inits are killed and waited for, and with an init its whole
//! process namespace is gone.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use groundrun_shim::dir::{self, Init};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// Kills the inits that are written down in the attempt's directory `dir`, and returns once none is left.
///
/// # Errors
/// `TimedOut` when one outlives SIGKILL for `wait`, else when the kernel refuses.
pub(crate) fn kill(dir: &Path, wait: Duration) -> io::Result<()> {
    let deadline = Instant::now() + wait;
    dir::inits(dir)?.into_iter().try_for_each(|init| kill_one(init, deadline))
}

fn kill_one(init: Init, deadline: Instant) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(init.pid) else { return Ok(()) };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        opened => opened?,
    };
    // Asked after the handle was taken: it is the process that the number means now.
    let stat = fs::read_to_string(format!("/proc/{}/stat", init.pid)).unwrap_or_default();
    if dir::read_stat(&stat) != Some(init) {
        return Ok(());
    }
    let signalled = pidfd_send_signal(&handle, Signal::KILL);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
            // Whoever may not signal it can still see it end: its shim's death ends it, too.
            Ok(0) => {
                signalled?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::Command};

    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    /// An attempt's directory in which `init` is written down as a shim does.
    fn begun(init: Init) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let mut bytes = vec![0; 16 * 1024];
        bytes.extend(init.pid.to_le_bytes());
        bytes.extend(init.started.to_le_bytes());
        fs::write(dir.path().join(dir::BEGUN), bytes).expect("it is written");
        dir
    }

    #[test]
    fn an_init_is_killed_and_who_has_its_number_later_is_not() {
        let mut process = Command::new("sleep").arg("300").spawn().expect("it runs");
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("it lives");
        let init = dir::read_stat(&stat).expect("it is as documented");
        let earlier = begun(Init { started: init.started - 1, ..init });
        kill(earlier.path(), BOUND).expect("there is nothing to kill");
        assert!(process.try_wait().expect("our child").is_none());
        let dir = begun(init);
        kill(dir.path(), BOUND).expect("it is killed");
        let status = process.wait().expect("our child");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        kill(dir.path(), BOUND).expect("it is gone");
    }
}
