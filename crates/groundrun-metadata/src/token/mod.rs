//! Tokens that name a task's service account, signed by a key of this server.
//!
//! RS256 throughout: it is what every verifier of Google's identity tokens accepts (ES256 is refused by many, since
//! Google signs only IAP's with it). The `rsa` crate makes keys and nothing else; every use of a private key is ring's,
//! which computes in constant time (RUSTSEC-2023-0071 is about the other crate's).

mod jwt;
mod keyring;
mod mint;
mod publish;

#[cfg(test)]
mod tests;

pub use mint::{Mint, Principal, TokenFault};

pub(crate) use jwt::encode;
pub(crate) use mint::{AccessToken, FRESH_FOR};
