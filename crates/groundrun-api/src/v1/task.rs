//! The task messages of `run.googleapis.com/v1`, revision 20261031.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::{Container, EnvVar, VolumeMount};
use super::meta::{Condition, ListMeta, ObjectMeta, RpcStatus};
use super::volume::Volume;
use crate::time::Time;

/// A task of an execution: one index, attempted until it succeeds or retries are used up. `Task` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// `run.googleapis.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `Task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Names, labels, annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// What it does. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<TaskSpec>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
}

/// `TaskSpec` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    /// 1 to 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// Attempts after the first, 0 to 10. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<i32>,
    /// `run.googleapis.com/accelerator`, or nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Programs that containers may start in sandboxes of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandboxes: Option<SandboxConfiguration>,
    /// E-mail address, or its part before the `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Seconds that each attempt may take, 1 to 604,800. Default 600. A string on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::int64")]
    pub timeout_seconds: Option<i64>,
    /// What containers may mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// `TaskStatus` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// When its last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// `Completed`, `ResourcesAvailable`, `Started`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// From 0, which is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<i32>,
    /// How its last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_result: Option<TaskAttemptResult>,
    /// Where a browser finds its logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_uri: Option<String>,
    /// The generation that this status answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i32>,
    /// Attempts after the first, so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<i32>,
    /// When its first attempt was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
}

/// `TaskAttemptResult` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskAttemptResult {
    /// Of the container's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// In words, with a number of `google.rpc.Code`. gcloud fails without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RpcStatus>,
    /// The signal that ended the container's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_signal: Option<i32>,
}

/// `ListTasksResponse` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListTasksResponse {
    /// `run.googleapis.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// By execution, then index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Task>,
    /// `TasksList`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where the next page begins. gcloud fails without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ListMeta>,
    /// Regions that could not be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// `SandboxConfiguration` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxConfiguration {
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<SandboxTemplate>,
}

/// `SandboxTemplate` of the discovery document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxTemplate {
    /// As in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// As in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// As in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// As in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What the container calls it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    /// As in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
}
