//! Makes it happen: one loop, one inbox; commits intent, then dispatches.

pub mod brain;
pub mod journal;
