//! Executions to the letter: tokens, delays, quotas, deletions, and what a job's change does to what runs.

use std::{fs, path::PathBuf};

use e2e::{
    Lab, clients,
    document::{BUILT_IN, execution, job, task},
    lab::{condition, status_of},
    wait,
};
use groundrun_core::{id::ExecutionUid, render};
use groundrun_store::{Store, StoreError, Tx, WriteError};
use jiff::SignedDuration;
use serde_json::{Value, json};
use uuid::Uuid;

/// Executions or jobs of one project and region.
const QUOTA: usize = 1000;

/// Completed executions that a job keeps.
const RETAINED: usize = 1000;

fn write(lab: &Lab, job: &Value) -> String {
    let file = lab.dir().join("job.yaml");
    fs::write(&file, job.to_string()).expect("written");
    file.display().to_string()
}

fn get(lab: &Lab, name: &str) -> Value {
    lab.ok("GET", &format!("jobs/{name}"), None)
}

#[test]
fn a_job_with_a_token_runs_when_it_is_replaced() {
    let mut lab = Lab::start();
    let mut document = job("deploy", BUILT_IN, &["exit", "0"]);
    document["spec"]["runExecutionToken"] = json!("one");
    // gcloud waits until the job is Ready: here that is until the execution has succeeded.
    let file = write(&lab, &document);
    let said = lab.gcloud(&["run", "jobs", "replace", &file]).well();
    assert!(said.err.contains("has been successfully created"), "{}", said.err);
    let shown = get(&lab, "deploy");
    assert_eq!(shown["spec"]["runExecutionToken"], "one");
    assert_eq!(shown["status"]["latestCreatedExecution"]["name"], "deploy-one");
    assert_eq!(
        shown["status"]["latestCreatedExecution"]["completionStatus"],
        "EXECUTION_SUCCEEDED"
    );

    // The round trip of an update sends the token back: no execution of that.
    lab.gcloud(&["run", "jobs", "update", "deploy", "--args=exit,3", "--max-retries=0"]).well();
    assert_eq!(get(&lab, "deploy")["status"]["executionCount"], 1);
    lab.kill();
    lab.launch();
    lab.gcloud(&["run", "jobs", "replace", &file]).well();
    assert_eq!(get(&lab, "deploy")["status"]["executionCount"], 1, "also over a restart");

    let mut failing = document.clone();
    failing["spec"]["runExecutionToken"] = json!("two");
    e2e::document::container(&mut failing)["args"] = json!(["exit", "3"]);
    let said = lab.gcloud(&["run", "jobs", "replace", &write(&lab, &failing)]).badly(1);
    assert!(said.err.contains("Task deploy-two-task0 failed with exit code: 3"), "{}", said.err);
    let ready = condition(&get(&lab, "deploy"), "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("NonZeroExitCode")));

    let said = lab.gcloud(&["run", "jobs", "replace", &write(&lab, &document)]).badly(1);
    assert!(said.err.contains("Resource 'deploy-one' already exists"), "{}", said.err);

    // What failed is the execution, not the job.
    lab.gcloud(&["run", "jobs", "execute", "deploy", "--async"]).well();
    assert!(get(&lab, "deploy")["spec"].get("runExecutionToken").is_none());
    lab.all_completed();
    lab.finish();
}

#[test]
fn a_token_of_a_missing_image_says_so_twice() {
    let lab = Lab::start();
    let missing = format!("docker-archive:{}", lab.dir().join("nothing.tar").display());
    let mut document = job("blind", &missing, &[]);
    document["spec"]["startExecutionToken"] = json!("a");
    lab.ok("POST", "jobs", Some(&document));
    let execution = lab.completed("blind-a");
    assert_eq!(condition(&execution, "Completed")["reason"], "ContainerMissing");
    wait::until("the job is not Ready", || {
        (status_of(&get(&lab, "blind"), "Ready") == "False").then_some(())
    });
    let reply = lab.call("POST", &lab.path("jobs/blind:run"), Some(&json!({})));
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.json()["error"]["message"],
        "Job 'blind' cannot be run because is in an error state. Please check the job's Ready status condition."
    );
    lab.finish();
}

#[test]
fn run_follows_the_execution_of_a_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("job.yaml");
    let mut document = job("once", BUILT_IN, &["exit", "4"]);
    document["spec"]["startExecutionToken"] = json!("mine");
    fs::write(&file, document.to_string()).expect("written");
    let run = |more: &[&str]| {
        let mut command = std::process::Command::new(clients::groundrun());
        command.arg("run").arg(&file).args(more);
        clients::run(&mut command)
    };
    let said = run(&["--json"]).badly(1);
    assert!(said.out.contains("once-mine"), "{}", said.out);
    assert!(!said.out.contains("\"executionCount\":2"), "{}", said.out);
    let said = run(&["--tasks", "2"]).badly(2);
    assert!(said.err.contains("once-mine"), "{}", said.err);
}

#[test]
fn gcloud_reads_the_quotas() {
    let lab = Lab::start();
    // Nothing of it can run, and nothing fails: it is delayed, and a regular one waits for all that there is.
    let mut waits = job("waits", BUILT_IN, &["sleep", "600"]);
    execution(&mut waits)["delayExecution"] = json!(true);
    lab.create(&waits);
    let mut first = job("first", BUILT_IN, &["sleep", "600"]);
    execution(&mut first)["taskCount"] = json!(10_000);
    lab.create(&first);
    lab.run("first", &json!({}));
    for _ in 1..QUOTA {
        lab.run("waits", &json!({}));
    }
    let said = lab.gcloud(&["run", "jobs", "execute", "waits"]).badly(1);
    assert!(said.err.contains("too many executions are already running"), "{}", said.err);

    for number in 2..QUOTA {
        lab.ok("POST", "jobs", Some(&job(&format!("j-{number}"), BUILT_IN, &["exit", "0"])));
    }
    let image = format!("--image={BUILT_IN}");
    let said = lab.gcloud(&["run", "jobs", "create", "one-more", &image]).badly(1);
    assert!(said.err.contains("Quota exceeded for quota metric 'Jobs'"), "{}", said.err);
    lab.ok("DELETE", "jobs/j-2", None);
    lab.gcloud(&["run", "jobs", "create", "one-more", &image]).well();
    for name in ["waits", "first"] {
        lab.ok("DELETE", &format!("jobs/{name}"), None);
    }
    are_left(&lab, 0);
    lab.finish();
}

/// Waits until so many executions have files; those of the deleted ones go when their tasks have ended.
fn are_left(lab: &Lab, executions: usize) {
    let attempts = lab.data_dir().join("attempts");
    wait::until("tasks of deleted jobs are gone, with their files", || {
        let left = fs::read_dir(&attempts).map(|entries| entries.count()).unwrap_or(0);
        (left <= executions).then_some(())
    });
}

#[test]
fn a_job_with_thousands_of_tasks_is_gone_at_once_and_removed_over_a_crash() {
    let mut lab = Lab::start();
    let mut many = job("many", BUILT_IN, &["sleep", "600"]);
    execution(&mut many)["taskCount"] = json!(5000);
    lab.create(&many);
    let names = [0, 1, 2].map(|_| lab.run("many", &json!({})));
    wait::until("tasks of it run", || {
        let running = |name: &str| {
            let execution = lab.ok("GET", &format!("executions/{name}"), None);
            execution["status"]["runningCount"].as_u64().unwrap_or(0)
        };
        // Whoever has its image first may take all the room that there is.
        names.iter().any(|name| running(name) > 0).then_some(())
    });
    lab.ok("DELETE", "jobs/many", None);
    let gone = |path: &str| lab.call("GET", &lab.path(path), None).status;
    assert_eq!(gone("jobs/many"), 404);
    assert!(names.iter().all(|name| gone(&format!("executions/{name}")) == 404));
    lab.create(&job("many", BUILT_IN, &["exit", "0"]));
    lab.kill();
    lab.launch();
    let done = lab.run("many", &json!({}));
    lab.completed(&done);
    are_left(&lab, 1);
    lab.finish();
}

/// Files and directories below the data directory that are called after it.
fn traces(lab: &Lab, uid: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![lab.data_dir()]);
    while let Some(dir) = open.pop() {
        // What is being removed may be gone by now.
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(uid) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
        }
    }
    found
}

/// Executions of the same job that completed after it, as many as a job keeps: as the engine would have left them.
fn have_run_since(lab: &Lab, uid: ExecutionUid) {
    let store = Store::open(&lab.data_dir()).expect("the server is away");
    let old =
        store.read::<_, StoreError>(|view| view.execution_by_uid(uid)).expect("it can be read");
    let old = old.expect("it is there");
    let now = old.created + SignedDuration::from_secs(1);
    let write = move |tx: &mut Tx<'_>| {
        for number in 0..RETAINED {
            let mut next = old.clone();
            next.uid = ExecutionUid(Uuid::from_u128(1 << 100 | number as u128));
            next.name = format!("{}-{number}", old.job.name);
            let later = SignedDuration::from_millis(1 + number as i64);
            next.created = old.created + later;
            let completed = next.state.completed.as_mut().expect("it has completed");
            completed.at += later;
            let labels = render::execution_labels(&next);
            tx.insert_execution(&mut next, &labels)?;
            tx.set_execution_state(next.uid, &next.state)?;
        }
        Ok::<_, WriteError<StoreError>>(())
    };
    store.write(now, write).expect("it can be written");
}

#[test]
fn of_an_execution_beyond_retention_nothing_is_left_and_one_that_runs_keeps_everything() {
    let mut lab = Lab::start();
    lab.create(&job("aged", BUILT_IN, &["exit", "0"]));
    let waits = json!({"overrides": {"containerOverrides": [{"args": ["wait-term", "0"]}]}});
    let runs = lab.run("aged", &waits);
    lab.running(&runs, 1);
    let old = lab.run("aged", &json!({}));
    let uid = |execution: &Value| execution["metadata"]["uid"].as_str().expect("a uid").to_owned();
    let old_uid = uid(&lab.completed(&old));
    let runs_uid = uid(&lab.ok("GET", &format!("executions/{runs}"), None));
    assert_eq!(traces(&lab, &old_uid).len(), 1, "its attempts");
    lab.kill();
    let identity = ExecutionUid(old_uid.parse().expect("a uid"));
    have_run_since(&lab, identity);
    lab.launch();
    // Nothing looks before another completes.
    assert_eq!(lab.call("GET", &lab.path(&format!("executions/{old}")), None).status, 200);
    let last = lab.run("aged", &json!({}));
    lab.completed(&last);
    wait::until("the oldest is gone, with its files", || {
        let status = lab.call("GET", &lab.path(&format!("executions/{old}")), None).status;
        (status == 404 && traces(&lab, &old_uid).is_empty()).then_some(())
    });
    assert_eq!(lab.entries(&old, ""), [Value::Null; 0]);
    assert_eq!(lab.call("GET", &lab.path(&format!("tasks/{old}-task0")), None).status, 404);
    // The one that runs is older than all of them, and is kept also when it is over: it is the last to be.
    lab.running(&runs, 1);
    assert_eq!(traces(&lab, &runs_uid).len(), 1);
    assert_eq!(get(&lab, "aged")["status"]["executionCount"], 2 + RETAINED + 1);
    lab.ok("POST", &format!("executions/{runs}:cancel"), Some(&json!({})));
    let ended = lab.completed(&runs);
    assert_eq!(condition(&ended, "Completed")["reason"], "Cancelled");
    assert_eq!(lab.stop(), Some(0));
    let store = Store::open(&lab.data_dir()).expect("the server is away");
    let left = store.read::<_, StoreError>(|view| {
        Ok((view.execution_by_uid(identity)?, view.attempts_of_task(identity, 0)?))
    });
    assert_eq!(left.expect("it can be read"), (None, Vec::new()));
    drop(store);
    lab.finish();
}

#[test]
fn what_runs_keeps_the_job_as_it_was() {
    let lab = Lab::start();
    let mut before = job("kept", BUILT_IN, &["sleep", "2"]);
    e2e::document::container(&mut before)["env"] = json!([{"name": "A", "value": "old"}]);
    task(&mut before)["timeoutSeconds"] = json!("77");
    lab.create(&before);
    let name = lab.run("kept", &json!({}));
    lab.running(&name, 1);
    let mut after = before.clone();
    e2e::document::container(&mut after)["env"] = json!([{"name": "A", "value": "new"}]);
    task(&mut after)["timeoutSeconds"] = json!("88");
    task(&mut after)["maxRetries"] = json!(5);
    lab.ok("PUT", "jobs/kept", Some(&after));
    let done = lab.completed(&name);
    let spec = &done["spec"]["template"]["spec"];
    assert_eq!(spec["timeoutSeconds"], "77");
    assert_eq!(spec["maxRetries"], 0);
    assert_eq!(spec["containers"][0]["env"][0]["value"], "old");
    assert_eq!(done["metadata"]["labels"]["run.googleapis.com/jobGeneration"], "1");
    assert_eq!(status_of(&done, "Completed"), "True");
    let later = lab.run("kept", &json!({}));
    let later = lab.completed(&later);
    assert_eq!(later["metadata"]["labels"]["run.googleapis.com/jobGeneration"], "2");
    assert_eq!(later["spec"]["template"]["spec"]["timeoutSeconds"], "88");
    lab.finish();
}
