//! The order in which containers start: annotation `run.googleapis.com/container-dependencies`, a JSON map from a name to
//! the names of those that must have started before (fact: semantics 2.3, gcloud-wire B).

use std::collections::BTreeMap;

use groundrun_api::v1::Container;

use super::faults::Faults;

const FIELD: &str = "spec.template.metadata.annotations";

/// The annotation of a template and of executions.
const KEY: &str = "run.googleapis.com/container-dependencies";

/// Names, and whom each waits for.
pub(crate) type Dependencies = BTreeMap<String, Vec<String>>;

/// The dependencies that `annotations` names; none where the annotation is absent or empty.
///
/// # Errors
/// It is not a JSON map from names to lists of names.
pub(crate) fn dependencies(
    annotations: &BTreeMap<String, String>,
) -> Result<Dependencies, serde_json::Error> {
    match annotations.get(KEY).filter(|text| !text.is_empty()) {
        Some(text) => serde_json::from_str(text),
        None => Ok(Dependencies::new()),
    }
}

/// Checks the annotation against the task's containers.
pub(super) fn check(
    annotations: &BTreeMap<String, String>,
    containers: &[Container],
    faults: &mut Faults,
) {
    let Ok(map) = dependencies(annotations) else {
        faults
            .add(FIELD, "container-dependencies: must be a JSON map from names to lists of names");
        return;
    };
    // An unnamed container gets a name later, and the annotation cannot mean it.
    let named = |one: &Container, name: &str| !name.is_empty() && one.name.as_deref() == Some(name);
    let position = |name: &str| containers.iter().position(|one| named(one, name));
    for (name, needed) in &map {
        let Some(index) = position(name) else {
            faults.add(FIELD, format!("container-dependencies: container '{name}' does not exist"));
            continue;
        };
        let field = format!("spec.template.spec.containers[{index}].depends_on");
        for other in needed {
            match position(other).map(|n| &containers[n]) {
                None => faults.add(&field, format!("Dependent container '{other}' does not exist")),
                Some(one) if one.startup_probe.is_none() => faults.add(
                    &field,
                    format!("Dependent container '{other}' must have startup probe specified"),
                ),
                Some(_) => {}
            }
        }
    }
    if has_cycle(map) {
        faults.add(FIELD, "container-dependencies: dependency cycle detected");
    }
}

/// Whether somebody waits for itself, at whatever remove: takes away who waits for nobody until nobody can be taken.
pub(crate) fn has_cycle(mut waits: Dependencies) -> bool {
    loop {
        let before = waits.len();
        let waiting: Vec<String> = waits.keys().cloned().collect();
        waits.retain(|_, needed| needed.iter().any(|name| waiting.contains(name)));
        if waits.len() == before {
            return before > 0;
        }
    }
}
