//! The binary as its user meets it: `run`, `serve`, the client verbs, settings and exit codes.

use std::{
    fs,
    process::{Command, Stdio},
};

use e2e::{Lab, Options, clients, lab::PROJECT, leftovers, wait};
use serde_json::{Value, json};

fn job(name: &str, args: &[&str]) -> Value {
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"template": {"spec": {
            "containers": [{"image": "builtin.groundrun/job", "args": args}], "maxRetries": 0,
        }}}}},
    })
}

fn groundrun() -> Command {
    Command::new(clients::groundrun())
}

fn write(dir: &std::path::Path, job: &Value) -> String {
    let file = dir.join("job.yaml");
    fs::write(&file, job.to_string()).expect("written");
    file.display().to_string()
}

#[test]
fn the_example_runs_to_its_end_with_one_retry() {
    let example = clients::root().join("examples/primes/job.yaml");
    let said = clients::run(groundrun().arg("run").arg(example)).well();
    assert!(said.out.contains("5.0 | "), "a line of the first attempt of task 5: {}", said.out);
    assert!(said.out.contains("5.1 | "), "a line of its retry: {}", said.out);
    assert!(said.err.contains("8/8"), "progress: {}", said.err);
}

#[test]
fn a_run_that_was_killed_is_cleared_up_after_by_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), &job("waits", &["sleep", "300"]));
    let run = |file: &str| {
        let mut command = groundrun();
        command.args(["run", file]).env("TMPDIR", dir.path());
        command
    };
    let mut child =
        run(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let data = wait::until("its task runs", || {
        let mut made = fs::read_dir(dir.path()).expect("it is there").flatten();
        let data = made.find(|e| e.file_name().to_string_lossy().starts_with("groundrun-run-"))?;
        leftovers::runs_a_task(&data.path()).then(|| data.path())
    });
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    assert!(leftovers::runs_a_task(&data), "the kill of a run ends none of its tasks");
    let file = write(dir.path(), &job("done", &["exit", "0"]));
    let said = clients::run(&mut run(&file)).well();
    assert!(said.err.contains("clearing up after a run that was killed"), "{}", said.err);
    assert!(!data.exists());
    leftovers::assert_none_of(&data);
    let said = clients::run(&mut run(&file)).well();
    assert!(!said.err.contains("clearing up"), "{}", said.err);
}

#[test]
fn exit_codes_tell_how_it_came_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), &job("fails", &["exit", "7"]));
    let said = clients::run(groundrun().args(["run", &file])).badly(1);
    assert!(
        said.err.contains("exit code 7") || said.out.contains("exit code 7"),
        "{} {}",
        said.out,
        said.err
    );

    let mut bad = job("bad", &[]);
    bad["spec"]["template"]["spec"]["taskCount"] = json!(20_000);
    bad["spec"]["template"]["spec"]["template"]["spec"]["maxRetries"] = json!(99);
    bad["spec"]["typo"] = json!(1);
    let file = write(dir.path(), &bad);
    let said = clients::run(groundrun().args(["run", &file])).badly(2);
    assert!(said.err.contains("typo"), "{}", said.err);

    clients::run(groundrun().args(["run", "/no/such/file.yaml"])).badly(2);
    let file = write(dir.path(), &job("good", &["exit", "0"]));
    clients::run(groundrun().args(["run", &file, "--task-timeout", "never"])).badly(2);
}

#[test]
fn what_a_machine_lacks_is_said_by_doctor_and_by_who_would_start_there() {
    let said = clients::run(groundrun().arg("doctor")).well();
    assert!(said.out.contains("Jobs can run here"), "{}", said.out);
    let lacks = "nothing can be made in /proc/version: name another directory with --data-dir";
    let there = ["--data-dir", "/proc/version/data"];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let said = clients::run(groundrun().args(["doctor", "--json"]).args(there)).badly(3);
    let told: Value = serde_json::from_str(&said.out).expect("it is JSON");
    assert_eq!(told["canRun"], false);
    let rows = told["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["state"] == "missing").expect("one is missing");
    assert_eq!(row["topic"], "data directory");
    let in_one_line = format!("{}: {}", text(&row["finding"]), text(&row["remedy"]));
    assert_eq!(in_one_line, lacks);
    let said = clients::run(groundrun().arg("serve").args(there)).badly(3);
    assert!(said.err.contains(lacks), "{}", said.err);
}

#[test]
fn limits_hold_where_they_can_also_when_they_need_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), &job("eats", &["eat", "2000"]));
    let said = clients::run(groundrun().args(["run", &file, "--no-limits"])).badly(1);
    assert!(!said.err.contains("limits do not hold"), "{}", said.err);
    assert!((said.out + &said.err).contains("emory limit"), "it is killed for its memory");
}

#[test]
fn run_takes_overrides_and_prints_json() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), &job("over", &["exit", "1"]));
    let said = clients::run(groundrun().args([
        "run",
        &file,
        "--tasks=2",
        "--args=env",
        "--update-env-vars=EXTRA=yes",
        "--parallelism=1",
        "--task-timeout=30s",
        "--max-retries=1",
        "--json",
    ]))
    .well();
    let events: Vec<Value> =
        said.out.lines().map(|l| serde_json::from_str(l).expect("each line is JSON")).collect();
    let last = events.last().expect("events");
    assert_eq!(last["execution"]["status"]["succeededCount"], 2, "{last}");
    assert_eq!(last["execution"]["spec"]["parallelism"], 1);
    assert!(said.out.contains("EXTRA=yes"), "{}", said.out);
}

#[test]
fn its_own_log_has_no_colours_in_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), &job("talks", &["true"]));
    let said = clients::run(groundrun().args(["--log", "debug", "run", &file])).well();
    assert!(said.err.contains("DEBUG"), "{}", said.err);
    assert!(!said.err.contains('\u{1b}'), "{}", said.err);
}

/// The TCP port that a process listens on, as the kernel tells it.
fn listening_port(process: u32) -> u16 {
    let links = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").flatten();
    let sockets: Vec<String> = links
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel tells");
    let listening = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    listening
        .filter(|row| {
            row.get(3) == Some(&"0A") && sockets.iter().any(|s| row.get(9) == Some(&s.as_str()))
        })
        .find_map(|row| u16::from_str_radix(row[1].rsplit_once(':')?.1, 16).ok())
        .expect("it listens")
}

#[test]
fn ctrl_c_stops_the_tasks_first_and_nobody_else_calls_the_private_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), &job("long", &["wait-term", "0"]));
    let mut child = groundrun()
        .args(["run", &file])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut out = child.stdout.take().expect("piped");
    let mut first = [0u8; 1];
    // `wait-term` says that it waits; then it can be told.
    std::io::Read::read_exact(&mut out, &mut first).expect("the task says something");
    // A task on the machine's network could reach the private server, too.
    let port = listening_port(child.id());
    let host = format!("Host: localhost:{port}");
    let path = "/apis/run.googleapis.com/v1/namespaces/groundrun/jobs";
    let reply = e2e::http::send(([127, 0, 0, 1], port).into(), "GET", path, &[&host], b"");
    assert_eq!(reply.expect("it answers").status, 401, "only the one who made it may call it");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("told");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_run_that_is_told_to_end_leaves_no_task_and_no_file() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::HUP] {
        let dir = tempfile::tempdir().expect("a directory");
        let file = write(dir.path(), &job("long", &["wait-term", "0"]));
        let scratch = dir.path().join("scratch");
        fs::create_dir(&scratch).expect("a directory");
        let mut child = groundrun()
            .args(["run", &file])
            .env("TMPDIR", &scratch)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut out = child.stdout.take().expect("piped");
        std::io::Read::read_exact(&mut out, &mut [0u8; 1]).expect("the task says something");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).expect("told");
        let ended = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{said}");
        assert!(said.contains("Cancelled by user."), "{said}");
        assert_eq!(fs::read_dir(&scratch).expect("listed").count(), 0);
    }
}

#[test]
fn a_run_with_a_data_directory_makes_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), &job("short", &["exit", "0"]));
    let data = dir.path().join("data").display().to_string();
    let mut run = groundrun();
    run.args(["run", &file, "--data-dir", &data]).env("TMPDIR", dir.path().join("nowhere"));
    clients::run(&mut run).well();
}

#[test]
fn a_server_serves_stops_in_order_and_is_alone_on_its_directory() {
    let mut lab = Lab::start();
    assert_eq!(lab.call("GET", "/readyz", None).status, 200);
    let data = lab.data_dir().display().to_string();
    let said =
        clients::run(groundrun().args(["serve", "--listen", "127.0.0.1:0", "--data-dir", &data]));
    assert_ne!(said.code, 0);
    assert!(said.err.contains(&data), "{}", said.err);
    lab.create(&job("stays", &["wait-term", "0"]));
    let execution = lab.run("stays", &json!({}));
    wait::until("it runs", || {
        (lab.ok("GET", &format!("executions/{execution}"), None)["status"]["runningCount"] == 1)
            .then_some(())
    });
    assert_eq!(lab.stop(), Some(0), "SIGTERM stops it in order");
    lab.launch();
    let running = lab.ok("GET", &format!("executions/{execution}"), None);
    assert_eq!(running["status"]["runningCount"], 1, "the task ran on: {running}");
    lab.ok("POST", &format!("executions/{execution}:cancel"), Some(&json!({})));
    let ended = lab.completed(&execution);
    assert_eq!(ended["status"]["cancelledCount"], 1, "{ended}");
    lab.finish();
}

#[test]
fn an_open_address_needs_a_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data").display().to_string();
    let said =
        clients::run(groundrun().args(["serve", "--listen", "0.0.0.0:0", "--data-dir", &data]))
            .badly(2);
    assert!(said.err.contains("token"), "{}", said.err);
}

#[test]
fn settings_come_from_file_environment_and_flags() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("groundrun.toml");
    fs::write(&file, "project = \"of-the-file\"\nregion = \"europe-west1\"\n").expect("written");
    let lab = Lab::with(Options {
        flags: vec![
            "--config".into(),
            file.display().to_string(),
            "--network".into(),
            "none".into(),
        ],
        env: vec![("GROUNDRUN_MEMORY_SHARE".into(), "50".into())],
        ..Options::default()
    });
    // The lab's flags name project and region: they win over the file.
    let reply = lab.call("GET", &format!("/v1/projects/{PROJECT}"), None);
    assert_eq!(reply.json()["projectId"], PROJECT, "{reply:?}");
    lab.finish();
    fs::write(&file, "projct = \"x\"\n").expect("written");
    let said = clients::run(groundrun().args(["serve", "--config"]).arg(&file)).badly(2);
    assert!(said.err.contains("projct"), "{}", said.err);
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_the_environment() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("groundrun.toml");
    let data = dir.path().join("data");
    // An open address is refused for want of a token: which one was taken can be told before anything is served.
    fs::write(&file, "listen = \"0.0.0.0:1\"\n").expect("written");
    let serve = |env: Option<&str>, flag: Option<&str>| {
        let mut command = groundrun();
        command.args(["serve", "--config"]).arg(&file).arg("--data-dir").arg(&data);
        command.envs(env.map(|address| ("GROUNDRUN_LISTEN", address)));
        command.args(flag.into_iter().flat_map(|address| ["--listen", address]));
        clients::run(&mut command).badly(2).err
    };
    assert!(serve(None, None).contains("0.0.0.0:1 "));
    assert!(serve(Some("0.0.0.0:2"), None).contains("0.0.0.0:2 "));
    assert!(serve(Some("0.0.0.0:2"), Some("0.0.0.0:3")).contains("0.0.0.0:3 "));
}

#[test]
fn the_client_verbs_do_what_gcloud_does() {
    let lab = Lab::start();
    let file = write(lab.dir(), &job("plain", &["args"]));
    lab.groundrun(&["jobs", "apply", &file]).well();
    let said = lab.groundrun(&["jobs", "execute", "plain", "--wait", "--tasks=2"]).well();
    assert!(said.out.contains("completed successfully"), "{}", said.out);
    let jobs = lab.groundrun(&["jobs", "list"]).well();
    assert!(jobs.out.contains("plain") && jobs.out.contains("succeeded"), "{}", jobs.out);
    lab.groundrun(&["jobs", "describe", "plain"]).well();
    let executions = lab.groundrun(&["executions", "list", "--json"]).well().json();
    let name = executions[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    lab.groundrun(&["executions", "describe", &name]).well();
    let tasks = lab.groundrun(&["tasks", "list", &name]).well();
    assert_eq!(tasks.out.lines().count(), 3, "{}", tasks.out);
    lab.groundrun(&["tasks", "describe", &format!("{name}-task1")]).well();
    let logs = lab.groundrun(&["logs", &name, "--follow"]).well();
    assert!(logs.out.contains("args"), "{}", logs.out);
    lab.groundrun(&["executions", "delete", &name]).well();
    lab.groundrun(&["executions", "describe", &name]).badly(1);
    lab.groundrun(&["jobs", "delete", "plain"]).well();
    lab.groundrun(&["jobs", "describe", "plain"]).badly(1);
    lab.finish();
    let nobody =
        clients::run(groundrun().args(["jobs", "list", "--url", "http://127.0.0.1:9"])).badly(1);
    assert!(nobody.err.contains("groundrun serve"), "{}", nobody.err);
}

#[test]
fn what_is_not_there_is_told_with_what_to_do() {
    let lab = Lab::start();
    let none = lab.groundrun(&["jobs", "list"]).well();
    assert!(none.err.contains("no jobs in project"), "{}", none.err);
    let file = write(lab.dir(), &job("plain", &["exit", "3"]));
    lab.groundrun(&["jobs", "apply", &file]).well();
    let none = lab.groundrun(&["executions", "list"]).well();
    assert!(none.err.contains("no executions in project"), "{}", none.err);
    for verb in
        [&["tasks", "list", "nobody"][..], &["logs", "nobody"], &["jobs", "execute", "nobody"]]
    {
        let said = lab.groundrun(verb).badly(1);
        assert!(
            said.err.contains("does not exist") && said.err.contains("jobs list"),
            "{}",
            said.err
        );
    }
    let said = lab.groundrun(&["logs", "plain"]).badly(1);
    assert!(said.err.contains("groundrun logs --job plain"), "{}", said.err);
    let said = lab.groundrun(&["jobs", "execute", "plain", "--wait"]).badly(1);
    assert!(said.err.contains("1/1 done"), "progress: {}", said.err);
    assert!(said.err.contains("groundrun tasks list plain-"), "{}", said.err);
    let execution = lab.groundrun(&["executions", "list", "--json"]).well().json();
    let name = execution[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let failed = lab.groundrun(&["tasks", "list", &name, "--state", "failed"]).well();
    assert!(failed.out.contains("exit code 3"), "{}", failed.out);
    let task = lab.groundrun(&["tasks", "describe", &format!("{name}-task0")]).well();
    assert!(task.out.contains("exit code 3"), "{}", task.out);
    lab.finish();
}

#[test]
fn what_a_job_lacks_is_told_at_once_with_lines_to_paste() {
    let lab = Lab::start();
    let mut lacking = job("lacking", &[]);
    let template = &mut lacking["spec"]["template"];
    template["metadata"] = json!({"annotations": {
        "run.googleapis.com/cloudsql-instances": "p:us-central1:db", "run.googleapis.com/vpc-access-connector": "conn",
    }});
    template["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "pass", "key": "latest"}}}]);
    let file = write(lab.dir(), &lacking);
    let both = [
        "/secrets/pass/versions/latest was not found\n",
        "\n[cloudsql.\"p:us-central1:db\"]\ntarget = \"postgres://127.0.0.1:5432\" #",
        "--cloudsql p:us-central1:db=postgres://127.0.0.1:5432\n",
        "\n[networks.conn]\nbridge = \"br0\" #",
    ];
    let told = |said: &clients::Said, lines: &[&str]| {
        for line in both.iter().chain(lines) {
            assert!(said.err.contains(line), "{line}: {}", said.err);
        }
    };
    told(&clients::run(groundrun().args(["run", &file])).badly(1), &["--secret pass=@FILE"]);
    lab.groundrun(&["jobs", "apply", &file]).well();
    wait::until("it is not Ready", || {
        let job = lab.ok("GET", "jobs/lacking", None);
        (e2e::lab::condition(&job, "Ready")["status"] == "False").then_some(())
    });
    let refused = lab.groundrun(&["jobs", "execute", "lacking"]).badly(1);
    told(&refused, &["\ngroundrun secrets set pass --from-file FILE"]);
    lab.finish();
}

#[test]
fn gcloud_is_not_started_where_no_server_answers() {
    let said = clients::run(groundrun().args([
        "gcloud",
        "--url",
        "http://127.0.0.1:9",
        "run",
        "jobs",
        "list",
    ]))
    .badly(1);
    assert!(said.err.contains("no server answers at http://127.0.0.1:9"), "{}", said.err);
    assert!(said.err.contains("groundrun serve"), "{}", said.err);
}

#[test]
fn the_lines_of_env_point_the_own_verbs_at_the_server_and_take_it_back() {
    let lab = Lab::start();
    let script = format!(
        r#"eval "$({0} env --url {1} --project demo)" && {0} jobs list 2>&1 && eval "$({0} env --unset)" && env"#,
        clients::groundrun().display(),
        lab.url()
    );
    let said = clients::run(
        Command::new("sh")
            .args(["-c", &script])
            .env_remove("GROUNDRUN_URL")
            .env_remove("GROUNDRUN_PROJECT"),
    )
    .well();
    assert!(
        said.out
            .contains(&format!("no jobs in project demo, region us-central1, at {}", lab.url()))
    );
    for variable in ["GROUNDRUN_URL", "GROUNDRUN_PROJECT", "CLOUDSDK_PROXY_PORT"] {
        assert!(!said.out.contains(&format!("{variable}=")), "{variable}: {}", said.out);
    }
    lab.finish();
}

#[test]
fn completions_and_man_pages_come_from_the_definitions() {
    let said = clients::run(groundrun().args(["completions", "bash"])).well();
    assert!(said.out.contains("groundrun"), "{}", said.out);
    let dir = tempfile::tempdir().expect("a directory");
    clients::run(groundrun().arg("man").arg(dir.path())).well();
    assert!(dir.path().join("groundrun-jobs-execute.1").is_file());
}
