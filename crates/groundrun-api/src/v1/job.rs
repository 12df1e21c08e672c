//! The job messages of `run.googleapis.com/v1`, revision 20261031.

use serde::{Deserialize, Serialize};

use super::container::EnvVar;
use super::execution::ExecutionSpec;
use super::meta::{Condition, ListMeta, ObjectMeta};
use crate::time::Time;

/// A job: what its executions are made from. `Job` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// `run.googleapis.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `Job`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Names, labels, annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// What is wished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<JobSpec>,
    /// What is so; clients need not send it, and what they send is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<JobStatus>,
}

/// `JobSpec` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// Suffix of an execution to create with this write; the job is Ready once it has succeeded.
    /// Job name and token together under 63 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_execution_token: Option<String>,
    /// Suffix of an execution to create with this write; the job is Ready once it has started. Job
    /// name and token together under 63 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_execution_token: Option<String>,
    /// What each execution is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ExecutionTemplateSpec>,
}

/// `ExecutionTemplateSpec` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionTemplateSpec {
    /// Labels and annotations of each execution; without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// What each execution does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<ExecutionSpec>,
}

/// `JobStatus` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// Only `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Executions ever created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_count: Option<i32>,
    /// The last one, also after it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_created_execution: Option<ExecutionReference>,
    /// The generation that this status answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i32>,
}

/// `ExecutionReference` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionReference {
    /// `EXECUTION_PENDING`, `EXECUTION_RUNNING`, `EXECUTION_SUCCEEDED`, `EXECUTION_FAILED` or
    /// `EXECUTION_CANCELLED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_status: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// When it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// Its short name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `ListJobsResponse` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListJobsResponse {
    /// `run.googleapis.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Job>,
    /// `JobsList`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ListMeta>,
    /// Regions that could not be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// `RunJobRequest` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunJobRequest {
    /// What this execution has other than its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
}

/// `Overrides` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// By container name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_overrides: Vec<ContainerOverride>,
    /// Replaces `ExecutionSpec.delayExecution`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_execution: Option<bool>,
    /// Replaces `ExecutionSpec.taskCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_count: Option<i32>,
    /// Replaces `TaskSpec.timeoutSeconds`. Seconds; a number here, a string there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
}

/// `ContainerOverride` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerOverride {
    /// Replaces all of `Container.args`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Replaces `Container.args` by none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_args: Option<bool>,
    /// Laid over `Container.env` by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Which container; may be absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
