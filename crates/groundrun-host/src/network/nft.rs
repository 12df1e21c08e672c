//! Runs `nft`: once when a server starts, and once when it takes its table away.

use std::{
    env,
    fs::File,
    io::{self, Read, Seek, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, memfd_create},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// It takes some milliseconds; on a machine with many thousands of rules a second.
const WITHIN: Duration = Duration::from_secs(20);

/// Where programs of the administrator's are, which is not on everybody's path.
const FURTHER: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The program of this name, on the path or where the administrator's are.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(FURTHER.map(PathBuf::from));
    places.map(|place| place.join(name)).find(|program| program.is_file())
}

/// Loads a script, whole or not at all, in the network namespace of the calling thread.
pub(super) fn load(script: &str) -> io::Result<()> {
    run(&["-f", "-"], script).map(drop)
}

/// The chains of all tables and what each does when no rule decides, as `nft` writes them. Needs root.
pub(crate) fn chains() -> io::Result<String> {
    run(&["list", "chains"], "")
}

/// All tables, one a line with their families. Needs root.
pub(super) fn tables() -> io::Result<String> {
    run(&["list", "tables"], "")
}

/// Everything that nftables has, as JSON.
#[cfg(test)]
pub(super) fn ruleset() -> io::Result<String> {
    run(&["-j", "list", "ruleset"], "")
}

/// What it printed. An error carries its first complaint.
fn run(arguments: &[&str], input: &str) -> io::Result<String> {
    let program = find_program("nft")
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the program nft is not there"))?;
    // Files and not pipes: neither side ever waits for the other.
    let (given, said, complaint) = (file()?, file()?, file()?);
    (&given).write_all(input.as_bytes())?;
    (&given).rewind()?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(given)
        .stdout(said.try_clone()?)
        .stderr(complaint.try_clone()?)
        .spawn()?;
    if wait(&mut child)?.success() {
        return contents(said);
    }
    let complaint = contents(complaint)?;
    let first = complaint.lines().next().unwrap_or("it gave no reason");
    Err(io::Error::other(format!("nft: {first}")))
}

fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let within = Timespec::try_from(WITHIN).ok();
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    if !matches!(poll(&mut ended, within.as_ref()), Ok(1..)) {
        child.kill()?;
    }
    child.wait()
}

pub(super) fn file() -> io::Result<File> {
    Ok(memfd_create(c"nft", MemfdFlags::CLOEXEC)?.into())
}

pub(super) fn contents(mut file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
