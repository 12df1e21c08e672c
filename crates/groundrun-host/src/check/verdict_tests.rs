//! Machines, and what is said of them.

use super::*;
use crate::check::facts::{Data, Ids, Namespaces, Programs, UserManager};

const INTENT: Intent = Intent { limiting: Limiting::Required, network: Network::Private };

/// A server as people have it, with everything installed.
fn server() -> Facts {
    Facts {
        uid: 0,
        user: "root".into(),
        kernel: "6.1.0-18-amd64".into(),
        namespaces: Namespaces {
            exist: true,
            max: Some(95_000),
            unprivileged: Some(1),
            apparmor: None,
            is_unconfined: true,
        },
        ids: Ids { users: 65_536, groups: 65_536, next: 165_536 },
        cgroups: v2(Some("/sys/fs/cgroup")),
        lost: None,
        manager: UserManager { runs: true, lingers: true, lost: None },
        has_systemd: true,
        has_overlay: true,
        is_capable: true,
        program: "/usr/bin/groundrun".into(),
        data: Data {
            dir: "/var/lib/groundrun".into(),
            kind: FileSystem(0xEF53),
            refused: None,
            free: Some(50 << 30),
        },
        programs: Programs { nft: true, pasta: true, id_maps: true, systemd_run: true },
        has_tun: true,
        chains: String::new(),
        cpus: 8,
        memory: 16 << 30,
    }
}

/// An ordinary user's, on the same machine with a newer kernel.
fn ada() -> Facts {
    Facts {
        uid: 1000,
        user: "ada".into(),
        kernel: "6.12.9".into(),
        cgroups: v2(None),
        is_capable: false,
        ..server()
    }
}

fn v2(seat: Option<&str>) -> Survey {
    Survey::V2 {
        seat: seat.map(Into::into),
        own: "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope".into(),
        mount: "/sys/fs/cgroup".into(),
    }
}

fn lost(controllers: &[&'static str], dir: &str) -> Lost {
    Lost { controllers: controllers.to_vec(), dir: dir.into() }
}

/// The rows that are not good, each with a word of its line.
#[track_caller]
fn check(facts: &Facts, intent: Intent, expected: &[(State, &str)]) {
    let rows: Vec<Row> =
        rows(facts, intent).into_iter().filter(|row| row.state != State::Good).collect();
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, (state, words)) in rows.iter().zip(expected) {
        assert_eq!(row.state, *state, "{row}");
        assert!(row.to_string().contains(words), "{words:?} in {row}");
    }
}

#[track_caller]
fn missing_one(facts: &Facts, words: &str) {
    check(facts, INTENT, &[(State::Missing, words)]);
}

#[track_caller]
fn less_one(facts: &Facts, words: &str) {
    check(facts, INTENT, &[(State::Less, words)]);
}

#[test]
fn a_common_machine_lacks_nothing_as_root_or_not() {
    check(&server(), INTENT, &[]);
    check(&ada(), INTENT, &[]);
}

#[test]
fn what_every_task_needs_is_named_with_what_to_do() {
    missing_one(&Facts { kernel: "5.18.3".into(), ..server() }, "older than 5.19");
    missing_one(&Facts { has_overlay: false, ..server() }, "`sudo modprobe overlay`");
    missing_one(&Facts { is_capable: false, ..server() }, "--privileged");
}

#[test]
fn user_namespaces_that_are_refused_are_named_with_the_setting() {
    let with = |change: fn(&mut Namespaces)| {
        let mut facts = ada();
        change(&mut facts.namespaces);
        facts
    };
    missing_one(&with(|found| found.exist = false), "CONFIG_USER_NS");
    missing_one(&with(|found| found.max = Some(0)), "user.max_user_namespaces=15000");
    missing_one(&with(|found| found.unprivileged = Some(0)), "unprivileged_userns_clone=1");
    let ubuntu = with(|found| found.apparmor = Some(1));
    missing_one(&ubuntu, "profile groundrun /usr/bin/groundrun flags=(unconfined)");
    missing_one(&ubuntu, "kernel.apparmor_restrict_unprivileged_userns=0");
    let mut profiled = ubuntu.clone();
    profiled.namespaces.is_unconfined = false;
    check(&profiled, INTENT, &[]);
    // Root needs neither.
    let (namespaces, uid) = (ubuntu.namespaces, 0);
    check(&Facts { namespaces, uid, ..server() }, INTENT, &[]);
}

#[test]
fn a_missing_controller_is_named_with_where_it_is_lost() {
    let with = |dir: &str, seat: &str| Facts {
        cgroups: v2(Some(seat)),
        lost: Some(lost(&["cpu", "pids"], dir)),
        ..server()
    };
    let top = with("/sys/fs/cgroup", "/sys/fs/cgroup");
    missing_one(&top, "systemd.unified_cgroup_hierarchy=1");
    let below = with("/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a/b");
    missing_one(&below, "the cgroup /sys/fs/cgroup/a/b lacks the controller cpu, pids");
    missing_one(&below, "echo '+cpu +pids' | sudo tee /sys/fs/cgroup/a/cgroup.subtree_control");
    missing_one(&below, "--no-limits");
}

#[test]
fn a_user_is_told_how_to_be_handed_a_cgroup() {
    let mut facts = ada();
    let user = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";
    facts.manager.lost = Some(lost(&["cpu"], user));
    missing_one(&facts, "Delegate=cpu memory pids");
    missing_one(&facts, "systemctl restart user@1000.service");
    facts.manager = UserManager { runs: false, lingers: true, lost: None };
    missing_one(&facts, "`sudo loginctl enable-linger ada`");
    facts.has_systemd = false;
    missing_one(&facts, "sudo chown -R ada /sys/fs/cgroup/groundrun");
    let refused = Some("/sys/fs/cgroup/memory".into());
    missing_one(&Facts { cgroups: Survey::V1 { refused }, ..ada() }, "version 1 is for root only");
    let not_mounted = Survey::NotMounted { missing: vec!["pids"] };
    missing_one(&Facts { cgroups: not_mounted, ..server() }, "controller pids");
    missing_one(&Facts { cgroups: v2(None), ..server() }, "--cgroupns=host");
}

#[test]
fn limits_that_were_waived_keep_nobody_from_running() {
    let facts = Facts { cgroups: Survey::V1 { refused: Some("/x".into()) }, ..ada() };
    let intent = Intent { limiting: Limiting::Waived, ..INTENT };
    check(&facts, intent, &[(State::Less, "limits do not hold, as was accepted")]);
}

#[test]
fn a_data_directory_that_cannot_hold_containers_is_refused() {
    let on = |kind: u64, facts: Facts| {
        let data = Data { kind: FileSystem(kind), ..facts.data.clone() };
        Facts { data, ..facts }
    };
    missing_one(&on(0x6969, server()), "/var/lib/groundrun is on NFS");
    missing_one(&on(TMPFS.0, server()), "cannot map owners");
    check(&on(TMPFS.0, Facts { kernel: "6.6.0".into(), ..server() }), INTENT, &[]);
    let mut refused = server();
    refused.data.refused = Some("/var/lib".into());
    missing_one(&refused, "nothing can be made in /var/lib: name another");
    let mut full = server();
    full.data.free = Some(100 << 20);
    less_one(&full, "has 100 MiB left");
}

#[test]
fn an_ordinary_user_is_told_what_would_be_better() {
    let mut facts = ada();
    facts.ids.groups = 0;
    less_one(&facts, "--add-subuids 165536-231071 --add-subgids 165536-231071 ada");
    facts.programs.id_maps = false;
    less_one(&facts, "apt install uidmap");
    let mut facts = ada();
    facts.manager.lingers = false;
    less_one(&facts, "`loginctl enable-linger ada`");
    less_one(&Facts { kernel: "6.1.0".into(), ..ada() }, "is on disk");
}

#[test]
fn a_network_is_judged_by_what_it_needs() {
    let mut facts = ada();
    facts.programs.pasta = false;
    less_one(&facts, "apt install passt");
    let no_tun = Facts { has_tun: false, ..ada() };
    less_one(&no_tun, "/dev/net/tun");
    facts.programs.nft = false;
    missing_one(&facts, "apt install nftables");
    check(&facts, Intent { network: Network::Plain, ..INTENT }, &[]);
}

#[test]
fn a_firewall_that_drops_what_is_forwarded_is_named_with_the_way_through() {
    let chains = "\
table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
	}
}
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy drop;
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
";
    less_one(&Facts { chains: chains.into(), ..server() }, "(ip filter FORWARD)");
    less_one(&Facts { chains: chains.into(), ..server() }, "iptables -I FORWARD -i gr+ -j ACCEPT");
    let docker = chains.replace("chain INPUT {", "chain DOCKER-USER {\n\t}\n\tchain INPUT {");
    less_one(&Facts { chains: docker, ..server() }, "iptables -I DOCKER-USER -o gr+");
    let open = chains.replace("policy drop", "policy accept");
    check(&Facts { chains: open, ..server() }, INTENT, &[]);
}

#[test]
fn all_lacks_are_named_at_once() {
    let mut bare = Facts { kernel: "4.19.0".into(), has_overlay: false, ..server() };
    bare.programs.nft = false;
    let expected =
        [(State::Missing, "kernel"), (State::Missing, "overlay"), (State::Missing, "nft")];
    check(&bare, INTENT, &expected);
}

#[test]
fn releases_and_sizes_are_read() {
    assert_eq!(version("6.18.0"), Some((6, 18)));
    assert_eq!(version("5.19-rc1+"), Some((5, 19)));
    assert_eq!(version("odd"), None);
    assert_eq!(size(16 << 30), "16 GiB");
    assert_eq!(size((3 << 30) + (1 << 29)), "3.5 GiB");
    assert_eq!(size(100 << 20), "100 MiB");
}
