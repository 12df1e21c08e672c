//! `jobs.run`: an execution of the job, with the request's overrides laid over its template (fact: semantics 3.3).

use std::{collections::BTreeMap, sync::Arc};

use groundrun_api::{ApiError, v1};

use super::{
    container,
    faults::Faults,
    job::task_count,
    secret,
    task::{delayed_timeout, timeout_seconds},
    unsupported::{self, Body},
};
use crate::record::{Job, ReadinessState};

/// An execution that may be created.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmittedRun {
    /// Of the template, without the server's.
    pub labels: BTreeMap<String, String>,
    /// Of the template, without the server's.
    pub annotations: BTreeMap<String, String>,
    /// Overrides laid over; the parallelism is at least 1 and at most the task count.
    pub spec: Arc<v1::ExecutionSpec>,
}

/// The execution that `request` asks of `job`.
///
/// # Errors
/// 400 `FAILED_PRECONDITION` where the job's Ready condition is False; 400 `INVALID_ARGUMENT` with every fault.
pub fn run(job: &Job, request: v1::RunJobRequest) -> Result<AdmittedRun, ApiError> {
    let readiness = &job.readiness;
    if let ReadinessState::Failed(_) = readiness.state
        && readiness.generation == job.generation
    {
        return Err(ApiError::not_ready_to_run(&job.name));
    }
    let mut faults = Faults::default();
    unsupported::refuse(Body::RunJobRequest, &request, &mut faults);
    let template = job.spec.template.clone().unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    let overrides = request.overrides.unwrap_or_default();
    let spec = lay(template.spec.unwrap_or_default(), overrides, &mut faults);
    faults.or(AdmittedRun {
        labels: metadata.labels,
        annotations: metadata.annotations,
        spec: Arc::new(spec),
    })
}

fn lay(
    spec: v1::ExecutionSpec,
    overrides: v1::Overrides,
    faults: &mut Faults,
) -> v1::ExecutionSpec {
    let tasks = task_count("overrides.task_count", overrides.task_count, faults);
    let tasks = tasks.or(spec.task_count).unwrap_or(1);
    let parallelism = match spec.parallelism {
        None | Some(0) => tasks,
        Some(given) => given.min(tasks),
    };
    let mut task = spec.template.and_then(|template| template.spec).unwrap_or_default();
    let timeout = overrides.timeout_seconds.map(i64::from);
    if let Some(seconds) = timeout_seconds("overrides.timeout", timeout, faults) {
        task.timeout_seconds = Some(seconds);
    }
    let delay = overrides.delay_execution.or(spec.delay_execution);
    if delay == Some(true) {
        let field = match timeout {
            Some(1..) => "overrides.timeout",
            _ => "overrides.delay_execution",
        };
        delayed_timeout(field, task.timeout_seconds, faults);
    }
    for (n, one) in overrides.container_overrides.into_iter().enumerate() {
        let path = format!("overrides.container_overrides[{n}]");
        lay_container(&path, &mut task.containers, one, faults);
    }
    container::totals(&task.containers, faults);
    v1::ExecutionSpec {
        task_count: Some(tasks),
        parallelism: Some(parallelism),
        delay_execution: delay,
        template: Some(v1::TaskTemplateSpec { spec: Some(task) }),
    }
}

fn lay_container(
    path: &str,
    containers: &mut [v1::Container],
    given: v1::ContainerOverride,
    faults: &mut Faults,
) {
    let name = given.name.unwrap_or_default();
    let named = containers.iter().position(|one| one.name.as_deref() == Some(name.as_str()));
    // Any name means the only container, and no name the first (fact: semantics 3.3, gcloud-wire F.20).
    let fallback = (containers.len() == 1 || name.is_empty()).then_some(0);
    let Some(container) = named.or(fallback).and_then(|n| containers.get_mut(n)) else {
        faults
            .add(format!("{path}.name"), format!("Container '{name}' does not exist in the job."));
        return;
    };
    let clear = given.clear_args.unwrap_or_default();
    if clear && !given.args.is_empty() {
        faults.add(format!("{path}.args"), "must be empty when clear_args is set");
    }
    if clear || !given.args.is_empty() {
        if given.args.iter().any(|arg| arg.contains('\0')) {
            faults.add(format!("{path}.args"), "must not contain a NUL character");
        }
        container.args = given.args;
    }
    container::env(&format!("{path}.env"), &given.env, faults);
    secret::variables(path, &given.env, faults);
    for variable in given.env {
        // Of equal names the last one counts: that is the one to replace.
        match container.env.iter_mut().rev().find(|known| known.name == variable.name) {
            Some(known) => *known = variable,
            None => container.env.push(variable),
        }
    }
}
