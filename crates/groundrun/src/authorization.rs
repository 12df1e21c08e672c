//! Settings of binary authorization: `[binary_authorization.POLICY]`, and what each lets run. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::exit::Stop;

/// Policies by their names.
pub(crate) type Policies = BTreeMap<String, Policy>;

/// What may run: images that jobs write so.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// Each is the beginning of a reference, whole parts of it, or a digest (`sha256:…`).
    images: Vec<String>,
}

impl Policy {
    /// Whether it lets the image run.
    pub(crate) fn allows(&self, image: &str) -> bool {
        self.images.iter().any(|entry| allows(entry, image))
    }

    /// What it lets run, for a person.
    pub(crate) fn allowed(&self) -> String {
        self.images.join(", ")
    }
}

fn allows(entry: &str, image: &str) -> bool {
    if entry.starts_with("sha256:") {
        return image.rsplit_once('@').is_some_and(|(_, digest)| digest == entry);
    }
    // A path of a directory must not lead out again.
    let leads_elsewhere = image.split(['/', ':']).any(|part| part == "..");
    let ends_a_part =
        |rest: &str| entry.ends_with('/') || rest.is_empty() || rest.starts_with(['/', ':', '@']);
    !leads_elsewhere && image.strip_prefix(entry).is_some_and(ends_a_part)
}

/// The policies as they may be.
pub(crate) fn checked(policies: &Policies) -> Result<Policies, Stop> {
    for (name, policy) in policies {
        if policy.images.iter().any(String::is_empty) {
            return Err(Stop::bad_input(format!(
                "binary_authorization.{name}: images: an empty text is the beginning of every reference"
            )));
        }
    }
    Ok(policies.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(images: &[&str]) -> Policy {
        Policy { images: images.iter().map(|&image| image.to_owned()).collect() }
    }

    #[test]
    fn an_image_is_allowed_by_whole_parts_of_its_reference_or_by_its_digest() {
        let digest = format!("sha256:{}", "7".repeat(64));
        let policy = policy(&["registry.example/acme", "oci:/images/", &digest]);
        for image in [
            "registry.example/acme/app:1".to_owned(),
            "registry.example/acme:1".to_owned(),
            "registry.example/acme@sha256:0".to_owned(),
            "registry.example/acme".to_owned(),
            "oci:/images/app".to_owned(),
            format!("anywhere/app@{digest}"),
        ] {
            assert!(policy.allows(&image), "{image}");
        }
        for image in [
            "registry.example/acme-evil/app".to_owned(),
            "registry.example".to_owned(),
            "evil.example/registry.example/acme".to_owned(),
            "registry.example/acme/../other/app".to_owned(),
            "oci:/images/../etc".to_owned(),
            format!("anywhere/app:{digest}"),
            format!("anywhere/app@{digest}0"),
        ] {
            assert!(!policy.allows(&image), "{image}");
        }
    }

    #[test]
    fn a_policy_that_allows_everything_by_mistake_is_refused() {
        let policies = [("default".to_owned(), policy(&["a", ""]))].into();
        let Err(stop) = checked(&policies) else { panic!("it is refused") };
        assert!(stop.lines.join(" ").contains("binary_authorization.default"));
    }
}
