//! Binary authorization: by which policies the images of a job may run, as its annotations say.

use std::collections::BTreeMap;

use super::Authorization;

/// Names a policy.
const POLICY: &str = "run.googleapis.com/binary-authorization";

/// Why the policy is not to be heeded.
pub(crate) const BREAKGLASS: &str = "run.googleapis.com/binary-authorization-breakglass";

type Map = BTreeMap<String, String>;

fn value<'a>(annotations: &'a Map, key: &str) -> Option<&'a str> {
    annotations.get(key).map(String::as_str).filter(|text| !text.is_empty())
}

/// What the annotations of a job and of its template ask for; nothing where they name no policy.
pub(crate) fn authorization(
    job: &Map,
    template: &Map,
    images: impl Iterator<Item = String>,
) -> Option<Authorization> {
    let mut policies: Vec<String> =
        [job, template].iter().filter_map(|map| value(map, POLICY)).map(str::to_owned).collect();
    policies.dedup();
    (!policies.is_empty()).then(|| Authorization {
        policies,
        breakglass: value(job, BREAKGLASS).map(str::to_owned),
        images: images.collect(),
    })
}

/// Whether the glass is to be broken without one.
pub(crate) fn breaks_nothing(job: &Map) -> bool {
    value(job, BREAKGLASS).is_some() && value(job, POLICY).is_none()
}

/// Whether the annotations of two versions of a job ask for the same.
pub(crate) fn is_same(one: &Map, other: &Map) -> bool {
    [POLICY, BREAKGLASS].iter().all(|key| value(one, key) == value(other, key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        needs::Needs,
        samples::{job, least, with},
    };

    #[test]
    fn a_policy_is_named_by_the_job_or_by_its_template() {
        for metadata in ["/metadata", "/spec/template/metadata"] {
            let place = format!("{metadata}/annotations/{}", POLICY.replace('/', "~1"));
            let needs = Needs::of(&job(with(least(), &place, json!("default"))));
            let asked = needs.authorization.expect("it is named");
            assert_eq!((asked.policies, asked.images.len()), (vec!["default".to_owned()], 1));
        }
    }

    fn map(entries: &[(&str, &str)]) -> Map {
        entries.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn every_policy_that_is_named_is_asked_about_once() {
        let of = |job: &[(&str, &str)], template: &[(&str, &str)]| {
            let images = ["a".to_owned(), "b".to_owned()].into_iter();
            authorization(&map(job), &map(template), images)
        };
        assert_eq!(of(&[], &[]), None);
        assert_eq!(of(&[(POLICY, "")], &[]), None);
        let both = of(&[(POLICY, "default"), (BREAKGLASS, "a fire")], &[(POLICY, "default")]);
        let expected = Authorization {
            policies: vec!["default".to_owned()],
            breakglass: Some("a fire".to_owned()),
            images: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(both, Some(expected));
        let two = of(&[(POLICY, "one")], &[(POLICY, "two")]).expect("they are named");
        assert_eq!(two.policies, ["one", "two"]);
    }
}
