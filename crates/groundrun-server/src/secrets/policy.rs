//! Who may read what a secret's versions hold: `getIamPolicy`, `setIamPolicy`, `testIamPermissions`. Asked for tasks;
//! whoever may call this server may do everything.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, FieldViolation, v1};
use groundrun_secrets::lookup;
use groundrun_store::WriteError;

use super::{Named, Path};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    iam,
    query::Parameter::Taken,
    reply,
};

pub(crate) async fn get(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[Taken("options.requestedPolicyVersion")])?;
    call.query.number("options.requestedPolicyVersion")?;
    let named = Named::of(&app, &path)?;
    let policy = app
        .read(move |view| {
            let secret = lookup::secret(view, &named.shown())??;
            Ok(iam::shown(view.secret_policy(secret.uid)?)?)
        })
        .await?;
    reply::json(&policy, &shape)
}

pub(crate) async fn set(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[])?;
    let change = iam::Change::read(call.message(&app).await?, app.uuid())?;
    check(change.given())?;
    let named = Named::of(&app, &path)?;
    let policy = app
        .write(move |tx| {
            let secret = lookup::secret(tx, &named.shown())?.map_err(WriteError::Refused)?;
            let current = tx.secret_policy(secret.uid)?;
            let (kept, policy) = change.apply(current).map_err(WriteError::Refused)?;
            tx.set_secret_policy(secret.uid, &kept)?;
            Ok(policy)
        })
        .await?;
    reply::json(&policy, &shape)
}

/// A condition that is not looked at must not seem to protect anything.
fn check(policy: &v1::Policy) -> Result<(), ApiError> {
    let conditions = policy.bindings.iter().enumerate().filter(|(_, one)| one.condition.is_some());
    let fault = |index| {
        let text = "not honoured: conditions are not looked at here";
        FieldViolation::new(format!("policy.bindings[{index}].condition"), text)
    };
    let faults: Vec<FieldViolation> = conditions.map(|(index, _)| fault(index)).collect();
    if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
}

pub(crate) async fn test(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[])?;
    let permissions = iam::permissions(call.message(&app).await?)?;
    let named = Named::of(&app, &path)?;
    app.read(move |view| Ok(lookup::secret(view, &named.shown())??)).await?;
    reply::json(&v1::TestIamPermissionsResponse { permissions }, &shape)
}
