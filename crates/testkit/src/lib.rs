//! What tests of several crates share: samples, scenarios, the simulation and its checkers, the conformance suite.

pub mod canary;
pub mod conformance;
pub mod sample;
pub mod scenario;
#[cfg(feature = "sim")]
pub mod sim;
