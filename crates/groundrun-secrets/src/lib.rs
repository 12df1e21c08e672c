//! Secrets: their rules, and how what they hold is sealed.
//!
//! What a version holds is sealed before it reaches the store and opened where it is asked for: by the front for
//! `versions.access`, and by [`Vault`] for a task that starts. Plain values are wiped when they go.
//!
//! ```text
//! KeyFile::new(path, origin)              32 bytes, mode 0600; made at the first value, never over another
//! Sealer::new(KeyFile, random)            key(fingerprint of the store) -> Key; key.seal(..), key.open(..)
//! rules::check(..) · names::VersionId     what Google refuses, in its words where they are known
//! lookup::version(view, ..)               the version that is meant, or why there is none
//! Vault::new(store, sealer, projects)     the port `Secrets`
//! ```

pub mod key;
pub mod lookup;
pub mod names;
pub mod policy;
pub mod rules;
pub mod seal;
mod vault;

pub use key::{KeyFault, KeyFile, Origin};
pub use names::{Shown, VersionId};
pub use seal::{Key, Place, Sealer};
pub use vault::{Project, Projects, Vault};
