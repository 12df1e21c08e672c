//! From an image reference to mountable layers.
//!
//! A reference names an image in a registry, an OCI layout, a `docker save` archive or the program itself. It is
//! resolved to a digest, its layers are verified and unpacked once each, and what comes out is a list of directories
//! for an overlay mount and the configuration of what to run. Nothing here starts anything.
//!
//! ```text
//!  ask ──▶ service ──▶ import ──┬─▶ registry │ layout │ archive │ built_in     where an image comes from
//!                               ├─▶ unpack                                     one layer, verified, into a staging tree
//!                               └─▶ store                                      what is here, what is pinned
//! ```

mod archive;
mod built_in;
mod digest;
mod fault;
mod import;
mod layout;
mod manifest;
mod owners;
mod reference;
mod registry;
mod service;
mod settings;
mod store;
mod unpack;

pub use digest::Digest;
pub use fault::Fault;
pub use owners::Owners;
pub use reference::{Malformed, Reference, Remote};
pub use service::{ImageService, Progress, StartFault};
pub use settings::{BuiltIn, BuiltInFile, Credentials, Limits, Settings, Timeouts};
pub use store::{Collected, ImageStore, Mountable, OpenFault};
