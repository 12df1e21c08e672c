//! Databases: reached by sockets in every container, through a relay in the machine's network that lives as long as its
//! attempt.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use groundrun_shim::{
    log::Source,
    protocol::{
        Address, Cause, Database, End, Exit, Instance, Launch, Mount, Target, Volume, Wish,
    },
};
use rustix::process::{Pid, Signal};

use crate::{
    Test,
    lab::{Lab, Outcome, until, write},
};

pub(crate) const TESTS: &[Test] = &[
    ("any_user_of_any_container_reaches_its_databases", reached),
    ("what_a_database_says_comes_after_the_clients_end_and_its_own_end_too", ends),
    ("a_database_that_refuses_is_told_once", refused),
    ("where_sockets_are_nothing_can_be_written", read_only),
    ("a_task_without_databases_has_no_relay", without),
    ("a_relay_ends_with_its_attempt", ends_with_the_attempt),
    ("kill_9_of_a_shim_ends_its_relay", ends_with_the_shim),
    ("a_relay_that_is_killed_is_told", killed),
    ("the_users_own_program_serves_its_instances_and_ends_with_the_attempt", program),
    ("a_program_that_serves_nothing_fails_the_start_with_its_words", program_that_fails),
];

const POSTGRES: &str = "p:r:pg";
const MYSQL: &str = "example.com:p:r:my";

fn server(kind: Database, address: Address) -> Target {
    Target::Server { kind, address }
}

/// A launch whose containers see these instances.
fn with(mut launch: Launch, instances: &[(&str, Target)]) -> Launch {
    let instance =
        |(name, target): &(&str, Target)| Instance { name: (*name).into(), target: target.clone() };
    launch.instances = instances.iter().map(instance).collect();
    launch.volumes = vec![Volume::Sockets];
    for container in &mut launch.containers {
        container.mounts = vec![Mount { volume: 0, path: "/cloudsql".into(), read_only: true }];
    }
    launch
}

/// Hears all that a client says, and says it back after `name`.
fn answer(mut stream: impl Read + Write, name: &str) {
    let mut heard = Vec::new();
    if stream.read_to_end(&mut heard).is_ok() {
        let said = format!("{name} heard {}\n", String::from_utf8_lossy(&heard));
        // The client may be gone.
        let _ = stream.write_all(said.as_bytes());
    }
}

/// A server of the machine's loopback, as long as the tests run.
fn on_tcp(name: &'static str) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || listener.incoming().flatten().for_each(|one| answer(one, name)));
    Address::Tcp { host: "localhost".into(), port }
}

fn on_unix(path: PathBuf, name: &'static str) -> Address {
    let listener = UnixListener::bind(&path).expect("a socket");
    thread::spawn(move || listener.incoming().flatten().for_each(|one| answer(one, name)));
    Address::Unix(path)
}

fn reached(lab: &Lab) {
    let postgres: &[&str] = &["ask", "/cloudsql/p:r:pg/.s.PGSQL.5432", "one"];
    let mysql: &[&str] = &["ask", "/cloudsql/example.com:p:r:my", "two"];
    let mut launch = lab.several(&[("main", postgres), ("other", mysql)]);
    launch.containers[1].process.user = "app".into();
    let socket = lab.new_directory().join("s");
    let launch = with(
        launch,
        &[
            (POSTGRES, server(Database::Postgres, on_tcp("the port"))),
            (MYSQL, server(Database::Mysql, on_unix(socket, "the socket"))),
        ],
    );
    let outcome = lab.run(&launch);
    assert_eq!(outcome.end_of().1, Exit::Code(0), "{outcome:?}");
    assert_eq!(outcome.said_by(0), ["the port heard one"]);
    assert_eq!(outcome.said_by(1), ["the socket heard two"]);
}

fn ends(lab: &Lab) {
    // It says something and hangs up, whatever is asked.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a connection");
        client.write_all(b"go away\n").expect("it is heard");
    });
    let address = Address::Tcp { host: "127.0.0.1".into(), port };
    let launch = lab.launch(&["ask", "/cloudsql/p:r:pg/.s.PGSQL.5432", ""]);
    let launch = with(launch, &[(POSTGRES, server(Database::Postgres, address))]);
    assert_eq!(lab.output(&launch), "go away\n");
}

fn notes(outcome: &Outcome) -> String {
    outcome.text(Source::Note)
}

fn refused(lab: &Lab) {
    // Both containers ask in vain.
    let ask: &[&str] = &["ask", "/cloudsql/p:r:pg/.s.PGSQL.5432", "is anybody there?"];
    let gone = lab.new_directory().join("gone");
    let target = server(Database::Postgres, Address::Unix(gone.clone()));
    let outcome = lab.run(&with(lab.several(&[("a", ask), ("b", ask)]), &[(POSTGRES, target)]));
    assert_eq!(outcome.end_of().1, Exit::Code(0), "{outcome:?}");
    let told = format!(
        "Cloud SQL instance p:r:pg: connect to {}: no such file or directory\n",
        gone.display()
    );
    assert_eq!(notes(&outcome), told);
    let closed = |lines: Vec<String>| lines.contains(&"closed".to_owned());
    assert!(closed(outcome.said_by(0)) && closed(outcome.said_by(1)), "{outcome:?}");
}

fn read_only(lab: &Lab) {
    let target = || server(Database::Mysql, on_tcp("it"));
    let launch = with(lab.launch(&["write-file", "/cloudsql/x", "0"]), &[(MYSQL, target())]);
    let outcome = lab.run(&launch);
    let read_only_file_system = "errno 30\n".to_owned();
    assert_eq!(
        (outcome.exit().0, outcome.text(Source::Stderr)),
        (Exit::Code(1), read_only_file_system)
    );
    let launch = with(lab.launch(&["ls", "/cloudsql"]), &[(MYSQL, target())]);
    let listed = lab.output(&launch);
    let names: Vec<&str> = listed.lines().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(names, [MYSQL]);
}

/// Living children of a process, and what they are called.
fn children(parent: Pid) -> Vec<(Pid, String)> {
    let status = |pid: i32| fs::read_to_string(format!("/proc/{pid}/status")).ok();
    let field = |status: &str, name: &str| {
        status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    let is_child = |pid: i32| {
        let status = status(pid)?;
        let ours = field(&status, "PPid:")? == parent.as_raw_nonzero().to_string();
        let lives = !field(&status, "State:")?.starts_with('Z');
        (ours && lives).then_some((Pid::from_raw(pid)?, field(&status, "Name:")?))
    };
    let pids = fs::read_dir("/proc").expect("the kernel lists processes").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(is_child).collect()
}

fn relay_of(shim: Pid) -> Option<Pid> {
    children(shim).into_iter().find(|(_, name)| name == "groundrun-relay").map(|(pid, _)| pid)
}

fn lives(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

fn without(lab: &Lab) {
    let attempt = lab.start(&lab.launch(&["wait-term", "0"]));
    attempt.says("waiting");
    assert_eq!(relay_of(attempt.shim()), None);
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    attempt.outcome();
}

fn ends_with_the_attempt(lab: &Lab) {
    let target = server(Database::Mysql, on_tcp("it"));
    let attempt = lab.start(&with(lab.launch(&["wait-term", "0"]), &[(MYSQL, target)]));
    attempt.says("waiting");
    let relay = relay_of(attempt.shim()).expect("it has a relay");
    attempt
        .connection()
        .send(Wish::Stop { grace: Duration::from_secs(20) })
        .expect("the shim hears");
    assert_eq!(attempt.outcome().exit(), (Exit::Code(0), Cause::Asked));
    assert!(!lives(relay), "its end is told when nothing of it is left");
}

fn ends_with_the_shim(lab: &Lab) {
    let target = server(Database::Mysql, on_tcp("it"));
    let launch = with(lab.launch(&["sleep", "60"]), &[(MYSQL, target)]);
    let attempt = lab.start(&launch);
    attempt.started();
    let relay = relay_of(attempt.shim()).expect("it has a relay");
    rustix::process::kill_process(attempt.shim(), Signal::KILL).expect("it lives");
    until("its relay has ended", || !lives(relay));
    until("its container is empty", || lab.processes(&launch).is_empty());
    lab.sweep(&launch);
}

fn killed(lab: &Lab) {
    let target = server(Database::Mysql, on_tcp("it"));
    let attempt = lab.start(&with(lab.launch(&["wait-term", "0"]), &[(MYSQL, target)]));
    attempt.says("waiting");
    let relay = relay_of(attempt.shim()).expect("it has a relay");
    rustix::process::kill_process(relay, Signal::KILL).expect("it lives");
    attempt.says("the relay to databases ended: there are no more connections to them");
    attempt
        .connection()
        .send(Wish::Stop { grace: Duration::from_secs(20) })
        .expect("the shim hears");
    assert_eq!(attempt.outcome().exit(), (Exit::Code(0), Cause::Asked));
}

/// A stand-in for Google's program: it is started as that is, and answers by its own.
const PROXY: &str = r#"#!/usr/bin/python3
import os, socket, sys, threading
assert sys.argv[1:2] == ["--unix-socket"], sys.argv
folder, instances = sys.argv[2], sys.argv[3:]
def serve(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    while True:
        client, _ = listener.accept()
        heard = b""
        while part := client.recv(1024):
            heard += part
        client.sendall(b"the program heard " + heard + b"\n")
        client.close()
for name in instances:
    path = os.path.join(folder, name)
    if name.endswith("pg"):
        os.mkdir(path)
        path = os.path.join(path, ".s.PGSQL.5432")
    threading.Thread(target=serve, args=(path,)).start()
"#;

fn program_of(lab: &Lab, text: &str) -> Target {
    let file = lab.new_directory().join("cloud-sql-proxy");
    write(&file, text.as_bytes(), 0o755);
    Target::Program(file)
}

fn program(lab: &Lab) {
    let target = program_of(lab, PROXY);
    // As long as one can be: its socket's path has 107 bytes.
    let long = format!("p:r:{}pg", "x".repeat(77));
    let socket = format!("/cloudsql/{long}/.s.PGSQL.5432");
    assert_eq!(socket.len(), 107);
    let instances = [(&*long, target.clone()), (MYSQL, target)];
    let mut launch = lab.several(&[
        ("main", &["ask", &socket, "one"]),
        ("other", &["ask", "/cloudsql/example.com:p:r:my", "two"]),
    ]);
    launch.containers[1].process.user = "app".into();
    let outcome = lab.run(&with(launch, &instances));
    assert_eq!(outcome.end_of().1, Exit::Code(0), "{outcome:?}");
    assert_eq!(outcome.said_by(0), ["the program heard one"]);
    assert_eq!(outcome.said_by(1), ["the program heard two"]);
    for by in ["its end", "kill -9"] {
        let launch = with(lab.launch(&["wait-term", "0"]), &instances);
        let attempt = lab.start(&launch);
        attempt.says("waiting");
        let relay = relay_of(attempt.shim()).expect("it has a relay");
        let [(proxy, _)] = children(relay).try_into().expect("one program for all instances");
        if by == "its end" {
            let stop = Wish::Stop { grace: Duration::from_secs(20) };
            attempt.connection().send(stop).expect("the shim hears");
            attempt.outcome();
            assert!(!lives(proxy), "its end is told when nothing of it is left");
        } else {
            rustix::process::kill_process(attempt.shim(), Signal::KILL).expect("it lives");
            until("the program has ended", || !lives(proxy));
            until("its container is empty", || lab.processes(&launch).is_empty());
            lab.sweep(&launch);
        }
    }
}

fn program_that_fails(lab: &Lab) {
    let failing = program_of(lab, "#!/bin/sh\necho there are no credentials >&2\nexit 3\n");
    let missing = Target::Program(Path::new("/nowhere/cloud-sql-proxy").to_owned());
    for (target, told) in
        [(failing, "ended: exit status: 3: there are no credentials"), (missing, "start /nowhere")]
    {
        let outcome = lab.run(&with(lab.launch(&["true"]), &[(MYSQL, target)]));
        match outcome.record.end {
            End::StartFailed { why, .. } => assert!(why.contains(told), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
