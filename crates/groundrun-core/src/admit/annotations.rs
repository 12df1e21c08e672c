//! Labels and annotations: the client's are kept, the server's come back stale and are dropped, and unknown keys of
//! Google's own namespaces are refused.

use std::collections::BTreeMap;

use groundrun_api::label;

use super::{
    faults::Faults,
    fields::{FIELDS, Standing},
};

const EXECUTION_ENVIRONMENT: &str = "run.googleapis.com/execution-environment";
const LAUNCH_STAGE: &str = "run.googleapis.com/launch-stage";

/// Namespaces whose keys have a meaning that we either know or must not pretend to know.
const SYSTEM_NAMESPACES: [&str; 4] = [
    "run.googleapis.com/",
    "cloud.googleapis.com/",
    "serving.knative.dev/",
    "autoscaling.knative.dev/",
];

type Map = BTreeMap<String, String>;

/// Whose metadata it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    /// The job's own.
    Job,
    /// Of its executions: `spec.template.metadata`.
    Execution,
}

impl Owner {
    fn path(self) -> &'static str {
        match self {
            Self::Job => "metadata",
            Self::Execution => "spec.template.metadata",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Execution => "Execution",
        }
    }

    /// The standing of `key` in this owner's `map`, where the table names it.
    fn standing(self, map: &str, key: &str) -> Option<Standing> {
        let path = format!("Job.{}.{map}[\"{key}\"]", self.path());
        FIELDS.iter().find(|rule| rule.path == path).map(|rule| rule.standing)
    }
}

/// The annotations to keep.
pub(super) fn annotations(owner: Owner, given: Map, faults: &mut Faults) -> Map {
    let field = format!("{}.annotations", owner.path());
    let mut kept = Map::new();
    for (key, value) in given {
        match owner.standing("annotations", &key) {
            Some(Standing::Ignored) => continue,
            None if is_system(&key) => {
                let kind = owner.kind();
                faults.add(
                    &field,
                    format!("Annotation '{key}' is not supported on resources of kind {kind}."),
                );
            }
            _ => {
                if let Some(fault) = value_fault(owner, &key, &value) {
                    faults.add(&field, fault);
                }
            }
        }
        kept.insert(key, value);
    }
    if let Owner::Execution = owner {
        kept.entry(EXECUTION_ENVIRONMENT.to_owned()).or_insert_with(|| "gen2".to_owned());
    }
    kept
}

fn value_fault(owner: Owner, key: &str, value: &str) -> Option<String> {
    let kind = owner.kind();
    match key {
        EXECUTION_ENVIRONMENT if value != "gen2" => Some(format!(
            "Annotation '{key}' with value '{value}' is not supported on resources of kind {kind}."
        )),
        LAUNCH_STAGE if !["ALPHA", "BETA", "GA", ""].contains(&value) => Some(format!(
            "Annotation '{key}' with value '{value}' is not supported: \
             only ALPHA, BETA, GA, or unspecified are supported."
        )),
        _ => None,
    }
}

/// The labels to keep.
pub(super) fn labels(owner: Owner, given: Map, faults: &mut Faults) -> Map {
    let field = format!("{}.labels", owner.path());
    let mut kept = Map::new();
    for (key, value) in given {
        // The server's labels come back with every PUT, and clients copy them into templates.
        if Owner::Job.standing("labels", &key) == Some(Standing::Ignored) {
            continue;
        }
        if is_system(&key) {
            faults.add(&field, format!("Label '{key}' is reserved for the system."));
        }
        let faulty = [label::check_key(&key), label::check_value(&value)];
        for fault in faulty.into_iter().filter_map(Result::err) {
            faults.add(&field, format!("Label '{key}' with value '{value}': {fault}."));
        }
        kept.insert(key, value);
    }
    kept
}

fn is_system(key: &str) -> bool {
    SYSTEM_NAMESPACES.iter().any(|namespace| key.starts_with(namespace))
}
