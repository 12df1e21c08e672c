//! From the containers and volumes of an execution's spec to what a start gets. Admission has checked them; what comes
//! from a disk is checked again, so that a backend never meets a name that is not there or a circle of waits.

use std::{collections::BTreeSet, time::Duration};

use groundrun_api::v1;

use crate::{
    admit::{self, Dependencies},
    needs::{
        files,
        secrets::{self, Names},
    },
    port::{
        ContainerSpec, EnvValue, Limits, Medium, MountSpec, Probe, ProbeCheck, VolumeKind,
        VolumeSpec,
    },
    quantity,
    record::Execution,
    template::{TemplateFault, fault},
};

/// What Cloud Run's logs call the one container that has no name (fact: semantics 1.2).
const UNNAMED: &str = "worker";

/// The containers of the execution's tasks, in the order of the spec.
pub(crate) fn containers(
    execution: &Execution,
    task: &v1::TaskSpec,
) -> Result<Vec<ContainerSpec>, TemplateFault> {
    let (secrets, _) = Names::of(&execution.scope.project, &execution.annotations);
    let container = |given| container(given, &secrets);
    let mut containers =
        task.containers.iter().enumerate().map(container).collect::<Result<Vec<_>, _>>()?;
    if containers.is_empty() {
        return Err(fault("spec.template.spec.containers", "is empty"));
    }
    let names: BTreeSet<_> = containers.iter().map(|one| one.name.clone()).collect();
    if names.len() < containers.len() {
        return Err(fault("spec.template.spec.containers", "has a name twice"));
    }
    let mut order = order(execution, &names)?;
    for container in &mut containers {
        container.depends_on = order.remove(&container.name).unwrap_or_default();
    }
    let volumes = || task.volumes.iter().filter_map(|volume| volume.name.as_deref());
    let known = |mount: &MountSpec| volumes().any(|name| name == mount.volume);
    if !containers.iter().flat_map(|one| &one.mounts).all(known) {
        return Err(fault("spec.template.spec.containers", "mounts a volume that is not there"));
    }
    Ok(containers)
}

/// Whom each container waits for, everybody once.
fn order(execution: &Execution, names: &BTreeSet<String>) -> Result<Dependencies, TemplateFault> {
    const PATH: &str = "metadata.annotations[\"run.googleapis.com/container-dependencies\"]";
    let mut order = admit::dependencies(&execution.annotations)
        .map_err(|_| fault(PATH, "is not a map from names to lists of names"))?;
    for needed in order.values_mut() {
        needed.sort();
        needed.dedup();
    }
    if !order.keys().chain(order.values().flatten()).all(|name| names.contains(name)) {
        return Err(fault(PATH, "names a container that is not there"));
    }
    if admit::has_cycle(order.clone()) {
        return Err(fault(PATH, "goes in a circle"));
    }
    Ok(order)
}

/// By which everything but the spec calls a container.
pub(crate) fn name(container: &v1::Container) -> String {
    let name = container.name.clone().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| UNNAMED.to_owned())
}

fn container(
    (index, container): (usize, &v1::Container),
    secrets: &Names,
) -> Result<ContainerSpec, TemplateFault> {
    let path = |field: &str| format!("spec.template.spec.containers[{index}].{field}");
    let limit = |name: &str| {
        let limits = &container.resources.as_ref()?.limits;
        limits.get(name).map(String::as_str)
    };
    Ok(ContainerSpec {
        name: name(container),
        image: container.image.clone().ok_or_else(|| fault(path("image"), "is missing"))?,
        command: container.command.clone(),
        args: container.args.clone(),
        env: container.env.iter().map(|one| variable(one, secrets)).collect(),
        working_dir: container.working_dir.clone(),
        limits: Limits {
            cpu_millis: limit("cpu")
                .and_then(quantity::millis)
                .ok_or_else(|| fault(path("resources.limits.cpu"), "is not a quantity"))?,
            memory_bytes: limit("memory")
                .and_then(quantity::units)
                .ok_or_else(|| fault(path("resources.limits.memory"), "is not a quantity"))?,
        },
        depends_on: Vec::new(),
        startup_probe: container
            .startup_probe
            .as_ref()
            .map(|given| probe(&path("startupProbe"), given))
            .transpose()?,
        mounts: container.volume_mounts.iter().map(mount).collect(),
    })
}

fn variable(variable: &v1::EnvVar, secrets: &Names) -> (String, EnvValue) {
    let value = match secrets::selector(variable) {
        None => EnvValue::Literal(variable.value.clone().unwrap_or_default()),
        Some(selector) if selector.optional == Some(true) => {
            EnvValue::OptionalSecret(secrets.selected(selector))
        }
        Some(selector) => EnvValue::Secret(secrets.selected(selector)),
    };
    (variable.name.clone().unwrap_or_default(), value)
}

/// `readOnly` is not used, as in Cloud Run.
fn mount(given: &v1::VolumeMount) -> MountSpec {
    MountSpec {
        volume: given.name.clone().unwrap_or_default(),
        path: admit::clean(given.mount_path.as_deref().unwrap_or_default()),
        read_only: false,
    }
}

fn probe(path: &str, given: &v1::Probe) -> Result<Probe, TemplateFault> {
    let count = |name: &str, value: Option<i32>| {
        value
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| fault(format!("{path}.{name}"), "is missing or negative"))
    };
    let seconds = |name: &str, value: Option<i32>| {
        count(name, value).map(|seconds| Duration::from_secs(seconds.into()))
    };
    Ok(Probe {
        check: check(path, given)?,
        initial_delay: seconds("initialDelaySeconds", given.initial_delay_seconds.or(Some(0)))?,
        timeout: seconds("timeoutSeconds", given.timeout_seconds)?,
        period: seconds("periodSeconds", given.period_seconds)?,
        failure_threshold: count("failureThreshold", given.failure_threshold)?,
    })
}

fn check(path: &str, given: &v1::Probe) -> Result<ProbeCheck, TemplateFault> {
    let port = |port: Option<i32>| {
        port.and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0)
            .ok_or_else(|| fault(path, "has no port"))
    };
    match given {
        v1::Probe { http_get: Some(action), .. } => Ok(ProbeCheck::HttpGet {
            path: action.path.clone().unwrap_or_else(|| "/".to_owned()),
            port: port(action.port)?,
            headers: action.http_headers.iter().map(header).collect(),
        }),
        v1::Probe { tcp_socket: Some(action), .. } => {
            Ok(ProbeCheck::TcpSocket { port: port(action.port)? })
        }
        v1::Probe { grpc: Some(action), .. } => Ok(ProbeCheck::Grpc {
            port: port(action.port)?,
            service: action.service.clone().unwrap_or_default(),
        }),
        _ => Err(fault(path, "has no action")),
    }
}

fn header(header: &v1::HttpHeader) -> (String, String) {
    (header.name.clone().unwrap_or_default(), header.value.clone().unwrap_or_default())
}

/// The volumes of the execution's tasks; `memory` is what all containers of a task may use together.
pub(crate) fn volumes(
    execution: &Execution,
    task: &v1::TaskSpec,
    memory: u64,
) -> Result<Vec<VolumeSpec>, TemplateFault> {
    let (secrets, _) = Names::of(&execution.scope.project, &execution.annotations);
    let volume = |(index, given): (usize, &v1::Volume)| {
        let path = format!("spec.template.spec.volumes[{index}]");
        let kind = match given {
            v1::Volume { empty_dir: Some(source), .. } => Some(empty_dir(source, memory)),
            v1::Volume { secret: Some(source), .. } => {
                Some(VolumeKind::Secret(secrets.files(source)))
            }
            other => files::kind(other),
        };
        let kind = kind.ok_or_else(|| fault(&path, "is of a kind that is not supported"))?;
        let name = given.name.clone().ok_or_else(|| fault(&path, "has no name"))?;
        Ok(VolumeSpec { name, kind })
    };
    task.volumes.iter().enumerate().map(volume).collect()
}

/// In memory it holds half of what the containers may use where nothing is said, and never more than all of it (facts:
/// gcloud's help, and the discovery document). A limit of 0 is none, as an empty one.
fn empty_dir(source: &v1::EmptyDirVolumeSource, memory: u64) -> VolumeKind {
    let given = source.size_limit.as_deref().and_then(quantity::units).filter(|size| *size > 0);
    match source.medium.as_deref() {
        Some("Disk") => VolumeKind::EmptyDir { medium: Medium::Disk, size_limit: given },
        _ => VolumeKind::EmptyDir {
            medium: Medium::Memory,
            size_limit: Some(given.unwrap_or(memory / 2).min(memory)),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::samples::{execution_of, least, with};

    const TASK: &str = "/spec/template/spec/template/spec";
    const ANNOTATION: &str = "run.googleapis.com/container-dependencies";

    /// A program, a database that it waits for, and a volume that both have.
    fn document() -> Value {
        let document = with(
            least(),
            &format!("{TASK}/containers"),
            json!([
                {
                    "image": "a", "name": "main",
                    "volumeMounts": [{"name": "v", "mountPath": "/a/./b/", "readOnly": true}],
                },
                {
                    "image": "b", "name": "db",
                    "startupProbe": {"httpGet": {"httpHeaders": [{"name": "A", "value": "b"}]}},
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                },
            ]),
        );
        let document = with(
            document,
            &format!("{TASK}/volumes"),
            json!([
                {"name": "v", "emptyDir": {}},
                {"name": "w", "emptyDir": {"medium": "Memory", "sizeLimit": "9Gi"}},
                {"name": "x", "emptyDir": {"medium": "Disk"}},
                {"name": "y", "emptyDir": {"medium": "Disk", "sizeLimit": "1Mi"}},
                {"name": "b", "csi": {
                    "driver": "gcsfuse.run.googleapis.com", "readOnly": true,
                    "volumeAttributes": {"bucketName": "bkt", "mountOptions": "implicit-dirs, uid=7,"},
                }},
                {"name": "n", "nfs": {"server": "nas", "path": "/x"}},
            ]),
        );
        let pointer =
            format!("/spec/template/metadata/annotations/{}", ANNOTATION.replace('/', "~1"));
        with(document, &pointer, json!(r#"{"main": ["db", "db"]}"#))
    }

    fn of(execution: &Execution) -> (Vec<ContainerSpec>, Vec<VolumeSpec>) {
        let task = execution.spec.template.as_ref().and_then(|template| template.spec.as_ref());
        let task = task.expect("a task");
        let containers = containers(execution, task).expect("complete");
        (containers, volumes(execution, task, 1 << 30).expect("complete"))
    }

    #[test]
    fn a_start_has_the_order_the_probes_and_the_volumes() {
        let (containers, volumes) = of(&execution_of(document()));
        let [main, db] = containers.try_into().expect("two containers");
        assert_eq!((main.name.as_str(), main.depends_on), ("main", vec!["db".to_owned()]));
        assert_eq!(main.startup_probe, None);
        let mount = |path: &str| MountSpec {
            volume: "v".to_owned(),
            path: path.to_owned(),
            read_only: false,
        };
        assert_eq!((main.mounts, db.mounts), (vec![mount("/a/b")], vec![mount("/v")]));
        let check = ProbeCheck::HttpGet {
            path: "/".to_owned(),
            port: 8080,
            headers: vec![("A".to_owned(), "b".to_owned())],
        };
        let expected = Probe {
            check,
            initial_delay: Duration::ZERO,
            timeout: Duration::from_secs(1),
            period: Duration::from_secs(10),
            failure_threshold: 3,
        };
        assert_eq!(db.startup_probe, Some(expected));
        let empty_dir = |name: &str, medium, size_limit| VolumeSpec {
            name: name.to_owned(),
            kind: VolumeKind::EmptyDir { medium, size_limit },
        };
        assert_eq!(
            volumes,
            [
                empty_dir("v", Medium::Memory, Some(512 << 20)),
                empty_dir("w", Medium::Memory, Some(1 << 30)),
                empty_dir("x", Medium::Disk, None),
                empty_dir("y", Medium::Disk, Some(1 << 20)),
                VolumeSpec {
                    name: "b".to_owned(),
                    kind: VolumeKind::Bucket {
                        bucket: "bkt".to_owned(),
                        read_only: true,
                        mount_options: vec!["implicit-dirs".to_owned(), "uid=7".to_owned()],
                    },
                },
                VolumeSpec {
                    name: "n".to_owned(),
                    kind: VolumeKind::Nfs {
                        server: "nas".to_owned(),
                        path: "/x".to_owned(),
                        read_only: false,
                    },
                },
            ]
        );
    }

    #[test]
    fn what_a_disk_says_is_checked_again() {
        let fault = |text: &str| {
            let mut execution = execution_of(document());
            execution.annotations.insert(ANNOTATION.to_owned(), text.to_owned());
            let task = execution.spec.template.as_ref().and_then(|one| one.spec.as_ref());
            containers(&execution, task.expect("a task")).expect_err("refused").to_string()
        };
        assert!(fault("main").ends_with("is not a map from names to lists of names"));
        assert!(fault(r#"{"main": ["gone"]}"#).ends_with("names a container that is not there"));
        assert!(fault(r#"{"main": ["db"], "db": ["main"]}"#).ends_with("goes in a circle"));
    }
}
