//! Executions to try things on.

use std::{collections::BTreeMap, sync::Arc};

use groundrun_api::v1;
use groundrun_core::{
    allot::Urgency,
    id::{ExecutionUid, JobUid},
    record::{
        Author, Execution, ExecutionState, Job, JobSnapshot, Readiness, ReadinessState, Revision,
        Scope, Wishes,
    },
};
use jiff::Timestamp;
use uuid::Uuid;

/// The parts of an execution that matter for what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `taskCount`.
    pub tasks: i32,
    /// `parallelism`.
    pub parallelism: i32,
    /// `maxRetries`.
    pub max_retries: i32,
    /// The memory limit, such as `512Mi`.
    pub memory: String,
    /// The CPU limit, such as `1000m`.
    pub cpu: String,
    /// `delayExecution`.
    pub urgency: Urgency,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            tasks: 1,
            parallelism: 0,
            max_retries: 0,
            memory: "512Mi".to_owned(),
            cpu: "1000m".to_owned(),
            urgency: Urgency::Regular,
        }
    }
}

/// An execution of this shape as `:run` makes it, with `number` for its identity and its name `job-{number}`.
#[must_use]
pub fn execution(shape: &Shape, number: u128, created: Timestamp) -> Execution {
    Execution {
        uid: ExecutionUid(Uuid::from_u128(number)),
        scope: Scope { project: "demo".to_owned(), region: "us-central1".to_owned() },
        name: format!("job-{number}"),
        job: JobSnapshot {
            uid: JobUid(Uuid::from_u128(0)),
            name: "job".to_owned(),
            generation: 1,
            revision: Revision(1),
        },
        generation: 1,
        created,
        revision: Revision(1),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        author: Author::default(),
        spec: Arc::new(spec(shape)),
        wishes: Wishes::default(),
        state: ExecutionState::default(),
    }
}

/// The job that [`execution`]s are of, as `create` stores it.
#[must_use]
pub fn job(shape: &Shape, created: Timestamp) -> Job {
    Job {
        uid: JobUid(Uuid::from_u128(0)),
        scope: Scope { project: "demo".to_owned(), region: "us-central1".to_owned() },
        name: "job".to_owned(),
        generation: 1,
        created,
        updated: created,
        revision: Revision(1),
        written: Revision(1),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        author: Author::default(),
        spec: Arc::new(v1::JobSpec {
            template: Some(v1::ExecutionTemplateSpec {
                spec: Some(spec(shape)),
                ..Default::default()
            }),
            ..Default::default()
        }),
        execution_count: 0,
        latest_execution: None,
        readiness: Readiness { generation: 0, since: created, state: ReadinessState::Checking },
    }
}

fn spec(shape: &Shape) -> v1::ExecutionSpec {
    let limits = [("cpu", &shape.cpu), ("memory", &shape.memory)];
    let container = v1::Container {
        image: Some("registry.example/tool:1".to_owned()),
        resources: Some(v1::ResourceRequirements {
            limits: limits.map(|(name, limit)| (name.to_owned(), limit.clone())).into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    v1::ExecutionSpec {
        delay_execution: (shape.urgency == Urgency::Delayed).then_some(true),
        task_count: Some(shape.tasks),
        parallelism: Some(shape.parallelism),
        template: Some(v1::TaskTemplateSpec {
            spec: Some(v1::TaskSpec {
                containers: vec![container],
                max_retries: Some(shape.max_retries),
                timeout_seconds: Some(600),
                ..Default::default()
            }),
        }),
    }
}
