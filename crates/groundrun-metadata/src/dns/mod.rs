//! The name server of one task: 169.254.169.254, port 53, over UDP and TCP.
//!
//! A few names are answered here; every other query goes to the machine's resolvers as it came, but for its id, and
//! its answer comes back as it was. Of a message only the header and the question are read: what is passed on
//! unread (EDNS, DNSSEC, types yet to be invented) cannot be passed on wrongly. That is why no DNS library is used.

mod forward;
mod message;
mod names;
mod resolvers;
mod serve;

#[cfg(test)]
mod tests;

pub use resolvers::{Resolvers, of_the_machine};

pub(crate) use names::Names;
pub(crate) use serve::{Desk, serve_tcp, serve_udp};
