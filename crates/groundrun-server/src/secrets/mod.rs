//! `secretmanager.googleapis.com/v1`: secrets, their versions, and what those hold. Global and regional ones alike.

mod access;
mod add;
mod create;
mod delete;
mod filter;
mod get;
mod list;
mod patch;
mod policy;
mod refused;
mod state;
mod versions;

pub(crate) use access::access;
pub(crate) use add::add;
pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use get::get;
pub(crate) use list::list;
pub(crate) use patch::patch;
pub(crate) use policy::{get as get_policy, set as set_policy, test as test_permissions};
pub(crate) use state::{State, set as set_state};
pub(crate) use versions::{get as get_version, list as list_versions};

use groundrun_api::{
    ApiError, Code,
    secretmanager::{self as wire, Automatic, Replica, UserManaged},
};
use groundrun_core::{
    record::Revision,
    secret::{Replication, Secret, SecretName, Version, VersionState},
};
use groundrun_secrets::{KeyFault, Shown, VersionId, names::is_secret_id};
use serde::Deserialize;

use crate::{
    app::App,
    error::{Outcome, Refusal},
};

/// What a path of this API may name.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Path {
    pub(crate) project: String,
    pub(crate) location: Option<String>,
    #[serde(default)]
    pub(crate) secret: String,
    #[serde(default)]
    pub(crate) version: String,
}

impl Path {
    /// The same, of a secret whose name had a verb behind it.
    pub(crate) fn of(&self, secret: &str) -> Self {
        Self { secret: secret.to_owned(), ..self.clone() }
    }

    /// The same, of a version whose name had a verb behind it.
    pub(crate) fn of_version(&self, version: &str) -> Self {
        Self { version: version.to_owned(), ..self.clone() }
    }
}

/// A secret, and the number of its project.
#[derive(Clone, Debug)]
struct Named {
    name: SecretName,
    number: String,
}

impl Named {
    /// The secret of a path.
    fn of(app: &App, path: &Path) -> Outcome<Self> {
        let named = Self::new(app, path, &path.secret)?;
        if is_secret_id(&path.secret) {
            return Ok(named);
        }
        let text = format!("Resource ID [{}] is not in a valid format.", named.shown().secret());
        Err(Refusal::invalid(text))
    }

    /// The secret of this id in the project and the location of a path.
    fn new(app: &App, path: &Path, id: &str) -> Outcome<Self> {
        let context = app.context(&path.project)?;
        if let Some(location) = &path.location
            && !crate::place::is_region(location)
        {
            return Err(Refusal::invalid(format!("'{location}' is not a location of secrets")));
        }
        let name = SecretName {
            project: context.project,
            location: path.location.clone(),
            secret: id.to_owned(),
        };
        Ok(Self { name, number: context.number })
    }

    fn shown(&self) -> Shown<'_> {
        Shown { number: &self.number, name: &self.name }
    }

    /// The version of a path.
    fn version(&self, path: &Path) -> Outcome<VersionId> {
        VersionId::parse(&path.version).ok_or_else(|| self.no_version_id(&path.version))
    }

    fn no_version_id(&self, version: &str) -> Refusal {
        let name = self.shown().version(version);
        Refusal::invalid(format!("Resource ID [{name}] is not in a valid format."))
    }

    /// A secret as the API gives it.
    fn secret(&self, secret: &Secret) -> wire::Secret {
        let shown = Shown { number: &self.number, name: &secret.name };
        wire::Secret {
            name: Some(shown.secret()),
            replication: replication(&secret.replication),
            create_time: Some(secret.created.into()),
            labels: secret.labels.clone(),
            etag: Some(etag(secret.revision)),
            version_aliases: secret
                .aliases
                .iter()
                .map(|(alias, number)| (alias.clone(), number.to_string()))
                .collect(),
            annotations: secret.annotations.clone(),
            ..wire::Secret::default()
        }
    }

    /// A version of a secret as the API gives it.
    fn version_of(&self, secret: &Secret, version: &Version) -> wire::SecretVersion {
        wire::SecretVersion {
            name: self.shown().version(version.number),
            create_time: Some(version.created.into()),
            destroy_time: match version.state {
                VersionState::Destroyed { at } => Some(at.into()),
                VersionState::Enabled | VersionState::Disabled => None,
            },
            state: version.state.word().to_owned(),
            replication_status: replication(&secret.replication),
            etag: Some(etag(version.revision)),
            client_specified_payload_checksum: version.checksum_given,
        }
    }
}

fn replication(replication: &Replication) -> Option<wire::Replication> {
    match replication {
        Replication::Regional => None,
        Replication::Automatic => {
            Some(wire::Replication { automatic: Some(Automatic::default()), user_managed: None })
        }
        Replication::UserManaged(locations) => {
            let replica = |location: &String| Replica {
                location: Some(location.clone()),
                ..Replica::default()
            };
            let replicas = locations.iter().map(replica).collect();
            Some(wire::Replication {
                automatic: None,
                user_managed: Some(UserManaged { replicas }),
            })
        }
    }
}

/// In quotes, as the real service has them.
fn etag(revision: Revision) -> String {
    format!("\"{:x}\"", revision.0)
}

/// Refuses a change of what is no longer as the client knew it (fact: Secret Manager's page on etags). Quotes may be lost
/// on the way through a shell.
fn check_etag(given: Option<&str>, current: Revision) -> Result<(), ApiError> {
    let current = etag(current);
    match given {
        Some(given) if given.trim_matches('"') != current.trim_matches('"') => {
            let text = format!(
                "The etag {given} does not match the current etag {current}: it was changed meanwhile. Read it again, \
                 and decide anew."
            );
            Err(ApiError::new(Code::FailedPrecondition, text))
        }
        _ => Ok(()),
    }
}

/// 400: who runs the server can mend it, and nothing is gained by asking again.
fn no_key(fault: &KeyFault) -> Refusal {
    tracing::error!(%fault, "secrets cannot be sealed or opened");
    Refusal(ApiError::new(Code::FailedPrecondition, format!("Secrets cannot be used: {fault}.")))
}
