//! `secrets.patch`: replaces what the mask names: labels, annotations, aliases of versions. Where a secret is kept may be
//! said again, and not changed.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, FieldViolation, secretmanager as wire};
use groundrun_core::secret::{Replication, Secret};
use groundrun_secrets::{lookup, rules};
use groundrun_store::WriteError;

use super::{
    Named, Path, check_etag,
    create::{aliases, replicated},
    refused,
};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    query::Parameter::Taken,
    reply,
    update_mask::{self, Part},
};

pub(crate) async fn patch(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[Taken("updateMask")])?;
    let mask = Mask::parse(call.query.get("updateMask").unwrap_or_default())?;
    let given: wire::Secret = call.message(&app).await?;
    let named = Named::of(&app, &path)?;
    let answer = app
        .write(move |tx| {
            let found = lookup::secret(tx, &named.shown())?.map_err(WriteError::Refused)?;
            check_etag(given.etag.as_deref(), found.revision).map_err(WriteError::Refused)?;
            let mut secret = mask.apply(given, found).map_err(WriteError::Refused)?;
            tx.update_secret(&mut secret)?;
            Ok(named.secret(&secret))
        })
        .await?;
    reply::json(&answer, &shape)
}

/// Which parts of a secret are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mask {
    labels: Part,
    annotations: Part,
    aliases: Part,
    replication: Part,
    /// Fields that no secret has here: that they are to be empty is true already.
    absent: Vec<String>,
}

impl Mask {
    /// `labels,version_aliases`, in either spelling. Every path that is not honoured is told.
    fn parse(text: &str) -> Result<Self, ApiError> {
        let mut mask = Self::default();
        let mut faults = Vec::new();
        for path in update_mask::paths(text) {
            match path.as_str() {
                "labels" => mask.labels = Part::Replaced,
                "annotations" => mask.annotations = Part::Replaced,
                "version_aliases" => mask.aliases = Part::Replaced,
                "replication" => mask.replication = Part::Replaced,
                // Looked at where it is given, named or not.
                "etag" => {}
                other if refused::path(other).is_some() => {
                    let field = other.split('.').next().unwrap_or_default();
                    mask.absent.push(format!("secret.{field}"));
                }
                other => {
                    let field = format!("secret.{other}");
                    faults.push(FieldViolation::new(field, unchangeable(other)));
                }
            }
        }
        if text.trim().is_empty() {
            let text = "Field [update_mask] is required: labels, annotations, version_aliases";
            faults.push(FieldViolation::new("updateMask", text));
        } else if faults.is_empty() && mask == Self::default() {
            let text = "names no field that can be changed: labels, annotations, version_aliases";
            faults.push(FieldViolation::new("updateMask", text));
        }
        if faults.is_empty() { Ok(mask) } else { Err(ApiError::invalid(faults)) }
    }

    fn apply(self, given: wire::Secret, found: Secret) -> Result<Secret, ApiError> {
        let mut faults = Vec::new();
        let mut secret = found;
        refused::fields(&given, &mut faults);
        faults.retain(|fault| self.absent.contains(&fault.field));
        if self.replication == Part::Replaced {
            refused::keys(given.replication.as_ref(), &mut faults);
            let location = secret.name.location.as_deref();
            let same = replicated(&given, location, &mut faults)
                .is_none_or(|given| sorted(given) == sorted(secret.replication.clone()));
            if !same {
                faults.push(FieldViolation::new("secret.replication", UNCHANGEABLE));
            }
        }
        if self.labels == Part::Replaced {
            rules::check_labels("secret.labels", &given.labels, &mut faults);
            secret.labels = given.labels;
        }
        if self.annotations == Part::Replaced {
            rules::check_annotations("secret.annotations", &given.annotations, &mut faults);
            secret.annotations = given.annotations;
        }
        if self.aliases == Part::Replaced {
            secret.aliases = aliases(&given.version_aliases);
            let at = "secret.version_aliases";
            rules::check_aliases(at, &secret.aliases, secret.newest, &mut faults);
        }
        if faults.is_empty() { Ok(secret) } else { Err(ApiError::invalid(faults)) }
    }
}

const UNCHANGEABLE: &str = "cannot be changed once the secret is there";

/// The same places are the same in any order.
fn sorted(mut replication: Replication) -> Replication {
    if let Replication::UserManaged(locations) = &mut replication {
        locations.sort_unstable();
    }
    replication
}

fn unchangeable(path: &str) -> String {
    let known = ["name", "create_time", "replication"];
    match path.split('.').next() {
        Some(first) if known.contains(&first) => UNCHANGEABLE.to_owned(),
        _ => "is not a field of a secret".to_owned(),
    }
}
