//! One call: what a handler needs of a request, read within bounds of size and time.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use groundrun_api::{
    ApiError, Code,
    check::{self, Message},
};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    app::App,
    error::{Outcome, Refusal},
    guard,
    place::{Regions, host_of, split_region},
    query::{Parameter, Query, Shape},
};

/// The largest body, inflated. A job may have 1,000 variables of 32 KiB (fact: semantics 2.3): 31.25 MiB, and JSON.
pub(crate) const BODY_MAX: usize = 40 << 20;

/// A body up to this size is read without asking; 256 connections of them are 256 MiB at worst.
pub(crate) const SMALL_BODY: usize = 1 << 20;

/// How long a body may take to arrive: 40 MiB at 6 Mbit/s.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// One call.
pub(crate) struct Call {
    /// From the host's prefix.
    pub(crate) regions: Regions,
    /// Decoded.
    pub(crate) query: Query,
    /// Whole, inflated; empty where there was none.
    pub(crate) body: Bytes,
    /// The path as sent.
    pub(crate) path: String,
    /// `User-Agent`, or nothing.
    pub(crate) user_agent: String,
    /// Held while a large body is in memory.
    _large: Option<OwnedSemaphorePermit>,
}

impl Call {
    /// Checks the parameters against the method's own.
    pub(crate) fn shape(&self, own: &[Parameter]) -> Outcome<Shape> {
        self.query.check(own)
    }

    /// The body as a message, with every fault of it at once; an empty one is `{}` (fact: clients 1).
    pub(crate) async fn message<T: Message + Send + 'static>(&self, app: &Arc<App>) -> Outcome<T> {
        if self.body.len() <= SMALL_BODY {
            return Ok(check::decode_bytes(&self.body)?);
        }
        // Some 0.1 s of work, for which no other connection should wait.
        let body = self.body.clone();
        app.heavy(move |_| Ok(check::decode_bytes(&body)?)).await
    }

    /// The body as JSON; an empty one is `{}`.
    pub(crate) fn json(&self) -> Outcome<serde_json::Value> {
        Ok(check::parse_json(&self.body)?)
    }
}

impl FromRequest<Arc<App>> for Call {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Outcome<Self> {
        let (head, body) = request.into_parts();
        let host = host_of(&guard::authority(&head)?);
        let regions = match split_region(&host) {
            Some((region, _)) => Regions::One(region.to_owned()),
            None => Regions::All { default: app.config.region.clone() },
        };
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        let (body, large) = read(app, body).await?;
        if !body.is_empty() {
            guard::check_content_type(&head.headers)?;
        }
        let user_agent = header_text(&head.headers, header::USER_AGENT.as_str());
        let path = head.uri.path().to_owned();
        Ok(Self { regions, query, body, path, user_agent, _large: large })
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Reads a body whole, within [`BODY_MAX`] and [`BODY_WITHIN`].
pub(crate) async fn read(app: &App, body: Body) -> Outcome<(Bytes, Option<OwnedSemaphorePermit>)> {
    let late = || ApiError::new(Code::InvalidArgument, "the request's body did not arrive in time");
    tokio::time::timeout(BODY_WITHIN, collect(app, body)).await.map_err(|_| late())?
}

async fn collect(app: &App, mut body: Body) -> Outcome<(Bytes, Option<OwnedSemaphorePermit>)> {
    let mut whole = BytesMut::new();
    let mut large = None;
    while let Some(frame) = body.frame().await {
        let broken =
            |fault| Refusal::invalid(format!("the request's body could not be read: {fault}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if whole.len() + data.len() > BODY_MAX {
            return Err(Refusal::invalid(format!(
                "Request payload size exceeds the limit: {BODY_MAX} bytes."
            )));
        }
        if large.is_none() && whole.len() + data.len() > SMALL_BODY {
            // The semaphore is never closed, and None would only lift the bound.
            large = Arc::clone(&app.large_bodies).acquire_owned().await.ok();
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole.freeze(), large))
}

/// Names from the path.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for At<T> {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Outcome<Self> {
        let found = Path::<T>::from_request_parts(head, app).await;
        found.map(|Path(names)| Self(names)).map_err(|fault| Refusal::invalid(fault.body_text()))
    }
}
