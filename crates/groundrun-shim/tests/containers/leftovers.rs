//! Nothing is left of an attempt, however its shim or its server end.

use std::{fs, time::Duration};

use groundrun_shim::{
    dir,
    protocol::{Cause, Exit, Launch, Wish},
};
use rustix::process::{Pid, Signal};

use crate::{
    Test,
    lab::{Lab, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("an_end_leaves_no_cgroup_and_no_mount", an_end_leaves_no_cgroup_and_no_mount),
    ("a_failed_start_leaves_no_cgroup_and_no_mount", a_failed_start_leaves_no_cgroup_and_no_mount),
    ("kill_9_of_a_shim_kills_its_container", kill_9_of_a_shim_kills_its_container),
    ("without_a_cgroup_a_container_is_found_by_its_init", without_a_cgroup_it_is_found_by_its_init),
    (
        "a_shim_minds_no_signal_that_is_meant_for_the_server",
        a_shim_minds_no_signal_that_is_meant_for_the_server,
    ),
    ("a_shim_outlives_server_and_spawner", a_shim_outlives_server_and_spawner),
    ("a_shim_is_small", a_shim_is_small),
    ("a_shim_of_ten_containers_is_small", a_shim_of_ten_containers_is_small),
    ("a_shim_holds_nothing_of_others", a_shim_holds_nothing_of_others),
];

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("the kernel lists mounts")
}

fn leaves_nothing(lab: &Lab, launch: &Launch) {
    lab.run(launch);
    until("its cgroups are gone", || {
        launch.containers[0].cgroups.iter().all(|cgroup| !cgroup.path.exists())
    });
    assert!(!mounts().contains("attempt-"), "{}", mounts());
}

fn an_end_leaves_no_cgroup_and_no_mount(lab: &Lab) {
    leaves_nothing(lab, &lab.launch(&["true"]));
    leaves_nothing(lab, &lab.launch(&["fork-hold", "60"]));
    leaves_nothing(lab, &lab.launch(&["eat", "100"]));
}

fn a_failed_start_leaves_no_cgroup_and_no_mount(lab: &Lab) {
    let mut launch = lab.launch(&[]);
    launch.containers[0].process.argv = vec!["/nothing".into()];
    leaves_nothing(lab, &launch);
    let mut launch = lab.launch(&["true"]);
    launch.containers[0].process.user = "nobody-here".into();
    leaves_nothing(lab, &launch);
}

fn kill_9_of_a_shim_kills_its_container(lab: &Lab) {
    let launch = lab.launch(&["sleep", "60"]);
    let attempt = lab.start(&launch);
    attempt.started();
    assert_eq!(lab.processes(&launch).len(), 1);
    rustix::process::kill_process(attempt.shim(), Signal::KILL).expect("it lives");
    until("its container is empty", || lab.processes(&launch).is_empty());
    assert!(!mounts().contains("attempt-"), "{}", mounts());
    lab.sweep(&launch);
}

fn without_a_cgroup_it_is_found_by_its_init(lab: &Lab) {
    let mut launch = lab.launch(&["sleep", "60"]);
    let container = &mut launch.containers[0];
    (container.cgroups, container.oom_kills, container.memory_peak) = (vec![], None, None);
    let attempt = lab.start(&launch);
    attempt.started();
    let stat = |pid: i32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let inits = dir::inits(&launch.attempt_dir).expect("they are read");
    let [init] = inits.as_slice() else { panic!("one init, not {inits:?}") };
    assert_eq!(dir::read_stat(&stat(init.pid)), Some(*init));
    // That it is about to be the program is told a moment before it is.
    until("it is the program", || stat(init.pid).contains("(job)"));
    rustix::process::kill_process(attempt.shim(), Signal::KILL).expect("it lives");
    until("its init is gone", || dir::read_stat(&stat(init.pid)) != Some(*init));
}

fn a_shim_minds_no_signal_that_is_meant_for_the_server(lab: &Lab) {
    let attempt = lab.start(&lab.launch(&["wait-term", "5"]));
    attempt.says("waiting");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        rustix::process::kill_process(attempt.shim(), signal).expect("it lives");
    }
    attempt
        .connection()
        .send(Wish::Stop { grace: Duration::from_secs(20) })
        .expect("the shim hears");
    assert_eq!(attempt.outcome().exit(), (Exit::Code(5), Cause::Asked));
}

fn a_shim_outlives_server_and_spawner(lab: &Lab) {
    let spawner =
        lab.doomed.lock().expect("no test panics with it").take().expect("one test takes it");
    let attempt = lab.start_with(&spawner, &lab.launch(&["wait-term", "6"]));
    attempt.says("waiting");
    let spawners_pid = parent_of(attempt.shim());
    assert!(spawner.lives());
    rustix::process::kill_process(spawners_pid, Signal::KILL).expect("it lives");
    until("the spawner has gone", || !spawner.lives());
    until("the shim has another parent", || parent_of(attempt.shim()) != spawners_pid);
    let later = attempt.again();
    drop(attempt);
    later.connection().send(Wish::Stop { grace: Duration::from_secs(20) }).expect("the shim hears");
    assert_eq!(later.outcome().exit(), (Exit::Code(6), Cause::Asked));
}

fn parent_of(process: Pid) -> Pid {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
    let status = status.expect("the process lives");
    let parent =
        status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has a parent");
    parent.trim().parse().ok().and_then(Pid::from_raw).expect("a pid")
}

fn a_shim_is_small(lab: &Lab) {
    let mut launch = lab.launch(&["wait-term", "0"]);
    // What was large once is not kept.
    let value = "x".repeat(100_000);
    launch.containers[0].process.env =
        (0..12).map(|number| (format!("V{number}"), value.clone())).collect();
    let attempt = lab.start(&launch);
    attempt.says("waiting");
    let kib = own_kib(attempt.shim());
    assert!(kib < 512, "{kib}");
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    attempt.outcome();
}

fn a_shim_of_ten_containers_is_small(lab: &Lab) {
    let wait: &[&str] = &["wait-term", "0"];
    let attempt = lab.start(&lab.several(&[("c", wait); 10]));
    until("all wait", || attempt.lines().len() == 10);
    let kib = own_kib(attempt.shim());
    assert!(kib < 768, "{kib}");
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    attempt.outcome();
}

/// Memory that a process has to itself: what else it maps, it shares with the spawner and other shims, of which there are
/// now more and now fewer.
fn own_kib(process: Pid) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.as_raw_nonzero()));
    let rollup = rollup.expect("the kernel tells");
    let own = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kib = own.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.sum()
}

/// Neither the spawner's descriptors nor those of other attempts.
fn a_shim_holds_nothing_of_others(lab: &Lab) {
    let attempts = [(); 3].map(|()| {
        let attempt = lab.start(&lab.launch(&["sleep", "60"]));
        attempt.started();
        attempt
    });
    for attempt in &attempts {
        let fds = fs::read_dir(format!("/proc/{}/fd", attempt.shim().as_raw_nonzero()));
        let targets =
            fds.expect("it lives").flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        for target in targets {
            let others = attempts.iter().filter(|other| other.directory != attempt.directory);
            for other in others {
                assert!(!target.starts_with(&other.directory), "{}", target.display());
            }
            assert!(!target.to_string_lossy().contains("memfd"), "{}", target.display());
        }
    }
    for attempt in &attempts {
        attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
        attempt.outcome();
    }
}
