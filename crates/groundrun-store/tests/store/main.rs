//! The store's contract, over real files.

mod crash;
mod disk;
mod group;
mod lists;
mod measure;
mod opening;
mod records;
mod round_trip;
mod secrets;
mod support;
mod watching;
