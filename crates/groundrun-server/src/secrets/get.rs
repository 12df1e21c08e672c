//! `secrets.get`.

use std::sync::Arc;

use axum::extract::State;
use groundrun_secrets::lookup;

use super::{Named, Path};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
};

pub(crate) async fn get(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[])?;
    let named = Named::of(&app, &path)?;
    let secret =
        app.read(move |view| Ok(named.secret(&lookup::secret(view, &named.shown())??))).await?;
    reply::json(&secret, &shape)
}
