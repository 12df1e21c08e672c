//! Where an ordinary user starts the server: enters a user namespace in which that user is root, before anything else is
//! done, so that all that follows is the same as for the machine's root.
//!
//! ```text
//!  server ──▶ forks the holder ──▶ newuidmap, newgidmap map the user and its subordinate ids ──▶ server joins
//!  next server ──▶ finds the holder by the data directory, as long as a shim lives ──▶ joins
//! ```
//! A server in the namespaces of the one before may signal what that one left. The mount namespace is each server's own:
//! nothing in it need outlive the server, and a new one shows the machine as it is now.

mod fault;
mod hold;
mod ids;
mod marks;

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
    process::{Pid, PidfdFlags, Signal, getegid, geteuid},
    thread::LinkNameSpaceType,
};

pub use fault::EnterFault;
pub use hold::Hold;
pub(crate) use ids::IDS;
pub use ids::Ids;
pub use marks::{Marks, marks};

use fault::{Knobs, explain};
use hold::{HoldFile, Holder, Newborn, Unborn};
use ids::{Means, Person, Plan, map_arguments, mapped_lines, names_of, plan};

use crate::sys;

/// An ordinary user's server has entered namespaces of its own.
#[derive(Debug)]
pub struct Entered {
    /// What containers can have.
    pub ids: Ids,
    /// The ids of the namespace in ids of the machine, one line for users and one for groups: what files of containers
    /// belong to on disk. The same after every start of this user, unless somebody gave it other ranges.
    pub map: String,
    /// Why that is not all ids, and what mends it.
    pub lacking: Option<String>,
    /// A network namespace that belongs to this one, empty at first, kept by the holder: the place of a router for tasks.
    pub network: Option<OwnedFd>,
    /// Keeps the namespaces for the next server: to be kept as long as the server lives.
    pub hold: Hold,
}

/// What an ordinary user would find here, as far as files tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// What containers could have.
    pub ids: Ids,
    /// Why that is not all ids, and what mends it.
    pub lacking: Option<String>,
}

/// What this process's user could have, without trying.
#[must_use]
pub fn prospect() -> Prospect {
    if geteuid().is_root() {
        return Prospect { ids: Ids::Machine, lacking: None };
    }
    let Plan { uids, gids, lacking } = plan(&person(), &means());
    let ids = Ids::of_maps(&mapped_lines(0, &uids), &mapped_lines(0, &gids));
    Prospect { ids, lacking }
}

/// Tries, in a process of its own, whether this user can enter. Changes nothing here.
///
/// # Errors
/// What stands in the way.
pub fn try_to_enter() -> Result<Prospect, EnterFault> {
    let (holder, lacking) = new_holder(None)?;
    let knobs = Knobs::read();
    let failed = |step: &'static str| move |err: io::Error| explain(step, &err, &Knobs::read());
    let trial = sys::process::fork().map_err(failed("fork"))?;
    match trial {
        sys::process::Fork::Child => {
            let joined = join(&holder).and_then(|()| prove_rights());
            let errno = joined.err().map_or(0, |(_, err)| err.raw_os_error().unwrap_or(libc::EIO));
            sys::process::exit(errno)
        }
        sys::process::Fork::Parent(pid) => {
            let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            let status = status.map_err(|err| failed("wait")(err.into()))?;
            match status.and_then(|(_, status)| status.exit_status()) {
                Some(0) => Ok(Prospect { lacking, ..prospect() }),
                errno => {
                    let err = io::Error::from_raw_os_error(errno.unwrap_or(libc::EIO));
                    Err(explain(RIGHTS, &err, &knobs))
                }
            }
        }
    }
}

/// Enters. To be called by `main()` before any thread exists, by a user that is not root. `data_dir` is where the holder is
/// noted and looked for; without it nobody joins again.
///
/// # Errors
/// What stands in the way, with what to do.
pub fn enter(data_dir: Option<&Path>) -> Result<Entered, EnterFault> {
    let failed = |step: &str| {
        let step = step.to_owned();
        move |err: io::Error| explain(&step, &err, &Knobs::read())
    };
    let mut file = match data_dir {
        None => None,
        Some(dir) => {
            let step = format!("use the data directory {}", dir.display());
            Some(HoldFile::lock(dir).map_err(|err| not_mine(&step, &err))?)
        }
    };
    let (holder, lacking) = match file.as_mut().and_then(HoldFile::holder) {
        Some(holder) => (holder, plan(&person(), &means()).lacking),
        None => new_holder(file.as_ref())?,
    };
    if let Some(file) = file {
        file.note(&holder).map_err(failed("note the holder of the namespaces"))?;
    }
    join(&holder)
        .and_then(|()| prove_rights())
        .map_err(|(step, err)| explain(step, &err, &Knobs::read()))?;
    let read = |path: &str| fs::read_to_string(path).map_err(failed(path));
    let (uid_map, gid_map) = (read("/proc/self/uid_map")?, read("/proc/self/gid_map")?);
    let ids = Ids::of_maps(&uid_map, &gid_map);
    let Holder { hold, network, .. } = holder;
    Ok(Entered { ids, map: in_two_lines(&uid_map, &gid_map), lacking, network, hold })
}

fn not_mine(step: &str, err: &io::Error) -> EnterFault {
    EnterFault {
        what: format!("{step}: {err}"),
        remedy:
            "another user's, such as root's, cannot be shared; give one of your own with --data-dir"
                .to_owned(),
    }
}

/// Spaces and lines as in every kernel.
fn in_two_lines(uid_map: &str, gid_map: &str) -> String {
    let line = |map: &str| {
        let extents = map.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        extents.collect::<Vec<_>>().join(", ")
    };
    format!("users {}\ngroups {}\n", line(uid_map), line(gid_map))
}

/// Makes a holder with as many ids as can be had, and says what is lacking.
fn new_holder(file: Option<&HoldFile>) -> Result<(Holder, Option<String>), EnterFault> {
    const STEP: &str = "make a user namespace";
    let person = person();
    let newborn = || {
        Newborn::fork(file).map_err(|err| match err {
            Unborn::Refused(err) | Unborn::Failed(err) => explain(STEP, &err, &Knobs::read()),
        })
    };
    let failed = |err: io::Error| explain(STEP, &err, &Knobs::read());
    let Plan { uids, gids, mut lacking } = plan(&person, &means());
    if !uids.is_empty() {
        let newborn = newborn()?;
        let mapped = map_by_program("newuidmap", newborn.pid(), map_arguments(person.uid, &uids))
            .and_then(|()| {
                map_by_program("newgidmap", newborn.pid(), map_arguments(person.gid, &gids))
            });
        match mapped {
            Ok(()) => return Ok((newborn.mapped().map_err(failed)?, lacking)),
            // A map is written once: another newborn gets the single id.
            Err(why) => lacking = Some(format!("{why}: tasks run as you, with one user id")),
        }
    }
    let newborn = newborn()?;
    map_single(&person, newborn.pid())
        .map_err(|err| explain("map your own id", &err, &Knobs::read()))?;
    Ok((newborn.mapped().map_err(failed)?, lacking))
}

fn person() -> Person {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    // Who is in no file is in a directory service, and says the name in the environment; a wrong one is refused by newuidmap.
    let names = names_of(uid, &passwd, std::env::var("USER").ok().filter(|name| !name.is_empty()));
    Person { uid, gid, names }
}

fn means() -> Means {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Means {
        subuid: read("/etc/subuid"),
        subgid: read("/etc/subgid"),
        programs: ["newuidmap", "newgidmap"].iter().all(|name| on_path(name).is_some()),
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// They ask the account database, which may ask a network.
const MAPPING_WITHIN: Duration = Duration::from_secs(20);

/// Runs newuidmap or newgidmap, which have the right that this process lacks.
fn map_by_program(name: &str, target: Pid, arguments: Vec<String>) -> Result<(), String> {
    let mut command =
        Command::new(on_path(name).ok_or_else(|| format!("{name} is not installed"))?);
    command.arg(target.as_raw_nonzero().to_string()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |err: io::Error| format!("run {name}: {err}");
    let mut child = command.spawn().map_err(failed)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    if let Some(pidfd) = pidfd {
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        let patience = Timespec::try_from(MAPPING_WITHIN).ok();
        if matches!(poll(&mut ended, patience.as_ref()), Ok(0)) {
            // It runs as root, and the kernel lets its caller end it nevertheless only where it does not: then it is left.
            let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
            return Err(format!("{name} did not answer in {} s", MAPPING_WITHIN.as_secs()));
        }
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = io::Read::read_to_string(&mut stderr, &mut said);
    }
    match child.wait().map_err(failed)?.success() {
        true => Ok(()),
        false => Err(format!("{name} refused: {}", said.trim())),
    }
}

/// The kernel's own permission: one's own id, once nobody in there can give up a group.
fn map_single(person: &Person, target: Pid) -> io::Result<()> {
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/{}/{file}", target.as_raw_nonzero()), text)
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {} 1", person.uid))?;
    write("gid_map", format!("0 {} 1", person.gid))
}

type Refused = (&'static str, io::Error);

/// Joins the user namespace, and makes a mount namespace that belongs to it.
fn join(holder: &Holder) -> Result<(), Refused> {
    let user = Some(LinkNameSpaceType::User);
    rustix::thread::move_into_link_name_space(holder.user.as_fd(), user)
        .map_err(|err| ("join the user namespace", err.into()))?;
    sys::process::new_mount_namespace().map_err(|err| ("make a mount namespace", err))
}

const RIGHTS: &str = "mount a file system in the user namespace";

/// A namespace can be had without the rights in it that make it useful: AppArmor's way of refusing it.
fn prove_rights() -> Result<(), Refused> {
    let prove = || {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map(drop)
    };
    prove().map_err(|err: rustix::io::Errno| (RIGHTS, err.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_written_as_one_writes_them() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        let lines = "users 0 1000 1, 1 100000 65536\ngroups 0 1000 1, 1 100000 65536\n";
        assert_eq!(in_two_lines(map, map), lines);
    }
}
