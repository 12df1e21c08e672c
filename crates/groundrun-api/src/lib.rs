//! The wire as Google wrote it: messages, errors, small languages, and the checker of documents.
//!
//! Nothing here decides anything.

pub mod check;
pub mod error;
mod int64;
pub mod label;
pub mod logfilter;
pub mod logging;
pub mod secretmanager;
pub mod selector;
pub mod time;
pub mod v1;
pub mod yaml;

pub use check::{Message, decode, decode_bytes};
pub use error::{ApiError, Code, Detail, FieldViolation};
pub use selector::Selector;
