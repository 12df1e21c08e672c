//! Secrets in variables and in volumes, and the names of those of other projects (fact: semantics 2.3, 2.4; paths and modes:
//! the discovery document).

use std::collections::{BTreeMap, BTreeSet};

use groundrun_api::v1::{Container, EnvVar, KeyToPath, SecretVolumeSource, Volume};

use super::{faults::Faults, task::TASK, volume};
use crate::needs::secrets::{self, ANNOTATION, AliasFault, Names};

const ANNOTATIONS: &str = "spec.template.metadata.annotations";

/// Files of a volume. Ours: Google names no number, and each is a secret that every attempt reads.
const ITEMS_MAX: usize = 100;
/// Of a file's path below its mount, and of one name in it, as the kernel has them.
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

type Map = BTreeMap<String, String>;

/// Checks what the template's annotation says about names.
pub(super) fn names(annotations: &Map, faults: &mut Faults) {
    for fault in Names::of("", annotations).1 {
        faults.add(
            ANNOTATIONS,
            match fault {
                AliasFault::Form(entry) => format!(
                    "Annotation '{ANNOTATION}': '{entry}' must conform to \
                     <alias>:projects/<project>/secrets/<secret>"
                ),
                AliasFault::Twice(alias) => {
                    format!("Annotation '{ANNOTATION}': '{alias}' stands for two secrets")
                }
            },
        );
    }
}

/// Checks what the containers of a task take from secrets as files.
pub(super) fn files(volumes: &[Volume], containers: &[Container], faults: &mut Faults) {
    for (n, volume) in volumes.iter().enumerate() {
        if let Some(source) = &volume.secret {
            source_of(&format!("{TASK}.volumes[{n}].secret"), source, faults);
        }
    }
    for (n, container) in containers.iter().enumerate() {
        together(&format!("{TASK}.containers[{n}].volume_mounts"), container, volumes, faults);
    }
}

fn source_of(path: &str, source: &SecretVolumeSource, faults: &mut Faults) {
    mode(&format!("{path}.default_mode"), source.default_mode, faults);
    match source.secret_name.as_deref().unwrap_or_default() {
        "" => faults.add(format!("{path}.secret"), "must be set"),
        name => is_secret(&format!("{path}.secret"), name, faults),
    }
    if source.items.len() > ITEMS_MAX {
        faults.add(format!("{path}.items"), format!("must be at most {ITEMS_MAX} items"));
    }
    for (n, one) in source.items.iter().enumerate() {
        item(&format!("{path}.items[{n}]"), one, faults);
    }
    for fault in collisions(Names::default().files(source).iter().map(|file| &*file.path)) {
        faults.add(format!("{path}.items"), fault);
    }
}

fn item(path: &str, item: &KeyToPath, faults: &mut Faults) {
    is_version(&format!("{path}.version"), item.key.as_deref().unwrap_or_default(), faults);
    let field = format!("{path}.path");
    let place = item.path.as_deref().unwrap_or_default();
    if secrets::clean(place).is_empty() {
        faults.add(field, "must be set");
    } else if place.starts_with(['/'])
        || place.starts_with("..")
        || place.split('/').any(|part| part == "..")
    {
        faults.add(
            field,
            "must be a relative path, must not contain the element '..' and must not start with '..'",
        );
    } else if place.contains('\0')
        || place.len() >= PATH_MAX
        || place.split('/').any(|part| part.len() > NAME_MAX)
    {
        faults.add(field, "must be a valid unix path");
    }
    mode(&format!("{path}.mode"), item.mode, faults);
}

fn mode(field: &str, given: Option<i32>, faults: &mut Faults) {
    if given.is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        faults.add(field, "if present, must be a supported unix chmod bitmask");
    }
}

/// Volumes of secrets that a container mounts at one path are there together, so their files must not meet.
fn together(field: &str, container: &Container, volumes: &[Volume], faults: &mut Faults) {
    let mut places: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for mount in &container.volume_mounts {
        let volume = volumes.iter().find(|volume| volume.name == mount.name);
        let Some(source) = volume.and_then(|volume| volume.secret.as_ref()) else { continue };
        let place = volume::clean(mount.mount_path.as_deref().unwrap_or_default());
        let (count, paths) = places.entry(place).or_default();
        *count += 1;
        paths.extend(Names::default().files(source).into_iter().map(|file| file.path));
    }
    for (place, (_, paths)) in places.iter().filter(|(_, (count, _))| *count > 1) {
        for fault in collisions(paths.iter().map(String::as_str)) {
            faults.add(field, format!("Secrets mounted at {place}: {fault}"));
        }
    }
}

/// Paths that are there twice, and files that would have to be directories too.
fn collisions<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for path in paths {
        if !seen.insert(path) {
            twice.insert(path);
        }
    }
    let above = |path: &str| {
        let ends = path.match_indices('/').map(|(end, _)| end);
        ends.filter_map(|end| seen.get(&path[..end]).copied()).next()
    };
    let twice = twice.iter().map(|path| format!("Duplicate path '{path}'"));
    let inside = seen.iter().filter_map(|path| {
        above(path).map(|above| format!("'{above}' is a file, and '{path}' would be inside"))
    });
    twice.chain(inside).collect()
}

/// Checks the variables of a container, or of an override of one, that come from secrets.
pub(super) fn variables(path: &str, given: &[EnvVar], faults: &mut Faults) {
    for (n, one) in given.iter().enumerate() {
        variable(&format!("{path}.env[{n}]"), one, faults);
    }
    // Of a name that only has values the last counts (fact: the discovery document).
    let count = |name: &str| given.iter().filter(|one| one.name.as_deref() == Some(name)).count();
    let secret = given.iter().filter(|one| secrets::selector(one).is_some());
    let names: BTreeSet<_> = secret.filter_map(|one| one.name.as_deref()).collect();
    let twice: Vec<_> = names.into_iter().filter(|name| count(name) > 1).collect();
    if !twice.is_empty() {
        let names = twice.join(", ");
        faults.add(
            format!("{path}.env"),
            format!("names that reference a secret must be unique in a container: {names}"),
        );
    }
}

fn variable(path: &str, variable: &EnvVar, faults: &mut Faults) {
    let Some(source) = &variable.value_from else { return };
    if variable.value.as_deref().is_some_and(|value| !value.is_empty()) {
        faults.add(path, "may not have both value and value_from");
    }
    if source.config_map_key_ref.is_some() {
        faults
            .add(format!("{path}.value_from.config_map_key_ref"), "is not supported by Cloud Run.");
    }
    if let Some(selector) = &source.secret_key_ref {
        let path = format!("{path}.value_from.secret_key_ref");
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        is_secret(&format!("{path}.secret"), &text(&selector.name), faults);
        is_version(&format!("{path}.version"), &text(&selector.key), faults);
    }
}

fn is_secret(field: &str, name: &str, faults: &mut Faults) {
    if !secrets::is_name(name) {
        faults.add(
            field,
            "may only be letters, digits, hyphens and underscores, at most 255 characters",
        );
    }
}

fn is_version(field: &str, key: &str, faults: &mut Faults) {
    if !secrets::is_version(key) {
        faults.add(field, "should have only alphanumeric characters, hyphens and underscores");
    }
}
