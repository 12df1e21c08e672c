//! The job messages of `run.googleapis.com/v1`, revision 20261031.

use serde::{Deserialize, Serialize};

use super::container::EnvVar;
use super::execution::ExecutionSpec;
use super::meta::{Condition, ListMeta, ObjectMeta};
use crate::time::Time;

/// `Job` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// `Job.apiVersion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `Job.kind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `Job.metadata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// `Job.spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<JobSpec>,
    /// `Job.status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<JobStatus>,
}

/// `JobSpec` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// `JobSpec.runExecutionToken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_execution_token: Option<String>,
    /// `JobSpec.startExecutionToken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_execution_token: Option<String>,
    /// `JobSpec.template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ExecutionTemplateSpec>,
}

/// `ExecutionTemplateSpec` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionTemplateSpec {
    /// `ExecutionTemplateSpec.metadata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// `ExecutionTemplateSpec.spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<ExecutionSpec>,
}

/// `JobStatus` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// `JobStatus.conditions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// `JobStatus.executionCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_count: Option<i32>,
    /// `JobStatus.latestCreatedExecution`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_created_execution: Option<ExecutionReference>,
    /// `JobStatus.observedGeneration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i32>,
}

/// `ExecutionReference` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionReference {
    /// `ExecutionReference.completionStatus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_status: Option<String>,
    /// `ExecutionReference.completionTimestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
    /// `ExecutionReference.creationTimestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// `ExecutionReference.deletionTimestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// `ExecutionReference.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `ListJobsResponse` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListJobsResponse {
    /// `ListJobsResponse.apiVersion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `ListJobsResponse.items`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Job>,
    /// `ListJobsResponse.kind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `ListJobsResponse.metadata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ListMeta>,
    /// `ListJobsResponse.unreachable`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// `RunJobRequest` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunJobRequest {
    /// `RunJobRequest.overrides`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
}

/// `Overrides` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// `Overrides.containerOverrides`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_overrides: Vec<ContainerOverride>,
    /// `Overrides.delayExecution`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_execution: Option<bool>,
    /// `Overrides.taskCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_count: Option<i32>,
    /// `Overrides.timeoutSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
}

/// `ContainerOverride` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerOverride {
    /// `ContainerOverride.args`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `ContainerOverride.clearArgs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_args: Option<bool>,
    /// `ContainerOverride.env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// `ContainerOverride.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
