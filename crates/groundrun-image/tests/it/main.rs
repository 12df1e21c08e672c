//! The crate's contract, asked through its port.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod hostile;
mod layers;
mod logins;
mod overlay;
mod port;
mod registries;
mod sources;
mod store;
mod support;
mod umoci;
