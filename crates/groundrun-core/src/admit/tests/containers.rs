//! Image, arguments, environment and ports.

use serde_json::{Value, json};

use super::{check, fine, has};
use crate::samples::CONTAINER;

fn at(field: &str) -> String {
    format!("{CONTAINER}/{field}")
}

#[test]
fn an_image_is_named_and_well_formed() {
    let field = "job.spec.template.spec.containers[0].image";
    check(&at("image"), json!(""), &[&format!("{field}: must provide an image name to deploy")]);
    check(&at("image"), Value::Null, &[&format!("{field}: must provide an image name to deploy")]);
    check(&at("image"), json!("A B"), &[&format!("{field}: 'A B' must be a container image path")]);
    fine(&at("image"), json!("oci:/srv/layout"));
}

#[test]
fn arguments_and_variables_are_counted_over_all_containers() {
    fine(&at("args"), json!(vec!["x"; 1000]));
    check(
        &at("args"),
        json!(vec!["x"; 1001]),
        &[
            "spec.template.spec.task_spec.containers: exceeds the limit on args across all containers, 1000",
        ],
    );
    fine(&at("env"), json!(vec![json!({"name": "A"}); 1000]));
    check(
        &at("env"),
        json!(vec![json!({"name": "A"}); 1001]),
        &[
            "spec.template.spec.task_spec.containers: exceeds the limit on EnvVars across all containers, 1000",
        ],
    );
}

#[test]
fn names_of_the_system_are_reserved() {
    for name in [
        "PORT",
        "CLOUD_RUN_JOB",
        "CLOUD_RUN_EXECUTION",
        "CLOUD_RUN_TASK_INDEX",
        "CLOUD_RUN_TASK_ATTEMPT",
        "CLOUD_RUN_TASK_COUNT",
    ] {
        let fault = format!(
            "spec.template.spec.containers[0].env: The following reserved env names were provided: {name}. \
             These values are automatically set by the system."
        );
        check(&at("env"), json!([{"name": name, "value": "1"}]), &[&fault]);
    }
    check(
        &at("env"),
        json!([{"name": "PORT"}, {"name": "A"}, {"name": "CLOUD_RUN_JOB"}]),
        &[
            "spec.template.spec.containers[0].env: The following reserved env names were provided: PORT, \
           CLOUD_RUN_JOB. These values are automatically set by the system.",
        ],
    );
    fine(
        &at("env"),
        json!([{"name": "K_SERVICE"}, {"name": "X_GOOGLE_A"}, {"name": "A"}, {"name": "A"}]),
    );
}

#[test]
fn a_value_has_at_most_32768_bytes() {
    fine(&at("env"), json!([{"name": "A", "value": "x".repeat(32_768)}]));
    check(
        &at("env"),
        json!([{"name": "A", "value": "x".repeat(32_769)}]),
        &["spec.template.spec.containers[0].env[0].value: length cannot exceed 32768"],
    );
}

#[test]
fn what_no_kernel_takes_is_refused() {
    for name in ["", "A=B", "A\0"] {
        check(
            &at("env"),
            json!([{"name": name, "value": "x"}]),
            &[
                "spec.template.spec.containers[0].env[0].name: must be set, without '=' and NUL characters",
            ],
        );
    }
    check(
        &at("env"),
        json!([{"name": "A", "value": "\0"}]),
        &["spec.template.spec.containers[0].env[0].value: must not contain a NUL character"],
    );
    let container = "spec.template.spec.task_spec.containers[0]";
    let fault = |field: &str| format!("{container}.{field}: must not contain a NUL character");
    check(&at("command"), json!(["a", "\0"]), &[&fault("command")]);
    check(&at("args"), json!(["\0"]), &[&fault("args")]);
    check(&at("workingDir"), json!("/\0"), &[&fault("working_dir")]);
}

#[test]
fn one_port_is_tolerated() {
    fine(&at("ports"), json!([{"containerPort": 8080, "name": "h2c", "protocol": "TCP"}]));
    fine(&at("ports"), json!([{"name": "http1"}]));
    let path = "spec.template.spec.task_spec.containers[0].ports";
    check(
        &at("ports"),
        json!([{"containerPort": 1}, {"containerPort": 2}]),
        &[&format!("{path}: ports should contain 0 or 1 port")],
    );
    check(
        &at("ports"),
        json!([{"containerPort": 65536}]),
        &[&format!("{path}[0].container_port: must be 0 or a number between 1 and 65535")],
    );
    check(
        &at("ports"),
        json!([{"name": "grpc"}]),
        &[&format!("{path}[0].name: must be one of empty, 'http1' or 'h2c'")],
    );
}

#[test]
fn the_termination_message_is_read_at_its_usual_place() {
    fine(&at("terminationMessagePath"), json!("/dev/termination-log"));
    fine(&at("terminationMessagePolicy"), json!("File"));
    let path = "spec.template.spec.template.spec.containers[0]";
    has(
        &at("terminationMessagePath"),
        json!("/tmp/x"),
        &format!("{path}.terminationMessagePath: only /dev/termination-log is supported yet."),
    );
    has(
        &at("terminationMessagePolicy"),
        json!("FallbackToLogsOnError"),
        &format!(
            "{path}.terminationMessagePolicy: only File is supported yet: the end of the log is not copied."
        ),
    );
}
