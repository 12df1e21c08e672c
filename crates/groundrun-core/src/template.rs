//! What every attempt of an execution is made from: its spec, read once.

use std::time::Duration;

use crate::{
    allot::Urgency,
    containers,
    id::AttemptId,
    mutant,
    needs::{Connection, connection, instances, secrets},
    port::{AttemptSpec, ContainerSpec, EnvValue, Limits, VolumeSpec},
    record::Execution,
};

/// Between SIGTERM and SIGKILL, for cancel, delete and timeout alike (fact: semantics 4.5).
pub const GRACE: Duration = Duration::from_secs(10);

/// Bytes of a host name in Linux, without the final zero: 64, and DNS labels have 63.
const HOSTNAME_BYTES_MAX: usize = 63;

/// An execution's spec as the plan needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskTemplate {
    /// How many tasks there are.
    pub count: u32,
    /// How many of them may be live at once: 1 to `count`.
    pub parallelism: u32,
    /// How many attempts may follow the first.
    pub max_retries: u32,
    /// Before whom its first task begins.
    pub urgency: Urgency,
    /// What one task occupies: the sum of its containers.
    pub limits: Limits,
    timeout: Duration,
    job: String,
    execution: String,
    service_account: String,
    containers: Vec<ContainerSpec>,
    volumes: Vec<VolumeSpec>,
    connection: Option<Connection>,
}

/// The spec of an execution is not one that admission lets pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct TemplateFault {
    /// Of the field.
    path: String,
    /// What is wrong with it.
    fault: &'static str,
}

impl TaskTemplate {
    /// Reads the spec. Admission has checked it; what comes from a disk is checked again.
    pub fn of(execution: &Execution) -> Result<Self, TemplateFault> {
        let spec = &execution.spec;
        let task = spec
            .template
            .as_ref()
            .and_then(|template| template.spec.as_ref())
            .ok_or_else(|| fault("spec.template.spec", "is missing"))?;
        let count = count("spec.taskCount", spec.task_count.or(Some(1)))?;
        let parallelism = count_of("spec.parallelism", spec.parallelism.or(Some(0)))?;
        let mut containers = containers::containers(execution, task)?;
        let limits = containers.iter().fold(Limits::default(), |sum, each| Limits {
            cpu_millis: sum.cpu_millis.saturating_add(each.limits.cpu_millis),
            memory_bytes: sum.memory_bytes.saturating_add(each.limits.memory_bytes),
        });
        let mut volumes = containers::volumes(execution, task, limits.memory_bytes)?;
        instances::show(&execution.annotations, &mut containers, &mut volumes);
        secrets::join(&mut containers, &mut volumes);
        Ok(Self {
            count,
            // 0 and more than there are tasks: as many as capacity allows (fact: semantics 11).
            parallelism: if parallelism == 0 { count } else { parallelism.min(count) },
            max_retries: count_of("spec.template.spec.maxRetries", task.max_retries)?,
            urgency: match spec.delay_execution {
                Some(true) => Urgency::Delayed,
                Some(false) | None => Urgency::Regular,
            },
            limits,
            timeout: Duration::from_secs(
                task.timeout_seconds.and_then(|seconds| seconds.try_into().ok()).ok_or_else(
                    || fault("spec.template.spec.timeoutSeconds", "is missing or negative"),
                )?,
            ),
            job: execution.job.name.clone(),
            execution: execution.name.clone(),
            service_account: task.service_account_name.clone().unwrap_or_default(),
            containers,
            volumes,
            connection: connection::connection(&execution.annotations),
        })
    }

    /// The images as written, one per container.
    #[must_use]
    pub fn images(&self) -> Vec<String> {
        self.containers.iter().map(|container| container.image.clone()).collect()
    }

    /// All that a start of `id` needs; `digests` has one per container.
    #[must_use]
    pub fn attempt(&self, id: AttemptId, digests: &[String]) -> AttemptSpec {
        assert_eq!(digests.len(), self.containers.len(), "an import has a digest for each");
        let containers = self.containers.iter().zip(digests).map(|(container, digest)| {
            let mut container = container.clone();
            container.image.clone_from(digest);
            container.env.extend(self.system_variables(id));
            container
        });
        let mut hostname = self.execution.clone();
        hostname.truncate(hostname.floor_char_boundary(HOSTNAME_BYTES_MAX));
        AttemptSpec {
            id,
            hostname,
            service_account: self.service_account.clone(),
            containers: containers.collect(),
            volumes: self.volumes.clone(),
            connection: self.connection.clone(),
            timeout: self.timeout,
            grace: GRACE,
        }
    }

    /// They come last, so that they win over what the image and the spec say (fact: semantics 5.1).
    fn system_variables(&self, id: AttemptId) -> [(String, EnvValue); 5] {
        let attempt = if mutant!("attempt_variable_stays_0") { 0 } else { id.attempt };
        [
            ("CLOUD_RUN_JOB", self.job.clone()),
            ("CLOUD_RUN_EXECUTION", self.execution.clone()),
            ("CLOUD_RUN_TASK_INDEX", id.task.to_string()),
            ("CLOUD_RUN_TASK_ATTEMPT", attempt.to_string()),
            ("CLOUD_RUN_TASK_COUNT", self.count.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), EnvValue::Literal(value)))
    }
}

fn count(path: &str, value: Option<i32>) -> Result<u32, TemplateFault> {
    match count_of(path, value)? {
        0 => Err(fault(path, "is 0")),
        count => Ok(count),
    }
}

fn count_of(path: &str, value: Option<i32>) -> Result<u32, TemplateFault> {
    value
        .and_then(|value| value.try_into().ok())
        .ok_or_else(|| fault(path, "is missing or negative"))
}

pub(crate) fn fault(path: impl Into<String>, fault: &'static str) -> TemplateFault {
    TemplateFault { path: path.into(), fault }
}
