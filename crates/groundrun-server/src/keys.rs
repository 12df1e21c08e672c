//! The public keys of the tokens that tasks show, where verifiers look for them.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use groundrun_api::{ApiError, Code};
use serde_json::Value;

use crate::{
    app::App,
    error::{Outcome, Refusal},
    reply,
};

/// Who makes the tokens of tasks. The side that uses it owns it. Its methods may block, and fail with what to say.
pub trait PublicKeys: Send + Sync {
    /// A JSON web key set.
    fn jwks(&self) -> Result<Value, String>;
    /// Keys in PEM by their ids.
    fn pem(&self) -> Result<Value, String>;
    /// OpenID Connect's discovery document.
    fn discovery(&self) -> Result<Value, String>;
    /// `Cache-Control` of all three.
    fn caching(&self) -> String;
}

/// `GET /oauth2/v3/certs`.
pub(crate) async fn jwks(app: State<Arc<App>>) -> Outcome {
    publish(app, |keys| keys.jwks()).await
}

/// `GET /oauth2/v1/certs`.
pub(crate) async fn pem(app: State<Arc<App>>) -> Outcome {
    publish(app, |keys| keys.pem()).await
}

/// `GET /.well-known/openid-configuration`.
pub(crate) async fn discovery(app: State<Arc<App>>) -> Outcome {
    publish(app, |keys| keys.discovery()).await
}

async fn publish(
    State(app): State<Arc<App>>,
    what: impl FnOnce(&dyn PublicKeys) -> Result<Value, String> + Send + 'static,
) -> Outcome<Response> {
    let (text, caching) = app
        .heavy(move |app| {
            let keys = app.keys.get().ok_or_else(|| {
                Refusal::not_found("This server makes no tokens, and has no keys of any.")
            })?;
            let value = what(keys.as_ref()).map_err(|why| ApiError::new(Code::Unavailable, why))?;
            Ok((value.to_string(), keys.caching()))
        })
        .await?;
    let mut answer = reply::whole(text.into_bytes());
    if let Ok(caching) = HeaderValue::try_from(caching) {
        answer.headers_mut().insert(header::CACHE_CONTROL, caching);
    }
    Ok(answer)
}
