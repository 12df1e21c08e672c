//! CPU and memory: quantities, the combinations that exist, and what a task needs in all (fact: semantics 2.3).

use std::collections::BTreeMap;

use groundrun_api::v1::{Container, TaskSpec};

use super::{faults::Faults, task::TASK};
use crate::port::Limits;
use crate::quantity;

const DEFAULT_CPU: &str = "1000m";
const DEFAULT_MEMORY: &str = "512Mi";
const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;
const GPU: &str = "nvidia.com/gpu";

const TOTAL_CPU: &str = "Total cpu < 1 is not supported with gen2 execution environment with cpu always allocated \
                         (unthrottled).";
const TOTAL_MEMORY: &str = "Invalid value specified for memory. Total memory < 512 Mi is not supported with gen2 \
                            execution environment with cpu always allocated.";

/// The limits of all containers of an admitted task together.
pub(crate) fn task_limits(spec: &TaskSpec) -> Limits {
    total(&spec.containers)
}

fn total(containers: &[Container]) -> Limits {
    containers.iter().map(container_limits).fold(Limits::default(), |sum, one| Limits {
        cpu_millis: sum.cpu_millis.saturating_add(one.cpu_millis),
        memory_bytes: sum.memory_bytes.saturating_add(one.memory_bytes),
    })
}

/// The limits of a container of an admitted task. A quantity that admission would refuse counts as nothing.
pub(crate) fn container_limits(container: &Container) -> Limits {
    let limit = |key: &str| container.resources.as_ref().and_then(|all| all.limits.get(key));
    Limits {
        cpu_millis: limit("cpu").and_then(|text| quantity::millis(text)).unwrap_or(0),
        memory_bytes: limit("memory").and_then(|text| quantity::units(text)).unwrap_or(0),
    }
}

/// `given`, with the server's limits where there are none.
pub(super) fn with_defaults(given: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let defaults = [("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)];
    let defaults = defaults.map(|(key, value)| (key.to_owned(), value.to_owned()));
    defaults.into_iter().chain(given).collect()
}

/// Checks the limits and requests of containers that have their defaults.
pub(super) fn check(containers: &[Container], faults: &mut Faults) {
    if containers.iter().filter(|container| has_gpu(container)).count() > 1 {
        faults.add(format!("{TASK}.containers"), "GPU can only be set on one container");
    }
    let mut readable = !containers.is_empty();
    for (n, container) in containers.iter().enumerate() {
        readable &= quantities(n, container, faults).is_ok();
    }
    if !readable {
        return;
    }
    let total = total(containers);
    if total.cpu_millis < 1000 {
        faults.add(format!("{TASK}.containers[0].resources.limits.cpu"), TOTAL_CPU);
    }
    if total.memory_bytes < 512 * MI {
        faults.add(format!("{TASK}.containers[0].resources.limits.memory"), TOTAL_MEMORY);
    }
}

/// Whether a GPU is asked for. None is had here, as [`super::FIELDS`] says; what else would be wrong is told with it.
pub(super) fn has_gpu(container: &Container) -> bool {
    container.resources.as_ref().is_some_and(|all| all.limits.contains_key(GPU))
}

/// A fault was added: nothing can be said of the sum.
struct Unreadable;

fn quantities(n: usize, container: &Container, faults: &mut Faults) -> Result<(), Unreadable> {
    let path = format!("{TASK}.containers[{n}].resources");
    let resources = container.resources.clone().unwrap_or_default();
    known_keys(&format!("{path}.limits"), &resources.limits, faults);
    known_keys(&format!("{path}.requests"), &resources.requests, faults);
    let mut read = |kind: &str, map: &BTreeMap<String, String>, key: &str| {
        let text = map.get(key)?;
        let value = if key == "cpu" { quantity::millis(text) } else { quantity::units(text) };
        if value.is_none() {
            faults
                .add(format!("{path}.{kind}.{key}"), format!("Could not parse Quantity '{text}'"));
        }
        value
    };
    let limits = ["cpu", "memory"].map(|key| read("limits", &resources.limits, key));
    let requests = ["cpu", "memory"].map(|key| read("requests", &resources.requests, key));
    for ((key, limit), request) in ["cpu", "memory"].into_iter().zip(limits).zip(requests) {
        if limit.zip(request).is_some_and(|(limit, request)| request > limit) {
            faults
                .add(format!("{path}.requests.{key}"), format!("must not exceed the {key} limit"));
        }
    }
    let [Some(cpu_millis), Some(memory_bytes)] = limits else { return Err(Unreadable) };
    let path = format!("{path}.limits");
    if has_gpu(container) && (cpu_millis < 4000 || memory_bytes < 16 * GI) {
        faults.add(
            &path,
            "Invalid value specified for GPU: CPU must be at least 4; memory must be at least 16Gi",
        );
    }
    combination(&path, Limits { cpu_millis, memory_bytes }, faults);
    Ok(())
}

fn known_keys(field: &str, map: &BTreeMap<String, String>, faults: &mut Faults) {
    let known = ["cpu", "memory", GPU];
    for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
        faults.add(
            format!("{field}[{key:?}]"),
            "only cpu, memory and nvidia.com/gpu limits are supported",
        );
    }
    if map.get(GPU).is_some_and(|count| count != "1") {
        faults.add(format!("{field}[{GPU:?}]"), "GPU can only be set to 1");
    }
}

/// What memory goes with how much CPU.
fn combination(path: &str, limits: Limits, faults: &mut Faults) {
    let (least, most) = match limits.cpu_millis {
        80..500 => (128 * MI, 512 * MI),
        500..1000 => (128 * MI, GI),
        1000 => (128 * MI, 4 * GI),
        2000 => (128 * MI, 8 * GI),
        4000 => (2 * GI, 16 * GI),
        6000 => (4 * GI, 24 * GI),
        8000 => (4 * GI, 32 * GI),
        _ => {
            faults.add(
                format!("{path}.cpu"),
                "Invalid value specified for container cpu. Must be equal to one of [.08-1], 1, 2, 4, 6, 8",
            );
            return;
        }
    };
    if (least..=most).contains(&limits.memory_bytes) {
        return;
    }
    let size = |bytes: u64| {
        if bytes.is_multiple_of(GI) {
            format!("{}Gi", bytes / GI)
        } else {
            format!("{}Mi", bytes / MI)
        }
    };
    faults.add(
        format!("{path}.memory"),
        format!(
            "Invalid value specified for container memory. For {} CPU, memory must be between {} and {} inclusive.",
            cpus(limits.cpu_millis),
            size(least),
            size(most)
        ),
    );
}

/// `8.0`, `0.5`, `0.08`.
fn cpus(millis: u64) -> String {
    let fraction = format!("{:03}", millis % 1000);
    let fraction = fraction.trim_end_matches('0');
    format!("{}.{}", millis / 1000, if fraction.is_empty() { "0" } else { fraction })
}
