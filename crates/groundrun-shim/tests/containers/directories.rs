//! Directories of the machine's as volumes: whose files are whose, what leads out of them, and what is left.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
};

use groundrun_shim::{
    log::Source,
    protocol::{Directory, End, Exit, Fault, Launch, Mount, Volume},
};
use rustix::process::Signal;

use crate::{
    Test,
    lab::{Lab, until},
};

pub(crate) const TESTS: &[Test] = &[
    (
        "what_a_task_writes_into_a_directory_is_there_for_the_next",
        what_a_task_writes_into_a_directory_is_there_for_the_next,
    ),
    (
        "every_user_of_every_container_may_write_to_the_servers_directory",
        every_user_of_every_container_may_write_to_the_servers_directory,
    ),
    (
        "on_disk_a_programs_files_are_the_directorys_owners",
        on_disk_a_programs_files_are_the_directorys_owners,
    ),
    (
        "files_are_shown_as_those_of_the_user_that_is_asked_for",
        files_are_shown_as_those_of_the_user_that_is_asked_for,
    ),
    ("a_directory_that_is_read_only_takes_nothing", a_directory_that_is_read_only_takes_nothing),
    (
        "a_directory_of_a_bucket_is_shown_in_its_place",
        a_directory_of_a_bucket_is_shown_in_its_place,
    ),
    (
        "a_directory_that_is_made_in_a_bucket_belongs_to_whom_all_of_it_does",
        a_directory_that_is_made_in_a_bucket_belongs_to_whom_all_of_it_does,
    ),
    ("a_link_in_a_directory_leads_nowhere_else", a_link_in_a_directory_leads_nowhere_else),
    ("a_directory_gives_no_devices_and_no_rights", a_directory_gives_no_devices_and_no_rights),
    ("a_directory_that_is_not_there_is_named", a_directory_that_is_not_there_is_named),
    (
        "a_directory_is_mounted_nowhere_once_its_shim_is_killed",
        a_directory_is_mounted_nowhere_once_its_shim_is_killed,
    ),
];

/// As the server makes it.
fn servers(path: &Path) -> Directory {
    Directory {
        path: path.to_owned(),
        below: None,
        read_only: false,
        uid: None,
        gid: None,
        is_servers: true,
    }
}

/// One container with it at `/data`.
fn with(lab: &Lab, arguments: &[&str], directory: Directory) -> Launch {
    let mut launch = lab.launch(arguments);
    launch.volumes = vec![Volume::Directory(directory)];
    launch.containers[0].mounts = vec![Mount { volume: 0, path: "/data".into(), read_only: false }];
    launch
}

fn written(lab: &Lab, user: &str, directory: Directory) -> (Exit, String) {
    written_to(lab, user, "/data/file", directory)
}

fn written_to(lab: &Lab, user: &str, file: &str, directory: Directory) -> (Exit, String) {
    let mut launch = with(lab, &["write-file", file, "1"], directory);
    launch.containers[0].process.user = user.into();
    let outcome = lab.run(&launch);
    (outcome.exit().0, outcome.text(Source::Stderr))
}

const DONE: (Exit, String) = (Exit::Code(0), String::new());

fn what_a_task_writes_into_a_directory_is_there_for_the_next(lab: &Lab) {
    let path = lab.new_directory();
    fs::write(path.join("before"), "of the user\n").expect("it is written");
    fs::set_permissions(path.join("before"), fs::Permissions::from_mode(0o644)).expect("set");
    assert_eq!(written(lab, "", servers(&path)), DONE);
    assert_eq!(lab.output(&with(lab, &["cat", "/data/before"], servers(&path))), "of the user\n");
    let listed = lab.output(&with(lab, &["ls", "/data"], servers(&path)));
    assert!(listed.lines().any(|name| name == "file"), "{listed}");
    assert_eq!(fs::metadata(path.join("file")).expect("it is there").len(), 1 << 20);
}

fn every_user_of_every_container_may_write_to_the_servers_directory(lab: &Lab) {
    let path = lab.new_directory();
    for (n, user) in ["", "app", "4711", "app:2000"].into_iter().enumerate() {
        let file = format!("/data/file-{n}");
        assert_eq!(written_to(lab, user, &file, servers(&path)), DONE, "{user:?}");
    }
    // Both at once, in one task.
    let write = |file: &'static str| ["write-file", file, "1"];
    let (one, other) = (write("/data/one"), write("/data/other"));
    let mut launch = lab.several(&[("main", &one), ("other", &other)]);
    launch.volumes = vec![Volume::Directory(servers(&path))];
    for container in &mut launch.containers {
        container.mounts = vec![Mount { volume: 0, path: "/data".into(), read_only: false }];
    }
    launch.containers[1].process.user = "app".into();
    let outcome = lab.run(&launch);
    assert_eq!(outcome.end_of().1, Exit::Code(0), "{outcome:?}");
}

/// A directory of somebody's, closed to everybody else.
fn somebodys(lab: &Lab) -> Directory {
    let path = lab.new_directory();
    chown(&path, Some(4711), Some(4712)).expect("an owner can be set");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a mode can be set");
    Directory { is_servers: false, ..servers(&path) }
}

fn on_disk_a_programs_files_are_the_directorys_owners(lab: &Lab) {
    let directory = somebodys(lab);
    for user in ["", "app", "4711:1"] {
        assert_eq!(written(lab, user, directory.clone()), DONE, "{user:?}");
        let file = directory.path.join("file");
        let seen = fs::metadata(&file).expect("it is there");
        assert_eq!((seen.uid(), seen.gid()), (4711, 4712), "{user:?}");
    }
    let mode = fs::metadata(&directory.path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "what is not the server's stays as it was");
}

fn files_are_shown_as_those_of_the_user_that_is_asked_for(lab: &Lab) {
    let directory = Directory { uid: Some(2000), gid: Some(2000), ..somebodys(lab) };
    let refused = (Exit::Code(1), "errno 13\n".to_owned());
    assert_eq!(written(lab, "app", directory.clone()), refused, "it is another's");
    assert_eq!(written(lab, "2000:2000", directory), DONE);
}

fn a_directory_that_is_read_only_takes_nothing(lab: &Lab) {
    let directory = Directory { read_only: true, ..servers(&lab.new_directory()) };
    assert_eq!(written(lab, "", directory), (Exit::Code(1), "errno 30\n".into()));
}

fn a_directory_of_a_bucket_is_shown_in_its_place(lab: &Lab) {
    let path = lab.new_directory();
    let directory = Directory { below: Some("a/b".into()), ..servers(&path) };
    for user in ["app", ""] {
        assert_eq!(written(lab, user, directory.clone()), DONE);
    }
    assert!(path.join("a/b/file").is_file(), "made where it was missing");
    assert_eq!(
        lab.output(&with(lab, &["ls", "/data/a/b"], servers(&path))).matches("file").count(),
        1
    );
}

fn a_directory_that_is_made_in_a_bucket_belongs_to_whom_all_of_it_does(lab: &Lab) {
    let somebodys = Directory { below: Some("a/b".into()), ..somebodys(lab) };
    assert_eq!(written(lab, "app", somebodys.clone()), DONE);
    let seen = fs::metadata(somebodys.path.join("a/b")).expect("it is there");
    assert_eq!((seen.uid(), seen.gid()), (4711, 4712));
}

fn a_link_in_a_directory_leads_nowhere_else(lab: &Lab) {
    let path = lab.new_directory();
    symlink("/etc", path.join("link")).expect("a link can be made");
    symlink("..", path.join("up")).expect("a link can be made");
    for name in ["link", "up", "up/up", "link/x"] {
        let directory = Directory { below: Some(name.into()), ..servers(&path) };
        let outcome = lab.run(&with(lab, &["ls", "/data"], directory));
        let End::StartFailed { whose, why } = &outcome.record.end else { panic!("{outcome:?}") };
        assert_eq!(*whose, Fault::Theirs);
        assert!(why.contains(name), "{why}");
    }
    // In the container it leads to the container's own.
    let read = with(lab, &["cat", "/data/link/passwd"], servers(&path));
    assert!(lab.output(&read).contains("/srv/app"), "the image's accounts");
}

fn a_directory_gives_no_devices_and_no_rights(lab: &Lab) {
    let path = lab.new_directory();
    let text = lab.output(&with(lab, &["cat", "/proc/self/mountinfo"], servers(&path)));
    let line = text.lines().find(|line| line.contains(" /data ")).expect("it is mounted");
    assert!(line.contains(" rw,nosuid,nodev"), "{line}");
    assert!(!text.contains("/volumes"), "{text}");
}

fn a_directory_that_is_not_there_is_named(lab: &Lab) {
    let outcome = lab.run(&with(lab, &["true"], servers(&lab.path().join("not-there"))));
    let End::StartFailed { why, .. } = &outcome.record.end else { panic!("{outcome:?}") };
    assert!(why.contains("not-there: no such file"), "{why}");
}

fn a_directory_is_mounted_nowhere_once_its_shim_is_killed(lab: &Lab) {
    let path = lab.new_directory();
    let launch = with(lab, &["wait-term", "0"], servers(&path));
    let attempt = lab.start(&launch);
    attempt.says("waiting");
    let place = launch.attempt_dir.join("volumes").display().to_string();
    rustix::process::kill_process(attempt.shim(), Signal::KILL).expect("it lives");
    until("nobody has it mounted", || !is_mounted(&place));
    until("its container is empty", || lab.processes(&launch).is_empty());
    assert!(path.is_dir(), "it outlives the attempt");
    lab.sweep(&launch);
}

fn is_mounted(path: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("it is there").flatten();
    processes.into_iter().any(|process| {
        let mounts = fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
        mounts.lines().any(|line| line.contains(&format!(" {path}")))
    })
}
