//! What the tests work with: archives, images, a registry with faults, and a desk where images are asked for.

pub(crate) mod archive;
pub(crate) mod desk;
pub(crate) mod image;
pub(crate) mod registry;
pub(crate) mod tls;
