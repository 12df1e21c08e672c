//! What the container's first process does, in order, until it is the program. It runs in the shim's memory, with
//! descriptors, ids and namespaces of its own.

use std::{
    convert::Infallible,
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{
    Failure, Owner, Plan, Step, identity, inside, kernel, program, root, shared,
    user::{self, User},
    volumes,
};
use crate::{
    dir,
    enter::Ids,
    protocol::{Container, Network},
    sys,
};

/// Becomes the program, or says why not.
pub(super) fn become_program(plan: &Plan<'_>) -> Result<Infallible, Failure> {
    let (launch, container) = (plan.launch, plan.container);
    let owner = plan.owner(0, 0);
    // Of its cgroups before it uses anything that they count.
    join_cgroups(plan)?;
    write_down(plan)?;
    rustix::process::setsid().ours("begin a session")?;
    rustix::process::umask(Mode::empty());
    sys::process::new_cgroup_namespace().ours("make a cgroup namespace")?;

    let ids = plan.tools.ids;
    let volumes = volumes::take(launch, container)?;
    let own_root = root::assemble(&container.root, plan.layers, &launch.attempt_dir, owner, ids)?;
    volumes::show(volumes, &own_root, owner)?;
    let rights = kernel::Rights { ids, own_network: launch.network != Network::Host };
    let dev = kernel::mount_all(&own_root, &container.cgroups, owner, rights)?;
    write_files(plan, own_root.as_fd(), owner)?;
    let user = look_up_user(&container.process.user, own_root.as_fd(), ids)?;
    let users = plan.owner(user.uid, user.gid);
    let cwd = open_cwd(&container.process.cwd, own_root.as_fd(), users)?;
    if !shared::is_needed(launch) {
        name_host(&launch.hostname)?;
    }
    plan.tools.oom_score.reset()?;

    root::enter(&own_root)?;
    rustix::process::fchdir(cwd).ours("enter the working directory")?;
    keep_inside(plan)?;
    connect_output(plan, users)?;
    identity::limit(&container.process.rlimits)?;
    identity::become_user(&user, plan.tools.user_namespace, ids)?;
    identity::die_with(plan.shim)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    sys::signals::for_program();
    sys::fds::close_on_exec_from_3().ours("close descriptors")?;
    identity::confine(plan.tools.filter)?;
    plan.report_executing(&own_root, &dev)?;
    Err(execute(plan, &user))
}

fn join_cgroups(plan: &Plan<'_>) -> Result<(), Failure> {
    for tasks in plan.tasks {
        rustix::io::write(tasks, b"0").ours("join a cgroup")?;
    }
    Ok(())
}

/// What has no cgroup is found by this, whatever becomes of the shim.
fn write_down(plan: &Plan<'_>) -> Result<(), Failure> {
    if !plan.container.cgroups.is_empty() {
        return Ok(());
    }
    let is_own = |one: &Container| std::ptr::eq(one, plan.container);
    let index = plan.launch.containers.iter().position(is_own).unwrap_or_default();
    dir::write_init(&plan.launch.attempt_dir, index).ours("write down who the container's init is")
}

fn write_files(plan: &Plan<'_>, root: BorrowedFd<'_>, owner: Owner) -> Result<(), Failure> {
    for file in &plan.launch.files {
        inside::replace(
            root,
            &file.path,
            file.contents.as_bytes(),
            Mode::from_raw_mode(0o644),
            owner,
        )
        .theirs(format_args!("write {}", file.path))?;
    }
    // Programs open it without making it, and under any user.
    let path = &plan.container.termination_message_path;
    inside::replace(root, path, b"", Mode::from_raw_mode(0o666), owner)
        .theirs(format_args!("make {path}"))
}

/// Larger account files are cut: a megabyte has some 15,000 accounts.
const ACCOUNT_BYTES_MAX: usize = 1 << 20;

fn look_up_user(spec: &str, root: BorrowedFd<'_>, ids: Ids) -> Result<User, Failure> {
    let read = |path| {
        let bytes = inside::read(root, path, ACCOUNT_BYTES_MAX)
            .theirs(format_args!("read the image's {path}"))?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    user::look_up(spec, &read("/etc/passwd")?, &read("/etc/group")?, ids.count())
        .map_err(|fault| Failure::theirs(fault.to_string()))
}

fn open_cwd(cwd: &str, root: BorrowedFd<'_>, owner: Owner) -> Result<OwnedFd, Failure> {
    let cwd = if cwd.is_empty() { "/" } else { cwd };
    inside::make_dir(root, cwd, owner).theirs(format_args!("open the working directory {cwd}"))
}

pub(super) fn name_host(name: &str) -> Result<(), Failure> {
    rustix::system::sethostname(name.as_bytes()).ours("set the host name")
}

fn connect_output(plan: &Plan<'_>, user: Owner) -> Result<(), Failure> {
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .ours("open /dev/null")?;
    for (from, number) in [(null.as_fd(), 0), (plan.stdout, 1), (plan.stderr, 2)] {
        sys::fds::become_standard(from, number).ours("connect the output")?;
    }
    identity::give_output(plan.stdout, user)?;
    identity::give_output(plan.stderr, user)
}

/// Refuses a program, or an interpreter of one, that is a link out of the image. As long as every file can be read.
fn keep_inside(plan: &Plan<'_>) -> Result<(), Failure> {
    let Some(program) = plan.container.process.argv.first() else { return Ok(()) };
    match candidates(plan.env, program).iter().any(|path| program::leads_out(path)) {
        false => Ok(()),
        true => Err(Failure::theirs(format!("start {program:?}: it is a link out of the image"))),
    }
}

fn candidates(env: &[CString], program: &str) -> Vec<String> {
    program::candidates(program, variable(env, "PATH"))
}

fn variable<'env>(env: &'env [CString], name: &str) -> Option<&'env str> {
    let value = |one: &'env CString| one.to_str().ok()?.strip_prefix(name)?.strip_prefix('=');
    env.iter().find_map(value)
}

/// Execs the program. That it returns says that it did not work.
fn execute(plan: &Plan<'_>, user: &User) -> Failure {
    let process = &plan.container.process;
    let home = match variable(plan.env, "HOME") {
        Some(_) => None,
        None => CString::new(format!("HOME={}", user.home)).ok(),
    };
    let argv = sys::exec::CStrings::new(plan.argv);
    let envp = sys::exec::CStrings::new(plan.env.iter().chain(&home));
    let Some(program) = process.argv.first() else {
        return Failure::theirs("no program is given");
    };
    let attempt = |path: &str| try_to_execute(path, &argv, &envp);
    if program.contains('/') {
        return explain(program, attempt(program));
    }
    // As a shell does: what cannot be executed is passed over, and told only if nothing else is found.
    let mut best = Refusal::Errno(Errno::NOENT);
    for path in candidates(plan.env, program) {
        match attempt(&path) {
            Refusal::Errno(Errno::NOENT | Errno::NOTDIR) => {}
            refusal @ Refusal::Errno(Errno::ACCESS) => best = refusal,
            refusal => return explain(program, refusal),
        }
    }
    explain(program, best)
}

/// Why a program could not be executed.
enum Refusal {
    Errno(Errno),
    /// The file is there, what its first line or its ELF header asks for is not.
    NoInterpreter,
}

fn try_to_execute(
    path: &str,
    argv: &sys::exec::CStrings<'_>,
    env: &sys::exec::CStrings<'_>,
) -> Refusal {
    if let Err(errno) = rustix::fs::stat(path) {
        return Refusal::Errno(errno);
    }
    let Ok(program) = CString::new(path) else {
        return Refusal::Errno(Errno::INVAL);
    };
    match sys::exec::execve(&program, argv, env) {
        Errno::NOENT => Refusal::NoInterpreter,
        errno => Refusal::Errno(errno),
    }
}

fn explain(program: &str, refusal: Refusal) -> Failure {
    let step = format!("start {program:?}");
    match refusal {
        Refusal::Errno(Errno::NOENT) if !program.contains('/') => {
            Failure::theirs(format!("{step}: not found in PATH"))
        }
        Refusal::Errno(errno) => match Err::<Infallible, Errno>(errno).theirs(step) {
            Ok(never) => match never {},
            Err(failure) => failure,
        },
        Refusal::NoInterpreter => {
            Failure::theirs(format!("{step}: its interpreter is not in the image"))
        }
    }
}
