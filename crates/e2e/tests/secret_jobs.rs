//! Jobs that use secrets, as gcloud makes them: the programs have what the secrets hold, and nobody else.
//!
//! What the secrets hold is the canary: at its end every lab looks for it in all that the server, its tasks and its clients
//! left. So the programs here print hashes of what they were given, and no test hands it to a client as a file.

use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpListener},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use e2e::{
    CanarySearch, Lab, canary, images,
    lab::{PROJECT, condition, status_of},
    wait,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Prints which is which, and the hash of each of its arguments' contents; `$NAME` is a variable, the rest are files.
const HASHES: &str = r#"
for one in $WHAT; do
  case $one in
    /*) set -- $(busybox sha256sum < $one) ;;
    *) eval "set -- \$(busybox printf %s \"\$$one\" | busybox sha256sum)" ;;
  esac
  echo "$one $1"
done"#;

/// What a secret's second version holds.
fn second() -> String {
    format!("{} the second", canary())
}

fn hash(value: &str) -> String {
    Sha256::digest(value).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secrets(rest: &str) -> String {
    format!("/v1/projects/{PROJECT}/secrets{rest}")
}

fn make_secret(lab: &Lab, name: &str) {
    let secret = json!({"replication": {"automatic": {}}});
    let reply = lab.call("POST", &secrets(&format!("?secretId={name}")), Some(&secret));
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
}

fn add_version(lab: &Lab, name: &str, value: &str) {
    let version = json!({"payload": {"data": STANDARD.encode(value)}});
    let reply = lab.call("POST", &secrets(&format!("/{name}:addVersion")), Some(&version));
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
}

/// `gcloud run jobs create` of a shell script in an image with busybox.
fn create(lab: &Lab, job: &str, script: &str, flags: &[&str]) -> e2e::clients::Said {
    let image = format!("--image=oci:{}:latest", images::busybox(lab.dir()).display());
    let args = format!("--args=^#^-c#{script}");
    let line = ["run", "jobs", "create", job, &image, "--command=/bin/sh", &args];
    lab.gcloud(&[&line[..], flags].concat())
}

/// What an execution's programs said, without when and by which attempt.
fn said(lab: &Lab, execution: &str) -> Vec<String> {
    let log = lab.log(execution);
    let texts = log.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
    texts.filter(|text| !text.starts_with("Container called")).map(str::to_owned).collect()
}

/// Runs it to its end, and gives what it said.
fn execute(lab: &Lab, job: &str) -> Vec<String> {
    let execution = lab.run(job, &json!({}));
    let done = lab.completed(&execution);
    assert_eq!(status_of(&done, "Completed"), "True", "{done:#}");
    said(lab, &execution)
}

#[test]
fn gcloud_sets_secrets_as_variables_and_as_files() {
    let lab = Lab::start();
    make_secret(&lab, "pass");
    add_version(&lab, "pass", &canary());
    add_version(&lab, "pass", &second());
    make_secret(&lab, "other");
    add_version(&lab, "other", &canary());
    let what = "WHAT=PASS OLD /secrets/latest /secrets/first /elsewhere/deep/other";
    create(
        &lab,
        "sealed",
        HASHES,
        &[
            "--set-secrets=PASS=pass:latest,OLD=pass:1,/secrets/latest=pass:latest,/secrets/first=pass:1,\
             /elsewhere/deep/other=other:1",
            &format!("--set-env-vars={what}"),
        ],
    )
    .well();
    let (one, two) = (hash(&canary()), hash(&second()));
    let expected = [
        format!("PASS {two}"),
        format!("OLD {one}"),
        format!("/secrets/latest {two}"),
        format!("/secrets/first {one}"),
        format!("/elsewhere/deep/other {one}"),
    ];
    assert_eq!(execute(&lab, "sealed"), expected);

    // It is all in the spec by name, and gcloud finds its way through it.
    let text = lab.gcloud(&["run", "jobs", "describe", "sealed"]).well().out;
    assert!(text.contains("pass:latest"), "{text}");
    lab.gcloud(&["run", "jobs", "update", "sealed", "--remove-secrets=OLD,/secrets/first"]).well();
    let job = lab.gcloud(&["run", "jobs", "describe", "sealed", "--format=json"]).well().json();
    assert!(job.to_string().contains("secretKeyRef"), "{job:#}");
    lab.gcloud(&[
        "alpha",
        "run",
        "jobs",
        "update",
        "sealed",
        "--add-volume=name=whole,type=secret,secret=other,version=1,path=it",
        "--add-volume-mount=volume=whole,mount-path=/whole",
        "--update-env-vars=WHAT=PASS /whole/it",
    ])
    .well();
    assert_eq!(execute(&lab, "sealed"), [expected[0].clone(), format!("/whole/it {one}")]);
    lab.finish();
}

#[test]
fn the_latest_version_is_looked_up_when_each_attempt_starts() {
    let lab = Lab::start();
    make_secret(&lab, "pass");
    add_version(&lab, "pass", &canary());
    // Its first attempt waits until it is let go, and fails.
    let gate = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = gate.local_addr().expect("it is bound").port();
    let wait = format!("set -- $(grep host.docker.internal /etc/hosts); busybox nc $1 {port}");
    let script = format!("{HASHES}\n[ $CLOUD_RUN_TASK_ATTEMPT = 1 ] || {{ {wait}; exit 1; }}");
    let flags = ["--set-secrets=PASS=pass:latest,/s/file=pass:latest", "--max-retries=1"];
    let flags = [&flags[..], &["--set-env-vars=WHAT=PASS /s/file"]].concat();
    create(&lab, "twice", &script, &flags).well();
    let execution = lab.run("twice", &json!({}));
    let (mut waiting, _) = gate.accept().expect("the first attempt comes");
    add_version(&lab, "pass", &second());
    waiting.shutdown(std::net::Shutdown::Write).expect("it is let go");
    let _ = waiting.read(&mut [0]);
    drop(waiting);
    let done = lab.completed(&execution);
    assert_eq!(status_of(&done, "Completed"), "True", "{done:#}");
    let lines = |value: &str| [format!("PASS {}", hash(value)), format!("/s/file {}", hash(value))];
    assert_eq!(said(&lab, &execution), [lines(&canary()), lines(&second())].concat());
    lab.finish();
}

#[test]
fn a_job_whose_secret_is_missing_says_so_and_is_ready_when_it_comes() {
    let lab = Lab::start();
    let flags = ["--set-secrets=PASS=absent:latest,/s/file=absent:1", "--set-env-vars=WHAT=PASS"];
    let said = create(&lab, "wants", HASHES, &flags).badly(1);
    let version = format!("projects/{PROJECT}/secrets/absent/versions");
    let at = "spec.template.spec";
    let message = format!(
        "{at}.containers[0].env[1].value_from.secret_key_ref.name: Secret {version}/latest was not found\n\
         {at}.volumes[0].secret.items[0].key: Secret {version}/1 was not found"
    );
    assert!(said.err.contains(&format!("Secret {version}/latest was not found")), "{}", said.err);
    let job = lab.ok("GET", "jobs/wants", None);
    let ready = condition(&job, "Ready");
    assert_eq!(ready["status"], "False", "{job:#}");
    assert_eq!(ready["reason"], "SecretsAccessCheckFailed");
    assert_eq!(ready["message"], message);
    let reply = lab.call("POST", &lab.path("jobs/wants:run"), Some(&json!({})));
    assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(&reply.body));

    make_secret(&lab, "absent");
    add_version(&lab, "absent", &canary());
    wait::until("the job is Ready by itself", || {
        let job = lab.ok("GET", "jobs/wants", None);
        (status_of(&job, "Ready") == "True").then_some(())
    });
    assert_eq!(execute(&lab, "wants"), [format!("PASS {}", hash(&canary()))]);

    // What goes after that fails the start, in the same words.
    let path = secrets("/absent/versions/1:destroy");
    assert_eq!(lab.call("POST", &path, Some(&json!({}))).status, 200);
    let execution = lab.run("wants", &json!({}));
    let done = lab.completed(&execution);
    let said = condition(&done, "Completed")["message"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains(&format!("Secret {version}/latest cannot be accessed")), "{said}");
    assert!(said.contains("DESTROYED"), "{said}");
    lab.finish();
}

#[test]
fn neither_an_object_nor_a_file_nor_a_core_of_the_server_has_what_a_secret_holds() {
    let mut lab = Lab::start();
    make_secret(&lab, "pass");
    add_version(&lab, "pass", &canary());
    let script = format!("{HASHES}\ntrap 'exit 0' TERM; sleep 300 & wait");
    let flags =
        ["--set-secrets=PASS=pass:latest,/s/file=pass:1", "--set-env-vars=WHAT=PASS /s/file"];
    create(&lab, "held", &script, &flags).well();
    let execution = lab.run("held", &json!({}));
    let held = hash(&canary());
    let expected = [format!("PASS {held}"), format!("/s/file {held}")];
    wait::until("the program has them", || (said(&lab, &execution) == expected).then_some(()));
    let objects: Vec<Value> = [
        "jobs/held".to_owned(),
        format!("executions/{execution}"),
        format!("tasks?labelSelector=run.googleapis.com/execution={execution}"),
    ]
    .iter()
    .map(|path| lab.ok("GET", path, None))
    .collect();
    let shown = serde_json::to_string(&objects).expect("JSON");
    assert!(shown.contains("secretKeyRef") && !shown.contains(&canary()), "{shown}");
    // While it runs, nothing of it is in the data directory.
    lab.assert_no_canary();
    let limits = fs::read_to_string(format!("/proc/{}/limits", lab.pid())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let core = core.map(|line| line.split_whitespace().skip(4).take(2).collect::<Vec<_>>());
    assert!(core.iter().flatten().all(|limit| ["0", "1"].contains(limit)), "{limits}");
    let pid = i32::try_from(lab.pid()).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::ABORT).expect("it can be told");
    wait::until("the kernel is done with it", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", lab.pid())).expect("unreaped");
        stat.contains(") Z ").then_some(())
    });
    lab.kill();
    lab.assert_no_canary();
    let beside = fs::read_dir(".").expect("a directory").flatten().map(|entry| entry.file_name());
    let core = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("core");
    assert_eq!(beside.filter(core).collect::<Vec<_>>(), [""; 0], "cores beside the server");
    lab.launch();
    lab.ok("POST", &format!("executions/{execution}:cancel"), Some(&json!({})));
    lab.completed(&execution);
    lab.finish();
}

#[test]
fn a_canary_in_any_file_of_a_lab_would_be_found() {
    let lab = Lab::start();
    let search = CanarySearch::of(&canary());
    let path = lab.data_dir().join("attempts-of-a-careless-server");
    fs::write(&path, format!("environment: {}", canary())).expect("written");
    assert_eq!(search.files_below(lab.dir()), std::slice::from_ref(&path));
    fs::write(&path, STANDARD.encode(format!("x{}", canary()))).expect("written");
    assert_eq!(search.files_below(lab.dir()), std::slice::from_ref(&path));
    fs::remove_file(path).expect("removed");
    lab.finish();
}
