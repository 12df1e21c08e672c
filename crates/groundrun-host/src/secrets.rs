//! What an attempt takes from secrets: fetched when it starts, once for all its containers, and kept no longer than the start.

use std::collections::BTreeMap;

use groundrun_core::{
    needs::SecretVersion,
    outcome,
    port::{AttemptSpec, EnvValue, SecretFault, SecretFaultKind, SecretValue, Secrets, VolumeKind},
    record::Fault,
};

/// What all secrets of an attempt may hold together: in memory twice while it starts, and its files as long as it runs.
const BYTES_MAX: usize = 16 << 20;

/// A server without secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn access(&self, version: &SecretVersion, _: &str) -> Result<SecretValue, SecretFault> {
        let SecretVersion { project, secret, .. } = version;
        let message = format!("Secret [projects/{project}/secrets/{secret}] not found.");
        Err(SecretFault { kind: SecretFaultKind::Missing, message })
    }
}

/// What was fetched, by the places by which a launch names it.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    values: Vec<SecretValue>,
    /// `None`: it is not there, and need not be.
    places: BTreeMap<SecretVersion, Option<usize>>,
}

/// Why an attempt is not started. Every fault, without what any secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchFault {
    pub(crate) whose: Fault,
    pub(crate) why: String,
}

impl Fetched {
    /// Fetches all that `spec` names. The same version holds the same for all of its uses, also where it is `latest`.
    ///
    /// # Errors
    /// When something cannot be had, or cannot be a variable.
    pub(crate) fn of(spec: &AttemptSpec, secrets: &dyn Secrets) -> Result<Self, FetchFault> {
        let mut fetched = Self::default();
        let mut faults = Vec::new();
        let (mut whose, mut bytes) = (Fault::Theirs, 0);
        for (version, need) in uses(spec) {
            if fetched.places.contains_key(version) {
                continue;
            }
            let place = match secrets.access(version, &spec.service_account) {
                Ok(value) => {
                    bytes += value.bytes().len();
                    fetched.values.push(value);
                    Some(fetched.values.len() - 1)
                }
                Err(SecretFault { kind: SecretFaultKind::Missing, .. })
                    if need == Need::Optional =>
                {
                    None
                }
                Err(fault) => {
                    if fault.kind == SecretFaultKind::Unavailable {
                        whose = Fault::Ours;
                    }
                    faults.push(outcome::secret_fault(version, &spec.service_account, &fault));
                    None
                }
            };
            fetched.places.insert(version.clone(), place);
        }
        if bytes > BYTES_MAX {
            faults.push(format!("all secrets together hold more than {BYTES_MAX} bytes"));
        }
        faults.extend(fetched.unfit(spec));
        if faults.is_empty() {
            return Ok(fetched);
        }
        Err(FetchFault { whose, why: faults.join("; ") })
    }

    /// Where the version is; `None` where it is not there, and need not be.
    pub(crate) fn place(&self, version: &SecretVersion) -> Option<usize> {
        self.places.get(version).copied().flatten()
    }

    /// What is at the places, for the shim alone.
    pub(crate) fn sealed(&self) -> Vec<&[u8]> {
        self.values.iter().map(SecretValue::bytes).collect()
    }

    /// What the variables of `spec` cannot hold.
    fn unfit(&self, spec: &AttemptSpec) -> Vec<String> {
        let variables = spec.containers.iter().flat_map(|container| &container.env);
        let unfit = |(name, value): &(String, EnvValue)| {
            let version = version_of(value)?.0;
            let bytes = self.values.get(self.place(version)?)?.bytes();
            let what = match std::str::from_utf8(bytes) {
                Err(_) => "is not UTF-8 text",
                Ok(text) if text.contains('\0') => "has a NUL character in it",
                Ok(_) => return None,
            };
            Some(format!(
                "Secret {version} cannot be environment variable {name}: what it holds {what}. Mount it as a file."
            ))
        };
        variables.filter_map(unfit).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

/// Those that must be there first: where one is both, it must.
fn uses(spec: &AttemptSpec) -> Vec<(&SecretVersion, Need)> {
    let variables = spec.containers.iter().flat_map(|container| &container.env);
    let variables = variables.filter_map(|(_, value)| version_of(value));
    let files = spec.volumes.iter().flat_map(|volume| match &volume.kind {
        VolumeKind::Secret(files) => files.as_slice(),
        _ => &[],
    });
    let mut uses: Vec<_> =
        variables.chain(files.map(|file| (&file.version, Need::Required))).collect();
    uses.sort_by_key(|(_, need)| *need == Need::Optional);
    uses
}

fn version_of(value: &EnvValue) -> Option<(&SecretVersion, Need)> {
    match value {
        EnvValue::Literal(_) => None,
        EnvValue::Secret(version) => Some((version, Need::Required)),
        EnvValue::OptionalSecret(version) => Some((version, Need::Optional)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use groundrun_core::port::{ContainerSpec, SecretFile, VolumeSpec};

    use super::*;

    /// Versions whose name says what comes of them.
    struct Named;

    impl Secrets for Named {
        fn access(
            &self,
            version: &SecretVersion,
            account: &str,
        ) -> Result<SecretValue, SecretFault> {
            assert_eq!(account, "sa");
            let kind = match version.version.as_str() {
                "missing" => SecretFaultKind::Missing,
                "disabled" => SecretFaultKind::Disabled,
                "denied" => SecretFaultKind::Denied,
                "broken" => SecretFaultKind::Unavailable,
                "binary" => return Ok(SecretValue::new(vec![0xff])),
                "nul" => return Ok(SecretValue::new(vec![0])),
                "large" => return Ok(SecretValue::new(vec![b'x'; BYTES_MAX])),
                text => return Ok(SecretValue::new(text.as_bytes().to_vec())),
            };
            Err(SecretFault { kind, message: "why.".to_owned() })
        }
    }

    fn version(version: &str) -> SecretVersion {
        SecretVersion { project: "p".into(), secret: "s".into(), version: version.to_owned() }
    }

    fn spec(env: Vec<EnvValue>, files: &[&str]) -> AttemptSpec {
        let env = env.into_iter().map(|value| ("A".to_owned(), value)).collect();
        let file =
            |key: &&str| SecretFile { path: (*key).to_owned(), mode: 0o444, version: version(key) };
        AttemptSpec {
            id: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/0-0".parse().expect("it is an id"),
            hostname: String::new(),
            service_account: "sa".to_owned(),
            containers: vec![ContainerSpec { env, ..ContainerSpec::default() }],
            volumes: vec![VolumeSpec {
                name: "v".to_owned(),
                kind: VolumeKind::Secret(files.iter().map(file).collect()),
            }],
            connection: None,
            timeout: Duration::from_secs(1),
            grace: Duration::from_secs(1),
        }
    }

    fn required(key: &str) -> EnvValue {
        EnvValue::Secret(version(key))
    }

    fn fault(env: Vec<EnvValue>, files: &[&str]) -> FetchFault {
        Fetched::of(&spec(env, files), &Named).expect_err("it is refused")
    }

    #[test]
    fn each_version_is_fetched_once_and_has_a_place() {
        let spec = spec(vec![required("1"), required("2"), "b".into()], &["2", "3"]);
        let fetched = Fetched::of(&spec, &Named).expect("all are there");
        assert_eq!(fetched.sealed(), [b"1", b"2", b"3"]);
        assert_eq!(fetched.place(&version("3")), Some(2));
        assert!(
            format!("{fetched:?}").contains("[SecretValue(..), SecretValue(..), SecretValue(..)]")
        );
    }

    #[test]
    fn what_is_not_there_and_need_not_be_has_no_place() {
        let optional = |key: &str| EnvValue::OptionalSecret(version(key));
        let spec = spec(vec![optional("missing"), optional("1")], &[]);
        let fetched = Fetched::of(&spec, &Named).expect("nothing else is missing");
        assert_eq!(
            (fetched.place(&version("missing")), fetched.place(&version("1"))),
            (None, Some(0))
        );
        let fault = fault(vec![optional("missing"), required("missing")], &[]);
        assert_eq!(fault.why, "Secret projects/p/secrets/s/versions/missing was not found");
    }

    #[test]
    fn every_fault_is_told_in_googles_words() {
        let FetchFault { whose, why } = fault(vec![required("denied")], &["missing", "disabled"]);
        assert_eq!(whose, Fault::Theirs);
        assert_eq!(
            why,
            "Permission denied on secret: projects/p/secrets/s/versions/denied for Revision service account sa. The \
             service account used must be granted the 'Secret Manager Secret Accessor' role \
             (roles/secretmanager.secretAccessor) at the secret, project or higher level.; \
             Secret projects/p/secrets/s/versions/missing was not found; \
             Secret projects/p/secrets/s/versions/disabled cannot be accessed: why."
        );
        assert_eq!(fault(vec![required("broken")], &["missing"]).whose, Fault::Ours);
    }

    #[test]
    fn a_variable_is_text_and_a_file_is_anything() {
        Fetched::of(&spec(vec![], &["binary", "nul"]), &Named).expect("files hold anything");
        for (key, what) in [("binary", "is not UTF-8 text"), ("nul", "has a NUL character in it")] {
            assert_eq!(
                fault(vec![required(key)], &[]).why,
                format!(
                    "Secret projects/p/secrets/s/versions/{key} cannot be environment variable A: what it holds {what}. \
                     Mount it as a file."
                )
            );
        }
    }

    #[test]
    fn what_secrets_hold_together_is_bounded() {
        Fetched::of(&spec(vec![], &["large"]), &Named).expect("just so much");
        assert!(fault(vec![], &["large", "1"]).why.contains("more than 16777216 bytes"));
    }
}
