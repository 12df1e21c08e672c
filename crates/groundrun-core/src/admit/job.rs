//! `jobs.create`: a whole document, checked and filled.

use std::{collections::BTreeMap, sync::Arc};

use groundrun_api::{ApiError, v1};

use super::{
    annotations::{Owner, annotations, labels},
    connections, dependencies,
    faults::Faults,
    instances,
    name::{self, Suffix},
    secret, task,
    unsupported::{self, Body},
};
use crate::{context::Context, needs::authorization};

/// Most tasks of an execution.
const TASKS_MAX: i32 = 10_000;

/// A job that may be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmittedJob {
    /// `metadata.name`, given or generated.
    pub name: String,
    /// Without the server's.
    pub labels: BTreeMap<String, String>,
    /// Without the server's.
    pub annotations: BTreeMap<String, String>,
    /// As given plus defaults.
    pub spec: Arc<v1::JobSpec>,
}

/// The job that `document` describes. `suffix` ends a generated name.
///
/// # Errors
/// 400 `INVALID_ARGUMENT` with every fault of the document.
pub fn job(document: v1::Job, suffix: &Suffix, context: &Context) -> Result<AdmittedJob, ApiError> {
    let mut faults = Faults::default();
    let metadata = document.metadata.clone().unwrap_or_default();
    let name = name::of_job(&metadata, suffix, &mut faults);
    let Content { labels, annotations, spec } = content(&name, document, context, &mut faults);
    faults.or(AdmittedJob { name, labels, annotations, spec: Arc::new(spec) })
}

/// What create and replace have in common.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) spec: v1::JobSpec,
}

/// Checks all of `document` but the job's name.
pub(super) fn content(
    name: &str,
    document: v1::Job,
    context: &Context,
    faults: &mut Faults,
) -> Content {
    identity(&document, context, faults);
    unsupported::refuse(Body::Job, &document, faults);
    let metadata = document.metadata.unwrap_or_default();
    if authorization::breaks_nothing(&metadata.annotations) {
        faults.add(
            "metadata.annotations",
            format!("Annotation '{}' needs a policy to break.", authorization::BREAKGLASS),
        );
    }
    Content {
        labels: labels(Owner::Job, metadata.labels, faults),
        annotations: annotations(Owner::Job, metadata.annotations, faults),
        spec: job_spec(name, document.spec.unwrap_or_default(), context, faults),
    }
}

fn identity(document: &v1::Job, context: &Context, faults: &mut Faults) {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(version) = given(&document.api_version).filter(|v| v != "run.googleapis.com/v1") {
        faults.add("apiVersion", format!("must be 'run.googleapis.com/v1', not '{version}'."));
    }
    if let Some(kind) = given(&document.kind).filter(|kind| kind != "Job") {
        faults.add("kind", format!("must be 'Job', not '{kind}'."));
    }
    let namespace = document.metadata.as_ref().and_then(|metadata| given(&metadata.namespace));
    if let Some(namespace) = namespace.filter(|namespace| !context.is_called(namespace)) {
        let Context { project, number, .. } = context;
        faults.add(
            "metadata.namespace",
            format!(
                "must be the project of the request, '{project}' or '{number}', not '{namespace}'."
            ),
        );
    }
}

fn job_spec(name: &str, spec: v1::JobSpec, context: &Context, faults: &mut Faults) -> v1::JobSpec {
    name::token(name, &spec, faults);
    let set = |token: Option<String>| token.filter(|token| !token.is_empty());
    let template = spec.template.clone().unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    let metadata = v1::ObjectMeta {
        labels: labels(Owner::Execution, metadata.labels, faults),
        annotations: annotations(Owner::Execution, metadata.annotations, faults),
        ..metadata
    };
    let execution = execution_spec(template.spec.unwrap_or_default(), context, faults);
    connections::check(&metadata.annotations, faults);
    secret::names(&metadata.annotations, faults);
    let containers = containers(&execution);
    dependencies::check(&metadata.annotations, &containers, faults);
    instances::check(&metadata.annotations, &containers, faults);
    let template = v1::ExecutionTemplateSpec { metadata: Some(metadata), spec: Some(execution) };
    v1::JobSpec {
        run_execution_token: set(spec.run_execution_token),
        start_execution_token: set(spec.start_execution_token),
        template: Some(template),
    }
}

fn containers(execution: &v1::ExecutionSpec) -> Vec<v1::Container> {
    let task = execution.template.as_ref().and_then(|template| template.spec.as_ref());
    task.map(|task| task.containers.clone()).unwrap_or_default()
}

fn execution_spec(
    spec: v1::ExecutionSpec,
    context: &Context,
    faults: &mut Faults,
) -> v1::ExecutionSpec {
    if spec.parallelism.is_some_and(|number| number < 0) {
        faults.add("spec.template.spec.parallelism", "must not be negative");
    }
    let task_count = task_count("spec.template.spec.task_count", spec.task_count, faults);
    let task = match spec.template.and_then(|template| template.spec) {
        Some(task) => task::admit(task, context, faults),
        None => {
            faults.add("spec.template.spec.template", "The execution has no task template.");
            v1::TaskSpec::default()
        }
    };
    if spec.delay_execution == Some(true) {
        task::delayed_timeout(&format!("{}.timeout", task::TASK), task.timeout_seconds, faults);
    }
    v1::ExecutionSpec {
        task_count: Some(task_count.unwrap_or(1)),
        template: Some(v1::TaskTemplateSpec { spec: Some(task) }),
        ..spec
    }
}

/// The count that is set; 0 is not.
pub(super) fn task_count(field: &str, given: Option<i32>, faults: &mut Faults) -> Option<i32> {
    if given.is_some_and(|number| !(0..=TASKS_MAX).contains(&number)) {
        faults.add(field, format!("must be a number between 0 and {TASKS_MAX}"));
    }
    given.filter(|number| *number != 0)
}
