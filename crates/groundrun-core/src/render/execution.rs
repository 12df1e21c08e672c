//! `Execution`: the snapshot of the job, the wishes about it, and how far it is.

use std::collections::BTreeMap;

use groundrun_api::{time::Time, v1};

use super::{
    execution_conditions::conditions,
    meta::{
        API_VERSION, CANCEL_TIME, Common, EXECUTION_NAME, JOB, JOB_GENERATION,
        JOB_RESOURCE_VERSION, JOB_UID, annotations, labels, log_uri,
    },
    words::count,
};
use crate::{context::Context, record::Execution};

/// The execution as the API shows it.
#[must_use]
pub fn execution(execution: &Execution, context: &Context) -> v1::Execution {
    let common = Common {
        collection: "executions",
        name: &execution.name,
        created: execution.created,
        revision: execution.revision,
    };
    let metadata = v1::ObjectMeta {
        uid: Some(execution.uid.to_string()),
        generation: Some(execution.generation),
        labels: execution_labels(execution),
        annotations: annotations(&execution.annotations, &execution.author),
        owner_references: vec![owner(execution)],
        ..common.render(context)
    };
    v1::Execution {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some("Execution".to_owned()),
        metadata: Some(metadata),
        spec: Some(execution.spec.as_ref().clone()),
        status: Some(status(execution, context)),
    }
}

/// `metadata.labels` as shown: what selectors select by. They change with the wishes, not with the state.
#[must_use]
pub fn execution_labels(execution: &Execution) -> BTreeMap<String, String> {
    let job = &execution.job;
    let own = [
        (JOB, job.name.clone()),
        (JOB_UID, job.uid.to_string()),
        (JOB_GENERATION, job.generation.to_string()),
        (JOB_RESOURCE_VERSION, job.revision.0.to_string()),
    ];
    let mut labels = labels(&execution.labels, &execution.scope, own);
    if let Some(at) = execution.wishes.cancel {
        labels.insert(CANCEL_TIME.to_owned(), Time(at).to_string());
    }
    labels
}

/// The apiVersion is the real service's (fact: semantics 1.4).
fn owner(execution: &Execution) -> v1::OwnerReference {
    v1::OwnerReference {
        api_version: Some("serving.knative.dev/v1".to_owned()),
        kind: Some("Job".to_owned()),
        name: Some(execution.job.name.clone()),
        uid: Some(execution.job.uid.to_string()),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn status(execution: &Execution, context: &Context) -> v1::ExecutionStatus {
    let state = &execution.state;
    let named = [(EXECUTION_NAME, execution.name.clone())];
    v1::ExecutionStatus {
        conditions: conditions(execution),
        // Absent until the engine has seen it: a client takes the conditions as they are then.
        observed_generation: state.accepted.map(|_| state.observed_generation),
        start_time: state.start_time.map(Into::into),
        completion_time: state.completed.as_ref().map(|completed| completed.at.into()),
        running_count: count(state.counters.running),
        succeeded_count: count(state.counters.succeeded),
        failed_count: count(state.counters.failed),
        cancelled_count: count(state.counters.cancelled),
        retried_count: count(state.counters.retried),
        log_uri: Some(log_uri(context, &execution.job.name, &execution.scope.region, &named)),
    }
}
