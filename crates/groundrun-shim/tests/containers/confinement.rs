//! What a program may, seen from inside, from outside, and beside crun.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use groundrun_shim::{
    log::Source,
    protocol::{Cgroup, CgroupKind, Exit, Launch, Network, Wish},
};

use crate::{
    Test,
    crun::{self, As},
    lab::{Attempt, Lab, id_base},
};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_program_has_the_rights_that_it_has_under_crun",
        a_program_has_the_rights_that_it_has_under_crun,
    ),
    ("the_files_of_the_kernel_are_those_of_crun", the_files_of_the_kernel_are_those_of_crun),
    ("root_has_dockers_capabilities_at_most", root_has_dockers_capabilities_at_most),
    ("another_user_has_none", another_user_has_none),
    (
        "privileges_and_filter_are_closed_at_every_start",
        privileges_and_filter_are_closed_at_every_start,
    ),
    ("ids_inside_are_nobodys_outside", ids_inside_are_nobodys_outside),
    ("every_namespace_is_its_own", every_namespace_is_its_own),
    ("no_path_of_the_machine_is_seen", no_path_of_the_machine_is_seen),
    ("what_is_masked_is_empty", what_is_masked_is_empty),
    ("the_machine_cannot_be_changed", the_machine_cannot_be_changed),
    ("forbidden_calls_are_refused", forbidden_calls_are_refused),
    ("a_program_sees_its_own_processes_and_name", a_program_sees_its_own_processes_and_name),
    ("without_a_network_there_is_a_loopback", without_a_network_there_is_a_loopback),
    ("the_machines_network_is_the_machines", the_machines_network_is_the_machines),
    ("a_program_sees_its_own_limits", a_program_sees_its_own_limits),
    ("a_container_is_born_in_its_version_2_cgroup", a_container_is_born_in_its_version_2_cgroup),
];

fn ours(lab: &Lab, whom: As, arguments: &[&str]) -> String {
    let mut launch = lab.launch(arguments);
    launch.containers[0].process.env = vec![("HOME".into(), "/".into())];
    launch.containers[0].process.user = match whom {
        As::Root => String::new(),
        As::App => "app".into(),
    };
    lab.output(&launch)
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the kernel lists it").trim().to_owned()
}

fn a_program_has_the_rights_that_it_has_under_crun(lab: &Lab) {
    for whom in [As::Root, As::App] {
        let status = ["status"];
        let (own, other) = (ours(lab, whom, &status), crun::output(lab, whom, &status));
        for name in [
            "Umask",
            "Pid",
            "PPid",
            "TracerPid",
            "Uid",
            "Gid",
            "Groups",
            "NSpid",
            "NSpgid",
            "NSsid",
            "Threads",
            "SigBlk",
            "SigCgt",
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
            "Seccomp",
        ] {
            assert_eq!(field(&own, name), field(&other, name), "{name} of {whom:?}");
        }
        for path in ["uid_map", "gid_map", "setgroups", "cgroup", "limits", "oom_score_adj"] {
            let look = ["cat", &format!("/proc/self/{path}")];
            assert_eq!(
                ours(lab, whom, &look),
                crun::output(lab, whom, &look),
                "{path} of {whom:?}"
            );
        }
        let descriptors = ["ls", "/proc/self/fd"];
        assert_eq!(ours(lab, whom, &descriptors), crun::output(lab, whom, &descriptors));
        assert_eq!(ours(lab, whom, &["env"]), crun::output(lab, whom, &["env"]));
    }
}

/// Mount points with type and the options that confine, without those of cgroups (crun is given none) and of single
/// device nodes (crun binds them, having no right to make them).
fn kernel_mounts(mountinfo: &str) -> BTreeSet<String> {
    let describe = |line: &str| {
        let mut fields = line.split(' ').skip(3);
        let (root, at, options) = (fields.next()?, fields.next()?, fields.next()?);
        let kind = fields.skip_while(|field| *field != "-").nth(1)?;
        let is_node = at.starts_with("/dev/") && root != "/";
        if at == "/" || is_node || at.starts_with("/sys/fs/cgroup") {
            return None;
        }
        // A masked file is /dev/null, whichever file system that is on.
        if root == "/null" {
            return Some(format!("{at} masked"));
        }
        if kind == "tmpfs" && !at.starts_with("/dev") {
            return Some(format!("{at} masked"));
        }
        let confining: Vec<&str> = options
            .split(',')
            .filter(|option| ["ro", "nosuid", "nodev", "noexec"].contains(option))
            .collect();
        // Of a part of /proc only that it is read-only is asked of crun: it has the rest from its parent.
        let confining = if root == "/" { confining.join(",") } else { confining[..1].join(",") };
        Some(format!("{at} {kind} {confining}"))
    };
    mountinfo.lines().filter_map(describe).collect()
}

fn the_files_of_the_kernel_are_those_of_crun(lab: &Lab) {
    let look = ["cat", "/proc/self/mountinfo"];
    let (own, other) = (ours(lab, As::Root, &look), crun::output(lab, As::Root, &look));
    assert_eq!(kernel_mounts(&own), kernel_mounts(&other));
    assert!(kernel_mounts(&own).contains("/proc/sys proc ro"), "{own}");

    let names = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let look = ["ls", "/dev"];
    let (mut own, mut other) =
        (names(ours(lab, As::Root, &look)), names(crun::output(lab, As::Root, &look)));
    // Ours is for last words; crun's leads to the masked /proc/kcore.
    assert!(own.remove("termination-log"));
    assert!(other.remove("core"));
    assert_eq!(own, other);
}

fn root_has_dockers_capabilities_at_most(lab: &Lab) {
    let status = lab.output(&lab.launch(&["status"]));
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(field(&status, set), "00000000a80425fb", "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
}

fn another_user_has_none(lab: &Lab) {
    for user in ["app", "1000", "4711:4712"] {
        let mut launch = lab.launch(&["status"]);
        launch.containers[0].process.user = user.into();
        let status = lab.output(&launch);
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(field(&status, set), "0000000000000000", "{set} of {user}");
        }
        assert_eq!(field(&status, "Uid").starts_with("4711"), user.starts_with("4711"));
    }
}

fn privileges_and_filter_are_closed_at_every_start(lab: &Lab) {
    for spawner in [&lab.spawner, &lab.old_way] {
        for user in ["", "app"] {
            let mut launch = lab.launch(&["status"]);
            launch.containers[0].process.user = user.into();
            let status = lab.start_with(spawner, &launch).outcome().text(Source::Stdout);
            assert_eq!(field(&status, "NoNewPrivs"), "1");
            assert_eq!(field(&status, "Seccomp"), "2");
        }
    }
}

/// Runs `look` while a program sleeps, with the pid of its init.
fn beside(lab: &Lab, launch: &Launch, look: impl FnOnce(&str, &Attempt)) {
    let attempt = lab.start(launch);
    attempt.started();
    let init = lab.processes(launch).first().expect("it runs").clone();
    look(&init, &attempt);
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    assert_eq!(attempt.outcome().exit().0, Exit::Signal(9));
}

fn ids_inside_are_nobodys_outside(lab: &Lab) {
    let map = lab.output(&lab.launch(&["cat", "/proc/self/uid_map"]));
    let map: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(map, ["0", &id_base().to_string(), "65536"]);
    let mut launch = lab.launch(&["sleep", "60"]);
    launch.containers[0].process.user = "app".into();
    beside(lab, &launch, |init, _| {
        let status = fs::read_to_string(format!("/proc/{init}/status")).expect("it lives");
        let ids = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
        assert_eq!(field(&status, "Uid"), ids(id_base() + 1000));
        assert_eq!(field(&status, "Gid"), ids(id_base() + 1001));
        assert_eq!(field(&status, "Groups"), format!("{} {}", id_base() + 1001, id_base() + 2000));
    });
}

fn every_namespace_is_its_own(lab: &Lab) {
    let namespaces = |process: &str| {
        ["pid", "mnt", "uts", "ipc", "cgroup", "user", "net"].map(|name| {
            fs::read_link(format!("/proc/{process}/ns/{name}")).expect("the kernel tells")
        })
    };
    let own = namespaces("self");
    beside(lab, &lab.launch(&["sleep", "60"]), |one, _| {
        beside(lab, &lab.launch(&["sleep", "60"]), |other, _| {
            let (one, other) = (namespaces(one), namespaces(other));
            for index in 0..own.len() {
                assert_ne!(one[index], own[index], "not the machine's");
                // Tasks of one id range share the user namespace: it gives no right over anything of the other.
                assert_eq!(one[index] == other[index], index == 5, "{}", one[index].display());
            }
        });
    });
    let mut launch = lab.launch(&["sleep", "60"]);
    launch.network = Network::Host;
    beside(lab, &launch, |init, _| assert_eq!(namespaces(init)[6], own[6]));
}

fn no_path_of_the_machine_is_seen(lab: &Lab) {
    for spawner in [&lab.spawner, &lab.old_way] {
        for path in [
            "/proc/self/mountinfo",
            "/proc/self/mounts",
            "/proc/self/mountstats",
            "/proc/self/cgroup",
        ] {
            let text =
                lab.start_with(spawner, &lab.launch(&["cat", path])).outcome().text(Source::Stdout);
            assert!(!text.is_empty(), "{path}");
            for secret in
                [lab.path().to_str().expect("it is text"), "attempt-", "layer", "groundrun", "ext4"]
            {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
}

fn what_is_masked_is_empty(lab: &Lab) {
    let masked = [
        ("acpi", true),
        ("asound", true),
        ("scsi", true),
        ("interrupts", false),
        ("kcore", false),
        ("keys", false),
        ("latency_stats", false),
        ("sched_debug", false),
        ("timer_list", false),
    ];
    let there = masked.into_iter().filter(|(name, _)| Path::new("/proc").join(name).exists());
    let there: Vec<(String, bool)> = there
        .map(|(name, is_directory)| (format!("/proc/{name}"), is_directory))
        .chain([("/sys/firmware".to_owned(), true)])
        .collect();
    assert!(there.len() > 2, "this kernel has none of them: {there:?}");
    for (path, is_directory) in there {
        let (verb, nothing) = if is_directory { ("ls", ".\n..\n") } else { ("cat", "") };
        assert_eq!(lab.output(&lab.launch(&[verb, &path])), nothing, "{path}");
    }
}

fn the_machine_cannot_be_changed(lab: &Lab) {
    let paths = [
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/kernel/mm/ksm/run",
        "/proc/self/uid_map",
    ];
    for path in paths.into_iter().filter(|path| Path::new(path).exists()) {
        let outcome = lab.run(&lab.launch(&["leave", path, "1"]));
        assert_eq!(outcome.exit().0, Exit::Code(1), "{path}");
        // EPERM, EACCES, EROFS: such a file is read-only and nobody's as well, and either is enough.
        let refused = ["errno 1\n", "errno 13\n", "errno 30\n"].map(str::to_owned);
        assert!(refused.contains(&outcome.text(Source::Stderr)), "{path}: {outcome:?}");
    }
}

fn forbidden_calls_are_refused(lab: &Lab) {
    for (verb, errno) in
        [("try-mknod", 1), ("try-mount", 1), ("try-unshare", 1), ("try-clone3", 38)]
    {
        assert_eq!(lab.output(&lab.launch(&[verb])), format!("errno {errno}\n"), "{verb}");
    }
}

fn a_program_sees_its_own_processes_and_name(lab: &Lab) {
    let listed = lab.output(&lab.launch(&["ls", "/proc"]));
    let processes: Vec<&str> =
        listed.lines().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect();
    assert_eq!(processes, ["1"]);
    let name = lab.output(&lab.launch(&["cat", "/proc/sys/kernel/hostname"]));
    assert_eq!(name, "job-abcde\n");
}

fn interfaces(text: &str) -> BTreeSet<String> {
    let named = text.lines().filter_map(|line| line.split_once(':'));
    named.map(|(name, _)| name.trim().to_owned()).collect()
}

fn without_a_network_there_is_a_loopback(lab: &Lab) {
    let seen = interfaces(&lab.output(&lab.launch(&["cat", "/proc/net/dev"])));
    assert_eq!(seen, BTreeSet::from(["lo".to_owned()]));
    // Up: it has its local route.
    let routes = lab.output(&lab.launch(&["cat", "/proc/net/fib_trie"]));
    assert!(routes.contains("127.0.0.1"), "{routes}");
    let ports = lab.launch(&["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]);
    assert_eq!(lab.output(&ports), "0\n");
}

fn the_machines_network_is_the_machines(lab: &Lab) {
    let mut launch = lab.launch(&["cat", "/proc/net/dev"]);
    launch.network = Network::Host;
    let own = fs::read_to_string("/proc/net/dev").expect("the kernel tells");
    assert_eq!(interfaces(&lab.output(&launch)), interfaces(&own));
    let path = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let mut launch = lab.launch(&["cat", path]);
    launch.network = Network::Host;
    assert_eq!(lab.output(&launch), fs::read_to_string(path).expect("the kernel tells"));
}

fn a_program_sees_its_own_limits(lab: &Lab) {
    let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let path = if is_v2 { "memory.max" } else { "memory/memory.limit_in_bytes" };
    let limit = lab.output(&lab.launch(&["cat", &format!("/sys/fs/cgroup/{path}")]));
    assert_eq!(limit, "67108864\n");
}

/// On a machine of version 1 the second hierarchy has no controllers, but processes can be born in it.
fn a_container_is_born_in_its_version_2_cgroup(lab: &Lab) {
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let root = root.into_iter().find(|root| root.join("cgroup.procs").exists());
    let root = root.expect("this machine has version 2 somewhere");
    let path = root.join(format!("groundrun-test-v2-{}", std::process::id()));
    let launch = |arguments: &[&str]| {
        let mut launch = lab.launch(arguments);
        launch.containers[0].cgroups =
            vec![Cgroup { path: path.clone(), settings: vec![], kind: CgroupKind::V2 }];
        launch
    };
    assert_eq!(lab.output(&launch(&["cat", "/sys/fs/cgroup/cgroup.procs"])), "1\n");
    crate::lab::until("its cgroup is gone", || !path.exists());
    let own = lab.output(&launch(&["cat", "/proc/self/cgroup"]));
    assert!(own.lines().any(|line| line == "0::/"), "{own}");
    crate::lab::until("its cgroup is gone", || !path.exists());
    beside(lab, &launch(&["sleep", "60"]), |init, _| {
        let outside = fs::read_to_string(format!("/proc/{init}/cgroup")).expect("it lives");
        let name = path.file_name().expect("it has a name").display().to_string();
        assert!(outside.contains(&format!("0::/{name}\n")), "{outside}");
    });
}
