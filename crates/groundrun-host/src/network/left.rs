//! What a server that was killed, and is not started again, has left on the machine: found and taken away by whoever clears up.
//!
//! A server on the same data directory needs none of it: it finds what is there and goes on with it.

use std::{io, path::Path};

use super::{
    ground::{self, Names, NetworkError},
    links,
    netlink::Netlink,
    nft,
};
use crate::config::network_hash;

/// Names of the links and the table that the server on `data_dir` (absolute) has in the network namespace of the calling
/// thread. Needs root.
///
/// # Errors
/// When the kernel or `nft` does not say.
pub fn left_of(data_dir: &Path) -> io::Result<Vec<String>> {
    of(network_hash(data_dir))
}

/// Takes them away, and gives forwarding back as it was found. For a server that has ended, and whose tasks have.
///
/// # Errors
/// When tasks still run, or the kernel or `nft` refuses.
pub fn clear_left_of(data_dir: &Path) -> Result<(), NetworkError> {
    ground::clear(network_hash(data_dir))
}

pub(super) fn of(hash: u64) -> io::Result<Vec<String>> {
    let Names { bridge, table } = Names::of(hash);
    let links = links::list(&mut Netlink::open()?)?;
    let mut left: Vec<String> =
        links.into_iter().map(|link| link.name).filter(|name| name.starts_with(&bridge)).collect();
    let is_there = nft::tables()?.lines().any(|line| line.ends_with(&format!(" {table}")));
    left.extend(is_there.then_some(table));
    Ok(left)
}
