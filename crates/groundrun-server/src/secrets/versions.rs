//! `versions.get` and `versions.list`.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::secretmanager::SecretVersion;
use groundrun_secrets::lookup;
use serde::Serialize;

use super::{
    Named, Path,
    filter::Filter,
    list::{CHUNK, Wanted},
};
use crate::{
    app::App,
    call::{At, Call},
    error::{Outcome, Refusal},
    list::at_most,
    reply,
};

pub(crate) async fn get(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[])?;
    let named = Named::of(&app, &path)?;
    let id = named.version(&path)?;
    let version = app
        .read(move |view| {
            let (secret, version) = lookup::version(view, &named.shown(), &id)??;
            Ok(named.version_of(&secret, &version))
        })
        .await?;
    reply::json(&version, &shape)
}

/// `ListSecretVersionsResponse`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<SecretVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_size: Option<i64>,
}

/// Newest first.
pub(crate) async fn list(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let (wanted, shape) = Wanted::read(&call, Filter::of_versions)?;
    let named = Named::of(&app, &path)?;
    let mut before = match &wanted.token {
        None => None,
        Some(token) => Some(token.parse::<i64>().map_err(|_| not_a_token())?),
    };
    let answer = app
        .read(move |view| {
            let secret = lookup::secret(view, &named.shown())??;
            let mut answer = Answer::default();
            if wanted.filter.is_none() {
                answer.total_size = Some(secret.newest).filter(|count| *count > 0);
            }
            loop {
                let chunk = view.secret_versions(secret.uid, before, at_most(CHUNK))?;
                for version in &chunk {
                    if answer.versions.len() == wanted.size {
                        answer.next_page_token = before.map(|before| before.to_string());
                        return Ok(answer);
                    }
                    before = Some(version.number);
                    let shown = named.version_of(&secret, version);
                    if wanted.selects(&shown)? {
                        answer.versions.push(shown);
                    }
                }
                if chunk.len() < CHUNK {
                    return Ok(answer);
                }
            }
        })
        .await?;
    reply::json(&answer, &shape)
}

pub(super) fn not_a_token() -> Refusal {
    Refusal::violation("pageToken", "pageToken: not a token of an earlier page of this list.")
}
