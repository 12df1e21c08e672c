//! Runs `nft`: once when a server starts, and once when it takes its table away.

use std::io;

use crate::program;

const NFT: (&str, &str) = ("nft", "nftables");

/// Loads a script, whole or not at all, in the network namespace of the calling thread.
pub(super) fn load(script: &str) -> io::Result<()> {
    program::run(NFT, ["-f", "-"], script).map(drop)
}

/// The chains of all tables and what each does when no rule decides, as `nft` writes them. Needs root.
pub(crate) fn chains() -> io::Result<String> {
    program::run(NFT, ["list", "chains"], "")
}

/// All tables, one a line with their families. Needs root.
pub(super) fn tables() -> io::Result<String> {
    program::run(NFT, ["list", "tables"], "")
}

/// Everything that nftables has, as JSON.
#[cfg(test)]
pub(super) fn ruleset() -> io::Result<String> {
    program::run(NFT, ["-j", "list", "ruleset"], "")
}
