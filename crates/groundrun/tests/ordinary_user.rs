//! The binary, started by an ordinary user. Needs root, to become one: the account that `cargo xtask needs` makes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Has subordinate ids.
const USER: &str = "groundrun-test";

/// Has none, on any machine.
const SINGLE: &str = "nobody";

const JOB: &str = "apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: it
spec:
  template:
    spec:
      taskCount: 2
      template:
        spec:
          containers:
          - image: builtin.groundrun/job
            args: ARGS
";

/// A directory with the program and a job in it, and places for a user's data.
struct Home {
    dir: TempDir,
    user: &'static str,
}

impl Home {
    fn of(user: &'static str, arguments: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("groundrun-user-").tempdir().expect("made");
        let home = Self { dir, user };
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("set");
        fs::copy(env!("CARGO_BIN_EXE_groundrun"), home.path().join("groundrun")).expect("copied");
        fs::write(home.path().join("job.yaml"), JOB.replace("ARGS", arguments)).expect("written");
        for name in ["data", "tmp"] {
            let path = home.path().join(name);
            fs::create_dir(&path).expect("made");
            let status = Command::new("chown").arg(user).arg(path).status().expect("it is there");
            assert!(status.success(), "no account {user}: run `cargo xtask needs`, as root");
        }
        home
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn command(&self, words: &[&str]) -> Command {
        let id = Command::new("id").args(["-g", self.user]).output().expect("it is there");
        let group = text(&id.stdout);
        let mut command = Command::new("setpriv");
        let ids = [format!("--reuid={}", self.user), format!("--regid={}", group.trim())];
        command.args(ids).args(["--clear-groups", "--"]).arg(self.path().join("groundrun"));
        command.args(words).current_dir(self.path()).env("TMPDIR", self.path().join("tmp"));
        command.env("HOME", self.path()).env_remove("USER");
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("setpriv is there (util-linux)")
    }

    fn serve(&self) -> Server {
        let data = self.data().display().to_string();
        Server::of(self.command(&[&SERVE[..], &["--network=none", "--data-dir", &data]].concat()))
    }

    /// The same user where pasta is not installed.
    fn without_pasta(&self, words: &[&str]) -> Command {
        let programs = self.path().join("programs");
        if !programs.is_dir() {
            fs::create_dir(&programs).expect("made");
            for name in ["setpriv", "newuidmap", "newgidmap"] {
                symlink(format!("/usr/bin/{name}"), programs.join(name)).expect("made");
            }
        }
        let mut command = self.command(words);
        command.env("PATH", programs);
        command
    }

    /// The process that keeps the namespaces, while there is one.
    fn holder(&self) -> Option<String> {
        let text = fs::read_to_string(self.data().join("namespaces")).expect("it is there");
        text.split_whitespace().next().map(str::to_owned)
    }
}

const SERVE: [&str; 3] = ["serve", "--no-limits", "--listen=127.0.0.1:0"];

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn of(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv is there (util-linux)");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is read");
        let url = line.split_whitespace().last().expect("it serves").to_owned();
        assert!(url.starts_with("http://"), "{line}");
        Self { child, url }
    }

    fn user_namespace(&self) -> PathBuf {
        fs::read_link(format!("/proc/{}/ns/user", self.child.id())).expect("it lives")
    }

    fn kill(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), Signal::KILL).expect("it lives");
        self.child.wait().expect("our child");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not come about: {what}");
        let short = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        rustix::event::poll(&mut [], Some(&short)).ok();
    }
}

#[test]
fn a_job_runs_and_leaves_nothing() {
    let home = Home::of(USER, "[cat, /proc/self/uid_map]");
    let output = home.output(&["run", "job.yaml", "--no-limits", "--network=none"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(err.contains("2 succeeded, 0 failed"), "{err}");
    // Root in there is a subordinate id: not the user, whose files the job must not reach.
    assert!(out.contains("0          1      65536"), "{out}");
    assert!(!err.contains("tasks run as you"), "{err}");
    let left = fs::read_dir(home.path().join("tmp")).expect("it is there");
    assert_eq!(left.count(), 0);
}

#[test]
fn with_a_single_id_a_job_runs_and_that_is_said() {
    let home = Home::of(SINGLE, "[cat, /proc/self/uid_map]");
    let output = home.output(&["run", "job.yaml", "--no-limits", "--network=none"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(err.contains("usermod --add-subuids") && err.contains("with one user id"), "{err}");
    assert!(out.contains("0          0          1"), "{out}");
}

#[test]
fn the_next_server_joins_the_namespaces_that_a_task_still_needs() {
    let home = Home::of(USER, "[wait-term, \"0\"]");
    let first = home.serve();
    let client = |server: &Server, words: &[&str]| {
        let output = home.command(words).env("GROUNDRUN_URL", &server.url).output();
        let output = output.expect("setpriv is there (util-linux)");
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    client(&first, &["jobs", "apply", "job.yaml"]);
    client(&first, &["jobs", "execute", "it"]);
    let execution = |server: &Server| -> serde_json::Value {
        let listed = client(server, &["executions", "list", "--json"]);
        let mut listed: serde_json::Value = serde_json::from_str(&listed).expect("it is JSON");
        match listed.pointer_mut("/items/0").map(serde_json::Value::take) {
            Some(execution) => execution,
            None => listed[0].take(),
        }
    };
    let running = |server: &Server| execution(server)["status"]["runningCount"] == 2;
    until("both tasks run", || running(&first));
    let (namespace, holder) = (first.user_namespace(), home.holder());
    assert_ne!(namespace, fs::read_link("/proc/self/ns/user").expect("it is there"));
    first.kill();

    let second = home.serve();
    assert_eq!(second.user_namespace(), namespace, "the same namespace");
    assert_eq!(home.holder(), holder, "kept by the same process");
    until("they are found again", || running(&second));
    let name = execution(&second)["metadata"]["name"].as_str().expect("a name").to_owned();
    client(&second, &["executions", "cancel", &name]);
    until("they are stopped", || {
        !execution(&second)["status"]["completionTime"].is_null() && !running(&second)
    });
    second.kill();
    until("nobody needs the namespaces", || home.holder().is_none());
    let process = format!("/proc/{}", holder.expect("there was one"));
    until("the holder has gone", || !Path::new(&process).exists());

    let third = home.serve();
    assert_ne!(home.holder(), None, "a new one");
    third.kill();
    until("nothing holds the directory", || home.holder().is_none());
}

#[test]
fn a_data_directory_of_anothers_is_refused() {
    let home = Home::of(USER, "[\"true\"]");
    let data = home.data().display().to_string();
    let run = ["run", "job.yaml", "--no-limits", "--network=none", "--data-dir"];
    let words = [&run[..], &[data.as_str()]].concat();
    let output = home.output(&words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let roots = Command::new(home.path().join("groundrun"))
        .args(&words)
        .current_dir(home.path())
        .output()
        .expect("it is there");
    let said = text(&roots.stderr);
    assert_eq!(roots.status.code(), Some(1), "{said}");
    assert!(said.contains("unpacked with the ids") && said.contains("another data dir"), "{said}");

    let roots = home.path().join("roots");
    fs::create_dir(&roots).expect("made");
    let roots = roots.display().to_string();
    let output = home.output(&[&run[..], &[roots.as_str()]].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&roots), "{said}");
}

/// A service on the loopback, and its port.
fn service() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port().to_string();
    (listener, port)
}

/// Takes the question; a connection that was cut meanwhile asks nothing more.
fn answer(mut connection: TcpStream) {
    if connection.read_exact(&mut [0]).is_ok() {
        connection.write_all(b"the service answers\n").ok();
    }
}

#[test]
fn without_pasta_a_task_reaches_the_ports_of_the_machine_that_are_named_and_that_is_said() {
    let ((named, port), (_other, other_port)) = (service(), service());
    thread::spawn(move || named.incoming().flatten().for_each(answer));
    let run = |asked: &str, more: &[&str]| {
        let home = Home::of(USER, &format!("[host, \"{asked}\", \"1\"]"));
        let words = [&["run", "job.yaml", "--no-limits", "--host-port", &port], more].concat();
        let output = home.without_pasta(&words).output().expect("setpriv is there (util-linux)");
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = run(&port, &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("the service answers"), "{out}{err}");
    let said: Vec<&str> = err.lines().filter(|line| line.contains("pasta")).collect();
    assert_eq!(said.len(), 1, "{err}");
    let what = format!("host.docker.internal:{port}");
    assert!(said[0].contains(&what) && said[0].contains("apt install passt"), "{err}");

    let (code, out, err) = run(&other_port, &[]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!([out, err].concat().contains("errno 111"), "refused");

    let (code, out, err) = run(&port, &["--no-host-access"]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("--host-port") && err.contains("--no-host-access"), "{err}");
}

#[test]
fn the_api_is_no_port_that_can_be_named() {
    let home = Home::of(USER, "[\"true\"]");
    let (listener, port) = service();
    drop(listener);
    let (listen, data) = (format!("127.0.0.1:{port}"), home.data().display().to_string());
    let words = ["serve", "--no-limits", "--listen", &listen, "--data-dir", &data];
    let output = home.output(&[&words[..], &["--host-port", &port]].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("--host-port {port}")) && said.contains("API"), "{said}");
}

#[test]
fn the_next_server_relays_for_a_task_that_it_finds_running() {
    let (named, port) = service();
    let home = Home::of(USER, &format!("[host, \"{port}\", \"2\"]"));
    let job = fs::read_to_string(home.path().join("job.yaml")).expect("it is there");
    fs::write(home.path().join("job.yaml"), job.replace("taskCount: 2", "taskCount: 1"))
        .expect("written");
    let (answered, first_answered) = mpsc::sync_channel(1);
    let (go_on, may_go_on) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut connections = named.incoming().flatten();
        answer(connections.next().expect("it takes connections"));
        answered.send(()).expect("the test waits");
        may_go_on.recv().expect("the test goes on");
        connections.for_each(answer);
    });
    let data = home.data().display().to_string();
    let serve = || {
        let words = ["--host-port", &port, "--data-dir", &data];
        Server::of(home.without_pasta(&[&SERVE[..], &words[..]].concat()))
    };
    let client = |server: &Server, words: &[&str]| {
        let output = home.command(words).env("GROUNDRUN_URL", &server.url).output();
        let output = output.expect("setpriv is there (util-linux)");
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let first = serve();
    client(&first, &["jobs", "apply", "job.yaml"]);
    client(&first, &["jobs", "execute", "it"]);
    first_answered.recv_timeout(Duration::from_secs(60)).expect("the task asks");
    first.kill();
    let second = serve();
    go_on.send(()).expect("the service goes on");
    let mut listed = String::new();
    until("the task has its second answer", || {
        listed = client(&second, &["executions", "list", "--json"]);
        listed.contains("completionTime")
    });
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("it is JSON");
    let execution = listed.pointer("/items/0").or_else(|| listed.get(0)).expect("there is one");
    assert_eq!(execution["status"]["succeededCount"], 1, "{execution}");
    assert!(execution["status"]["retriedCount"].as_u64().unwrap_or(0) == 0, "{execution}");
    second.kill();
    until("nobody needs the namespaces", || home.holder().is_none());
}
