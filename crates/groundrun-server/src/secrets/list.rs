//! `secrets.list`.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::{ApiError, secretmanager::Secret};
use groundrun_store::Continue;
use serde::Serialize;

use super::{Named, Path, filter::Filter, versions::not_a_token};
use crate::{
    app::App,
    call::{At, Call},
    error::{Outcome, Refusal},
    list::at_most,
    query::{Parameter::Taken, Shape},
    reply,
};

/// Rows of a page where none are asked for.
const PAGE: usize = 100;

/// Rows of a page, however many are asked for: at some 40 KiB each at most, 20 MiB.
const PAGE_MAX: usize = 500;

/// Rows read at once.
pub(super) const CHUNK: usize = 100;

/// What a list was asked for.
pub(super) struct Wanted {
    /// Rows.
    pub(super) size: usize,
    /// From here on.
    pub(super) token: Option<String>,
    /// Which.
    pub(super) filter: Option<Filter>,
}

impl Wanted {
    pub(super) fn read(
        call: &Call,
        parse: impl FnOnce(&str) -> Result<Filter, ApiError>,
    ) -> Outcome<(Self, Shape)> {
        let shape = call.shape(&[Taken("pageSize"), Taken("pageToken"), Taken("filter")])?;
        let size = match call.query.number("pageSize")? {
            None | Some(0) => PAGE,
            Some(size) => usize::try_from(size)
                .map_err(|_| {
                    let text = format!("pageSize: must not be negative, and is {size}.");
                    Refusal::violation("pageSize", text)
                })?
                .min(PAGE_MAX),
        };
        let filter = call.query.get("filter").map(parse).transpose()?;
        let token = call.query.get("pageToken").map(str::to_owned);
        Ok((Self { size, token, filter }, shape))
    }

    /// Does the filter, if there is one, select it?
    pub(super) fn selects<T: Serialize>(&self, shown: &T) -> Outcome<bool> {
        let Some(filter) = &self.filter else { return Ok(true) };
        let value = serde_json::to_value(shown)
            .map_err(|error| ApiError::internal(format_args!("filtering a list: {error}")))?;
        Ok(filter.selects(&value))
    }
}

/// `ListSecretsResponse`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_size: Option<u32>,
}

/// Newest first.
pub(crate) async fn list(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let (wanted, shape) = Wanted::read(&call, Filter::of_secrets)?;
    let named = Named::new(&app, &path, "")?;
    let mut after = match &wanted.token {
        None => None,
        Some(token) => Some(token.parse::<Continue>().map_err(|_| not_a_token())?),
    };
    let answer = app
        .read(move |view| {
            let (project, location) = (&named.name.project, named.name.location.as_deref());
            let mut answer = Answer::default();
            if wanted.filter.is_none() {
                let count = view.secret_count(project, location)?;
                answer.total_size = Some(count).filter(|count| *count > 0);
            }
            loop {
                let chunk = view.secrets(project, location, after, at_most(CHUNK))?;
                for secret in &chunk.items {
                    if answer.secrets.len() == wanted.size {
                        answer.next_page_token = after.map(|after| after.to_string());
                        return Ok(answer);
                    }
                    after = Some(Continue::after(secret));
                    let shown = named.secret(secret);
                    if wanted.selects(&shown)? {
                        answer.secrets.push(shown);
                    }
                }
                if chunk.next.is_none() {
                    return Ok(answer);
                }
            }
        })
        .await?;
    reply::json(&answer, &shape)
}
