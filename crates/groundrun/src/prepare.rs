//! What must be right before anything is started: the machine, and the cgroup that this process is in. Makes no thread.

use std::{os::unix::process::CommandExt, path::Path, process::Command};

use groundrun_host::{
    cgroup::{Demand, Limiting, Survey, survey},
    check::{self, Intent, check},
};

use crate::{
    cli::{self, exit::Stop},
    config::Ground,
    world,
};

/// Names the scope that this program was started in by itself; that it is there keeps it from asking for another.
const SCOPE: &str = "GROUNDRUN_SCOPE";

/// Refuses a machine on which tasks cannot run, and moves an ordinary user's server to where it may limit them.
///
/// An ordinary user's limits need a cgroup that systemd hands over, and processes there: where nothing was handed over to
/// where we are, this process becomes `systemd-run` and that this program again, in a scope of its own, as the same process
/// with the same streams.
pub(crate) fn prepare(ground: &Ground) -> Result<(), Stop> {
    let lacks = check(&ground.data_dir, intent(ground));
    if !lacks.is_empty() {
        return Err(Stop::cannot_run_here(lacks.iter().map(ToString::to_string).collect()));
    }
    let scope = scope();
    match survey(scope.as_deref()) {
        Survey::V2 { seat: None, .. } if scope.is_none() => into_scope(ground.limiting()),
        Survey::V2 { seat: None, own, .. } if ground.limiting() == Limiting::Required => {
            let lack = format!("systemd's scope is not what {} is: say --no-limits", own.display());
            Err(Stop::cannot_run_here(vec![lack]))
        }
        _ => Ok(()),
    }
}

/// What is asked of the machine's cgroups.
pub(crate) fn demand(ground: &Ground) -> Demand {
    Demand { limiting: ground.limiting(), scope: scope() }
}

/// What the machine is judged by.
pub(crate) fn intent(ground: &Ground) -> Intent {
    let network = match ground.network {
        cli::Network::Private => check::Network::Private,
        cli::Network::Host | cli::Network::None => check::Network::Plain,
    };
    Intent { limiting: ground.limiting(), network }
}

fn scope() -> Option<String> {
    std::env::var(SCOPE).ok()
}

/// Returns only where that cannot be, which is said if limits must hold.
fn into_scope(limiting: Limiting) -> Result<(), Stop> {
    let uid = rustix::process::geteuid();
    let runtime = format!("/run/user/{}", uid.as_raw());
    let manager = Path::new(&runtime).join("systemd/private");
    if uid.is_root() || (limiting == Limiting::Waived && !manager.exists()) {
        return Ok(());
    }
    let failed = |what: &str, err: std::io::Error| {
        Stop::cannot_run_here(vec![format!("{what}: {err}; or run without limits: --no-limits")])
    };
    let program = std::env::current_exe().map_err(|err| failed("find this program", err))?;
    // Scopes of servers before stay as long as their tasks run.
    let scope = format!("groundrun-{}.scope", &world::secret()[..12]);
    let mut command = Command::new("systemd-run");
    command
        .args(["--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes"])
        .arg(format!("--unit={scope}"))
        .arg("--description=Groundrun: Cloud Run jobs on this machine")
        .arg("--")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(SCOPE, &scope);
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", &runtime);
    }
    Err(failed("start in a scope of the user's systemd by systemd-run", command.exec()))
}
