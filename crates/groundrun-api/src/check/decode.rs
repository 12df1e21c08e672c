//! From the bytes of a body to the struct of its message, with every fault of the document in one error.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{schema::Schema, walk::check};
use crate::{
    error::{ApiError, FieldViolation},
    v1,
};

/// A message that documents are decoded into.
pub trait Message: Serialize + DeserializeOwned {
    /// Its name in the table.
    const NAME: &'static str;
    /// What a document of it is called in paths: the field of the request that the body is, or
    /// empty if the body is the whole request.
    const AT: &'static str;
    /// The table.
    fn schema() -> &'static Schema {
        Schema::v1()
    }
}

macro_rules! messages {
    ($($message:ty: $name:literal at $at:literal,)*) => {$(
        impl Message for $message {
            const NAME: &'static str = $name;
            const AT: &'static str = $at;
        }
    )*};
}

messages! {
    v1::Job: "Job" at "job",
    v1::RunJobRequest: "RunJobRequest" at "",
    v1::CancelExecutionRequest: "CancelExecutionRequest" at "",
    v1::SetIamPolicyRequest: "SetIamPolicyRequest" at "",
    v1::TestIamPermissionsRequest: "TestIamPermissionsRequest" at "",
}

/// Checks a document and reads it.
///
/// # Errors
/// 400 INVALID_ARGUMENT with every fault.
pub fn decode<T: Message>(document: Value) -> Result<T, ApiError> {
    let (document, faults) = check(T::schema(), T::NAME, T::AT, document);
    if !faults.is_empty() {
        return Err(ApiError::malformed(faults));
    }
    // The table and the structs agree, as a property test shows; should they not, it is our fault.
    serde_json::from_value(document)
        .map_err(|error| ApiError::internal(format_args!("reading a {}: {error}", T::NAME)))
}

/// `decode` of the bytes of a body.
///
/// # Errors
/// 400 INVALID_ARGUMENT when it is not JSON, or with every fault.
pub fn decode_bytes<T: Message>(body: &[u8]) -> Result<T, ApiError> {
    decode(parse_json(body)?)
}

/// The JSON of a body. An empty one is `{}`: generated clients send none where all is optional.
///
/// # Errors
/// 400 INVALID_ARGUMENT with line and column.
pub fn parse_json(body: &[u8]) -> Result<Value, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = format!("Invalid JSON payload received. {error}.");
        ApiError::malformed(vec![FieldViolation::new("", text)])
    })
}
