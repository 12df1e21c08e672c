//! Is the process there, and can it do its work?

use std::sync::Arc;

use axum::extract::State;

use crate::{app::App, error::Outcome};

/// `/healthz`: the process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// `/readyz`: the journal can be read.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Outcome<&'static str> {
    app.read(|view| Ok(view.revision().map(|_| "ok\n")?)).await
}
