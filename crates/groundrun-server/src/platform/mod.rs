//! What gcloud asks of other Google APIs before it runs a job, answered for the one machine there is (fact: gcloud-wire
//! A.3).

mod locations;
mod project;
mod services;

pub(crate) use locations::{location, locations};
pub(crate) use project::project;
pub(crate) use services::{enable, service};
