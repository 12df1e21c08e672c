//! Documents of jobs, as a user writes them.

use serde_json::{Value, json};

/// The image that comes with the program.
pub const BUILT_IN: &str = "builtin.groundrun/job";

/// A job of one task without retries, whose container has these arguments.
pub fn job(name: &str, image: &str, args: &[&str]) -> Value {
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"template": {"spec": {
            "containers": [{"image": image, "args": args}], "maxRetries": 0,
        }}}}},
    })
}

/// The same with a shell's script in place of the image's own program.
pub fn script(name: &str, image: &str, script: &str) -> Value {
    let mut job = job(name, image, &["-c", script]);
    container(&mut job)["command"] = json!(["sh"]);
    job
}

/// What an execution is made from: task count and parallelism.
pub fn execution(job: &mut Value) -> &mut Value {
    &mut job["spec"]["template"]["spec"]
}

/// What a task is made from: retries and time.
pub fn task(job: &mut Value) -> &mut Value {
    &mut execution(job)["template"]["spec"]
}

/// The container: command, arguments, environment, limits.
pub fn container(job: &mut Value) -> &mut Value {
    &mut task(job)["containers"][0]
}
