//! `versions.access`: what a version holds. Whoever may call this server may read it; a policy is asked for tasks.

use std::sync::Arc;

use axum::extract::State;
use base64::{Engine, engine::general_purpose::STANDARD};
use groundrun_api::ApiError;
use groundrun_secrets::{Place, lookup, rules::crc32c};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Named, Path, no_key};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
};

/// `AccessSecretVersionResponse`.
#[derive(Serialize)]
struct Answer {
    name: String,
    payload: Payload,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(serialize_with = "shown")]
    data: Zeroizing<String>,
    /// 64 bits: a text on the wire.
    data_crc32c: String,
}

fn shown<S: serde::Serializer>(data: &Zeroizing<String>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(data)
}

pub(crate) async fn access(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[])?;
    let named = Named::of(&app, &path)?;
    let id = named.version(&path)?;
    let sealer = Arc::clone(&app.sealer);
    let answer = app
        .read(move |view| {
            let held = lookup::held(view, &named.shown(), &id)??;
            let key = sealer.key(held.key).map_err(|fault| no_key(&fault))?;
            let number = held.version.number;
            let place = Place { uid: held.secret.uid, name: &held.secret.name, version: number };
            let value = key.open(&place, &held.sealed).map_err(|fault| {
                let name = named.shown().version(number);
                tracing::error!(name, %fault, "a value cannot be opened");
                ApiError::internal(format_args!("opening what [{name}] holds: {fault}"))
            })?;
            Ok(Answer {
                name: named.shown().version(number),
                payload: Payload {
                    data: Zeroizing::new(STANDARD.encode(value.bytes())),
                    data_crc32c: crc32c(value.bytes()).to_string(),
                },
            })
        })
        .await?;
    reply::json(&answer, &shape)
}
