//! The crate's contract, asked through its port.

mod sources;
mod support;
