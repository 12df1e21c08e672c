//! Answers: JSON in the shape that was asked for.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use groundrun_api::{ApiError, v1};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::{Outcome, Refusal},
    query::{Print, Shape},
};

/// 200 with `message`.
pub(crate) fn json<T: Serialize>(message: &T, shape: &Shape) -> Outcome {
    encode(message, shape).map(whole).map_err(unwritable)
}

/// 200 with JSON that is written already.
pub(crate) fn written(text: Vec<u8>, shape: &Shape) -> Outcome {
    if *shape == Shape::default() {
        return Ok(whole(text));
    }
    let value: Value = serde_json::from_slice(&text).map_err(unwritable)?;
    json(&value, shape)
}

fn encode<T: Serialize>(message: &T, shape: &Shape) -> serde_json::Result<Vec<u8>> {
    if let Some(mask) = &shape.mask {
        let mut value = serde_json::to_value(message)?;
        mask.keep(&mut value);
        return print(&value, shape.print);
    }
    print(message, shape.print)
}

fn print<T: Serialize>(message: &T, print: Print) -> serde_json::Result<Vec<u8>> {
    match print {
        Print::Compact => serde_json::to_vec(message),
        Print::Pretty => serde_json::to_vec_pretty(message).map(|mut text| {
            text.push(b'\n');
            text
        }),
    }
}

/// 200 with JSON text.
pub(crate) fn whole(text: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(Bytes::from(text)));
    set_headers(&mut response);
    response
}

/// Marks an answer that goes on: each part is sent as it is, at once.
#[derive(Clone, Copy, Debug)]
struct Endless;

/// 200 with lines of JSON as they come.
pub(crate) fn lines(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(lines.map(Ok::<_, Infallible>));
    let mut response = Response::new(body);
    response.extensions_mut().insert(Endless);
    set_headers(&mut response);
    response
}

/// Whether an answer may be compressed: what goes on would wait in the compressor.
pub(crate) fn is_whole(_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions) -> bool {
    extensions.get::<Endless>().is_none()
}

fn set_headers(response: &mut Response) {
    let headers = response.headers_mut();
    let of = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, of("application/json; charset=UTF-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, of("nosniff"));
    headers.insert(header::CACHE_CONTROL, of("private"));
}

/// 410 in Google's shape: what the client knows is too old to go on from.
pub(crate) fn expired(message: &str) -> Response {
    let error = serde_json::json!({"error": {
        "code": 410, "message": message, "status": "FAILED_PRECONDITION"}});
    let mut response = whole(error.to_string().into_bytes());
    *response.status_mut() = StatusCode::GONE;
    response
}

pub(crate) fn unwritable(error: serde_json::Error) -> Refusal {
    tracing::error!(%error, "an answer could not be written");
    Refusal(ApiError::internal("writing the answer"))
}

/// The answer to a delete (decided: semantics 11).
pub(crate) fn deleted(kind: &str, name: &str, uid: String, shape: &Shape) -> Outcome {
    let details = v1::StatusDetails {
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid),
        ..v1::StatusDetails::default()
    };
    let status = v1::Status {
        status: Some("Success".to_owned()),
        details: Some(details),
        ..v1::Status::default()
    };
    json(&status, shape)
}
