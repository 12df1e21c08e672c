//! The secrets that a spec uses: which version of which secret a name and a key mean, where in the spec that stands, and
//! which files a volume of them has.

use std::collections::BTreeMap;

use groundrun_api::v1;

use super::{SecretNeed, SecretVersion};
use crate::port::{ContainerSpec, MountSpec, SecretFile, VolumeKind, VolumeSpec};

/// Says which secrets of other projects are meant by which names: `alias:projects/P/secrets/S`, with commas between them.
pub(crate) const ANNOTATION: &str = "run.googleapis.com/secrets";

/// The version that a volume without items has.
const LATEST: &str = "latest";

/// Of files for which no mode is given.
const DEFAULT_MODE: u32 = 0o444;

/// Taken from every mode that is given (fact: the discovery document).
const UMASK: u32 = 0o222;

/// What names of secrets mean in a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    project: String,
    /// Those that stand for secrets of other projects.
    aliases: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Secret {
    project: String,
    name: String,
}

/// What of the annotation is not an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AliasFault {
    /// The entry is not `alias:projects/P/secrets/S`.
    Form(String),
    /// The alias stands for two secrets.
    Twice(String),
}

impl Names {
    /// Those of a job of `project`, and what of its template's `annotations` says nothing.
    pub(crate) fn of(
        project: &str,
        annotations: &BTreeMap<String, String>,
    ) -> (Self, Vec<AliasFault>) {
        let text = annotations.get(ANNOTATION).map(String::as_str).unwrap_or_default();
        let (mut aliases, mut faults) = (BTreeMap::new(), Vec::new());
        for entry in text.split(',').filter(|_| !text.is_empty()) {
            let Some((alias, secret)) = alias(entry) else {
                faults.push(AliasFault::Form(entry.to_owned()));
                continue;
            };
            let other = aliases.insert(alias.to_owned(), secret.clone());
            if other.is_some_and(|other| other != secret) {
                faults.push(AliasFault::Twice(alias.to_owned()));
            }
        }
        (Self { project: project.to_owned(), aliases }, faults)
    }

    /// The version `key` of what `name` means.
    fn version(&self, name: &str, key: &str) -> SecretVersion {
        let (project, secret) = match self.aliases.get(name) {
            Some(secret) => (&*secret.project, &*secret.name),
            None => (&*self.project, name),
        };
        SecretVersion {
            project: project.to_owned(),
            secret: secret.to_owned(),
            version: key.to_owned(),
        }
    }

    /// What a variable is set from.
    pub(crate) fn selected(&self, selector: &v1::SecretKeySelector) -> SecretVersion {
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        self.version(&text(&selector.name), &text(&selector.key))
    }

    /// The files of a volume. Without items there is one, called as the volume calls the secret.
    pub(crate) fn files(&self, source: &v1::SecretVolumeSource) -> Vec<SecretFile> {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let file = |path: &str, key: &str, mode: Option<i32>| SecretFile {
            path: clean(path),
            mode: given(mode).or(given(source.default_mode)).unwrap_or(DEFAULT_MODE),
            version: self.version(name, key),
        };
        if source.items.is_empty() {
            return vec![file(name, LATEST, None)];
        }
        let item = |item: &v1::KeyToPath| {
            let (path, key) = (item.path.as_deref(), item.key.as_deref());
            file(path.unwrap_or_default(), key.unwrap_or_default(), item.mode)
        };
        source.items.iter().map(item).collect()
    }
}

fn alias(entry: &str) -> Option<(&str, Secret)> {
    let (alias, secret) = entry.split_once(':')?;
    let (project, name) = secret.strip_prefix("projects/")?.split_once("/secrets/")?;
    let fine = is_name(alias) && is_project(project) && is_name(name);
    fine.then(|| (alias, Secret { project: project.to_owned(), name: name.to_owned() }))
}

/// The id or the number of a project; of old organisations it begins with their domain.
fn is_project(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    (1..=63).contains(&text.len()) && text.chars().all(allowed)
}

/// Whether `text` can be the name of a secret.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 255 && is_version(text)
}

/// Whether `text` can be a version, or the alias of one.
pub(crate) fn is_version(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.chars().all(allowed)
}

/// All that must be there for `task`, in the order of the spec.
pub(crate) fn needs(
    project: &str,
    annotations: &BTreeMap<String, String>,
    task: &v1::TaskSpec,
) -> Vec<SecretNeed> {
    let (names, _) = Names::of(project, annotations);
    let mut needs = Vec::new();
    for (n, container) in task.containers.iter().enumerate() {
        for (m, variable) in container.env.iter().enumerate() {
            let Some(selector) = selector(variable).filter(|one| one.optional != Some(true)) else {
                continue;
            };
            let path = format!("spec.template.spec.containers[{n}].env[{m}]");
            let field = format!("{path}.value_from.secret_key_ref.name");
            needs.push(SecretNeed { field, version: names.selected(selector) });
        }
    }
    for (n, volume) in task.volumes.iter().enumerate() {
        let Some(source) = &volume.secret else { continue };
        let path = format!("spec.template.spec.volumes[{n}].secret");
        for (m, file) in names.files(source).into_iter().enumerate() {
            let field = match source.items.is_empty() {
                true => format!("{path}.secret_name"),
                false => format!("{path}.items[{m}].key"),
            };
            needs.push(SecretNeed { field, version: file.version });
        }
    }
    needs
}

/// The secret that a variable is set from.
pub(crate) fn selector(variable: &v1::EnvVar) -> Option<&v1::SecretKeySelector> {
    variable.value_from.as_ref()?.secret_key_ref.as_ref()
}

/// A path below a mount, without what says nothing.
pub(crate) fn clean(path: &str) -> String {
    let says = |part: &&str| !part.is_empty() && *part != ".";
    path.split('/').filter(says).collect::<Vec<_>>().join("/")
}

/// Where a container mounts several volumes of secrets at one path, they become one with the files of all.
pub(crate) fn join(containers: &mut [ContainerSpec], volumes: &mut Vec<VolumeSpec>) {
    for container in containers {
        let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for mount in &container.mounts {
            if files_of(volumes, &mount.volume).is_some() {
                places.entry(&mount.path).or_default().push(&mount.volume);
            }
        }
        let mut joined = Vec::new();
        for (path, names) in places.into_iter().filter(|(_, names)| names.len() > 1) {
            let files = names.iter().filter_map(|name| files_of(volumes, name)).flatten();
            // No name of a volume has a '+' in it.
            let volume = VolumeSpec {
                name: names.join("+"),
                kind: VolumeKind::Secret(files.cloned().collect()),
            };
            joined.push((path.to_owned(), volume));
        }
        for (path, volume) in joined {
            let is_one = |mount: &MountSpec| {
                mount.path == path && files_of(volumes, &mount.volume).is_some()
            };
            container.mounts.retain(|mount| !is_one(mount));
            let name = volume.name.clone();
            container.mounts.push(MountSpec { volume: name, path, read_only: false });
            if !volumes.contains(&volume) {
                volumes.push(volume);
            }
        }
    }
}

fn files_of<'volumes>(
    volumes: &'volumes [VolumeSpec],
    name: &str,
) -> Option<&'volumes [SecretFile]> {
    match &volumes.iter().find(|volume| volume.name == name)?.kind {
        VolumeKind::Secret(files) => Some(files),
        _ => None,
    }
}

/// A mode that is set: 0 is none.
fn given(mode: Option<i32>) -> Option<u32> {
    let mode = mode.and_then(|mode| u32::try_from(mode).ok()).filter(|mode| *mode != 0)?;
    Some(mode & 0o777 & !UMASK)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        id::AttemptId,
        needs::Needs,
        port::{AttemptSpec, EnvValue},
        samples::{CONTAINER, execution_of, job, least, with},
        template::TaskTemplate,
    };

    const VOLUMES: &str = "/spec/template/spec/template/spec/volumes";

    fn annotated(text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(ANNOTATION.to_owned(), text.to_owned())])
    }

    /// Field and resource name of each need.
    fn needed(document: Value) -> Vec<(String, String)> {
        let needs = Needs::of(&job(document));
        needs.secrets.iter().map(|need| (need.field.clone(), need.version.to_string())).collect()
    }

    #[test]
    fn an_alias_is_a_name_for_a_secret_of_another_project() {
        let text = "a:projects/123/secrets/S_1,b-2:projects/other-project/secrets/t";
        let (names, faults) = Names::of("acme", &annotated(text));
        assert_eq!(faults, []);
        let means = |name: &str| names.version(name, "7").to_string();
        assert_eq!(means("a"), "projects/123/secrets/S_1/versions/7");
        assert_eq!(means("b-2"), "projects/other-project/secrets/t/versions/7");
        assert_eq!(means("t"), "projects/acme/secrets/t/versions/7");
    }

    #[test]
    fn what_is_not_an_alias_is_told() {
        for bad in [
            "a",
            "a:projects/1/secrets/",
            "a:projects//secrets/s",
            ":projects/1/secrets/s",
            "a:projects/1/secrets/s/versions/1",
            "a b:projects/1/secrets/s",
            "a:secrets/s",
        ] {
            let (_, faults) =
                Names::of("acme", &annotated(&format!("ok:projects/1/secrets/s,{bad}")));
            assert_eq!(faults, [AliasFault::Form(bad.to_owned())]);
        }
        let (_, faults) =
            Names::of("acme", &annotated("a:projects/1/secrets/s,a:projects/1/secrets/s"));
        assert_eq!(faults, []);
        let (_, faults) =
            Names::of("acme", &annotated("a:projects/1/secrets/s,a:projects/1/secrets/t"));
        assert_eq!(faults, [AliasFault::Twice("a".to_owned())]);
    }

    #[test]
    fn a_job_needs_each_secret_where_it_stands() {
        let secret = |name: &str, key: &str| json!({"secretKeyRef": {"name": name, "key": key}});
        let document = with(
            least(),
            &format!("{CONTAINER}/env"),
            json!([
                {"name": "A", "value": "b"},
                {"name": "B", "valueFrom": secret("s", "latest")},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "t", "key": "1", "optional": true}}},
            ]),
        );
        let document = with(
            document,
            VOLUMES,
            json!([
                {"name": "v", "emptyDir": {}},
                {"name": "w", "secret": {"secretName": "t"}},
                {"name": "x", "secret": {"secretName": "s", "items": [
                    {"key": "1", "path": "a"}, {"key": "old", "path": "b/c"},
                ]}},
            ]),
        );
        let pointer = "/spec/template/metadata/annotations/run.googleapis.com~1secrets";
        let document = with(document, pointer, json!("t:projects/123/secrets/u"));
        let at = "spec.template.spec";
        let expected = [
            (
                format!("{at}.containers[0].env[1].value_from.secret_key_ref.name"),
                "projects/acme/secrets/s/versions/latest",
            ),
            (
                format!("{at}.volumes[1].secret.secret_name"),
                "projects/123/secrets/u/versions/latest",
            ),
            (format!("{at}.volumes[2].secret.items[0].key"), "projects/acme/secrets/s/versions/1"),
            (
                format!("{at}.volumes[2].secret.items[1].key"),
                "projects/acme/secrets/s/versions/old",
            ),
        ];
        let expected = expected.map(|(field, version)| (field, version.to_owned()));
        assert_eq!(needed(document), expected);
    }

    #[test]
    fn files_are_called_and_protected_as_asked() {
        let files = |source: Value| {
            let source: v1::SecretVolumeSource = serde_json::from_value(source).expect("a volume");
            let files = Names::default().files(&source);
            let line =
                |file: &SecretFile| (file.path.clone(), file.mode, file.version.version.clone());
            files.iter().map(line).collect::<Vec<_>>()
        };
        let line =
            |path: &str, mode: u32, version: &str| (path.to_owned(), mode, version.to_owned());
        assert_eq!(files(json!({"secretName": "s"})), [line("s", 0o444, "latest")]);
        assert_eq!(
            files(json!({"secretName": "s", "defaultMode": 0})),
            [line("s", 0o444, "latest")]
        );
        assert_eq!(
            files(json!({"secretName": "s", "defaultMode": 0o640})),
            [line("s", 0o440, "latest")]
        );
        let items = json!([
            {"key": "1", "path": "a", "mode": 0o700},
            {"key": "2", "path": "./b//c/"},
            {"key": "3", "path": "d", "mode": 0},
        ]);
        assert_eq!(
            files(json!({"secretName": "s", "defaultMode": 0o400, "items": items})),
            [line("a", 0o500, "1"), line("b/c", 0o400, "2"), line("d", 0o400, "3")]
        );
    }

    #[test]
    fn a_start_has_the_secrets_of_its_project_and_of_others() {
        let variable = |name: &str, optional: bool| {
            let selector = json!({"name": "s", "key": "1", "optional": optional});
            json!({"name": name, "valueFrom": {"secretKeyRef": selector}})
        };
        let env = json!([variable("A", false), variable("B", true)]);
        let document = with(least(), &format!("{CONTAINER}/env"), env);
        let volumes = json!([{"name": "v", "secret": {"secretName": "t"}}]);
        let document = with(document, VOLUMES, volumes);
        let mounts = json!([{"name": "v", "mountPath": "/s"}]);
        let document = with(document, &format!("{CONTAINER}/volumeMounts"), mounts);
        let pointer = "/spec/template/metadata/annotations/run.googleapis.com~1secrets";
        let document = with(document, pointer, json!("t:projects/123/secrets/u"));
        let AttemptSpec { containers, volumes, service_account, .. } = start(document);
        assert_eq!(service_account, "420000000042-compute@developer.gserviceaccount.com");
        let version = |project: &str, secret: &str, version: &str| SecretVersion {
            project: project.to_owned(),
            secret: secret.to_owned(),
            version: version.to_owned(),
        };
        let of = |name: &str| {
            let found = containers[0].env.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(of("A"), Some(EnvValue::Secret(version("acme", "s", "1"))));
        assert_eq!(of("B"), Some(EnvValue::OptionalSecret(version("acme", "s", "1"))));
        let file = SecretFile {
            path: "t".to_owned(),
            mode: 0o444,
            version: version("123", "u", "latest"),
        };
        assert_eq!(volumes[0].kind, VolumeKind::Secret(vec![file]));
    }

    #[test]
    fn secrets_that_are_mounted_at_one_path_are_there_together() {
        let volume = |name: &str| json!({"name": name, "secret": {"secretName": name}});
        let volumes = json!([volume("a"), volume("b"), volume("c"), {"name": "e", "emptyDir": {}}]);
        let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
        let mounts = json!([
            mount("a", "/s"),
            mount("e", "/e"),
            mount("b", "/s/"),
            mount("c", "/t"),
            mount("a", "/u")
        ]);
        let document =
            with(with(least(), VOLUMES, volumes), &format!("{CONTAINER}/volumeMounts"), mounts);
        let AttemptSpec { containers, volumes, .. } = start(document);
        let mounts = containers[0].mounts.iter();
        let mounts: Vec<_> = mounts.map(|mount| (&*mount.volume, &*mount.path)).collect();
        assert_eq!(mounts, [("e", "/e"), ("c", "/t"), ("a", "/u"), ("a+b", "/s")]);
        let files = files_of(&volumes, "a+b").expect("it is there");
        assert_eq!(files.iter().map(|file| &*file.path).collect::<Vec<_>>(), ["a", "b"]);
    }

    fn start(document: Value) -> AttemptSpec {
        let execution = execution_of(document);
        let template = TaskTemplate::of(&execution).expect("complete");
        let id = AttemptId { execution: execution.uid, task: 0, attempt: 0 };
        template.attempt(id, &["sha256:0".to_owned()])
    }
}
