//! The front in process: a request goes in, a status and a body come out. Clock and randomness are fixed.

mod errors;
mod executions;
mod faults;
mod fixture;
mod guards;
mod iam;
mod jobs;
mod keys;
mod logs;
mod platform;
mod run;
mod secrets;
mod shape;
mod tail;
mod tasks;
mod tokens;
mod transport;
mod watch;
