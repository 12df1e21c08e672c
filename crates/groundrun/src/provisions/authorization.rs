//! Whether the images of a job may run by the policies that it names.

use groundrun_core::{
    needs::Authorization,
    port::{NeedFault, NeedKind},
};

use crate::authorization::{Policies, Policy};

/// Looks at every image.
///
/// # Errors
/// The first policy that is not known, or the first image that one of them does not let run.
pub(super) fn check(policies: &Policies, wanted: &Authorization) -> Result<(), NeedFault> {
    for name in &wanted.policies {
        let last = name.rsplit('/').next().unwrap_or(name);
        let policy = policies
            .get(name)
            .or_else(|| policies.get(last))
            .ok_or_else(|| NeedFault { kind: NeedKind::Policy, message: unknown(name, last) })?;
        let Some(image) = wanted.images.iter().find(|image| !policy.allows(image)) else {
            continue;
        };
        match &wanted.breakglass {
            Some(why) => {
                tracing::warn!(
                    policy = name,
                    image,
                    why,
                    "binary authorization: the glass is broken"
                );
            }
            None => {
                let message = refused(image, name, policy);
                return Err(NeedFault { kind: NeedKind::Authorization, message });
            }
        }
    }
    Ok(())
}

fn unknown(name: &str, last: &str) -> String {
    let bare = last.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let key = if bare { last.to_owned() } else { format!("{last:?}") };
    format!(
        "Binary authorization policy '{name}' is not known here. Add to the server's settings file, with what may run:\n\
         [binary_authorization.{key}]\n\
         images = [\"us-docker.pkg.dev/my-project/\"] # beginnings of references, or digests"
    )
}

fn refused(image: &str, name: &str, policy: &Policy) -> String {
    format!(
        "Container image '{image}' is not authorized by policy '{name}', which allows: {}. Use one of these, or break \
         the glass with a reason (gcloud: --breakglass).",
        policy.allowed()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(policies: &Policies, name: &str, breakglass: Option<&str>) -> Result<(), NeedFault> {
        let wanted = Authorization {
            policies: vec![name.to_owned()],
            breakglass: breakglass.map(str::to_owned),
            images: vec!["good/app".to_owned(), "bad/app".to_owned()],
        };
        check(policies, &wanted)
    }

    fn policies(text: &str) -> Policies {
        toml::from_str(text).expect("good settings")
    }

    #[test]
    fn an_image_runs_by_the_policy_or_with_the_glass_broken() {
        let strict = policies("[default]\nimages = [\"good/\"]");
        let fault = asked(&strict, "default", None).expect_err("one is not allowed");
        assert_eq!(fault.kind, NeedKind::Authorization);
        assert!(fault.message.contains("'bad/app'") && fault.message.contains("good/"));
        assert_eq!(asked(&strict, "default", Some("a fire")), Ok(()));
        let kind = policies("[default]\nimages = [\"good/\", \"bad\"]");
        assert_eq!(asked(&kind, "default", None), Ok(()));
        assert_eq!(asked(&kind, "projects/p/platforms/cloudRun/policies/default", None), Ok(()));
    }

    #[test]
    fn a_policy_that_is_not_known_is_told_with_the_lines_to_add() {
        for breakglass in [None, Some("a fire")] {
            let fault = asked(&Policies::new(), "default", breakglass).expect_err("not known");
            assert_eq!(fault.kind, NeedKind::Policy);
            let lines: Vec<&str> = fault.message.lines().skip(1).collect();
            let file: toml::Table = toml::from_str(&lines.join("\n")).expect("they are settings");
            assert!(file["binary_authorization"]["default"]["images"].is_array());
        }
    }
}
