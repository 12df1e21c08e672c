//! The wire as Google wrote it. Nothing here decides anything.

mod int64;
pub mod time;
pub mod v1;
