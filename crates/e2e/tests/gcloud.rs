//! The real gcloud, unchanged, drives the server: every command of its `run jobs` surface.

use std::fs;

use e2e::{Lab, lab};
use serde_json::json;

const IMAGE: &str = "--image=builtin.groundrun/job";

/// The name of the newest execution of a job.
fn newest(lab: &Lab, job: &str) -> String {
    let rows = lab
        .gcloud(&["run", "jobs", "executions", "list", "--job", job, "--format=json"])
        .well()
        .json();
    rows[0]["metadata"]["name"].as_str().expect("an execution").to_owned()
}

#[test]
fn a_job_is_created_shown_changed_exported_replaced_and_deleted() {
    let lab = Lab::start();
    let said = lab
        .gcloud(&[
            "run",
            "jobs",
            "create",
            "story",
            IMAGE,
            "--tasks=2",
            "--args=exit,0",
            "--labels=team=x",
        ])
        .well();
    assert!(said.err.contains("Job [story] has successfully been created."), "{}", said.err);
    let again = lab.gcloud(&["run", "jobs", "create", "story", IMAGE]).badly(1);
    assert!(again.err.contains("Job [story] already exists."), "{}", again.err);

    let job = lab.gcloud(&["run", "jobs", "describe", "story", "--format=json"]).well().json();
    assert_eq!(job["spec"]["template"]["spec"]["taskCount"], 2);
    assert_eq!(job["metadata"]["labels"]["team"], "x");
    let text = lab.gcloud(&["run", "jobs", "describe", "story"]).well();
    assert!(text.out.contains("Job story in region us-central1"), "{}", text.out);
    let missing = lab.gcloud(&["run", "jobs", "describe", "nobody"]).badly(1);
    assert!(missing.err.contains("Cannot find job [nobody]."), "{}", missing.err);

    let list = lab.gcloud(&["run", "jobs", "list"]).well();
    assert!(list.out.contains("story"), "{}", list.out);
    let regional = lab
        .gcloud(&["run", "jobs", "list", "--region=us-central1", "--format=value(metadata.name)"])
        .well();
    assert_eq!(regional.out.trim(), "story");
    let elsewhere = lab
        .gcloud(&["run", "jobs", "list", "--region=europe-west1", "--format=value(metadata.name)"])
        .well();
    assert_eq!(elsewhere.out.trim(), "");

    let update = lab
        .gcloud(&[
            "run",
            "jobs",
            "update",
            "story",
            "--tasks=3",
            "--update-env-vars=A=1",
            "--clear-labels",
        ])
        .well();
    assert!(update.err.contains("Job [story] has successfully been updated."), "{}", update.err);
    let job = lab.gcloud(&["run", "jobs", "describe", "story", "--format=json"]).well().json();
    assert_eq!(job["spec"]["template"]["spec"]["taskCount"], 3);
    assert_eq!(job["metadata"]["labels"]["cloud.googleapis.com/location"], "us-central1");
    assert_eq!(job["metadata"]["generation"], 2);
    lab.gcloud(&["run", "jobs", "update", "story"]).well();
    lab.gcloud(&["run", "jobs", "update", "nobody", "--tasks=3"]).badly(1);

    let export = lab.gcloud(&["run", "jobs", "describe", "story", "--format=export"]).well().out;
    let file = lab.dir().join("story.yaml");
    fs::write(&file, export.replace("taskCount: 3", "taskCount: 4")).expect("written");
    let file = file.display().to_string();
    let replaced = lab.gcloud(&["run", "jobs", "replace", &file]).well();
    assert!(replaced.err.contains("has been successfully updated"), "{}", replaced.err);
    let job = lab.gcloud(&["run", "jobs", "describe", "story", "--format=json"]).well().json();
    assert_eq!(job["spec"]["template"]["spec"]["taskCount"], 4);

    let deleted = lab.gcloud(&["run", "jobs", "delete", "story"]).well();
    assert!(deleted.err.contains("Deleted job [story]."), "{}", deleted.err);
    let gone = lab.gcloud(&["run", "jobs", "delete", "story"]).badly(1);
    assert!(gone.err.contains("Job [story] could not be found."), "{}", gone.err);
    let replaced = lab.gcloud(&["run", "jobs", "replace", &file]).well();
    assert!(replaced.err.contains("has been successfully created"), "{}", replaced.err);
    lab.gcloud(&["run", "jobs", "delete", "story", "--async"]).well();
    lab.finish();
}

#[test]
fn deploy_creates_and_then_updates() {
    let lab = Lab::start();
    let said = lab.gcloud(&["run", "jobs", "deploy", "shipped", IMAGE, "--args=exit,0"]).well();
    assert!(said.err.contains("Job [shipped] has successfully been deployed."), "{}", said.err);
    lab.gcloud(&[
        "run",
        "jobs",
        "deploy",
        "shipped",
        IMAGE,
        "--args=exit,0",
        "--max-retries=0",
        "--execute-now",
        "--wait",
    ])
    .well();
    for track in ["beta", "alpha"] {
        lab.gcloud(&[track, "run", "jobs", "update", "shipped", "--tasks=2"]).well();
        lab.gcloud(&[track, "run", "jobs", "describe", "shipped"]).well();
    }
    let regions = lab.gcloud(&["run", "regions", "list", "--format=value(locationId)"]).well();
    assert!(regions.out.contains("us-central1"), "{}", regions.out);
    lab.finish();
}

#[test]
fn an_execution_is_started_followed_listed_and_deleted() {
    let lab = Lab::start();
    lab.gcloud(&[
        "run",
        "jobs",
        "create",
        "worker",
        IMAGE,
        "--tasks=3",
        "--parallelism=2",
        "--args=env",
    ])
    .well();
    let said = lab.gcloud(&["run", "jobs", "execute", "worker", "--wait"]).well();
    assert!(said.err.contains("has successfully completed."), "{}", said.err);
    let first = newest(&lab, "worker");
    let text = lab.gcloud(&["run", "jobs", "executions", "describe", &first]).well();
    assert!(text.out.contains("3 tasks completed successfully"), "{}", text.out);
    lab.gcloud(&["run", "jobs", "executions", "describe", "nobody"]).badly(1);

    let tasks = lab
        .gcloud(&[
            "run",
            "jobs",
            "executions",
            "tasks",
            "list",
            "--execution",
            &first,
            "--format=json",
        ])
        .well()
        .json();
    assert_eq!(tasks.as_array().map(Vec::len), Some(3));
    let failed = lab
        .gcloud(&[
            "run",
            "jobs",
            "executions",
            "tasks",
            "list",
            "--execution",
            &first,
            "--failed",
            "--format=json",
        ])
        .well();
    assert_eq!(failed.json(), json!([]));
    let done = lab
        .gcloud(&[
            "run",
            "jobs",
            "executions",
            "tasks",
            "list",
            "--execution",
            &first,
            "--completed",
        ])
        .well();
    assert_eq!(done.out.lines().count(), 4, "{}", done.out);
    let task = lab
        .gcloud(&["run", "jobs", "executions", "tasks", "describe", &format!("{first}-task1")])
        .well();
    assert!(task.out.contains("completed successfully"), "{}", task.out);

    let logs = lab.gcloud(&["run", "jobs", "logs", "read", "worker", "--limit=500"]).well();
    for index in 0..3 {
        assert!(logs.out.contains(&format!("CLOUD_RUN_TASK_INDEX={index}")), "{}", logs.out);
    }
    assert!(
        logs.out.contains("CLOUD_RUN_JOB=worker") && logs.out.contains("CLOUD_RUN_TASK_COUNT=3"),
        "{}",
        logs.out
    );
    let own = lab
        .gcloud(&["beta", "run", "jobs", "executions", "logs", "read", &first, "--limit=500"])
        .well();
    assert!(own.out.contains(&format!("CLOUD_RUN_EXECUTION={first}")), "{}", own.out);
    let filter = format!(
        "resource.type=cloud_run_job AND labels.\"run.googleapis.com/execution_name\"={first} AND textPayload:\"TASK_INDEX=2\""
    );
    let read = lab.gcloud(&["logging", "read", &filter, "--format=json"]).well().json();
    assert_eq!(read.as_array().map(Vec::len), Some(1), "{read}");
    assert_eq!(read[0]["labels"]["run.googleapis.com/task_index"], "2");

    let over = lab
        .gcloud(&[
            "run",
            "jobs",
            "execute",
            "worker",
            "--tasks=2",
            "--args=env",
            "--update-env-vars=EXTRA=yes,MORE=1",
            "--task-timeout=90s",
            "--wait",
        ])
        .well();
    assert!(over.err.contains("has successfully completed."), "{}", over.err);
    let second = newest(&lab, "worker");
    let execution = lab
        .gcloud(&["run", "jobs", "executions", "describe", &second, "--format=json"])
        .well()
        .json();
    assert_eq!(execution["spec"]["taskCount"], 2);
    assert_eq!(execution["spec"]["template"]["spec"]["timeoutSeconds"], "90");
    let logs = lab
        .gcloud(&["beta", "run", "jobs", "executions", "logs", "read", &second, "--limit=500"])
        .well();
    assert!(logs.out.contains("EXTRA=yes") && logs.out.contains("MORE=1"), "{}", logs.out);

    lab.gcloud(&["run", "jobs", "execute", "worker"]).well();
    lab.gcloud(&["run", "jobs", "execute", "worker", "--async"]).well();
    lab.gcloud(&["run", "jobs", "execute", "nobody"]).badly(1);
    let deleted = lab.gcloud(&["run", "jobs", "executions", "delete", &first]).well();
    assert!(deleted.err.contains("Deleted execution"), "{}", deleted.err);
    lab.gcloud(&["run", "jobs", "executions", "describe", &first]).badly(1);
    lab.gcloud(&["run", "jobs", "delete", "worker"]).well();
    let none = lab
        .gcloud(&["run", "jobs", "executions", "list", "--job", "worker", "--format=json"])
        .well();
    assert_eq!(none.json(), json!([]));
    lab.finish();
}

#[test]
fn failure_timeout_memory_and_cancel_are_told_apart() {
    let lab = Lab::start();
    let outcome = |name: &str, flags: &[&str], completed: &str| {
        let mut line = vec!["run", "jobs", "create", name, IMAGE, "--max-retries=0"];
        line.extend(flags);
        lab.gcloud(&line).well();
        let said = lab.gcloud(&["run", "jobs", "execute", name, "--wait"]).badly(1);
        assert!(said.err.contains("The execution failed."), "{}", said.err);
        let execution = newest(&lab, name);
        let described = lab
            .gcloud(&["run", "jobs", "executions", "describe", &execution, "--format=json"])
            .well()
            .json();
        let condition = lab::condition(&described, "Completed");
        assert_eq!(condition["status"], "False");
        assert_eq!(
            condition["message"],
            format!("Task {execution}-task0 failed with {completed}"),
            "{described}"
        );
        lab.gcloud(&[
            "run",
            "jobs",
            "executions",
            "tasks",
            "describe",
            &format!("{execution}-task0"),
        ])
        .well();
    };
    outcome(
        "fails",
        &["--args=exit,3"],
        "exit code: 3 and message: The container exited with an error.",
    );
    outcome(
        "slow",
        &["--args=sleep,60", "--task-timeout=1s"],
        "exit code: 0 and message: The configured timeout was reached.",
    );
    outcome(
        "greedy",
        &["--args=eat,700", "--memory=512Mi"],
        "exit code: 0 and message: The configured memory limit was reached.",
    );

    lab.gcloud(&["run", "jobs", "create", "long", IMAGE, "--tasks=2", "--args=wait-term,0"]).well();
    lab.gcloud(&["run", "jobs", "execute", "long"]).well();
    let execution = newest(&lab, "long");
    let said = lab.gcloud(&["run", "jobs", "executions", "cancel", &execution]).well();
    assert!(said.err.contains("Cancelled execution"), "{}", said.err);
    let described = lab
        .gcloud(&["run", "jobs", "executions", "describe", &execution, "--format=json"])
        .well()
        .json();
    assert_eq!(lab::condition(&described, "Completed")["reason"], "Cancelled");
    assert_eq!(lab::condition(&described, "Completed")["message"], "Cancelled by user.");
    lab.gcloud(&["run", "jobs", "executions", "cancel", &execution]).badly(1);
    lab.finish();
}

#[test]
fn a_policy_is_kept_per_job() {
    let lab = Lab::start();
    lab.gcloud(&["run", "jobs", "create", "guarded", IMAGE]).well();
    lab.gcloud(&["run", "jobs", "get-iam-policy", "guarded"]).well();
    let binding = ["--member=user:ada@example.com", "--role=roles/run.invoker"];
    let mut add = vec!["run", "jobs", "add-iam-policy-binding", "guarded"];
    add.extend(binding);
    let said = lab.gcloud(&add).well();
    assert!(said.err.contains("Updated IAM policy for job [guarded]."), "{}", said.err);
    let policy = lab.gcloud(&["run", "jobs", "get-iam-policy", "guarded", "--format=json"]).well();
    assert_eq!(policy.json()["bindings"][0]["members"][0], "user:ada@example.com");
    let file = lab.dir().join("policy.json");
    fs::write(&file, policy.out.replace("ada@", "bob@")).expect("written");
    lab.gcloud(&["run", "jobs", "set-iam-policy", "guarded", &file.display().to_string()]).well();
    let mut remove = vec!["run", "jobs", "remove-iam-policy-binding", "guarded"];
    remove.extend(["--member=user:bob@example.com", "--role=roles/run.invoker"]);
    lab.gcloud(&remove).well();
    let policy =
        lab.gcloud(&["run", "jobs", "get-iam-policy", "guarded", "--format=json"]).well().json();
    assert!(policy.get("bindings").is_none_or(|b| b == &json!([])), "{policy}");
    lab.finish();
}

#[test]
fn a_missing_image_is_told_by_create_and_by_execute() {
    let lab = Lab::start();
    let image = "--image=127.0.0.1:9/nothing/there:1";
    let said =
        lab.gcloud(&["run", "jobs", "create", "ghost", "--image=oci:/nowhere/at/all"]).badly(1);
    assert!(
        said.err.contains("Job failed to deploy") && said.err.contains("not found"),
        "{}",
        said.err
    );
    let said = lab.gcloud(&["run", "jobs", "execute", "ghost"]).badly(1);
    assert!(said.err.contains("cannot be run because is in an error state"), "{}", said.err);
    lab.gcloud(&["run", "jobs", "create", "unreachable", image, "--async"]).well();
    lab.finish();
}
