//! `secrets.delete`: gone at once, with its versions and all that they hold.

use std::sync::Arc;

use axum::extract::State;
use groundrun_secrets::lookup;
use groundrun_store::WriteError;
use serde_json::json;

use super::{Named, Path, check_etag};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    query::Parameter::Taken,
    reply,
};

pub(crate) async fn delete(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[Taken("etag")])?;
    let etag = call.query.get("etag").map(str::to_owned);
    let named = Named::of(&app, &path)?;
    app.write(move |tx| {
        let secret = lookup::secret(tx, &named.shown())?.map_err(WriteError::Refused)?;
        check_etag(etag.as_deref(), secret.revision).map_err(WriteError::Refused)?;
        Ok(tx.delete_secret(secret.uid)?)
    })
    .await?;
    reply::json(&json!({}), &shape)
}
