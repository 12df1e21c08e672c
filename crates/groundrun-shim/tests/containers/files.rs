//! The container's file system: layers, what is written over them, who owns what, last words.

use std::{fs, os::unix::fs::MetadataExt};

use groundrun_shim::{
    log::Source,
    protocol::{End, Fault, GivenFile, Launch, Writable},
};

use crate::{
    Test,
    lab::{Lab, link, make_dir, write},
};

pub(crate) const TESTS: &[Test] = &[
    ("an_upper_layer_hides_a_lower_one", an_upper_layer_hides_a_lower_one),
    ("layers_mounted_the_old_way_are_the_same", layers_mounted_the_old_way_are_the_same),
    ("a_writable_layer_can_be_on_disk", a_writable_layer_can_be_on_disk),
    ("nothing_is_written_into_a_layer", nothing_is_written_into_a_layer),
    (
        "a_given_file_replaces_a_link_and_stays_inside",
        a_given_file_replaces_a_link_and_stays_inside,
    ),
    ("a_working_directory_is_made_for_the_user", a_working_directory_is_made_for_the_user),
    (
        "a_working_directory_that_is_a_file_is_their_fault",
        a_working_directory_that_is_a_file_is_their_fault,
    ),
    ("links_of_the_image_stay_inside", links_of_the_image_stay_inside),
    ("an_image_without_directories_gets_them", an_image_without_directories_gets_them),
    ("last_words_are_told", last_words_are_told),
    ("last_words_can_be_elsewhere", last_words_can_be_elsewhere),
    ("last_words_are_bounded", last_words_are_bounded),
];

/// A layer with the file `/which` over one with another, and a deleted `/gone`.
fn stack(lab: &Lab, launch: &mut Launch) {
    let (top, bottom) = (lab.new_directory(), lab.new_directory());
    write(&bottom.join("which"), b"bottom\n", 0o644);
    write(&bottom.join("gone"), b"not deleted\n", 0o644);
    write(&top.join("which"), b"top\n", 0o644);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        top.join("gone"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    )
    .expect("a whiteout can be made");
    launch.containers[0].root.layers.insert(0, bottom);
    launch.containers[0].root.layers.insert(0, top);
}

fn an_upper_layer_hides_a_lower_one(lab: &Lab) {
    let mut launch = lab.launch(&["cat", "/which"]);
    stack(lab, &mut launch);
    assert_eq!(lab.output(&launch), "top\n");
    let mut launch = lab.launch(&["cat", "/gone"]);
    stack(lab, &mut launch);
    assert_eq!(lab.run(&launch).text(Source::Stderr), "errno 2\n");
}

fn layers_mounted_the_old_way_are_the_same(lab: &Lab) {
    let run = |launch: &Launch| lab.start_with(&lab.old_way, launch).outcome();
    let mut launch = lab.launch(&["cat", "/which"]);
    stack(lab, &mut launch);
    assert_eq!(run(&launch).text(Source::Stdout), "top\n");
    let mut launch = lab.launch(&["cat", "/gone"]);
    stack(lab, &mut launch);
    launch.containers[0].root.writable = Writable::Disk(lab.new_directory());
    assert_eq!(run(&launch).text(Source::Stderr), "errno 2\n");
    let mounts = run(&lab.launch(&["cat", "/proc/self/mountinfo"])).text(Source::Stdout);
    assert!(mounts.contains("/proc/sys") && !mounts.contains("layer"), "{mounts}");
}

fn a_writable_layer_can_be_on_disk(lab: &Lab) {
    let directory = lab.new_directory();
    let mut launch = lab.launch(&["write-file", "/tmp/here", "1"]);
    launch.containers[0].root.writable = Writable::Disk(directory.clone());
    assert_eq!(lab.output(&launch), "wrote 1 MiB\n");
    let written = fs::metadata(directory.join("upper/tmp/here")).expect("it is in the directory");
    assert_eq!((written.len(), written.uid()), (1 << 20, crate::lab::id_base()));
}

fn nothing_is_written_into_a_layer(lab: &Lab) {
    assert_eq!(lab.output(&lab.launch(&["write-file", "/etc/passwd", "1"])), "wrote 1 MiB\n");
    let passwd = fs::metadata(lab.layer().join("etc/passwd")).expect("it is there");
    assert!(passwd.len() < 1000);
    assert!(!lab.layer().join("dev").exists());
}

fn a_given_file_replaces_a_link_and_stays_inside(lab: &Lab) {
    let (layer, outside) = (lab.new_directory(), lab.new_directory().join("file"));
    write(&outside, b"untouched\n", 0o644);
    make_dir(&layer.join("etc"));
    link(&outside, &layer.join("etc/resolv.conf"));
    let mut launch = lab.launch(&["cat", "/etc/resolv.conf"]);
    launch.containers[0].root.layers.insert(0, layer);
    let given =
        |path: &str| GivenFile { path: path.into(), contents: "nameserver 192.0.2.1\n".into() };
    launch.files = vec![given("/etc/resolv.conf"), given("/a/new/file")];
    assert_eq!(lab.output(&launch), "nameserver 192.0.2.1\n");
    assert_eq!(fs::read(&outside).expect("it is there"), b"untouched\n");
}

fn a_working_directory_is_made_for_the_user(lab: &Lab) {
    let directory = lab.new_directory();
    let mut launch = lab.launch(&["write-file", "here", "1"]);
    launch.containers[0].process.cwd = "/srv/new/deep".into();
    launch.containers[0].process.user = "app".into();
    launch.containers[0].root.writable = Writable::Disk(directory.clone());
    assert_eq!(lab.output(&launch), "wrote 1 MiB\n");
    let made =
        fs::metadata(directory.join("upper/srv/new/deep/here")).expect("it is in the directory");
    assert_eq!(made.uid(), crate::lab::id_base() + 1000);
    assert_eq!(made.gid(), crate::lab::id_base() + 1001);
}

fn a_working_directory_that_is_a_file_is_their_fault(lab: &Lab) {
    let mut launch = lab.launch(&["true"]);
    launch.containers[0].process.cwd = "/job/here".into();
    let why = "open the working directory /job/here: not a directory".to_owned();
    assert_eq!(lab.run(&launch).record.end, End::StartFailed { whose: Fault::Theirs, why });
}

fn links_of_the_image_stay_inside(lab: &Lab) {
    let layer = lab.new_directory();
    make_dir(&layer.join("etc"));
    let link = |target: &str, name: &str| {
        crate::lab::link(target, &layer.join(name));
    };
    // The accounts of the machine, by every way that a link could lead there.
    link("../../../../../../../../etc/passwd", "etc/passwd");
    link("/proc/self/fd/3", "etc/group");
    link("/etc", "cwd");
    let mut launch = lab.launch(&["true"]);
    launch.containers[0].root.layers = vec![layer, lab.layer()];
    launch.containers[0].process.cwd = "/cwd".into();
    // Which the machine has and the image has not.
    launch.containers[0].process.user = "daemon".into();
    let why = "no user \"daemon\" in the image's /etc/passwd".to_owned();
    assert_eq!(lab.run(&launch).record.end, End::StartFailed { whose: Fault::Theirs, why });
}

fn an_image_without_directories_gets_them(lab: &Lab) {
    let layer = lab.new_directory();
    write(&layer.join("job"), sample_job::PROGRAM, 0o755);
    let mut launch = lab.launch(&["ls", "/"]);
    launch.containers[0].root.layers = vec![layer];
    let listed = lab.output(&launch);
    let mut names: Vec<&str> = listed.lines().filter(|name| !name.starts_with('.')).collect();
    names.sort_unstable();
    assert_eq!(names, ["dev", "job", "proc", "sys"]);
}

fn last_words(lab: &Lab, launch: &Launch) -> Option<String> {
    match lab.run(launch).record.end {
        End::Exited { message, .. } => message,
        failed => panic!("{failed:?}"),
    }
}

fn last_words_are_told(lab: &Lab) {
    let mut launch = lab.launch(&["leave", "/dev/termination-log", "it is over"]);
    launch.containers[0].process.user = "app".into();
    assert_eq!(last_words(lab, &launch).as_deref(), Some("it is over"));
    assert_eq!(last_words(lab, &lab.launch(&["true"])), None);
}

fn last_words_can_be_elsewhere(lab: &Lab) {
    let mut launch = lab.launch(&["leave", "/var/words", "over there"]);
    launch.containers[0].termination_message_path = "/var/words".into();
    assert_eq!(last_words(lab, &launch).as_deref(), Some("over there"));
}

fn last_words_are_bounded(lab: &Lab) {
    let mut launch = lab.launch(&["write-file", "/dev/shm/words", "1"]);
    launch.containers[0].termination_message_path = "/tmp/words".into();
    launch.containers[0].process.argv[2] = "/tmp/words".into();
    assert_eq!(last_words(lab, &launch).map(|words| words.len()), Some(4096));
}
