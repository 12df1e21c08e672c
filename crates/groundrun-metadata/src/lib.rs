//! What a task may ask about itself and about names: the metadata server, tokens, and DNS; and the relay to ports of the
//! machine's loopback, where the network itself leads to none.
//!
//! The sockets are bound in the task's network namespace by the backend and served here, by the server's own process in
//! the machine's namespace. They outlive the server: requests of the meantime wait in their backlog.
//!
//! ```text
//! Services::new(Settings, runtime) · host_is_at(address) · attend(id, Sockets) · leave(id)
//! Mint::new(dir, World) · issue_as(url) · verify(token) -> Principal · jwks() · pem() · discovery()
//! HostCredentials::open(path, World)                  --adc=host: the user's own tokens, only when asked for
//! ```
//! Nothing secret is logged: no token, no key, no name that a task resolves.

mod connections;
mod dns;
mod host;
mod http;
mod identity;
mod relay;
mod services;
mod token;

#[cfg(test)]
mod fixture;

pub use dns::{Resolvers, of_the_machine};
pub use host::{HostCredentials, HostFault};
pub use identity::{Clock, Lookup, Random, TaskIdentity, World};
pub use services::{Services, Settings, Sockets};
pub use token::{Mint, Principal, TokenFault};
