//! A refusal: an error of the API on its way to the client, always in Google's shape.
//!
//! A fault of the user is never a 5xx: gcloud repeats those, also for POST (fact: gcloud-wire D).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use groundrun_api::{ApiError, Code, FieldViolation};
use groundrun_store::{StoreError, WriteError};

use crate::reply;

/// An [`ApiError`] that is a response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal(pub(crate) ApiError);

/// What a handler gives.
pub(crate) type Outcome<T = Response> = Result<T, Refusal>;

impl Refusal {
    /// 400 about the request as a whole.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self(ApiError::new(Code::InvalidArgument, message))
    }

    /// 400 about one field or parameter, whose description names it.
    pub(crate) fn violation(field: &str, description: impl Into<String>) -> Self {
        Self(ApiError::malformed(vec![FieldViolation::new(field, description)]))
    }

    /// 400 about a parameter that the method does not have, in the words of Google's transcoder.
    pub(crate) fn unknown_parameter(name: &str) -> Self {
        let text = format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter. Field '{name}' could \
             not be found in request message."
        );
        Self::violation("", text)
    }

    /// 403: who asks may not, and how that is changed.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self(ApiError::new(Code::PermissionDenied, message))
    }

    /// 404 with a text of our own.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self(ApiError::new(Code::NotFound, message))
    }

    /// The text for a person.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::DiskFull) {
            return disk_full();
        }
        tracing::error!(
            error = groundrun_core::chain(&error),
            "the journal cannot be read or written"
        );
        Self(ApiError::new(
            Code::Unavailable,
            format!("The server's journal failed: {}.", groundrun_core::chain(&error)),
        ))
    }
}

impl From<WriteError<ApiError>> for Refusal {
    fn from(error: WriteError<ApiError>) -> Self {
        match error {
            WriteError::Refused(error) => Self(error),
            WriteError::DiskFull => disk_full(),
            WriteError::Store(error) => error.into(),
            WriteError::Busy => Self(ApiError::new(
                Code::Unavailable,
                "Too many writes are waiting for the disk: try again in a moment.",
            )),
            WriteError::Closed => Self(ApiError::new(Code::Unavailable, "The server is stopping.")),
            WriteError::Panicked => Self(ApiError::internal("the write of the request failed")),
        }
    }
}

/// 429: gcloud does not repeat it, and the user can do something about it.
fn disk_full() -> Refusal {
    let text = "The disk of the server's data directory is full: nothing new is taken in until there is room. Free some, \
                or delete executions.";
    Refusal(ApiError::new(Code::ResourceExhausted, text))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // Strings and numbers alone: serialisation has nothing to fail on.
        let text = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = reply::whole(text);
        *response.status_mut() =
            StatusCode::from_u16(self.0.status.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.0.status == Code::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"groundrun\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
