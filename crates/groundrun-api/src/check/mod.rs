//! The checker of documents: finds every fault of a JSON document at once, in the words of Google's transcoder.
//!
//! A document is walked once (`walk`, `scalar`) along a table of its messages (`schema`), and comes
//! out either with its faults or normalised, so that reading it into its struct cannot fail any more
//! (`decode`).

mod decode;
mod scalar;
mod schema;
mod walk;

#[cfg(test)]
mod tests;

pub use decode::{Message, decode, decode_bytes, parse_json};
pub use scalar::base64;
pub use schema::{Field, Kind, Schema, SchemaError, snake};
pub use walk::check;
