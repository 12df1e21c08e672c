//! CPU and memory.

use serde_json::{Value, json};

use super::{check, fine, has};
use crate::samples::CONTAINER;

const LIMITS: &str = "spec.template.spec.task_spec.containers[0].resources.limits";

fn limits(value: Value, expected: &[&str]) {
    check(&format!("{CONTAINER}/resources/limits"), value, expected);
}

#[test]
fn combinations_of_cpu_and_memory() {
    for (cpu, least, most) in [
        ("1", "512Mi", "4Gi"),
        ("1000m", "512Mi", "4Gi"),
        ("2", "512Mi", "8Gi"),
        ("4", "2Gi", "16Gi"),
        ("6", "4Gi", "24Gi"),
        ("8", "4Gi", "32Gi"),
    ] {
        limits(json!({"cpu": cpu, "memory": least}), &[]);
        limits(json!({"cpu": cpu, "memory": most}), &[]);
    }
    for (cpu, memory, text) in [
        ("1", "4097Mi", "For 1.0 CPU, memory must be between 128Mi and 4Gi inclusive."),
        ("2", "9Gi", "For 2.0 CPU, memory must be between 128Mi and 8Gi inclusive."),
        ("4", "1Gi", "For 4.0 CPU, memory must be between 2Gi and 16Gi inclusive."),
        ("6", "25Gi", "For 6.0 CPU, memory must be between 4Gi and 24Gi inclusive."),
        ("8", "2Gi", "For 8.0 CPU, memory must be between 4Gi and 32Gi inclusive."),
        ("8000m", "33Gi", "For 8.0 CPU, memory must be between 4Gi and 32Gi inclusive."),
    ] {
        let fault =
            format!("{LIMITS}.memory: Invalid value specified for container memory. {text}");
        limits(json!({"cpu": cpu, "memory": memory}), &[&fault]);
    }
    for cpu in ["3", "5", "0.07", "0", "1500m", "16"] {
        has(
            &format!("{CONTAINER}/resources/limits/cpu"),
            json!(cpu),
            &format!(
                "{LIMITS}.cpu: Invalid value specified for container cpu. Must be equal to one of [.08-1], 1, 2, 4, 6, 8"
            ),
        );
    }
}

#[test]
fn a_part_of_a_cpu_has_little_memory_and_is_not_enough_for_a_job() {
    let total = format!(
        "{LIMITS}.cpu: Total cpu < 1 is not supported with gen2 execution environment with cpu always allocated \
         (unthrottled)."
    );
    limits(json!({"cpu": "0.08"}), &[&total]);
    limits(json!({"cpu": "500m", "memory": "1Gi"}), &[&total]);
    let memory =
        |text| format!("{LIMITS}.memory: Invalid value specified for container memory. {text}");
    limits(
        json!({"cpu": "0.25", "memory": "1Gi"}),
        &[&memory("For 0.25 CPU, memory must be between 128Mi and 512Mi inclusive."), &total],
    );
    limits(
        json!({"cpu": "0.5", "memory": "2Gi"}),
        &[&memory("For 0.5 CPU, memory must be between 128Mi and 1Gi inclusive."), &total],
    );
}

#[test]
fn a_task_has_at_least_512_mi() {
    limits(
        json!({"memory": "256Mi"}),
        &[&format!(
            "{LIMITS}.memory: Invalid value specified for memory. Total memory < 512 Mi is not supported with gen2 \
             execution environment with cpu always allocated."
        )],
    );
}

#[test]
fn quantities_can_be_read_and_keys_are_known() {
    limits(json!({"cpu": "one"}), &[&format!("{LIMITS}.cpu: Could not parse Quantity 'one'")]);
    limits(
        json!({"memory": "1GB"}),
        &[&format!("{LIMITS}.memory: Could not parse Quantity '1GB'")],
    );
    limits(
        json!({"ephemeral-storage": "1Gi"}),
        &[&format!(
            "{LIMITS}[\"ephemeral-storage\"]: only cpu, memory and nvidia.com/gpu limits are supported"
        )],
    );
}

#[test]
fn gpus_are_refused() {
    let refused = "spec.template.spec.template.spec.containers[0].resources.limits[\"nvidia.com/gpu\"]: GPUs are not \
                   supported yet.";
    limits(json!({"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}), &[refused]);
    let least = format!(
        "{LIMITS}: Invalid value specified for GPU: CPU must be at least 4; memory must be at least 16Gi"
    );
    limits(json!({"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}), &[refused, &least]);
    limits(
        json!({"nvidia.com/gpu": "2"}),
        &[refused, &format!("{LIMITS}[\"nvidia.com/gpu\"]: GPU can only be set to 1"), &least],
    );
    has(
        "/spec/template/spec/template/spec/nodeSelector/run.googleapis.com~1accelerator",
        json!("nvidia-l4"),
        "spec.template.spec.template.spec.nodeSelector: accelerators are not supported yet: there is one machine, and \
         nothing to select on it.",
    );
}

#[test]
fn requests_are_within_the_limits() {
    let pointer = format!("{CONTAINER}/resources/requests");
    fine(&pointer, json!({"cpu": "500m", "memory": "512Mi"}));
    check(
        &pointer,
        json!({"cpu": "2", "memory": "1Gi"}),
        &[
            "spec.template.spec.task_spec.containers[0].resources.requests.cpu: must not exceed the cpu limit",
            "spec.template.spec.task_spec.containers[0].resources.requests.memory: must not exceed the memory limit",
        ],
    );
}
