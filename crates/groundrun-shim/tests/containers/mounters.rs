//! Volumes that a program mounts: a real one of FUSE's, bindfs, called as gcsfuse is.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use groundrun_shim::{
    log::Source,
    protocol::{Cause, End, Exit, Fault, Launch, Mount, Mounter, Volume, Wish},
};
use rustix::process::Signal;

use crate::{
    Test,
    lab::{Lab, until},
};

pub(crate) const TESTS: &[Test] = &[
    (
        "what_a_task_writes_to_a_programs_mount_is_with_the_program_when_it_ends",
        what_a_task_writes_to_a_programs_mount_is_with_the_program_when_it_ends,
    ),
    (
        "a_programs_mount_that_is_read_only_takes_nothing",
        a_programs_mount_that_is_read_only_takes_nothing,
    ),
    ("a_program_ends_with_a_shim_that_is_killed", a_program_ends_with_a_shim_that_is_killed),
    (
        "a_program_that_does_not_mount_is_told_with_its_words",
        a_program_that_does_not_mount_is_told_with_its_words,
    ),
    (
        "a_stop_is_heard_while_a_program_has_not_mounted_yet",
        a_stop_is_heard_while_a_program_has_not_mounted_yet,
    ),
];

/// A script that is called as gcsfuse is, and shows directories below `lab`.
fn gcsfuse(lab: &Lab) -> (PathBuf, PathBuf) {
    let place = lab.new_directory();
    fs::create_dir(place.join("bkt")).expect("a directory can be made");
    let program = place.join("gcsfuse");
    let script = format!(
        "#!/bin/sh\nfor last; do bucket=$place; place=$last; done\n\
         exec bindfs -f -o allow_other -p a+rwX {}/$bucket \"$place\"\n",
        place.display()
    );
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    (program, place.join("bkt"))
}

/// One container with what it mounts at `/data`.
fn with(lab: &Lab, arguments: &[&str], program: &Path, read_only: bool) -> Launch {
    let mut launch = lab.launch(arguments);
    launch.volumes = vec![Volume::Mounted(Mounter {
        what: "bucket bkt".into(),
        program: program.to_owned(),
        arguments: vec!["--foreground".into(), "bkt".into()],
        read_only,
    })];
    launch.containers[0].mounts = vec![Mount { volume: 0, path: "/data".into(), read_only: false }];
    launch
}

/// Processes that name the attempt's directory in their arguments.
fn programs(launch: &Launch) -> usize {
    let path = launch.attempt_dir.join("mounts").display().to_string();
    let processes = fs::read_dir("/proc").expect("it is there").flatten();
    let named = |process: &fs::DirEntry| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&path)
    };
    processes.filter(named).count()
}

fn what_a_task_writes_to_a_programs_mount_is_with_the_program_when_it_ends(lab: &Lab) {
    let (program, bucket) = gcsfuse(lab);
    for (n, user) in ["", "app"].into_iter().enumerate() {
        let file = format!("/data/file-{n}");
        let mut launch = with(lab, &["write-file", &file, "1"], &program, false);
        launch.containers[0].process.user = user.into();
        let outcome = lab.run(&launch);
        assert_eq!(outcome.exit().0, Exit::Code(0), "{outcome:?}");
        let there = fs::metadata(bucket.join(format!("file-{n}"))).expect("it is there");
        assert_eq!(there.len(), 1 << 20);
        assert_eq!(programs(&launch), 0, "it has ended before the end is told");
        assert!(!launch.attempt_dir.join("mounts").exists());
    }
    let launch = with(lab, &["cat", "/proc/self/mountinfo"], &program, false);
    let text = lab.output(&launch);
    let line = text.lines().find(|line| line.contains(" /data ")).expect("it is mounted");
    assert!(line.contains(" rw,nosuid,nodev") && line.contains(" fuse "), "{line}");
}

fn a_programs_mount_that_is_read_only_takes_nothing(lab: &Lab) {
    let (program, _) = gcsfuse(lab);
    let outcome = lab.run(&with(lab, &["write-file", "/data/file", "1"], &program, true));
    let expected = (Exit::Code(1), "errno 30\n".to_owned());
    assert_eq!((outcome.exit().0, outcome.text(Source::Stderr)), expected);
}

fn a_program_ends_with_a_shim_that_is_killed(lab: &Lab) {
    let (program, _) = gcsfuse(lab);
    let launch = with(lab, &["wait-term", "0"], &program, false);
    let attempt = lab.start(&launch);
    attempt.says("waiting");
    assert!(programs(&launch) > 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it is there");
    assert!(!mounts.contains(&launch.attempt_dir.display().to_string()), "the shim sees it alone");
    rustix::process::kill_process(attempt.shim(), Signal::KILL).expect("it lives");
    until("its program is gone", || programs(&launch) == 0);
    until("its container is empty", || lab.processes(&launch).is_empty());
    lab.sweep(&launch);
}

fn a_program_that_does_not_mount_is_told_with_its_words(lab: &Lab) {
    let place = lab.new_directory();
    let program = place.join("gcsfuse");
    fs::write(&program, "#!/bin/sh\necho \"no bucket $2\" >&2\nexit 3\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    for (program, words) in [
        (program, "it ended without a mount, exit status: 3: no bucket bkt"),
        (place.join("none"), "no such file or directory"),
    ] {
        let launch = with(lab, &["true"], &program, false);
        let outcome = lab.run(&launch);
        let End::StartFailed { whose, why } = &outcome.record.end else { panic!("{outcome:?}") };
        assert_eq!(*whose, Fault::Ours);
        assert!(why.starts_with("mount bucket bkt by ") && why.ends_with(words), "{why}");
        assert_eq!(programs(&launch), 0);
    }
}

fn a_stop_is_heard_while_a_program_has_not_mounted_yet(lab: &Lab) {
    let program = lab.new_directory().join("gcsfuse");
    fs::write(&program, "#!/bin/sh\nsleep 600 &\nwait\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    let launch = with(lab, &["true"], &program, false);
    let attempt = lab.start(&launch);
    until("its program was started", || programs(&launch) > 0);
    let stop = Wish::Stop { grace: Duration::from_secs(10) };
    attempt.connection().send(stop).expect("the shim hears");
    let outcome = attempt.outcome();
    assert_eq!(outcome.exit(), (Exit::Signal(Signal::TERM.as_raw()), Cause::Asked));
    assert_eq!(outcome.record.started, None);
    assert_eq!(programs(&launch), 0);
    assert!(!launch.attempt_dir.join("mounts").exists());
}
