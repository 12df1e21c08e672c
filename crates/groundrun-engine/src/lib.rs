//! Makes it happen: one loop, one inbox; commits intent, then dispatches.
//!
//! ```text
//!            news                    changes
//!  backend ───────▶ Mailbox ──┐   ┌────────── store
//!  images  ───────▶           ▼   ▼             ▲
//!                           Brain::think ─▶ Brain::write ─▶ actions to the backend, requests to the images
//! ```
//! **Invariant:** what a backend is asked to begin is in the journal as intended before it is asked.

pub mod brain;
mod engine;
pub mod journal;
mod mailbox;
mod stored;

pub use engine::{Clock, Engine, EngineConfig, RETAINED_PER_JOB};
pub use mailbox::Mailbox;
