//! Tasks of several containers, driven by the real gcloud: a real database beside the program that uses it, its order,
//! its probe, its volume, its end, and its log. The `run jobs` commands of gcloud 528 have no flag for startup probes, so
//! these come in a file.

use std::{fs, process::Command};

use e2e::{Lab, clients, images, lab};
use serde_json::{Value, json};

const BUILTIN: &str = "--image=builtin.groundrun/job";
/// Half a CPU each, so that two fit on any machine.
const SMALL: [&str; 2] = ["--cpu=0.5", "--memory=512Mi"];
/// Not PostgreSQL's own: the machine may have one.
const PORT: &str = "15432";

/// The name of the newest execution of a job.
fn newest(lab: &Lab, job: &str) -> String {
    let rows = lab
        .gcloud(&["run", "jobs", "executions", "list", "--job", job, "--format=json"])
        .well()
        .json();
    rows[0]["metadata"]["name"].as_str().expect("an execution").to_owned()
}

/// Texts of one container, as Cloud Logging's clients select them.
fn log(lab: &Lab, execution: &str, container: &str) -> String {
    let filter = format!(
        "resource.type=cloud_run_job AND labels.\"run.googleapis.com/execution_name\"={execution} \
         AND labels.container_name={container}"
    );
    let entries = lab
        .gcloud(&["logging", "read", &filter, "--order=asc", "--limit=1000", "--format=json"])
        .well()
        .json();
    let text = |entry: &Value| entry["textPayload"].as_str().unwrap_or_default().to_owned();
    entries.as_array().expect("a list").iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Creates the job, or puts it in the place of the one of its name, as `gcloud run jobs replace` does with a file.
fn replace(lab: &Lab, job: &Value) {
    let name = &job["metadata"]["name"];
    let document = json!({
        "apiVersion": job["apiVersion"], "kind": job["kind"], "metadata": {"name": name}, "spec": job["spec"],
    });
    let file = lab.dir().join("replace.json");
    fs::write(&file, document.to_string()).expect("written");
    lab.gcloud(&["run", "jobs", "replace", &file.display().to_string()]).well();
}

/// Runs the job, which fails, and gives the message of its `Completed` condition without the task's name.
fn failure(lab: &Lab, job: &str) -> (String, String) {
    let said = lab.gcloud(&["run", "jobs", "execute", job, "--wait"]).badly(1);
    assert!(said.err.contains("The execution failed."), "{}", said.err);
    let execution = newest(lab, job);
    let described = lab
        .gcloud(&["run", "jobs", "executions", "describe", &execution, "--format=json"])
        .well()
        .json();
    let condition = lab::condition(&described, "Completed");
    let message = condition["message"].as_str().expect("a message").to_owned();
    let task = format!("Task {execution}-task0 failed with ");
    let message = message.strip_prefix(&task).unwrap_or_else(|| panic!("{message}")).to_owned();
    (execution, message)
}

#[test]
fn a_program_uses_the_database_that_started_before_it() {
    let lab = Lab::start();
    let image = format!("--image=oci:{}:latest", images::postgres(lab.dir()).display());
    let serve = format!(
        "initdb -D /data/pg -U postgres -A trust -N --no-locale -E UTF8 >/data/initdb && \
         exec postgres -D /data/pg -F -k '' -p {PORT} -c listen_addresses=127.0.0.1"
    );
    let ask = format!(
        "psql -h 127.0.0.1 -p {PORT} -U postgres -At -c 'create table t as select generate_series(1;100) as n' \
         -c 'select sum(n) from t' && ls /data/pg/PG_VERSION"
    )
    .replace("1;100", "1,100");
    let (serve, ask) = (format!("--args=^|^-c|{serve}"), format!("--args=^|^-c|{ask}"));
    let mut line = vec!["run", "jobs", "create", "report", "--max-retries=0"];
    line.push("--add-volume=name=data,type=in-memory,size-limit=256Mi");
    line.extend(["--container=main", &image, "--command=sh", &ask]);
    line.push("--add-volume-mount=volume=data,mount-path=/data");
    line.extend(SMALL);
    line.extend(["--container=db", &image, "--command=sh", &serve]);
    line.push("--add-volume-mount=volume=data,mount-path=/data");
    line.extend(SMALL);
    lab.gcloud(&line).well();
    let order = ["run", "jobs", "update", "report", "--container=main", "--depends-on=db"];
    let said = lab.gcloud(&order).badly(1);
    let text = "Dependent container 'db' must have startup probe specified";
    assert!(said.err.contains(text), "{}", said.err);
    let mut job = lab.gcloud(&["run", "jobs", "describe", "report", "--format=json"]).well().json();
    job["spec"]["template"]["spec"]["template"]["spec"]["containers"][1]["startupProbe"] =
        json!({"tcpSocket": {"port": 15432}, "periodSeconds": 1, "failureThreshold": 60});
    replace(&lab, &job);
    lab.gcloud(&order).well();

    let job = lab.gcloud(&["run", "jobs", "describe", "report", "--format=json"]).well().json();
    let template = &job["spec"]["template"];
    assert_eq!(
        template["metadata"]["annotations"]["run.googleapis.com/container-dependencies"],
        r#"{"main": ["db"]}"#
    );
    let task = &template["spec"]["template"]["spec"];
    assert_eq!(
        task["containers"][1]["startupProbe"],
        json!({"tcpSocket": {"port": 15432}, "periodSeconds": 1, "failureThreshold": 60, "timeoutSeconds": 1})
    );
    assert_eq!(task["volumes"][0]["emptyDir"], json!({"medium": "Memory", "sizeLimit": "256Mi"}));
    let text = lab.gcloud(&["run", "jobs", "describe", "report"]).well().out;
    assert!(text.contains("Container main") && text.contains("Container db"), "{text}");

    let said = lab.gcloud(&["run", "jobs", "execute", "report", "--wait"]).well();
    assert!(said.err.contains("has successfully completed."), "{}", said.err);
    let execution = newest(&lab, "report");
    let main = log(&lab, &execution, "main");
    let ours = lab.groundrun(&["logs", &execution, "--container", "main"]).well().out;
    assert!(ours.contains("0.0 main: 5050") && !ours.contains("0.0 db: "), "{ours}");
    assert!(main.contains("5050") && main.contains("/data/pg/PG_VERSION"), "{main}");
    // It was told to end when all others had, and could do so in its own way.
    let db = log(&lab, &execution, "db");
    assert!(db.contains("ready to accept connections"), "{db}");
    assert!(db.contains("received smart shutdown request"), "{db}");
    assert!(db.contains("database system is shut down"), "{db}");

    let other = format!("psql -h 127.0.0.1 -p {PORT} -U postgres -At -c 'select 6 * 7'");
    let other = format!("--args=^|^-c|{other}");
    let run = ["run", "jobs", "execute", "report", "--wait", "--container=main", &other];
    lab.gcloud(&run).well();
    assert!(log(&lab, &newest(&lab, "report"), "main").contains("42"));
    lab.gcloud(&["run", "jobs", "execute", "report", "--container=nobody", "--args=x"]).badly(1);

    let update = ["run", "jobs", "update", "report", "--container=main", "--update-env-vars=A=1"];
    lab.gcloud(&update).well();
    let shrink = [
        "run",
        "jobs",
        "update",
        "report",
        "--remove-containers=db",
        "--container=main",
        "--cpu=1",
    ];
    lab.gcloud(&shrink).well();
    let job = lab.gcloud(&["run", "jobs", "describe", "report", "--format=json"]).well().json();
    let task = &job["spec"]["template"]["spec"]["template"]["spec"];
    assert_eq!(task["containers"].as_array().map(Vec::len), Some(1), "{job}");
    lab.finish();
}

#[test]
fn a_program_that_fails_ends_its_sidecar_and_the_task() {
    let lab = Lab::start();
    let mut line = vec!["run", "jobs", "create", "fails", "--max-retries=0"];
    line.extend(["--container=main", BUILTIN, "--args=exit,3"]);
    line.extend(SMALL);
    line.extend(["--container=side", BUILTIN, "--args=wait-term,0"]);
    line.extend(SMALL);
    lab.gcloud(&line).well();
    let (execution, message) = failure(&lab, "fails");
    assert_eq!(
        message,
        "exit code: 3 and message: The container exited with an error. Container: main."
    );
    let log = log(&lab, &execution, "(main OR side)");
    assert!(log.contains("Container called exit(3)."), "{log}");
    // SIGTERM may come before it minds that.
    assert!(log.contains("Container called exit(0).") || log.contains("signal 9."), "{log}");
    lab.finish();
}

#[test]
fn a_probe_that_fails_fails_the_task() {
    let lab = Lab::start();
    let half = json!({"limits": {"cpu": "500m", "memory": "512Mi"}});
    let probe = json!({"tcpSocket": {"port": 15999}, "periodSeconds": 1, "failureThreshold": 2});
    replace(
        &lab,
        &json!({
            "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": "deaf"},
            "spec": {"template": {
                "metadata": {"annotations": {
                    "run.googleapis.com/container-dependencies": r#"{"main": ["side"]}"#,
                }},
                "spec": {"template": {"spec": {"maxRetries": 0, "containers": [
                    {"image": "builtin.groundrun/job", "name": "main", "args": ["exit", "0"], "resources": half},
                    {
                        "image": "builtin.groundrun/job", "name": "side", "args": ["sleep", "60"], "resources": half,
                        "startupProbe": probe,
                    },
                ]}}},
            }},
        }),
    );
    let (execution, message) = failure(&lab, "deaf");
    let text = "exit code: 0 and message: The user-provided container failed the configured startup probe checks.";
    assert!(message.starts_with(text) && message.contains("Container: side."), "{message}");
    let said = log(&lab, &execution, "side");
    let line = "STARTUP TCP probe failed 2 times consecutively for container \"side\" on port 15999. \
                The instance was not started.";
    assert!(said.contains(line), "{said}");
    assert_eq!(log(&lab, &execution, "main"), "");
    lab.finish();
}

#[test]
fn run_shows_whose_line_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pair.json");
    let half = json!({"limits": {"cpu": "500m", "memory": "512Mi"}});
    let container = |name: &str, args: &[&str]| json!({"image": "builtin.groundrun/job", "name": name, "args": args, "resources": half});
    let job = json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": "pair"},
        "spec": {"template": {"spec": {"template": {"spec": {
            "containers": [container("first", &["env"]), container("second", &["env"])],
            "maxRetries": 0,
        }}}}},
    });
    fs::write(&file, job.to_string()).expect("written");
    let said = clients::run(Command::new(clients::groundrun()).arg("run").arg(&file)).well();
    for name in ["first", "second"] {
        let line = format!("0.0 {name} | CLOUD_RUN_TASK_INDEX=0");
        assert!(said.out.contains(&line), "{}", said.out);
    }
    let said =
        clients::run(Command::new(clients::groundrun()).args(["run", "--json"]).arg(&file)).well();
    assert!(said.out.contains(r#""container":"second""#), "{}", said.out);
}

#[test]
fn what_makes_no_sense_is_told_before_anything_is_stored() {
    let lab = Lab::start();
    let job = json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": "muddled"},
        "spec": {"template": {
            "metadata": {"annotations": {
                "run.googleapis.com/container-dependencies": r#"{"a": ["b"], "b": ["a"], "c": ["d"]}"#,
            }},
            "spec": {"template": {"spec": {
                "containers": [
                    {"image": "builtin.groundrun/job", "name": "a", "startupProbe": {"tcpSocket": {"port": 1}}},
                    {"image": "builtin.groundrun/job", "name": "b", "startupProbe": {"grpc": {"port": 99999}}},
                    {"image": "builtin.groundrun/job", "name": "c", "volumeMounts": [{"name": "v", "mountPath": "v"}]},
                ],
                "volumes": [{"name": "w", "emptyDir": {"sizeLimit": "much"}}],
            }}},
        }},
    });
    let reply = lab.call("POST", &lab.path("jobs"), Some(&job));
    assert_eq!(reply.status, 400);
    let told = reply.json().to_string();
    for fault in [
        "dependency cycle detected",
        "Dependent container 'd' does not exist",
        "if specified, must be between 1 and 65535",
        "has names which were not found in volumes list: v",
        "must be a valid unix absolute path",
        "Could not parse Quantity 'much'",
    ] {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    lab.gcloud(&["run", "jobs", "describe", "muddled"]).badly(1);
    lab.finish();
}
