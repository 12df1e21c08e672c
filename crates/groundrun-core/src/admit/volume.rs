//! Volumes and mounts. Which kinds of volume are refused for now is in [`super::FIELDS`] (fact: semantics 2.4).

use std::collections::{BTreeMap, BTreeSet};

use groundrun_api::v1::{Container, Volume, VolumeMount};

use super::{container, faults::Faults, shared, task::TASK};
use crate::quantity;

const SYSTEM_DIRECTORIES: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Volumes of a task, and mounts of a container. Ours: Google names no number, and each costs the machine a mount.
const VOLUMES_MAX: usize = 100;
const MOUNTS_MAX: usize = 100;
/// Of a path, with the final NUL.
const PATH_MAX: usize = 4096;

/// Checks the volumes of a task, and what its containers take from them.
pub(super) fn check(volumes: &[Volume], containers: &[Container], faults: &mut Faults) {
    if volumes.len() > VOLUMES_MAX {
        faults.add(format!("{TASK}.volumes"), format!("must be at most {VOLUMES_MAX} volumes"));
    }
    for (n, volume) in volumes.iter().enumerate() {
        let path = format!("{TASK}.volumes[{n}]");
        if !container::is_name(volume.name.as_deref().unwrap_or_default()) {
            faults.add(
                format!("{path}.name"),
                "must conform to RFC 1123 and be at most 63 characters",
            );
        }
        source(&path, volume, faults);
    }
    let name = |volume: &Volume| volume.name.clone().unwrap_or_default();
    let mut names = BTreeSet::new();
    for twice in volumes.iter().map(name).filter(|name| !names.insert(name.clone())) {
        faults.add(format!("{TASK}.volumes"), format!("Duplicate volume name '{twice}'"));
    }
    for (n, container) in containers.iter().enumerate() {
        let path = format!("{TASK}.containers[{n}]");
        mounts(&path, &container.volume_mounts, &names, faults);
        mounted_twice(&path, &container.volume_mounts, volumes, faults);
    }
}

fn source(path: &str, volume: &Volume, faults: &mut Faults) {
    let sources = [
        volume.config_map.is_some(),
        volume.csi.is_some(),
        volume.empty_dir.is_some(),
        volume.filestore.is_some(),
        volume.nfs.is_some(),
        volume.secret.is_some(),
    ];
    if sources.into_iter().filter(|set| *set).count() != 1 {
        faults.add(path, "Exactly one volume source must be set");
    }
    if volume.config_map.is_some() {
        faults.add(format!("{path}.config_map"), "is not supported by Cloud Run.");
    }
    if let Some(empty_dir) = &volume.empty_dir {
        if let Some(size) = empty_dir.size_limit.as_deref().filter(|size| !size.is_empty())
            && quantity::units(size).is_none()
        {
            faults.add(
                format!("{path}.empty_dir.size_limit"),
                format!("size_limit: Could not parse Quantity '{size}'"),
            );
        }
        let medium = empty_dir.medium.as_deref().unwrap_or_default();
        if !["", "Memory", "Disk"].contains(&medium) {
            faults.add(
                format!("{path}.empty_dir.medium"),
                "must be one of empty, 'Memory' or 'Disk'",
            );
        }
    }
    if volume
        .filestore
        .as_ref()
        .is_some_and(|source| source.volume.as_deref().unwrap_or_default().is_empty())
    {
        faults.add(format!("{path}.filestore.volume"), "must be set");
    }
    if let Some(source) = &volume.csi {
        shared::bucket(path, source, faults);
    }
    if let Some(source) = &volume.nfs {
        shared::nfs(path, source, faults);
    }
}

fn mounts(path: &str, given: &[VolumeMount], volumes: &BTreeSet<String>, faults: &mut Faults) {
    if given.len() > MOUNTS_MAX {
        faults.add(format!("{path}.volume_mounts"), format!("must be at most {MOUNTS_MAX} mounts"));
    }
    let name = |mount: &VolumeMount| mount.name.clone().unwrap_or_default();
    let unknown: Vec<_> =
        given.iter().map(name).filter(|name| !volumes.contains(name.as_str())).collect();
    if !unknown.is_empty() {
        faults.add(
            format!("{path}.volume_mounts"),
            format!("has names which were not found in volumes list: {}", unknown.join(", ")),
        );
    }
    let place = |mount: &VolumeMount| mount.mount_path.clone().unwrap_or_default();
    for (n, place) in given.iter().map(place).enumerate() {
        if !place.starts_with('/') || place.contains([':', '\0']) || place.len() >= PATH_MAX {
            faults.add(
                format!("{path}.volume_mounts[{n}].mount_path"),
                "must be a valid unix absolute path",
            );
        }
    }
    let system: Vec<_> = given.iter().map(place).filter(|place| is_system(place)).collect();
    if !system.is_empty() {
        faults.add(
            format!("{path}.volume_mounts"),
            format!("mount paths {} are in one of disallowed mount points", system.join(", ")),
        );
    }
}

/// Two mounts at one path: which of them a program finds could not be said. Versions of secrets are files that may be below
/// one path together, as gcloud has it. Ours: Google's own check lets all of it pass (fact: semantics 2.4).
fn mounted_twice(path: &str, given: &[VolumeMount], volumes: &[Volume], faults: &mut Faults) {
    let is_secret = |mount: &VolumeMount| {
        volumes.iter().any(|volume| volume.name == mount.name && volume.secret.is_some())
    };
    let mut taken = BTreeMap::new();
    for (n, mount) in given.iter().enumerate() {
        let place = mount.mount_path.as_deref().unwrap_or_default();
        let Some(first) = taken.insert(clean(place), is_secret(mount)) else { continue };
        if place.starts_with('/') && !(first && is_secret(mount)) {
            faults.add(
                format!("{path}.volume_mounts[{n}].mount_path"),
                format!("must be unique: another volume is mounted at {place} too"),
            );
        }
    }
}

/// `/`, `/dev`, `/proc`, `/sys` and what is below these three, whatever way it is spelled.
fn is_system(place: &str) -> bool {
    let cleaned = clean(place);
    let below = |dir: &&str| cleaned == **dir || cleaned.starts_with(&format!("{dir}/"));
    place.starts_with('/') && (cleaned == "/" || SYSTEM_DIRECTORIES.iter().any(below))
}

/// An absolute path without `.`, `..`, and more slashes than it needs.
pub(crate) fn clean(place: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in place.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
