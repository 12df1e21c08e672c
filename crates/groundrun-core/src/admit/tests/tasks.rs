//! Ranges of the execution and of the task.

use serde_json::{Value, json};

use super::{check, fine};
use crate::samples::{admitted, faults, least, with};

const TASK: &str = "/spec/template/spec/template/spec";

#[test]
fn task_count_is_between_0_and_10000() {
    let fault = &["spec.template.spec.task_count: must be a number between 0 and 10000"];
    for good in [0, 1, 10_000] {
        fine("/spec/template/spec/taskCount", json!(good));
    }
    check("/spec/template/spec/taskCount", json!(-1), fault);
    check("/spec/template/spec/taskCount", json!(10_001), fault);
}

#[test]
fn parallelism_is_not_negative_and_may_exceed_the_tasks() {
    fine("/spec/template/spec/parallelism", json!(0));
    fine("/spec/template/spec/parallelism", json!(5000));
    let fault = &["spec.template.spec.parallelism: must not be negative"];
    check("/spec/template/spec/parallelism", json!(-1), fault);
}

#[test]
fn max_retries_are_between_0_and_10() {
    let pointer = format!("{TASK}/maxRetries");
    let fault = &["spec.template.spec.task_spec.max_retries: must be a number between 0 and 10"];
    fine(&pointer, json!(0));
    fine(&pointer, json!(10));
    check(&pointer, json!(-1), fault);
    check(&pointer, json!(11), fault);
}

#[test]
fn the_timeout_is_at_most_a_week() {
    let pointer = format!("{TASK}/timeoutSeconds");
    let fault = &[
        "spec.template.spec.task_spec.timeout: must be between 0 and 604800 seconds (168 hours), inclusive.",
    ];
    fine(&pointer, json!("604800"));
    fine(&pointer, json!(1));
    check(&pointer, json!("604801"), fault);
    check(&pointer, json!("-1"), fault);
}

#[test]
fn a_service_account_is_an_address_or_an_id_that_is_expanded() {
    let pointer = format!("{TASK}/serviceAccountName");
    let account = |given: &str| {
        let admitted = admitted(with(least(), &pointer, json!(given)));
        let spec = serde_json::to_value(&*admitted.spec).expect("a spec is JSON");
        spec["template"]["spec"]["template"]["spec"]["serviceAccountName"].clone()
    };
    assert_eq!(account("sa@acme.iam.gserviceaccount.com"), "sa@acme.iam.gserviceaccount.com");
    assert_eq!(account("robot"), "robot@acme.iam.gserviceaccount.com");
    assert_eq!(account(""), "420000000042-compute@developer.gserviceaccount.com");
    for bad in ["a b", "a@", "@b", "A@b", "a@b@c"] {
        let fault = format!(
            "spec.template.spec.task_spec.service_account: Unsupported service account '{bad}'."
        );
        check(&pointer, json!(bad), &[&fault]);
    }
}

#[test]
fn a_task_has_one_to_ten_containers() {
    check(
        "/spec/template/spec/template",
        Value::Null,
        &["spec.template.spec.template: The execution has no task template."],
    );
    check(
        "/spec",
        Value::Null,
        &["spec.template.spec.template: The execution has no task template."],
    );
    check(
        &format!("{TASK}/containers"),
        json!([]),
        &["spec.template.spec.task_spec.containers: must contain at least one container"],
    );
    let containers = |count: usize| -> Value {
        (0..count).map(|n| json!({"image": "a", "name": format!("c{n}")})).collect()
    };
    fine(&format!("{TASK}/containers"), containers(2));
    fine(&format!("{TASK}/containers"), containers(10));
    check(
        &format!("{TASK}/containers"),
        containers(11),
        &["spec.template.spec.task_spec.containers: must contain at most 10 containers"],
    );
}

#[test]
fn container_names_are_labels_and_differ() {
    let pointer = format!("{TASK}/containers/0/name");
    for good in ["", "main", "a.b-c", "0"] {
        fine(&pointer, json!(good));
    }
    let fault = "spec.template.spec.task_spec.containers[0].name: must conform to RFC 1123 and be at most 63 characters";
    for bad in ["Main", "a_b", "-a", "a-", "a..b", &"a".repeat(64)] {
        check(&pointer, json!(bad), &[fault]);
    }
    super::has(
        &format!("{TASK}/containers"),
        json!([{"image": "a", "name": "x"}, {"image": "b", "name": "x"}]),
        "spec.template.spec.task_spec.containers: duplicate container names: x",
    );
}

#[test]
fn of_several_containers_each_has_a_name() {
    let names = |containers: Value| -> Vec<String> {
        let spec = admitted(with(least(), &format!("{TASK}/containers"), containers)).spec;
        let execution = spec.template.as_ref().and_then(|template| template.spec.as_ref());
        let task = execution.and_then(|execution| execution.template.as_ref()?.spec.clone());
        let containers = task.expect("a task").containers;
        containers.into_iter().map(|one| one.name.expect("always there")).collect()
    };
    assert_eq!(names(json!([{"image": "a"}])), [""]);
    assert_eq!(
        names(json!([{"image": "a"}, {"image": "b", "name": "db"}, {"image": "c", "name": ""}])),
        ["container-1", "db", "container-3"]
    );
    assert_eq!(
        names(json!([{"image": "a"}, {"image": "b", "name": "container-1"}])),
        ["container-2", "container-1"]
    );
}

#[test]
fn the_task_of_a_delayed_job_has_at_most_twelve_hours() {
    let document = |seconds: &str| {
        let delayed = with(least(), "/spec/template/spec/delayExecution", json!(true));
        with(delayed, "/spec/template/spec/template/spec/timeoutSeconds", json!(seconds))
    };
    assert_eq!(faults(document("43200")), Vec::<String>::new());
    assert_eq!(
        faults(document("43201")),
        [
            "spec.template.spec.task_spec.timeout: must be between 0 and 43200 seconds (12 hours), inclusive, for a \
             delayed execution."
        ]
    );
    assert_eq!(faults(document("604801")).len(), 1);
}
