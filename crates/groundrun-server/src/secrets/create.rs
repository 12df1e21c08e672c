//! `secrets.create`: a secret without a version yet.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use groundrun_api::{ApiError, Code, FieldViolation, secretmanager as wire};
use groundrun_core::{
    record::Revision,
    secret::{Replication, Secret, SecretUid},
};
use groundrun_secrets::{names::is_secret_id, rules};
use groundrun_store::WriteError;

use super::{Named, Path, refused};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    query::Parameter::Taken,
    reply,
};

/// Secrets of a project in one location: at some 40 KiB each at most, 400 MiB.
const SECRETS_MAX: u32 = 10_000;

pub(crate) async fn create(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[Taken("secretId")])?;
    let id = call.query.get("secretId").unwrap_or_default();
    let given: wire::Secret = call.message(&app).await?;
    let named = Named::new(&app, &path, id)?;
    let (aliases, replication) = check(id, &given, path.location.as_deref())?;
    let mut secret = Secret {
        uid: SecretUid(app.uuid()),
        name: named.name.clone(),
        labels: given.labels,
        annotations: given.annotations,
        aliases,
        replication,
        created: app.now(),
        revision: Revision::default(),
        newest: 0,
    };
    let answer = app
        .write(move |tx| {
            let name = &named.name;
            if tx.secret(name)?.is_some() {
                let text = format!("Secret [{}] already exists.", named.shown().secret());
                return Err(WriteError::Refused(ApiError::new(Code::AlreadyExists, text)));
            }
            if tx.secret_count(&name.project, name.location.as_deref())? >= SECRETS_MAX {
                let text = format!("A project has at most {SECRETS_MAX} secrets here.");
                return Err(WriteError::Refused(ApiError::new(Code::ResourceExhausted, text)));
            }
            tx.insert_secret(&mut secret)?;
            Ok(named.secret(&secret))
        })
        .await?;
    reply::json(&answer, &shape)
}

/// Every fault of a new secret at once.
fn check(
    id: &str,
    given: &wire::Secret,
    location: Option<&str>,
) -> Result<(BTreeMap<String, i64>, Replication), ApiError> {
    let mut faults = Vec::new();
    if !is_secret_id(id) {
        let text = format!(
            "The provided Secret ID [{id}] does not match the expected format [[a-zA-Z_0-9-]{{1,255}}]"
        );
        faults.push(FieldViolation::new("secretId", text));
    }
    let replication = replicated(given, location, &mut faults);
    rules::check_labels("secret.labels", &given.labels, &mut faults);
    rules::check_annotations("secret.annotations", &given.annotations, &mut faults);
    let aliases = aliases(&given.version_aliases);
    // It has no version that an alias could stand for.
    rules::check_aliases("secret.version_aliases", &aliases, 0, &mut faults);
    refused::fields(given, &mut faults);
    match replication {
        Some(replication) if faults.is_empty() => Ok((aliases, replication)),
        _ => Err(ApiError::invalid(faults)),
    }
}

/// `None` with a fault.
pub(super) fn replicated(
    given: &wire::Secret,
    location: Option<&str>,
    faults: &mut Vec<FieldViolation>,
) -> Option<Replication> {
    let mut fault = |field: &str, text: &str| {
        faults.push(FieldViolation::new(field, text));
        None
    };
    let at = "secret.replication";
    let Some(replication) = &given.replication else {
        return match location {
            Some(_) => Some(Replication::Regional),
            None => fault(at, "Secret.replication must be specified."),
        };
    };
    if location.is_some() {
        // Google's text, seen in reports of regional secrets; what is behind the colon is ours.
        let text =
            "Secret.replication should not be provided: a regional secret is kept in its location";
        return fault(at, text);
    }
    match (&replication.automatic, &replication.user_managed) {
        (Some(_), None) => Some(Replication::Automatic),
        (None, Some(managed)) => {
            let locations: Option<Vec<String>> =
                managed.replicas.iter().map(|replica| replica.location.clone()).collect();
            match locations {
                Some(locations) if !locations.is_empty() => {
                    Some(Replication::UserManaged(locations))
                }
                _ => fault(
                    "secret.replication.user_managed.replicas",
                    "there must be at least one, and each names its location",
                ),
            }
        }
        _ => fault(at, "either automatic or user_managed must be set"),
    }
}

/// The checker let through only numbers of 64 bits, as texts.
pub(super) fn aliases(given: &BTreeMap<String, String>) -> BTreeMap<String, i64> {
    given.iter().map(|(alias, number)| (alias.clone(), number.parse().unwrap_or(0))).collect()
}
