//! The execution messages of `run.googleapis.com/v1`, revision 20261031.

use serde::{Deserialize, Serialize};

use super::meta::{Condition, ListMeta, ObjectMeta};
use super::task::TaskSpec;
use crate::time::Time;

/// An execution: one run of a job. `Execution` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// `run.googleapis.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `Execution`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Names, labels, annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// What it does. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<ExecutionSpec>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ExecutionStatus>,
}

/// `ExecutionSpec` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionSpec {
    /// It may start later, when there is room. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_execution: Option<bool>,
    /// Tasks at the same time. 0 or absent: as many as there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i32>,
    /// Tasks in all, 1 to 10,000. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_count: Option<i32>,
    /// What each task is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TaskTemplateSpec>,
}

/// `ExecutionStatus` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStatus {
    /// Tasks that were cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_count: Option<i32>,
    /// When the last task ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// `Completed`, `ResourcesAvailable`, `Started`, `ContainerReady`, `Retry`, in this order, as
    /// far as they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Tasks that failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_count: Option<i32>,
    /// Where a browser finds its logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_uri: Option<String>,
    /// The generation that this status answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i32>,
    /// Tasks that have retried at least once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_count: Option<i32>,
    /// Tasks that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_count: Option<i32>,
    /// When the first task was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Tasks that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_count: Option<i32>,
}

/// `TaskTemplateSpec` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskTemplateSpec {
    /// What each task does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<TaskSpec>,
}

/// `ListExecutionsResponse` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListExecutionsResponse {
    /// `run.googleapis.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Execution>,
    /// `ExecutionsList`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where the next page begins. gcloud fails without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ListMeta>,
    /// Regions that could not be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// `CancelExecutionRequest` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelExecutionRequest {}
