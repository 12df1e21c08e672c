//! The wire as Google wrote it: messages, errors, selectors, and the checker of documents. Nothing here decides anything.

pub mod error;
mod int64;
pub mod selector;
pub mod time;
pub mod v1;

pub use error::{ApiError, Code, Detail, FieldViolation};
pub use selector::Selector;
