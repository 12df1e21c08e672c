//! Runs a program of the machine's, for what no task waits: with an end, and with what it complains about.

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

/// Those that are run here take milliseconds; `nft` on a machine with many thousands of rules a second.
const WITHIN: Duration = Duration::from_secs(20);

/// Where programs of the administrator's are, which is not on everybody's path.
const FURTHER: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The program of this name, on the path or where the administrator's are.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(FURTHER.map(PathBuf::from));
    places.map(|place| place.join(name)).find(|program| program.is_file())
}

/// What the program `name`, which Debian's `package` brings, printed.
///
/// # Errors
/// Where it is not there, does not end in time, or fails: then with what it complained about, in one line.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(
    (name, package): (&str, &str),
    arguments: impl IntoIterator<Item = S>,
    input: &str,
) -> io::Result<String> {
    let program = find(name).ok_or_else(|| {
        let why = format!("the program {name} is not there (package {package})");
        io::Error::new(io::ErrorKind::NotFound, why)
    })?;
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
    let lines: Vec<&str> =
        complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let complaint = if lines.is_empty() { "it gave no reason".to_owned() } else { lines.join(" ") };
    Err(io::Error::other(format!("{name}: {complaint}")))
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

/// An empty one, in memory.
pub(crate) fn file() -> io::Result<File> {
    Ok(memfd_create(c"program", MemfdFlags::CLOEXEC)?.into())
}

/// All that was written to it.
pub(crate) fn contents(mut file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_given_goes_in_and_what_it_prints_comes_out() {
        let said = run(("cat", "coreutils"), ["-"], "one\ntwo\n").expect("it runs");
        assert_eq!(said, "one\ntwo\n");
    }

    #[test]
    fn a_failure_carries_the_complaint_and_an_absent_program_its_package() {
        let sh = ["-c", "echo this; echo '  and that' >&2; exit 3"];
        let err = run(("sh", "dash"), sh, "").expect_err("it fails");
        assert_eq!(err.to_string(), "sh: and that");
        let err = run(("no-such-program", "its-package"), [""; 0], "").expect_err("not there");
        assert!(err.to_string().contains("its-package"), "{err}");
    }
}
