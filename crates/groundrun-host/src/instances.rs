//! Cloud SQL instances of an attempt: where the settings say that each leads.

use std::collections::BTreeMap;

pub use groundrun_shim::protocol::{Address, Database, Target};

use groundrun_core::port::{AttemptSpec, VolumeKind};
use groundrun_shim::protocol::Instance;

/// The instances of `spec`, with their targets.
///
/// # Errors
/// The first that is not mapped.
pub(crate) fn of(
    spec: &AttemptSpec,
    targets: &BTreeMap<String, Target>,
) -> Result<Vec<Instance>, Unmapped> {
    let named = spec.volumes.iter().filter_map(|volume| match &volume.kind {
        VolumeKind::CloudSql(instances) => Some(instances),
        _ => None,
    });
    let instance = |name: &String| match targets.get(name) {
        Some(target) => Ok(Instance { name: name.clone(), target: target.clone() }),
        None => Err(Unmapped(name.clone())),
    };
    named.flatten().map(instance).collect()
}

/// The settings say nothing about an instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", unmapped(.0))]
pub(crate) struct Unmapped(String);

/// What to say of an instance that is not mapped, with what to do.
#[must_use]
pub fn unmapped(instance: &str) -> String {
    format!(
        "Cloud SQL instance '{instance}' is not mapped to a database. Add to the server's settings file, with a database \
         of yours:\n\
         [cloudsql.\"{instance}\"]\n\
         target = \"postgres://127.0.0.1:5432\" # or mysql://HOST:PORT, unix:/PATH, cloud-sql-proxy\n\
         or start it with --cloudsql {instance}=postgres://127.0.0.1:5432"
    )
}
