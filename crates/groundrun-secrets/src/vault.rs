//! The port `Secrets` over the store: what a task that starts is given.

use std::sync::Arc;

use groundrun_api::{ApiError, Code, v1};
use groundrun_core::{
    needs::SecretVersion,
    port::{SecretFault, SecretFaultKind, SecretValue, Secrets},
    secret::SecretName,
};
use groundrun_store::{Store, StoreError};

use crate::{
    lookup::{self, Found, Held},
    names::{Shown, VersionId},
    policy,
    seal::{Place, Sealer},
};

/// A project that a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its number.
    pub number: String,
}

/// The project of an id or a number. `known` are the ids that have secrets.
pub type Projects = Arc<dyn Fn(&str, Vec<String>) -> Option<Project> + Send + Sync>;

/// Opens versions for service accounts that may read them.
pub struct Vault {
    store: Store,
    sealer: Arc<Sealer>,
    projects: Projects,
}

impl Vault {
    /// Over the secrets of `store`.
    #[must_use]
    pub fn new(store: Store, sealer: Arc<Sealer>, projects: Projects) -> Self {
        Self { store, sealer, projects }
    }

    /// What the version holds, still sealed, if `service_account` may have it.
    fn find(&self, wanted: &SecretVersion, service_account: &str) -> Found<Held> {
        let SecretVersion { project, secret, version } = wanted;
        self.store.read(|view| {
            let Some(found) = (self.projects)(project, view.secret_projects()?) else {
                let name = nobodys(wanted);
                return Ok(Err(lookup::secret_not_found(&Shown { number: project, name: &name })));
            };
            let name = SecretName { project: found.id, location: None, secret: secret.clone() };
            let shown = Shown { number: &found.number, name: &name };
            let Some(id) = VersionId::parse(version) else {
                let text = format!("Secret Version [{}] not found.", shown.version(version));
                return Ok(Err(ApiError::new(Code::NotFound, text)));
            };
            if let Some(secret) = view.secret(&name)?
                && let Some(policy) = view.secret_policy(secret.uid)?
                && !lets(&policy.json, &account(service_account, &found.number))
            {
                return Ok(Err(denied(&shown, version, &account(service_account, &found.number))));
            }
            lookup::held(view, &shown, &id)
        })
    }
}

impl Secrets for Vault {
    fn access(
        &self,
        version: &SecretVersion,
        service_account: &str,
    ) -> Result<SecretValue, SecretFault> {
        let found =
            self.find(version, service_account).map_err(|error| unreadable(version, &error))?;
        let held = found.map_err(fault)?;
        let name = &held.secret.name;
        let unavailable = |error: &dyn std::error::Error| {
            tracing::error!(%error, "a secret cannot be opened");
            let text = format!("Secret [{}] cannot be opened: {error}.", name.secret);
            SecretFault { kind: SecretFaultKind::Unavailable, message: text }
        };
        let key = self.sealer.key(held.key).map_err(|error| unavailable(&error))?;
        let place = Place { uid: held.secret.uid, name, version: held.version.number };
        key.open(&place, &held.sealed).map_err(|error| unavailable(&error))
    }
}

/// The one that Cloud Run takes where a job names none.
fn account(named: &str, project_number: &str) -> String {
    match named {
        "" => format!("{project_number}-compute@developer.gserviceaccount.com"),
        named => named.to_owned(),
    }
}

/// A policy that cannot be read lets nobody.
fn lets(policy: &str, account: &str) -> bool {
    serde_json::from_str::<v1::Policy>(policy).is_ok_and(|policy| policy::lets(&policy, account))
}

fn nobodys(SecretVersion { project, secret, .. }: &SecretVersion) -> SecretName {
    SecretName { project: project.clone(), location: None, secret: secret.clone() }
}

/// In the words of Cloud Run (fact: semantics 3.4).
fn denied(shown: &Shown<'_>, version: &str, account: &str) -> ApiError {
    let text = format!(
        "Permission denied on secret: {} for Revision service account {account}. The service account used must be \
         granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the secret, project \
         or higher level.",
        shown.version(version)
    );
    ApiError::new(Code::PermissionDenied, text)
}

fn fault(refusal: ApiError) -> SecretFault {
    let kind = match refusal.status {
        Code::NotFound => SecretFaultKind::Missing,
        Code::FailedPrecondition => SecretFaultKind::Disabled,
        Code::PermissionDenied => SecretFaultKind::Denied,
        _ => SecretFaultKind::Unavailable,
    };
    SecretFault { kind, message: refusal.message }
}

fn unreadable(version: &SecretVersion, error: &StoreError) -> SecretFault {
    tracing::error!(%error, "a secret cannot be read");
    let text = format!("Secret [{}] cannot be read: {error}.", version.secret);
    SecretFault { kind: SecretFaultKind::Unavailable, message: text }
}
