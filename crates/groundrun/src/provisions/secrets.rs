//! Whether tasks may have the secrets that their job names: Google's check at create and replace, a line for each that they
//! may not.

use groundrun_core::{
    needs::{Needs, SecretNeed},
    outcome,
    port::{NeedFault, NeedKind, Secrets},
};

/// Asks for each, and keeps nothing of what they hold.
pub(super) fn check(secrets: &dyn Secrets, needs: &Needs) -> Result<(), NeedFault> {
    let account = needs.service_account.as_str();
    let line = |SecretNeed { field, version }: &SecretNeed| {
        let fault = secrets.access(version, account).err()?;
        Some(format!("{field}: {}", outcome::secret_fault(version, account, &fault)))
    };
    let lines: Vec<_> = needs.secrets.iter().filter_map(line).collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(NeedFault { kind: NeedKind::Secret, message: lines.join("\n") })
}

#[cfg(test)]
mod tests {
    use groundrun_core::{
        needs::SecretVersion,
        port::{SecretFault, SecretFaultKind, SecretValue},
    };

    use super::*;

    /// There is a version 1 of each; nobody may have a version 2.
    struct Ones;

    impl Secrets for Ones {
        fn access(&self, version: &SecretVersion, _: &str) -> Result<SecretValue, SecretFault> {
            let kind = match version.version.as_str() {
                "1" => return Ok(SecretValue::new(Vec::new())),
                "2" => SecretFaultKind::Denied,
                _ => SecretFaultKind::Missing,
            };
            Err(SecretFault { kind, message: String::new() })
        }
    }

    fn needs(versions: &[&str]) -> Needs {
        let need = |version: &&str| SecretNeed {
            field: format!("field.of.{version}"),
            version: SecretVersion {
                project: "42".to_owned(),
                secret: "s".to_owned(),
                version: (*version).to_owned(),
            },
        };
        let secrets = versions.iter().map(need).collect();
        Needs { service_account: "sa@p".to_owned(), secrets, ..Needs::default() }
    }

    #[test]
    fn every_secret_that_cannot_be_had_is_told_with_its_field() {
        assert_eq!(check(&Ones, &needs(&["1", "1"])), Ok(()));
        let fault = check(&Ones, &needs(&["1", "2", "latest"])).expect_err("two are not there");
        assert_eq!(fault.kind, NeedKind::Secret);
        assert_eq!(
            fault.message,
            "field.of.2: Permission denied on secret: projects/42/secrets/s/versions/2 for Revision service account \
             sa@p. The service account used must be granted the 'Secret Manager Secret Accessor' role \
             (roles/secretmanager.secretAccessor) at the secret, project or higher level.\n\
             field.of.latest: Secret projects/42/secrets/s/versions/latest was not found"
        );
    }
}
