//! Volumes that are the machine's: their files are there before the attempt and after it.

use std::{net::Ipv4Addr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// A program that mounts a volume at the path that is its last argument, and serves it until that is taken down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounter {
    /// What it mounts, for a person.
    pub what: String,
    /// The program.
    pub program: PathBuf,
    /// Its other arguments.
    pub arguments: Vec<String>,
    /// Nothing can be written.
    pub read_only: bool,
}

/// A directory of an NFS server, reached by the task's own network. Ids are there what they are in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nfs {
    /// Its name, or its address.
    pub server: String,
    /// Where it is; looked up in the machine's network where nobody says.
    pub address: Option<Ipv4Addr>,
    /// What it exports: absolute.
    pub path: String,
    /// Nothing can be written.
    pub read_only: bool,
}

/// A directory of the machine's that tasks share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Absolute.
    pub path: PathBuf,
    /// A directory below it that is shown in its place, and made if it is missing: relative, without `..`.
    pub below: Option<String>,
    /// Nothing can be written.
    pub read_only: bool,
    /// Whose it is in the containers; where absent the user of each one's program.
    pub uid: Option<u32>,
    /// Likewise, the group.
    pub gid: Option<u32>,
    /// Whether the server made it, and nobody but it can reach it: then it is opened to all ids of containers.
    pub is_servers: bool,
}
