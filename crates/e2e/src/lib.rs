//! The laboratory of the end-to-end tests: one server with its own data directory, real clients, real images, and a
//! witness that nothing is left at the end.

pub mod clients;
pub mod document;
pub mod http;
pub mod images;
pub mod lab;
pub mod leftovers;
pub mod proxy;
pub mod registry;
pub mod town;
pub mod wait;

pub use lab::{Lab, Options};
pub use testkit::canary::{Search as CanarySearch, canary};
