//! Cloud SQL instances of a job: an annotation names them, and every container of a task sees their sockets.

use std::collections::BTreeMap;

use crate::port::{ContainerSpec, MountSpec, VolumeKind, VolumeSpec};

/// The annotation of executions that names them, between commas (fact: semantics 11).
pub(crate) const ANNOTATION: &str = "run.googleapis.com/cloudsql-instances";

/// Where their sockets are seen.
pub(crate) const DIRECTORY: &str = "/cloudsql";

/// A volume that nobody else can name: a spec's names have no slash.
const VOLUME: &str = "/cloudsql";

/// The instances that `annotations` name, each once, in their order.
pub(crate) fn named(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let text = annotations.get(ANNOTATION).map(String::as_str).unwrap_or_default();
    let mut instances: Vec<String> = Vec::new();
    for instance in text.split(',').map(str::trim).filter(|instance| !instance.is_empty()) {
        if !instances.iter().any(|known| known == instance) {
            instances.push(instance.to_owned());
        }
    }
    instances
}

/// Shows the sockets of the instances that `annotations` name to every container.
pub(crate) fn show(
    annotations: &BTreeMap<String, String>,
    containers: &mut [ContainerSpec],
    volumes: &mut Vec<VolumeSpec>,
) {
    let instances = named(annotations);
    if instances.is_empty() {
        return;
    }
    volumes.push(VolumeSpec { name: VOLUME.to_owned(), kind: VolumeKind::CloudSql(instances) });
    for container in containers {
        container.mounts.push(MountSpec {
            volume: VOLUME.to_owned(),
            path: DIRECTORY.to_owned(),
            read_only: true,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        id::AttemptId,
        samples::{execution_of, least, with},
        template::TaskTemplate,
    };

    #[test]
    fn every_container_sees_the_sockets_of_each_instance_once() {
        let pointer =
            format!("/spec/template/metadata/annotations/{}", ANNOTATION.replace('/', "~1"));
        let of = |text: &str| {
            let document = with(
                with(least(), &pointer, json!(text)),
                "/spec/template/spec/template/spec/containers/1",
                json!({"image": "b", "resources": {"limits": {"cpu": "500m"}}}),
            );
            let template = TaskTemplate::of(&execution_of(document)).expect("complete");
            let id: AttemptId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/12-3".parse().expect("an id");
            template.attempt(id, &["sha256:a".into(), "sha256:b".into()])
        };
        let spec = of("p:r:b, example.com:p:r:a,p:r:b");
        let instances = vec!["p:r:b".to_owned(), "example.com:p:r:a".to_owned()];
        let kind = VolumeKind::CloudSql(instances);
        assert_eq!(spec.volumes, [VolumeSpec { name: VOLUME.to_owned(), kind }]);
        let mount =
            MountSpec { volume: VOLUME.to_owned(), path: "/cloudsql".to_owned(), read_only: true };
        assert!(spec.containers.iter().all(|one| one.mounts == [mount.clone()]), "{spec:?}");
        let without = of("");
        assert!(without.volumes.is_empty() && without.containers[0].mounts.is_empty());
    }
}
