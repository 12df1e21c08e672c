//! The annotation of Cloud SQL instances (fact: semantics 2.4, 11).

use std::collections::{BTreeMap, BTreeSet};

use groundrun_api::v1::Container;

use super::{faults::Faults, task::TASK, volume};
use crate::needs::instances::{ANNOTATION, DIRECTORY};

const FIELD: &str = "spec.template.metadata.annotations";

/// A unix socket's path has 108 bytes with its final NUL.
const SOCKET_PATH_MAX: usize = 107;

/// Ours: Google names no number, and each is a socket of every task.
const INSTANCES_MAX: usize = 50;

/// Checks the annotation, and that no container has anything else where their sockets are.
pub(super) fn check(
    annotations: &BTreeMap<String, String>,
    containers: &[Container],
    faults: &mut Faults,
) {
    let Some(text) = annotations.get(ANNOTATION).filter(|text| !text.is_empty()) else { return };
    let instances: BTreeSet<&str> = text.split(',').map(str::trim).collect();
    if instances.len() > INSTANCES_MAX {
        faults.add(FIELD, format!("must be at most {INSTANCES_MAX} Cloud SQL instances"));
    }
    for instance in instances {
        if !is_instance(instance) {
            faults.add(
                FIELD,
                format!("Cloud SQL instance '{instance}' must be in the format project:location:instance"),
            );
        } else if format!("{DIRECTORY}/{instance}/.s.PGSQL.5432").len() > SOCKET_PATH_MAX {
            faults.add(
                FIELD,
                format!("Cloud SQL instance '{instance}': its socket's path is over {SOCKET_PATH_MAX} bytes"),
            );
        }
    }
    for (n, container) in containers.iter().enumerate() {
        for (m, mount) in container.volume_mounts.iter().enumerate() {
            let path = mount.mount_path.as_deref().unwrap_or_default();
            let cleaned = volume::clean(path);
            let below = cleaned.starts_with(&format!("{DIRECTORY}/"));
            if path.starts_with('/') && (cleaned == DIRECTORY || below) {
                faults.add(
                    format!("{TASK}.containers[{n}].volume_mounts[{m}].mount_path"),
                    format!("'{path}' is where the sockets of Cloud SQL instances are: mount the volume elsewhere"),
                );
            }
        }
    }
}

/// Whether it names a Cloud SQL instance: `project:location:instance`; a project of a domain is `example.com:project`.
#[must_use]
pub fn is_instance(text: &str) -> bool {
    let word = |part: &str, also: &[char]| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || also.contains(&c);
        !part.is_empty() && part.chars().all(allowed)
    };
    let parts: Vec<_> = text.rsplitn(3, ':').collect();
    match parts.as_slice() {
        [instance, location, project] => {
            let (domain, id) = project.split_once(':').unwrap_or(("none", project));
            word(instance, &['_'])
                && word(location, &[])
                && word(id, &['_'])
                && word(domain, &['.'])
        }
        _ => false,
    }
}
