//! What a program is given, and what is said when it cannot be started.

use groundrun_shim::protocol::{End, ExitRecord, Fault, Launch, Resource, Rlimit};

use crate::{
    Test,
    lab::{Lab, write},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_program_gets_its_arguments", a_program_gets_its_arguments),
    ("a_program_gets_its_environment_and_a_home", a_program_gets_its_environment_and_a_home),
    ("a_program_is_found_by_its_path", a_program_is_found_by_its_path),
    ("a_large_environment_passes", a_large_environment_passes),
    ("a_limit_beyond_the_machines_is_lowered", a_limit_beyond_the_machines_is_lowered),
    ("a_shim_may_open_what_the_machine_permits", a_shim_may_open_what_the_machine_permits),
    ("a_program_that_is_not_there_is_their_fault", a_program_that_is_not_there_is_their_fault),
    ("a_program_that_is_no_program_is_their_fault", a_program_that_is_no_program_is_their_fault),
    ("an_interpreter_that_is_not_there_is_told", an_interpreter_that_is_not_there_is_told),
    ("an_unknown_user_is_their_fault", an_unknown_user_is_their_fault),
    ("the_servers_own_program_is_out_of_reach", the_servers_own_program_is_out_of_reach),
    ("a_layer_that_is_not_there_is_not_begun", a_layer_that_is_not_there_is_not_begun),
    ("a_cgroup_that_cannot_be_set_is_our_fault", a_cgroup_that_cannot_be_set_is_our_fault),
    (
        "an_interpreter_that_is_a_link_out_of_the_image_is_refused",
        an_interpreter_that_is_a_link_out_of_the_image_is_refused,
    ),
];

fn a_program_gets_its_arguments(lab: &Lab) {
    assert_eq!(lab.output(&lab.launch(&["args", "one", "two words"])), "/job args one two words\n");
}

fn a_program_gets_its_environment_and_a_home(lab: &Lab) {
    let mut launch = lab.launch(&["env"]);
    launch.containers[0].process.user = "app".into();
    assert_eq!(lab.output(&launch), "CLOUD_RUN_TASK_INDEX=3\nHOME=/srv/app\n");
    let mut launch = lab.launch(&["env"]);
    launch.containers[0].process.env = vec![("HOME".into(), "/elsewhere".into())];
    assert_eq!(lab.output(&launch), "HOME=/elsewhere\n");
}

fn a_program_is_found_by_its_path(lab: &Lab) {
    let mut launch = lab.launch(&["true"]);
    launch.containers[0].process.argv[0] = "job".into();
    failed(lab, &launch, Fault::Theirs, "start \"job\": not found in PATH");
    let mut launch = lab.launch(&["args"]);
    launch.containers[0].process.argv[0] = "job".into();
    launch.containers[0].process.env = vec![("PATH".into(), "/nowhere:/etc/passwd:/".into())];
    assert_eq!(lab.output(&launch), "job args\n");
}

fn a_large_environment_passes(lab: &Lab) {
    let mut launch = lab.launch(&["true"]);
    let value = "x".repeat(100_000);
    launch.containers[0].process.env =
        (0..12).map(|number| (format!("V{number}"), value.clone())).collect();
    assert_eq!(lab.output(&launch), "");
}

fn a_limit_beyond_the_machines_is_lowered(lab: &Lab) {
    let mut launch = lab.launch(&["cat", "/proc/self/limits"]);
    let limit = |resource, value| Rlimit { resource, soft: value, hard: value };
    launch.containers[0].process.rlimits =
        vec![limit(Resource::NoFile, Some(u64::MAX / 2)), limit(Resource::Core, Some(0))];
    let limits = lab.output(&launch);
    assert_eq!(listed(&limits, OPEN_FILES), most_open_files());
    assert_eq!(listed(&limits, "Max core file size"), ["0", "0"]);
}

/// It keeps layers ready for others, and its relay has two descriptors for each connection.
fn a_shim_may_open_what_the_machine_permits(lab: &Lab) {
    let launch = lab.launch(&["cat", "/proc/self/limits"]);
    assert!(launch.containers[0].process.rlimits.is_empty(), "the program has its shim's");
    assert_eq!(listed(&lab.output(&launch), OPEN_FILES), most_open_files());
}

const OPEN_FILES: &str = "Max open files";

fn most_open_files() -> [String; 2] {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let own = own.map_or("unlimited".to_owned(), |value| value.to_string());
    [own.clone(), own]
}

/// The soft and the hard one, as the kernel lists them.
fn listed(limits: &str, name: &str) -> Vec<String> {
    let line = limits.lines().find(|line| line.starts_with(name)).expect("the limit is listed");
    line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect()
}

fn a_program_that_is_not_there_is_their_fault(lab: &Lab) {
    let mut launch = lab.launch(&[]);
    launch.containers[0].process.argv = vec!["/nothing".into()];
    failed(lab, &launch, Fault::Theirs, "start \"/nothing\": no such file or directory");
    let mut launch = lab.launch(&[]);
    launch.containers[0].process.argv.clear();
    failed(lab, &launch, Fault::Theirs, "no program is given");
}

fn a_program_that_is_no_program_is_their_fault(lab: &Lab) {
    let layer = lab.new_directory();
    write(&layer.join("text"), b"not a program\n", 0o755);
    write(&layer.join("closed"), b"", 0o644);
    let launch = |program: &str| {
        let mut launch = lab.launch(&[]);
        launch.containers[0].root.layers.insert(0, layer.clone());
        launch.containers[0].process.argv = vec![program.into()];
        launch
    };
    failed(lab, &launch("/text"), Fault::Theirs, "start \"/text\": exec format error");
    failed(lab, &launch("/closed"), Fault::Theirs, "start \"/closed\": permission denied");
    failed(lab, &launch("/etc"), Fault::Theirs, "start \"/etc\": permission denied");
}

fn an_interpreter_that_is_not_there_is_told(lab: &Lab) {
    let layer = lab.new_directory();
    write(&layer.join("script"), b"#!/bin/nothing\n", 0o755);
    let mut launch = lab.launch(&[]);
    launch.containers[0].root.layers.insert(0, layer);
    launch.containers[0].process.argv = vec!["/script".into()];
    failed(lab, &launch, Fault::Theirs, "start \"/script\": its interpreter is not in the image");
}

fn an_unknown_user_is_their_fault(lab: &Lab) {
    let mut launch = lab.launch(&["true"]);
    launch.containers[0].process.user = "somebody".into();
    failed(lab, &launch, Fault::Theirs, "no user \"somebody\" in the image's /etc/passwd");
}

fn the_servers_own_program_is_out_of_reach(lab: &Lab) {
    let mut launch = lab.launch(&[]);
    launch.containers[0].process.argv = vec!["/proc/self/exe".into()];
    failed(lab, &launch, Fault::Theirs, "start \"/proc/self/exe\": it is a link out of the image");
}

fn a_layer_that_is_not_there_is_not_begun(lab: &Lab) {
    use groundrun_shim::{dir::Standing, protocol::News};
    let mut launch = lab.launch(&["true"]);
    launch.containers[0].root.layers.push("/nothing/here".into());
    let news = lab.start(&launch).next();
    match news {
        Some(News::NotBegun { why }) => {
            assert_eq!(why, "look at layer /nothing/here: no such file or directory");
            let standing = groundrun_shim::dir::standing(&launch.attempt_dir);
            assert!(matches!(standing, Ok(Standing::NotBegun)), "{standing:?}");
        }
        // Where the kernel takes no layers that are made ready ahead, it is found out by the start.
        Some(News::Ended(ExitRecord {
            end: End::StartFailed { whose: Fault::Ours, why }, ..
        })) => {
            assert_eq!(why, "open layer /nothing/here: no such file or directory");
        }
        news => panic!("{news:?}"),
    }
}

fn a_cgroup_that_cannot_be_set_is_our_fault(lab: &Lab) {
    let mut launch = lab.launch(&["true"]);
    launch.containers[0].cgroups[0].settings = vec![("no.such.setting".into(), "1".into())];
    let path = launch.containers[0].cgroups[0].path.clone();
    let file = path.join("no.such.setting");
    let why = format!("write \"1\" to {}: no such file or directory", file.display());
    failed(lab, &launch, Fault::Ours, &why);
    assert!(!path.exists(), "a failed start leaves no cgroup");
}

fn failed(lab: &Lab, launch: &Launch, whose: Fault, why: &str) {
    let record = lab.run(launch).record;
    assert_eq!(record.end, End::StartFailed { whose, why: why.to_owned() });
    assert_eq!(record.started, None);
}

/// A program for this machine that asks to be loaded by `interpreter`, and has nothing else in it.
fn loaded_by(interpreter: &str) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let (header, entry) = (64_u16, 56_u16);
    let text = [interpreter.as_bytes(), b"\0"].concat();
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([3, machine].map(u16::to_le_bytes).concat());
    elf.extend(1_u32.to_le_bytes());
    elf.extend([0, u64::from(header), 0].map(u64::to_le_bytes).concat());
    elf.extend(0_u32.to_le_bytes());
    elf.extend([header, entry, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    elf.extend([3_u32, 4].map(u32::to_le_bytes).concat());
    let (at, length) = (u64::from(header + entry), text.len() as u64);
    elf.extend([at, at, at, length, length, 1].map(u64::to_le_bytes).concat());
    elf.extend(text);
    elf
}

/// It would run the server's own program inside, and so show it.
fn an_interpreter_that_is_a_link_out_of_the_image_is_refused(lab: &Lab) {
    let layer = lab.new_directory();
    write(&layer.join("script"), b"#!/proc/self/exe\n", 0o755);
    write(&layer.join("unreadable"), b"#! /proc/1/exe -x\n", 0o711);
    write(&layer.join("by-script"), b"#!/script", 0o755);
    write(&layer.join("loaded"), &loaded_by("/proc/thread-self/exe"), 0o755);
    write(&layer.join("by-loaded"), b"#!\t/loaded", 0o755);
    for (program, user) in [
        ("/script", ""),
        ("script", ""),
        ("/unreadable", "app"),
        ("/by-script", ""),
        ("/loaded", ""),
        ("/by-loaded", "app"),
    ] {
        let mut launch = lab.launch(&[]);
        launch.containers[0].root.layers.insert(0, layer.clone());
        launch.containers[0].process.argv = vec![program.into()];
        launch.containers[0].process.user = user.into();
        launch.containers[0].process.env = vec![("PATH".into(), "/bin:/".into())];
        let why = format!("start {program:?}: it is a link out of the image");
        failed(lab, &launch, Fault::Theirs, &why);
    }
}
