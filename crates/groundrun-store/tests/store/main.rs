//! The store's contract, over real files.

mod records;
mod support;
