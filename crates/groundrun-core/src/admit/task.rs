//! `TaskSpec`: ranges and defaults of a task, and what its containers must be together.

use std::collections::BTreeSet;

use groundrun_api::v1::{Container, TaskSpec};

use super::{container, faults::Faults, limits, secret, volume};
use crate::context::Context;

/// The internal path of the task, as Google's messages have it.
pub(super) const TASK: &str = "spec.template.spec.task_spec";

const DEFAULT_MAX_RETRIES: i32 = 3;
const MAX_RETRIES_MAX: i32 = 10;
const DEFAULT_TIMEOUT_SECONDS: i64 = 600;
/// 168 hours.
const TIMEOUT_SECONDS_MAX: i64 = 604_800;
/// 12 hours, for a delayed execution (fact: Google's page "Delay execution of a job").
const DELAYED_TIMEOUT_SECONDS_MAX: i64 = 43_200;
/// One hour, for a task with a GPU.
const GPU_TIMEOUT_SECONDS_MAX: i64 = 3600;
const CONTAINERS_MAX: usize = 10;

/// The task as given plus defaults.
pub(super) fn admit(spec: TaskSpec, context: &Context, faults: &mut Faults) -> TaskSpec {
    let max_retries = spec.max_retries.unwrap_or(DEFAULT_MAX_RETRIES);
    if !(0..=MAX_RETRIES_MAX).contains(&max_retries) {
        faults.add(
            format!("{TASK}.max_retries"),
            format!("must be a number between 0 and {MAX_RETRIES_MAX}"),
        );
    }
    let timeout = timeout_seconds(&format!("{TASK}.timeout"), spec.timeout_seconds, faults);
    let account = service_account(spec.service_account_name.as_deref(), context, faults);
    let containers = containers(spec.containers, faults);
    let long = timeout.is_some_and(|seconds| seconds > GPU_TIMEOUT_SECONDS_MAX);
    if long && containers.iter().any(limits::has_gpu) {
        faults.add(
            format!("{TASK}.timeout"),
            "must be between 0 and 3600 seconds (1 hour), inclusive, when using GPU.",
        );
    }
    volume::check(&spec.volumes, &containers, faults);
    secret::files(&spec.volumes, &containers, faults);
    TaskSpec {
        containers,
        max_retries: Some(max_retries),
        timeout_seconds: Some(timeout.unwrap_or(DEFAULT_TIMEOUT_SECONDS)),
        service_account_name: Some(account),
        ..spec
    }
}

/// The timeout that is set; 0 is not.
pub(super) fn timeout_seconds(field: &str, given: Option<i64>, faults: &mut Faults) -> Option<i64> {
    if given.is_some_and(|seconds| !(0..=TIMEOUT_SECONDS_MAX).contains(&seconds)) {
        faults.add(field, "must be between 0 and 604800 seconds (168 hours), inclusive.");
    }
    given.filter(|seconds| *seconds != 0)
}

/// The timeout of a delayed execution. One that no execution may have is told already.
pub(super) fn delayed_timeout(field: &str, seconds: Option<i64>, faults: &mut Faults) {
    let seconds = seconds.unwrap_or_default();
    if (DELAYED_TIMEOUT_SECONDS_MAX + 1..=TIMEOUT_SECONDS_MAX).contains(&seconds) {
        faults.add(
            field,
            "must be between 0 and 43200 seconds (12 hours), inclusive, for a delayed execution.",
        );
    }
}

/// An e-mail address as it is, a bare account id expanded, the default where there is none.
fn service_account(given: Option<&str>, context: &Context, faults: &mut Faults) -> String {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return context.default_service_account();
    };
    let word = |text: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !text.is_empty() && text.chars().all(allowed)
    };
    match given.split_once('@') {
        Some((user, domain)) if word(user) && domain.split('.').all(word) => given.to_owned(),
        None if word(given) => format!("{given}@{}.iam.gserviceaccount.com", context.project),
        _ => {
            faults.add(
                format!("{TASK}.service_account"),
                format!("Unsupported service account '{given}'."),
            );
            given.to_owned()
        }
    }
}

fn containers(given: Vec<Container>, faults: &mut Faults) -> Vec<Container> {
    let field = format!("{TASK}.containers");
    match given.len() {
        0 => faults.add(&field, "must contain at least one container"),
        1..=CONTAINERS_MAX => {}
        _ => faults.add(&field, "must contain at most 10 containers"),
    }
    duplicate_names(&given, &field, faults);
    container::totals(&given, faults);
    let given = named(given);
    let admitted: Vec<_> =
        given.into_iter().enumerate().map(|(n, one)| container::admit(n, one, faults)).collect();
    limits::check(&admitted, faults);
    admitted
}

/// One container may go without a name, as gcloud leaves it. Of several each has one, since dependencies, overrides and
/// logs name it: those without are called by their position.
fn named(mut containers: Vec<Container>) -> Vec<Container> {
    if containers.len() < 2 {
        return containers;
    }
    let mut taken: BTreeSet<String> =
        containers.iter().filter_map(|one| one.name.clone()).collect();
    for (n, container) in containers.iter_mut().enumerate() {
        if container.name.as_deref().unwrap_or_default().is_empty() {
            let free = (n + 1..).map(|n| format!("container-{n}"));
            let name = free.into_iter().find(|name| !taken.contains(name));
            taken.extend(name.clone());
            container.name = name;
        }
    }
    containers
}

fn duplicate_names(given: &[Container], field: &str, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    let names = given.iter().filter_map(|one| one.name.as_deref()).filter(|name| !name.is_empty());
    let twice: BTreeSet<_> = names.filter(|name| !seen.insert(*name)).collect();
    if !twice.is_empty() {
        let names = twice.into_iter().collect::<Vec<_>>().join(", ");
        faults.add(field, format!("duplicate container names: {names}"));
    }
}
