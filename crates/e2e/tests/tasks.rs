//! What happens to tasks, seen through the API: capacity, retries, ends, identity, confinement, output.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use e2e::{
    Lab, Options,
    document::{self, BUILT_IN, job},
    images,
    lab::{condition, status_of},
    wait,
};
use serde_json::{Value, json};

fn flags(flags: &[&str]) -> Options {
    Options { flags: flags.iter().map(|&flag| flag.to_owned()).collect(), ..Options::default() }
}

fn cpus() -> u64 {
    std::thread::available_parallelism().expect("the kernel tells").get() as u64
}

/// Creates a job, runs it to its end and gives the execution.
fn ended(lab: &Lab, job: &Value) -> Value {
    lab.create(job);
    let name = job["metadata"]["name"].as_str().expect("a name");
    lab.completed(&lab.run(name, &json!({})))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a name")
}

/// Runs a job of one task to its success, and gives what it said on stdout.
fn said(lab: &Lab, job: &Value) -> String {
    let execution = ended(lab, job);
    assert_eq!(
        execution["status"]["succeededCount"],
        1,
        "{execution}\n{}",
        lab.log(name(&execution))
    );
    lines(lab, &execution, "stdout").join("\n") + "\n"
}

/// What the tasks of an execution wrote to a stream.
fn lines(lab: &Lab, execution: &Value, stream: &str) -> Vec<String> {
    let mut entries = lab.entries(name(execution), &format!("logName:\"{stream}\""));
    entries.reverse();
    entries.iter().map(|e| e["textPayload"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn a_task_larger_than_the_machine_fails_at_once_with_the_reason() {
    let lab = Lab::with(flags(&["--memory-share", "1"]));
    let mut large = job("large", BUILT_IN, &["true"]);
    document::container(&mut large)["resources"] =
        json!({"limits": {"cpu": "4", "memory": "16Gi"}});
    let execution = ended(&lab, &large);
    let failed = condition(&execution, "Completed");
    assert_eq!(failed["status"], "False");
    let message = failed["message"].as_str().expect("a message");
    assert!(message.starts_with("A task needs 16 GiB of memory, more than the"), "{message}");
    assert_eq!(condition(&execution, "ResourcesAvailable")["message"], message, "{execution}");
    assert!(execution["status"]["failedCount"].is_null(), "nothing was begun: {execution}");
    lab.finish();
}

#[test]
fn what_does_not_fit_waits_and_says_so() {
    let lab = Lab::with(flags(&["--cpu-overcommit", "1", "--memory-share", "10000"]));
    let mut holder = job("holder", BUILT_IN, &["wait-term", "0"]);
    document::execution(&mut holder)["taskCount"] = json!(cpus() + 1);
    lab.create(&holder);
    lab.create(&job("next", BUILT_IN, &["true"]));
    let holder = lab.run("holder", &json!({}));
    lab.running(&holder, cpus());
    let next = lab.run("next", &json!({}));
    let needs = format!("Waiting for cpu: a task needs 1, 0 of {} are free.", cpus());
    for waiting in [format!("executions/{next}"), format!("tasks/{next}-task0")] {
        wait::until("it says what it waits for", || {
            let resources = condition(&lab.ok("GET", &waiting, None), "ResourcesAvailable");
            (resources["status"] == "Unknown" && resources["message"] == needs).then_some(())
        });
    }
    lab.running(&holder, cpus());
    lab.ok("POST", &format!("executions/{holder}:cancel"), Some(&json!({})));
    assert_eq!(lab.completed(&next)["status"]["succeededCount"], 1);
    assert_eq!(lab.completed(&holder)["status"]["cancelledCount"], cpus() + 1);
    lab.finish();
}

#[test]
fn ten_thousand_tasks_at_once_never_run_more_than_fit() {
    let lab = Lab::start();
    let mut many = job("many", BUILT_IN, &["true"]);
    document::execution(&mut many)["taskCount"] = json!(10_000);
    document::execution(&mut many)["parallelism"] = json!(0);
    lab.create(&many);
    let execution = lab.run("many", &json!({}));
    // The default promises each CPU four times, and a task has one.
    let budget = 4 * cpus();
    let count = |object: &Value, of: &str| object["status"][of].as_u64().unwrap_or_default();
    let mut most = 0;
    wait::until("some hundreds succeed", || {
        let object = lab.ok("GET", &format!("executions/{execution}"), None);
        let running = count(&object, "runningCount");
        assert!(running <= budget, "{running} run, {budget} fit");
        most = most.max(running);
        (count(&object, "succeededCount") >= 500).then_some(())
    });
    assert!(most > 0, "they were never seen to run");
    lab.ok("POST", &format!("executions/{execution}:cancel"), Some(&json!({})));
    let object = lab.completed(&execution);
    let settled = ["succeededCount", "failedCount", "cancelledCount"].map(|of| count(&object, of));
    assert_eq!(settled.iter().sum::<u64>(), 10_000, "{}", object["status"]);
    assert_eq!(settled[1], 0, "{}", object["status"]);
    lab.finish();
}

#[test]
fn a_failed_task_lets_the_others_go_on() {
    let lab = Lab::start();
    let image = format!("oci:{}:latest", images::busybox(lab.dir()).display());
    let mut mixed = document::script("mixed", &image, "test $CLOUD_RUN_TASK_INDEX != 1");
    document::execution(&mut mixed)["taskCount"] = json!(6);
    document::execution(&mut mixed)["parallelism"] = json!(1);
    let execution = ended(&lab, &mixed);
    let status = &execution["status"];
    assert_eq!((&status["succeededCount"], &status["failedCount"]), (&json!(5), &json!(1)));
    let message = format!(
        "Task {0}-task1 failed with exit code: 1 and message: The container exited with an error.",
        name(&execution)
    );
    assert_eq!(condition(&execution, "Completed")["message"], message);
    lab.finish();
}

#[test]
fn a_retry_is_told_its_number_and_counts() {
    let lab = Lab::start();
    let image = format!("oci:{}:latest", images::busybox(lab.dir()).display());
    let script = "echo attempt $CLOUD_RUN_TASK_ATTEMPT of task $CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT; \
                  test $CLOUD_RUN_TASK_ATTEMPT = 2";
    let mut stubborn = document::script("stubborn", &image, script);
    document::execution(&mut stubborn)["taskCount"] = json!(2);
    document::task(&mut stubborn)["maxRetries"] = json!(2);
    let execution = ended(&lab, &stubborn);
    assert_eq!(execution["status"]["succeededCount"], 2, "{execution}");
    assert_eq!(execution["status"]["retriedCount"], 2, "{execution}");
    let log = lab.log(name(&execution));
    for task in 0..2 {
        for attempt in 0..3 {
            let line = format!("attempt {attempt} of task {task} of 2");
            assert_eq!(log.matches(&line).count(), 1, "{line}: {log}");
        }
        let task = lab.ok("GET", &format!("tasks/{}-task{task}", name(&execution)), None);
        assert_eq!(task["status"]["retried"], 2, "{task}");
    }
    lab.finish();
}

#[test]
fn a_timeout_is_each_attempts_own_and_begins_with_sigterm() {
    let lab = Lab::start();
    let mut slow = job("slow", BUILT_IN, &["wait-term", "0"]);
    document::task(&mut slow)["timeoutSeconds"] = json!("1");
    document::task(&mut slow)["maxRetries"] = json!(1);
    let execution = ended(&lab, &slow);
    assert_eq!(
        execution["status"]["failedCount"], 1,
        "exit 0 on SIGTERM is no success: {execution}"
    );
    let message = condition(&execution, "Completed")["message"].clone();
    assert!(
        message.as_str().is_some_and(|m| m.ends_with("The configured timeout was reached.")),
        "{message}"
    );
    let log = lab.log(name(&execution));
    assert_eq!(log.matches("told to stop").count(), 2, "both attempts: {log}");
    let task = lab.ok("GET", &format!("tasks/{}-task0", name(&execution)), None);
    assert_eq!(task["status"]["retried"], 1, "{task}");
    lab.finish();
}

#[test]
fn who_ignores_sigterm_is_killed_after_ten_seconds() {
    let lab = Lab::start();
    // Process 1 of a container is not ended by a signal that it does not handle.
    lab.create(&job("deaf", BUILT_IN, &["sleep", "100"]));
    let execution = lab.run("deaf", &json!({}));
    lab.running(&execution, 1);
    let told = Instant::now();
    lab.ok("POST", &format!("executions/{execution}:cancel"), Some(&json!({})));
    assert_eq!(lab.completed(&execution)["status"]["cancelledCount"], 1);
    let took = told.elapsed();
    assert!(took >= Duration::from_secs(10), "killed after {took:?}");
    lab.finish();
}

#[test]
fn deleting_what_runs_leaves_nothing() {
    let lab = Lab::start();
    for path in ["executions", "jobs"] {
        let mut going = job("going", BUILT_IN, &["wait-term", "0"]);
        document::execution(&mut going)["taskCount"] = json!(2);
        lab.create(&going);
        let execution = lab.run("going", &json!({}));
        lab.running(&execution, 2);
        let name = if path == "jobs" { "going" } else { &execution };
        lab.ok("DELETE", &format!("{path}/{name}"), None);
        for gone in [format!("executions/{execution}"), format!("tasks/{execution}-task0")] {
            wait::until(&format!("{gone} is gone"), || {
                (lab.call("GET", &lab.path(&gone), None).status == 404).then_some(())
            });
        }
        wait::until("its files are gone", || {
            let attempts = fs::read_dir(lab.data_dir().join("attempts")).expect("a directory");
            (attempts.count() == 0).then_some(())
        });
        let name = "going";
        if path == "executions" {
            lab.ok("DELETE", &format!("jobs/{name}"), None);
        }
        wait::until("the job is gone", || {
            let job = lab.call("GET", &lab.path(&format!("jobs/{name}")), None);
            (job.status == 404).then_some(())
        });
    }
    lab.finish();
}

#[test]
fn a_task_is_who_and_where_its_image_and_spec_say() {
    let lab = Lab::start();
    let config = json!({"User": "ada", "WorkingDir": "/etc", "Env": ["PATH=/bin", "HOME=/tmp"]});
    let image = format!("oci:{}:latest", images::busybox_as(lab.dir(), config).display());
    let script = "id; pwd; hostname; echo $HOME $OWN";
    let mut who = document::script("who", &image, script);
    document::container(&mut who)["env"] = json!([{"name": "OWN", "value": "a=$(HOME)"}]);
    let said_by_image = said(&lab, &who);
    let lines: Vec<&str> = said_by_image.lines().collect();
    assert_eq!(lines[0], "uid=1000(ada) gid=1000(ada) groups=10(wheel),1000(ada)");
    assert_eq!(lines[1], "/etc");
    assert!(lines[2].starts_with("who-"), "the host is named for the execution: {}", lines[2]);
    assert_eq!(lines[3], "/tmp a=$(HOME)");

    let mut there = document::script("there", &image, "pwd");
    document::container(&mut there)["workingDir"] = json!("/tmp");
    assert_eq!(said(&lab, &there), "/tmp\n");
    lab.finish();
}

#[test]
fn the_two_streams_are_told_apart_and_each_line_is_kept() {
    let lab = Lab::start();
    let image = format!("oci:{}:latest", images::busybox(lab.dir()).display());
    let script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf unended";
    let execution = ended(&lab, &document::script("both", &image, script));
    assert_eq!(lines(&lab, &execution, "stdout"), ["out 1", "out 2", "out 3", "unended"]);
    assert_eq!(lines(&lab, &execution, "stderr"), ["err 1", "err 2", "err 3"]);
    lab.finish();
}

#[test]
fn a_long_line_is_cut_with_a_note() {
    let lab = Lab::start();
    let execution = ended(&lab, &job("long", BUILT_IN, &["spew", "1", "307200"]));
    let text = &lines(&lab, &execution, "stdout")[0];
    // The line is `0 xxx…`.
    let dropped = 2 + 307_200 - (256 << 10);
    let note = format!(" … {dropped} bytes of this line dropped");
    assert!(text.ends_with(&note), "{}", &text[text.len() - 80..]);
    assert_eq!(text.len(), (256 << 10) + note.len());
    lab.finish();
}

#[test]
fn more_output_than_is_kept_is_counted_and_the_task_goes_on() {
    let lab = Lab::start();
    let execution = ended(&lab, &job("chatty", BUILT_IN, &["spew", "700", "100000"]));
    assert_eq!(execution["status"]["succeededCount"], 1, "it was not held up: {execution}");
    let entries = lab.entries(name(&execution), "");
    let texts: Vec<&str> = entries.iter().filter_map(|e| e["textPayload"].as_str()).collect();
    let note = texts.iter().find(|text| text.contains("bytes of output dropped"));
    let note = note.unwrap_or_else(|| panic!("no note: {:.80?}", texts));
    let dropped: u64 = note
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no number in {note}"));
    assert!((2_000_000..4_000_000).contains(&dropped), "70 MB less 64 MiB: {note}");
    lab.finish();
}

#[test]
fn each_network_has_its_own_interfaces() {
    let interfaces = |lab: &Lab| -> BTreeSet<String> {
        let table = said(lab, &job("net", BUILT_IN, &["cat", "/proc/net/dev"]));
        table.lines().filter_map(|l| Some(l.split_once(':')?.0.trim().to_owned())).collect()
    };
    for (network, expected) in [("none", &["lo"][..]), ("private", &["eth0", "lo"])] {
        let lab = Lab::with(flags(&["--network", network]));
        assert_eq!(interfaces(&lab), expected.iter().map(|name| (*name).to_owned()).collect());
        lab.finish();
    }
    let shared = Lab::with(flags(&["--network", "host"]));
    let table = fs::read_to_string("/proc/net/dev").expect("the machine's");
    // Those of other servers' tasks come and go.
    let machines: BTreeSet<String> = table
        .lines()
        .filter_map(|l| Some(l.split_once(':')?.0.trim().to_owned()))
        .filter(|name| !name.starts_with("gr"))
        .collect();
    assert!(interfaces(&shared).is_superset(&machines));
    shared.finish();
}

#[test]
fn a_task_sees_its_confinement() {
    let lab = Lab::start();
    let status = said(&lab, &job("status", BUILT_IN, &["status"]));
    for line in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        // What docker gives to root by default, and nothing beyond.
        "CapEff:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "Pid:\t1",
    ] {
        assert!(status.lines().any(|l| l == line), "{line}: {status}");
    }
    const PERMISSION: &str = "errno 1\n";
    const NO_SUCH_CALL: &str = "errno 38\n";
    for (verb, expected) in [
        ("try-mknod", PERMISSION),
        ("try-mount", PERMISSION),
        ("try-unshare", PERMISSION),
        // As docker's profile has it: the caller falls back to clone, whose flags can be looked at.
        ("try-clone3", NO_SUCH_CALL),
    ] {
        assert_eq!(said(&lab, &job(verb, BUILT_IN, &[verb])), expected, "{verb}");
    }
    let mounts = said(&lab, &job("mounts", BUILT_IN, &["cat", "/proc/self/mountinfo"]));
    let dir = lab.dir().display().to_string();
    assert!(mounts.contains(" / / "), "{mounts}");
    assert!(!mounts.contains(&dir), "a path of the machine: {mounts}");
    lab.finish();
}

#[test]
fn what_a_task_writes_counts_as_memory_or_goes_to_the_disk() {
    // More than the memory of the task, whose default is 512 MiB.
    let writes = job("writes", BUILT_IN, &["write-file", "/large", "600"]);
    let memory = Lab::start();
    let execution = ended(&memory, &writes);
    let message = condition(&execution, "Completed")["message"].clone();
    assert!(
        message.as_str().is_some_and(|m| m.ends_with("The configured memory limit was reached.")),
        "{execution}"
    );
    memory.finish();
    let disk = Lab::with(flags(&["--writable-layer", "disk"]));
    assert_eq!(said(&disk, &writes), "wrote 600 MiB\n");
    let name = disk.run("writes", &json!({}));
    assert_eq!(status_of(&disk.completed(&name), "Completed"), "True", "each attempt begins anew");
    disk.finish();
}
