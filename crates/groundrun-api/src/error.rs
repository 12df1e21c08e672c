//! Errors as Google's APIs answer them: a status of `google.rpc`, a message for a person, and details for programs.
//!
//! Constructors are named for what they say, and hold the observed texts (fact: semantics 3.6).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A `google.rpc.Code`, with its name on the wire and its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The client went away, or asked to stop.
    Cancelled,
    /// Nothing else fits.
    Unknown,
    /// The request is wrong whatever the state of the system.
    InvalidArgument,
    /// It took too long.
    DeadlineExceeded,
    /// There is no such thing.
    NotFound,
    /// There is such a thing already.
    AlreadyExists,
    /// Known who asks, and not allowed.
    PermissionDenied,
    /// A quota or a resource is used up.
    ResourceExhausted,
    /// The system is not in the state for it.
    FailedPrecondition,
    /// Somebody else changed it meanwhile.
    Aborted,
    /// Past the end.
    OutOfRange,
    /// Not built.
    Unimplemented,
    /// Our fault.
    Internal,
    /// Not now; the same request may succeed later.
    Unavailable,
    /// Lost for good.
    DataLoss,
    /// Not known who asks.
    Unauthenticated,
}

impl Code {
    /// The number of `google.rpc.Code`, as in `GoogleRpcStatus.code`.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Cancelled => 1,
            Self::Unknown => 2,
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Aborted => 10,
            Self::OutOfRange => 11,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::DataLoss => 15,
            Self::Unauthenticated => 16,
        }
    }

    /// The HTTP status that Google maps it to.
    #[must_use]
    pub fn http(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldViolation {
    /// Its path, such as `spec.template.spec.containers[0].image`.
    pub field: String,
    /// For a person.
    pub description: String,
}

impl FieldViolation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// `field: description`.
impl fmt::Display for FieldViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.description),
            field => write!(f, "{field}: {}", self.description),
        }
    }
}

/// What programs may read of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "@type")]
pub enum Detail {
    /// `google.rpc.BadRequest`: every fault of the request.
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest")]
    BadRequest {
        /// One per fault.
        #[serde(rename = "fieldViolations")]
        field_violations: Vec<FieldViolation>,
    },
    /// A detail of another type, from a server that is not this one.
    #[serde(other)]
    Other,
}

/// An error of the API. Serialises as Google's envelope, `{"error": {"code", "message", "status", "details"}}`, and
/// reads it back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(into = "Envelope", from = "Envelope")]
#[error("{message}")]
pub struct ApiError {
    /// Its kind; decides the HTTP status.
    pub status: Code,
    /// For a person.
    pub message: String,
    /// For programs.
    pub details: Vec<Detail>,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    error: Body,
}

#[derive(Serialize, Deserialize)]
struct Body {
    code: u16,
    message: String,
    status: Code,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
}

impl From<ApiError> for Envelope {
    fn from(ApiError { status, message, details }: ApiError) -> Self {
        Self { error: Body { code: status.http(), message, status, details } }
    }
}

impl From<Envelope> for ApiError {
    fn from(Envelope { error: Body { message, status, details, .. } }: Envelope) -> Self {
        Self { status, message, details }
    }
}

/// Where something lives, for the texts that name it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Such as `us-central1`.
    pub region: &'a str,
    /// The project, as the request named it.
    pub project: &'a str,
}

impl ApiError {
    /// An error without details.
    pub fn new(status: Code, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), details: Vec::new() }
    }

    /// There is no such job.
    #[must_use]
    pub fn job_not_found(name: &str, place: Place<'_>) -> Self {
        Self::not_found("JOB", name, place)
    }

    /// There is no such execution.
    #[must_use]
    pub fn execution_not_found(name: &str, place: Place<'_>) -> Self {
        Self::not_found("EXECUTION", name, place)
    }

    /// There is no such task.
    #[must_use]
    pub fn task_not_found(name: &str, place: Place<'_>) -> Self {
        Self::not_found("TASK", name, place)
    }

    fn not_found(kind: &str, name: &str, Place { region, project }: Place<'_>) -> Self {
        Self::new(
            Code::NotFound,
            format!(
                "Resource '{name}' of kind '{kind}' in region '{region}' in project '{project}' does not exist."
            ),
        )
    }

    /// The name of a new job or execution is taken.
    #[must_use]
    pub fn already_exists(name: &str) -> Self {
        Self::new(Code::AlreadyExists, format!("Resource '{name}' already exists."))
    }

    /// `:run` of a job whose Ready condition is False. The grammar is Google's.
    #[must_use]
    pub fn not_ready_to_run(job: &str) -> Self {
        let text = "cannot be run because is in an error state. Please check the job's Ready status condition.";
        Self::new(Code::FailedPrecondition, format!("Job '{job}' {text}"))
    }

    /// `:cancel` of an execution that has ended.
    #[must_use]
    pub fn cannot_cancel(execution: &str) -> Self {
        Self::new(
            Code::FailedPrecondition,
            format!("Execution '{execution}' cannot be cancelled because it is not running."),
        )
    }

    /// A write with a resource version that is no longer the current one (fact: semantics 11).
    #[must_use]
    pub fn conflict(name: &str, Versions { given, current }: Versions<'_>) -> Self {
        Self::new(
            Code::Aborted,
            format!(
                "Conflict for resource '{name}': version '{given}' was specified but current version is '{current}'."
            ),
        )
    }

    /// A quota is used up.
    #[must_use]
    pub fn quota(Quota { metric, limit, project_number }: Quota<'_>) -> Self {
        Self::new(
            Code::ResourceExhausted,
            format!(
                "Quota exceeded for quota metric '{metric}' and limit '{limit}' of service 'run.googleapis.com' \
                 for consumer 'project_number:{project_number}'."
            ),
        )
    }

    /// No or wrong credentials.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(
            Code::Unauthenticated,
            "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or \
             other valid authentication credential.",
        )
    }

    /// Known who asks, and not allowed: `permission` such as `run.jobs.get` on `resource` such as
    /// `namespaces/P/jobs/J`.
    #[must_use]
    pub fn permission_denied(permission: &str, resource: &str) -> Self {
        Self::new(
            Code::PermissionDenied,
            format!(
                "Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."
            ),
        )
    }

    /// The document was understood and is wrong. `field: description` of each fault, one a line.
    #[must_use]
    pub fn invalid(violations: Vec<FieldViolation>) -> Self {
        let message = lines(violations.iter().map(ToString::to_string));
        Self::bad_request(message, violations)
    }

    /// The document is not one of its type. The descriptions of the transcoder name their fields themselves.
    #[must_use]
    pub fn malformed(violations: Vec<FieldViolation>) -> Self {
        let message = lines(violations.iter().map(|one| one.description.clone()));
        Self::bad_request(message, violations)
    }

    /// One field asks for something that cannot be honoured here; `why` says what, as a sentence.
    #[must_use]
    pub fn unsupported(field: &str, why: &str) -> Self {
        Self::invalid(vec![FieldViolation::new(field, why)])
    }

    fn bad_request(message: String, field_violations: Vec<FieldViolation>) -> Self {
        let details = vec![Detail::BadRequest { field_violations }];
        Self { status: Code::InvalidArgument, message, details }
    }

    /// Our fault. `what` says what was being done; it is shown to the client.
    #[must_use]
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(Code::Internal, format!("Internal error: {what}."))
    }

    /// Every fault that the details name.
    pub fn violations(&self) -> impl Iterator<Item = &FieldViolation> {
        self.details.iter().flat_map(|detail| match detail {
            Detail::BadRequest { field_violations } => field_violations.as_slice(),
            Detail::Other => &[],
        })
    }
}

/// The two sides of a conflict.
#[derive(Clone, Copy, Debug)]
pub struct Versions<'a> {
    /// What the client sent.
    pub given: &'a str,
    /// What is true.
    pub current: &'a str,
}

/// A quota, as its error names it.
#[derive(Clone, Copy, Debug)]
pub struct Quota<'a> {
    /// Such as `Running executions`.
    pub metric: &'a str,
    /// Such as `Running executions per project per region`.
    pub limit: &'a str,
    /// Number of the project.
    pub project_number: &'a str,
}

fn lines(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { region: "us-central1", project: "demo" };

    #[test]
    fn the_texts_are_the_observed_ones() {
        let errors = [
            ApiError::job_not_found("j", PLACE),
            ApiError::execution_not_found("j-abcde", PLACE),
            ApiError::task_not_found("j-abcde-task0", PLACE),
            ApiError::already_exists("j"),
            ApiError::not_ready_to_run("j"),
            ApiError::cannot_cancel("j-abcde"),
            ApiError::conflict("j", Versions { given: "A", current: "B" }),
            ApiError::quota(Quota { metric: "X", limit: "Y", project_number: "123456789012" }),
            ApiError::unauthenticated(),
            ApiError::permission_denied("run.jobs.get", "namespaces/demo/jobs/j"),
            ApiError::unsupported("spec.template.spec.delayExecution", "not honoured here"),
            ApiError::internal("reading the journal"),
        ];
        let lines: Vec<String> = errors
            .iter()
            .map(|error| format!("{} {:?}: {error}", error.status.http(), error.status))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn every_fault_is_in_the_message_and_in_the_details() {
        let error = ApiError::invalid(vec![
            FieldViolation::new("spec.a", "must be set"),
            FieldViolation::new("", "and so on"),
        ]);
        insta::assert_json_snapshot!(error);
    }

    #[test]
    fn the_envelope_is_read_back_and_foreign_details_do_not_hinder() {
        let error = ApiError::invalid(vec![FieldViolation::new("a", "b")]);
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<ApiError>(&text).unwrap(), error);

        let foreign = serde_json::json!({"error": {"code": 403, "message": "m",
            "status": "PERMISSION_DENIED", "details": [{"@type": "x", "y": 1}]}});
        let error: ApiError = serde_json::from_value(foreign).unwrap();
        assert_eq!((error.status, error.details), (Code::PermissionDenied, vec![Detail::Other]));
    }

    #[test]
    fn an_error_without_details_has_no_details_key() {
        let json = serde_json::to_value(ApiError::already_exists("j")).unwrap();
        let wanted = serde_json::json!({"error": {
            "code": 409, "message": "Resource 'j' already exists.", "status": "ALREADY_EXISTS"}});
        assert_eq!(json, wanted);
    }
}
