//! Volumes: shared between containers, bounded, counted, and gone at the end.

use std::{fs, process::Command, time::Duration};

use groundrun_shim::{
    log::Source,
    protocol::{Cause, Exit, Launch, Mount, Probe, ProbeCheck, Volume, Wish},
};
use rustix::process::Signal;

use crate::{
    Test,
    lab::{Lab, MIB, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("what_one_container_writes_another_reads", shared),
    ("a_read_only_mount_takes_nothing", read_only),
    ("a_volume_in_memory_is_held_to_its_size", bounded),
    ("a_volume_in_memory_counts_against_who_writes", counted),
    ("a_volume_on_disk_does_not_count_as_memory", on_disk),
    ("a_volume_on_disk_is_held_to_its_size", bounded_on_disk),
    ("any_user_may_write_to_a_volume", any_user),
    ("one_volume_may_be_below_another", nested),
    ("a_volume_gives_no_devices_and_no_rights", attributes),
    ("an_image_cannot_put_a_volume_outside_or_over_the_kernels_files", hostile_links),
    ("volumes_are_gone_with_the_shim", gone),
];

fn mount(volume: usize, path: &str) -> Mount {
    Mount { volume, path: path.into(), read_only: false }
}

fn memory(mib: u64) -> Volume {
    Volume::Memory { max_bytes: mib * MIB }
}

/// One container with a volume at `/data`.
fn with(lab: &Lab, arguments: &[&str], volume: Volume) -> Launch {
    let mut launch = lab.launch(arguments);
    launch.volumes = vec![volume];
    launch.containers[0].mounts = vec![mount(0, "/data")];
    launch
}

fn disk(lab: &Lab) -> Volume {
    Volume::Disk { directory: lab.new_directory() }
}

fn shared(lab: &Lab) {
    for volume in [memory(16), disk(lab)] {
        let serve: &[&str] = &["serve", "8080", "", "0", "/made/here/file"];
        let mut launch = lab.several(&[("main", &["ls", "/data"]), ("writer", serve)]);
        launch.volumes = vec![memory(1), volume];
        launch.containers[0].mounts = vec![mount(1, "/data")];
        launch.containers[0].depends_on = vec![1];
        launch.containers[1].mounts = vec![mount(1, "/made/here")];
        launch.containers[1].startup_probe = Some(Probe {
            check: ProbeCheck::TcpSocket { port: 8080 },
            initial_delay: Duration::ZERO,
            timeout: Duration::from_secs(1),
            period: Duration::from_millis(50),
            failure_threshold: 100,
        });
        let outcome = lab.run(&launch);
        assert_eq!(outcome.end_of().1, Exit::Code(0), "{outcome:?}");
        assert!(outcome.said_by(0).contains(&"file".to_owned()), "{outcome:?}");
    }
}

fn read_only(lab: &Lab) {
    let mut launch = with(lab, &["write-file", "/data/file", "1"], memory(16));
    launch.containers[0].mounts[0].read_only = true;
    let outcome = lab.run(&launch);
    assert_eq!(
        (outcome.exit().0, outcome.text(Source::Stderr)),
        (Exit::Code(1), "errno 30\n".into())
    );
}

fn bounded(lab: &Lab) {
    let write: &[&str] = &["write-file", "/data/file", "3"];
    assert_eq!(lab.run(&with(lab, write, memory(4))).exit().0, Exit::Code(0));
    let outcome = lab.run(&with(lab, write, memory(2)));
    assert_eq!(
        (outcome.exit().0, outcome.text(Source::Stderr)),
        (Exit::Code(1), "errno 28\n".into())
    );
}

fn counted(lab: &Lab) {
    let outcome = lab.run(&with(lab, &["write-file", "/data/file", "100"], memory(256)));
    assert_eq!(outcome.exit(), (Exit::Signal(9), Cause::OutOfMemory), "{outcome:?}");
}

fn on_disk(lab: &Lab) {
    let outcome = lab.run(&with(lab, &["write-file", "/data/file", "100"], disk(lab)));
    assert_eq!(outcome.exit(), (Exit::Code(0), Cause::OnItsOwn), "{outcome:?}");
}

/// An ext4 of so many MiB.
fn image(lab: &Lab, mib: u64) -> Volume {
    let file = lab.new_directory().join("image");
    fs::File::create(&file).and_then(|made| made.set_len(mib * MIB)).expect("a file can be made");
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&file).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfs.ext4 is needed: package e2fsprogs");
    Volume::Image { file }
}

fn bounded_on_disk(lab: &Lab) {
    let write: &[&str] = &["write-file", "/data/file", "100"];
    let outcome = lab.run(&with(lab, write, image(lab, 160)));
    assert_eq!(outcome.exit(), (Exit::Code(0), Cause::OnItsOwn), "{outcome:?}");
    let outcome = lab.run(&with(lab, write, image(lab, 50)));
    assert_eq!(
        (outcome.exit().0, outcome.text(Source::Stderr)),
        (Exit::Code(1), "errno 28\n".into())
    );
    let listed = lab.output(&with(lab, &["ls", "/data"], image(lab, 10)));
    assert!(!listed.contains("lost+found"), "it is empty: {listed}");
    let mut launch = with(lab, &["write-file", "/data/file", "1"], image(lab, 10));
    launch.containers[0].process.user = "app".into();
    assert_eq!(lab.run(&launch).exit().0, Exit::Code(0), "anybody may write to it");
    let mounts = lab.output(&with(lab, &["cat", "/proc/self/mountinfo"], image(lab, 10)));
    assert!(mounts.contains(" / /data rw,nosuid,nodev"), "{mounts}");
    let loops = || {
        fs::read_dir("/sys/block").expect("it is there").flatten().any(|device| {
            let file =
                fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            file.starts_with(&lab.path().display().to_string())
        })
    };
    until("no device shows a file of ours", || !loops());
}

fn any_user(lab: &Lab) {
    for volume in [memory(16), disk(lab)] {
        let mut launch = with(lab, &["write-file", "/data/file", "1"], volume);
        launch.containers[0].process.user = "app".into();
        assert_eq!(lab.run(&launch).exit().0, Exit::Code(0));
    }
}

fn nested(lab: &Lab) {
    let mut launch = with(lab, &["write-file", "/data/below/file", "1"], memory(16));
    launch.volumes.push(memory(16));
    // Written down the other way round.
    launch.containers[0].mounts.insert(0, mount(1, "/data/below/"));
    assert_eq!(lab.run(&launch).exit().0, Exit::Code(0));
    launch = with(lab, &["cat", "/proc/self/mountinfo"], memory(16));
    launch.volumes.push(memory(16));
    launch.containers[0].mounts.insert(0, mount(1, "/data/below/"));
    let text = lab.output(&launch);
    assert!(text.contains(" /data ") && text.contains(" /data/below "), "{text}");
}

fn attributes(lab: &Lab) {
    for volume in [memory(16), disk(lab)] {
        let text = lab.output(&with(lab, &["cat", "/proc/self/mountinfo"], volume));
        let line = text.lines().find(|line| line.contains(" /data ")).expect("it is mounted");
        assert!(line.contains(" rw,nosuid,nodev"), "{line}");
        assert!(!text.contains("/volumes"), "{text}");
    }
}

fn hostile_links(lab: &Lab) {
    let layer = lab.new_directory();
    fs::create_dir(layer.join("proc")).expect("a directory can be made");
    std::os::unix::fs::symlink("/proc", layer.join("data")).expect("a link can be made");
    let mut launch = with(lab, &["cat", "/proc/self/status"], memory(16));
    launch.containers[0].root.layers.insert(0, layer);
    assert!(lab.output(&launch).contains("Seccomp:\t2"));
    let layer = lab.new_directory();
    std::os::unix::fs::symlink("../../../../tmp", layer.join("data")).expect("a link can be made");
    let mut launch = with(lab, &["write-file", "/tmp/file", "3"], memory(2));
    launch.containers[0].root.layers.insert(0, layer);
    assert_eq!(lab.run(&launch).text(Source::Stderr), "errno 28\n", "it is the image's own /tmp");
}

fn gone(lab: &Lab) {
    let attempts = |launch: &Launch| launch.attempt_dir.join("volumes").display().to_string();
    let launch = with(lab, &["wait-term", "0"], memory(16));
    let attempt = lab.start(&launch);
    attempt.says("waiting");
    assert_eq!(seen_by(&attempts(&launch)), 1, "by the shim alone");
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    attempt.outcome();
    until("nobody has it mounted", || seen_by(&attempts(&launch)) == 0);

    let launch = with(lab, &["wait-term", "0"], memory(16));
    let attempt = lab.start(&launch);
    attempt.says("waiting");
    rustix::process::kill_process(attempt.shim(), Signal::KILL).expect("it lives");
    until("nobody has it mounted", || seen_by(&attempts(&launch)) == 0);
    until("its container is empty", || lab.processes(&launch).is_empty());
    lab.sweep(&launch);
}

/// Processes that have something mounted at or below `path`.
fn seen_by(path: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("it is there").flatten();
    let has = |process: &fs::DirEntry| {
        let mounts = fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
        mounts.lines().any(|line| line.contains(&format!(" {path}")))
    };
    processes.filter(has).count()
}
