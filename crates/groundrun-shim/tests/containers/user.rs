//! The same tests as an ordinary user: root's run starts this program again as one, in cgroups that were given to it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use groundrun_shim::enter::{Entered, enter};
use tempfile::TempDir;

/// Accounts that the tests may use, with subordinate ids: the one that `cargo xtask test` makes, and that of its virtual
/// machine.
const ACCOUNTS: [&str; 2] = ["groundrun-test", "tester"];

/// Tells the program that it is started again: the directories in which the user may make cgroups.
const CGROUPS: &str = "GROUNDRUN_TEST_CGROUPS";

/// Tests that are about what only the machine's root has, each with the reason.
pub(crate) const OF_ROOT: &[&str] = &[
    // crun makes its containers from a namespace of the machine's.
    "a_program_has_the_rights_that_it_has_under_crun",
    "the_files_of_the_kernel_are_those_of_crun",
    // Into a shim that has started a container, the kernel lets nobody look but root.
    "a_shim_is_small",
    "a_shim_of_ten_containers_is_small",
    "a_shim_holds_nothing_of_others",
    "volumes_are_gone_with_the_shim",
    "neither_the_spawner_nor_the_shim_keeps_what_a_secret_holds",
    // Loop devices are root's.
    "a_volume_on_disk_is_held_to_its_size",
    // The device of FUSE is root's on some machines.
    "what_a_task_writes_to_a_programs_mount_is_with_the_program_when_it_ends",
    "a_programs_mount_that_is_read_only_takes_nothing",
    "a_program_ends_with_a_shim_that_is_killed",
    // An ordinary user shows files without an id map.
    "on_disk_a_programs_files_are_the_directorys_owners",
    "files_are_shown_as_those_of_the_user_that_is_asked_for",
    "a_directory_that_is_made_in_a_bucket_belongs_to_whom_all_of_it_does",
    // The server that is asked is where the build is, which may be closed to others.
    "a_grpc_server_is_asked_by_the_health_checking_protocol",
    // The second hierarchy of a version 1 machine is root's alone.
    "a_container_is_born_in_its_version_2_cgroup",
];

/// Whether this process is the one that was started again.
pub(crate) fn is_one() -> bool {
    std::env::var_os(CGROUPS).is_some()
}

/// Enters the user's namespaces.
pub(crate) fn entered(data_dir: &Path) -> Entered {
    match enter(Some(data_dir)) {
        Ok(entered) if entered.lacking.is_none() => entered,
        Ok(entered) => {
            let lacking = entered.lacking.unwrap_or_default();
            panic!("these tests need all ids of a container: {lacking}")
        }
        Err(fault) => panic!("{fault}"),
    }
}

/// Cgroups that root made for this user.
pub(crate) fn cgroups() -> Option<Vec<PathBuf>> {
    let listed = std::env::var_os(CGROUPS)?;
    Some(std::env::split_paths(&listed).collect())
}

/// Runs all tests again as the user. `cgroups` are root's; the user gets a directory of its own in each.
pub(crate) fn run(cgroups: &[PathBuf]) -> ExitCode {
    let (uid, gid) = account();
    let give = |path: &Path| {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("an owner can be set");
    };
    let place = TempDir::new().expect("a directory can be made");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755))
        .expect("a mode can be set");
    // The build's own directory may be closed to others.
    let program = place.path().join("containers");
    let own = std::env::current_exe().expect("this program has a file");
    fs::copy(own, &program).expect("this program can be copied");
    let temporary = place.path().join("tmp");
    fs::create_dir(&temporary).expect("a directory can be made");
    give(&temporary);
    let mut given = Vec::new();
    let mut first = String::new();
    for cgroup in cgroups {
        let users = cgroup.join("user");
        fs::create_dir(&users).expect("a cgroup can be made");
        give(&users);
        let (server, tasks) = (users.join("server"), users.join("attempts"));
        fs::create_dir(&tasks).expect("a cgroup can be made");
        give(&tasks);
        if users.join("cgroup.controllers").exists() {
            // A process moves only below a directory that is its own: so it begins there, beside the attempts.
            fs::create_dir(&server).expect("a cgroup can be made");
            for directory in [&users, &tasks] {
                let control = directory.join("cgroup.subtree_control");
                fs::write(control, "+memory +cpu +pids").expect("controllers can be passed on");
            }
            for directory in [&users, &tasks, &server] {
                give(&directory.join("cgroup.procs"));
            }
            first = format!("echo $$ > {}/cgroup.procs && ", server.display());
        }
        given.push(tasks);
    }
    let script = format!(
        "{first}exec setpriv --reuid {uid} --regid {gid} --clear-groups --inh-caps=-all -- \"$@\""
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(&program).args(std::env::args_os().skip(1));
    command.current_dir("/").env("TMPDIR", &temporary);
    command.env(CGROUPS, std::env::join_paths(&given).expect("their names have no colon"));
    eprintln!("\nas an ordinary user:");
    let status = command.status().expect("sh and setpriv are there (util-linux)");
    for users in cgroups.iter().map(|cgroup| cgroup.join("user")) {
        // What is left is told by the lab.
        fs::remove_dir(users.join("server")).ok();
        fs::remove_dir(users).ok();
    }
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// User and group id.
fn account() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").expect("the machine has accounts");
    let find = |name: &str| {
        let line = passwd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":"))?;
        let mut fields = line.split(':').skip(1).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    let found = ACCOUNTS.into_iter().find_map(find);
    found.unwrap_or_else(|| {
        panic!("an account is needed: one of {ACCOUNTS:?} (`cargo xtask needs`)")
    })
}
