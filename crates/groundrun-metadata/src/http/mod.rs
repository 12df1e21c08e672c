//! The metadata server of one task: `http://169.254.169.254/computeMetadata/v1/…`.
//!
//! ```text
//! connections (bounded) → request (headers demanded and refused) → tree (what is where) → answer
//! ```
//! What it answers is what Cloud Run's server is known to answer: its container contract, what Google's auth libraries
//! read (google-auth `compute_engine/_metadata.py`, gcp-metadata, Go's `compute/metadata`), and what people saw of it.

mod answer;
mod connections;
mod page;
mod request;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use answer::{Front, Shared};
pub(crate) use connections::serve;
pub(crate) use request::IdentityAsk;
