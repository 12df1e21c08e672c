//! One execution, driven step by step: what it costs, and that a restart changes nothing.

mod cost;
mod driver;
mod restart;
