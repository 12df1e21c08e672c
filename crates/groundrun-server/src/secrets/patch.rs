//! `secrets.patch`: replaces what the mask names: labels, annotations, aliases of versions.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, FieldViolation, secretmanager as wire};
use groundrun_core::secret::Secret;
use groundrun_secrets::{lookup, rules};
use groundrun_store::WriteError;

use super::{Named, Path, check_etag, create::aliases, refused};
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mask {
    labels: Part,
    annotations: Part,
    aliases: Part,
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
                // Looked at where it is given, named or not.
                "etag" => {}
                other => {
                    let why = refused::path(other).unwrap_or_else(|| unchangeable(other));
                    faults.push(FieldViolation::new(format!("secret.{other}"), why));
                }
            }
        }
        if faults.is_empty() && mask == Self::default() {
            let text = "names no field that can be changed: labels, annotations, version_aliases";
            faults.push(FieldViolation::new("updateMask", text));
        }
        if faults.is_empty() { Ok(mask) } else { Err(ApiError::invalid(faults)) }
    }

    fn apply(self, given: wire::Secret, found: Secret) -> Result<Secret, ApiError> {
        let mut faults = Vec::new();
        let mut secret = found;
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

fn unchangeable(path: &str) -> String {
    let known = ["name", "create_time", "replication"];
    match path.split('.').next() {
        Some(first) if known.contains(&first) => {
            "cannot be changed once the secret is there".to_owned()
        }
        _ => "is not a field of a secret".to_owned(),
    }
}
