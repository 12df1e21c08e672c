//! Following what happens, by real clients, with `kill -9` of the server in the middle: nothing is lost, nothing is told
//! twice, and nobody looks in vain.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use e2e::{Lab, clients, lab, wait};
use serde_json::{Value, json};

/// Longer than any answer takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

fn job(name: &str, tasks: u32, args: &[&str]) -> Value {
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"taskCount": tasks, "template": {"spec": {
            "containers": [{"image": "builtin.groundrun/job", "args": args}], "maxRetries": 0, "timeoutSeconds": "120",
        }}}}},
    })
}

/// A verb of the binary that goes on, its output line by line.
struct Going {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Going {
    fn start(lab: &Lab, arguments: &[&str]) -> Self {
        let mut command = Command::new(clients::groundrun());
        command.args(arguments).env("GROUNDRUN_URL", lab.url());
        command.env("GROUNDRUN_PROJECT", lab::PROJECT).env("GROUNDRUN_REGION", lab::REGION);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("its output is piped"));
        Self { child, out }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.out.read_line(&mut line).expect("its output can be read");
        (length > 0).then(|| line.trim_end().to_owned())
    }

    fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line() {
            lines.push(line);
        }
        lines
    }

    fn code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A watch over a plain socket.
struct Watch {
    lines: BufReader<TcpStream>,
}

impl Watch {
    fn open(lab: &Lab, path: &str) -> Self {
        let mut stream = TcpStream::connect(lab.address()).expect("the server listens");
        stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("a socket");
        let path = lab.path(path);
        let host = format!("{}-localhost:{}", lab::REGION, lab.address().port());
        // HTTP/1.0 has no chunks: the lines are the body.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("it is sent");
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            lines.read_line(&mut line).expect("a head comes");
            assert!(!line.is_empty(), "the head ends");
        }
        Self { lines }
    }

    /// None when the server is gone.
    fn event(&mut self) -> Option<Value> {
        let mut line = String::new();
        let length = self.lines.read_line(&mut line).ok()?;
        (length > 0).then(|| serde_json::from_str(&line).expect("an event is JSON"))
    }
}

fn version(object: &Value) -> String {
    let text = object["metadata"]["resourceVersion"].as_str().expect("a version");
    text.replace('+', "%2B").replace('/', "%2F")
}

#[test]
fn followed_logs_outlive_a_kill_of_the_server_without_a_line_lost_or_repeated() {
    let mut lab = Lab::start();
    lab.create(&job("drip", 3, &["drip", "300", "10"]));
    let execution = lab.run("drip", &json!({}));
    let mut following = Going::start(&lab, &["logs", &execution, "--follow", "--json"]);
    let mut entries: Vec<Value> = Vec::new();
    // Twice, each time while lines come.
    for _ in 0..2 {
        let many = entries.len() + 50;
        while entries.len() < many {
            let line = following.line().expect("lines come");
            entries.push(serde_json::from_str(&line).expect("an entry is JSON"));
        }
        lab.kill();
        lab.launch();
    }
    let rest = following.rest();
    entries.extend(rest.iter().map(|line| serde_json::from_str(line).expect("an entry")));
    assert_eq!(following.code(), Some(0));
    for task in 0..3 {
        let task = task.to_string();
        let of_task = |entry: &&Value| entry["labels"]["run.googleapis.com/task_index"] == *task;
        let texts: Vec<&str> = entries
            .iter()
            .filter(of_task)
            .map(|entry| entry["textPayload"].as_str().expect("a text"))
            .collect();
        let mut wanted: Vec<String> = (0..300).map(|line| line.to_string()).collect();
        wanted.push("Container called exit(0).".to_owned());
        assert_eq!(texts, wanted, "of task {task}");
    }
    let ids: BTreeSet<&str> = entries.iter().filter_map(|one| one["insertId"].as_str()).collect();
    assert_eq!(ids.len(), entries.len(), "an entry was told twice");
    lab.finish();
}

#[test]
fn a_watch_tells_the_life_of_an_execution_and_goes_on_after_a_kill() {
    let mut lab = Lab::start();
    lab.create(&job("short", 2, &["drip", "100", "10"]));
    let before = version(&lab.ok("GET", "executions", None));
    let execution = lab.run("short", &json!({}));
    let mut watch = Watch::open(&lab, &format!("executions?watch=true&resourceVersion={before}"));
    let first = watch.event().expect("it is told");
    assert_eq!(
        (first["type"].as_str(), &first["object"]["metadata"]["name"]),
        (Some("ADDED"), &json!(execution))
    );
    while lab::status_of(&watch.event().expect("it goes on")["object"], "Started") != "True" {}
    lab.kill();
    while watch.event().is_some() {}
    lab.launch();
    // The server that is gone knew the changes since; this one says so, and a list begins anew.
    let path = lab.path(&format!("executions?watch=true&resourceVersion={before}"));
    let gone = lab.call("GET", &path, None);
    assert_eq!(gone.status, 410, "{}", String::from_utf8_lossy(&gone.body));
    let listed = version(&lab.ok("GET", "executions", None));
    let mut watch = Watch::open(&lab, &format!("executions?watch=true&resourceVersion={listed}"));
    let last = loop {
        let event = watch.event().expect("it goes on");
        assert_eq!(event["type"], "MODIFIED");
        if lab::status_of(&event["object"], "Completed") != "Unknown" {
            break event["object"].clone();
        }
    };
    assert_eq!(last, lab.ok("GET", &format!("executions/{execution}"), None));
    lab.ok("DELETE", &format!("executions/{execution}"), None);
    assert_eq!(watch.event().expect("it is told")["type"], "DELETED");
    lab.finish();
}

#[test]
fn waiting_for_an_execution_outlives_a_kill_of_the_server() {
    let mut lab = Lab::start();
    lab.create(&job("slow", 1, &["drip", "150", "10"]));
    let mut waiting = Going::start(&lab, &["jobs", "execute", "slow", "--wait", "--json"]);
    let execution = wait::until("it is accepted", || {
        let list = lab.ok("GET", "executions", None);
        list["items"][0]["metadata"]["name"].as_str().map(str::to_owned)
    });
    lab.running(&execution, 1);
    lab.kill();
    lab.launch();
    let mut said = String::new();
    waiting.out.read_to_string(&mut said).expect("its output can be read");
    assert_eq!(waiting.code(), Some(0));
    let object: Value = serde_json::from_str(&said).expect("an execution");
    assert_eq!(object["metadata"]["name"], execution);
    assert_eq!(object["status"]["succeededCount"], 1);
    lab.finish();
}

#[test]
fn followed_logs_tell_by_their_exit_code_how_it_came_out() {
    let lab = Lab::start();
    lab.create(&job("bad", 1, &["exit", "3"]));
    let execution = lab.run("bad", &json!({}));
    let said = lab.groundrun(&["logs", &execution, "--follow"]).badly(1);
    assert!(said.out.contains("Container called exit(3)."), "{}", said.out);
    let missing = lab.groundrun(&["logs", "nobody", "--follow"]).badly(1);
    assert!(missing.err.contains("nobody"), "{}", missing.err);
    lab.finish();
}

#[test]
fn gcloud_tails_the_logs_of_jobs_and_executions() {
    let mut lab = Lab::start();
    lab.create(&job("drip", 1, &["drip", "500", "10"]));
    let (url, dir) = (lab.url(), lab.dir().to_owned());
    let gcloud = |arguments: &[&str]| {
        let mut command = Command::new(clients::groundrun());
        command
            .args(["gcloud", "--url", &url, "--project", lab::PROJECT, "--region", lab::REGION])
            .args(arguments)
            .env("CLOUDSDK_CONFIG", dir.join("gcloud"))
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
            .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true")
            .env("XDG_DATA_HOME", dir.join("home"))
            .stderr(Stdio::piped());
        Going::of(command)
    };
    // Of a job: from now on, for ever.
    let mut of_job = gcloud(&["beta", "run", "jobs", "logs", "tail", "drip"]);
    wait::until("gcloud's program follows", || following(&of_job));
    let execution = lab.run("drip", &json!({}));
    let first = of_job.line().expect("a line comes");
    assert!(first.ends_with(" 0"), "{first}");
    let second = of_job.line().expect("a line comes");
    assert!(second.ends_with(" 1"), "{second}");
    // Also over the end of a server that stops in order.
    lab.stop();
    lab.launch();
    let third = of_job.line().expect("it goes on");
    assert!(third.ends_with(" 2"), "{third}");
    // It is a child of gcloud's, which passes nothing on to it: told itself, as a terminal tells both.
    let of_gcloud = wait::until("gcloud's program is there", || following(&of_job));
    for pid in of_gcloud {
        let pid = rustix::process::Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is told");
    }
    of_job.rest();
    of_job.code();
    // Of an execution: until that is over.
    let mut of_execution =
        gcloud(&["beta", "run", "jobs", "executions", "logs", "tail", &execution]);
    let lines = of_execution.rest();
    assert_eq!(of_execution.code(), Some(0));
    assert!(lines.last().is_some_and(|line| line.ends_with(" 499")), "{lines:?}");
    let link = fs::read_link(lab.dir().join("home/groundrun/bin/log-streaming"));
    assert_eq!(link.expect("it is there"), clients::groundrun());
    lab.finish();
}

/// The processes below gcloud that are its log-streaming, once they have a connection: then they follow.
fn following(gcloud: &Going) -> Option<Vec<i32>> {
    let mut found = Vec::new();
    let mut below = vec![i32::try_from(gcloud.child.id()).expect("a process")];
    while let Some(pid) = below.pop() {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            below.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        let name = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let connected = links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .any(|to| to.to_string_lossy().starts_with("socket:"));
        if name.ends_with(b"log-streaming") && connected {
            found.push(pid);
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Figures: `cargo test --release -p e2e --test following how_fast -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn how_fast_it_follows_and_what_it_costs_to_wait() {
    let lab = Lab::start();
    lab.create(&job("drip", 1, &["drip", "200", "10"]));
    let execution = lab.run("drip", &json!({}));
    let mut following = Going::start(&lab, &["logs", &execution, "--follow", "--json"]);
    let mut late: Vec<f64> = Vec::new();
    while let Some(line) = following.line() {
        let now = jiff_now();
        let entry: Value = serde_json::from_str(&line).expect("an entry");
        let at: jiff::Timestamp =
            entry["timestamp"].as_str().expect("a time").parse().expect("a time");
        late.push(now.duration_since(at).as_secs_f64() * 1000.0);
    }
    late.sort_by(f64::total_cmp);
    let at = |share: usize| late[late.len() * share / 100];
    println!(
        "a line, from the program to the follower: median {:.2} ms, 95 % {:.2} ms",
        at(50),
        at(95)
    );
    lab.create(&job("quick", 1, &["true"]));
    let mut late: Vec<f64> = Vec::new();
    let listed = version(&lab.ok("GET", "executions", None));
    let mut watch = Watch::open(&lab, &format!("executions?watch=true&resourceVersion={listed}"));
    for _ in 0..30 {
        lab.run("quick", &json!({}));
        let end = loop {
            let object = watch.event().expect("it goes on")["object"].take();
            if lab::status_of(&object, "Completed") == "True" {
                break object["status"]["completionTime"].as_str().expect("a time").to_owned();
            }
        };
        let end: jiff::Timestamp = end.parse().expect("a time");
        late.push(jiff_now().duration_since(end).as_secs_f64() * 1000.0);
    }
    late.sort_by(f64::total_cmp);
    println!("from the end of an execution to its event: median {:.2} ms", late[late.len() / 2]);
    let watches: Vec<Watch> = (0..50).map(|_| Watch::open(&lab, "executions?watch=true")).collect();
    let switches = || {
        let mut sum = 0u64;
        for task in fs::read_dir(format!("/proc/{}/task", lab.pid())).expect("it runs").flatten() {
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let of = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or_default()
            };
            sum += of("voluntary_ctxt_switches:") + of("nonvoluntary_ctxt_switches:");
        }
        sum
    };
    let idle = |seconds: u64| {
        let before = switches();
        wait_a_while(Duration::from_secs(seconds));
        (switches() - before) as f64 / seconds as f64
    };
    let with = idle(10);
    drop(watches);
    println!(
        "wake-ups of an idle server a second: {with:.1} with 50 watches, {:.1} without",
        idle(10)
    );
    lab.finish();
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn jiff_now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "a measurement of a time in which nothing happens")]
fn wait_a_while(time: Duration) {
    std::thread::sleep(time);
}
