//! The names that are answered here.

use std::net::Ipv4Addr;

use super::message::{A, ANY, Question, Rcode};

/// Where metadata and names are served, in each task.
const HERE: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Under which names Google's libraries look for the metadata server.
const METADATA: [&str; 2] = ["metadata.google.internal", "metadata"];

/// Under which names a task reaches services of the machine that it runs on: Docker's, and ours.
const HOST: [&str; 2] = ["host.docker.internal", "host.groundrun.internal"];

/// What the names mean.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names {
    /// Where the machine's own services are reached; `None` where tasks may not.
    pub(crate) host: Option<Ipv4Addr>,
}

/// Of a query for one of our names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Not ours: others know.
    Elsewhere,
    Nothing(Rcode),
    Address(Ipv4Addr),
}

impl Names {
    pub(super) fn find(self, asked: &Question) -> Found {
        let name = asked.name.as_str();
        let address = if METADATA.contains(&name) {
            Some(HERE)
        } else if HOST.contains(&name) {
            self.host
        } else {
            return Found::Elsewhere;
        };
        match address {
            None => Found::Nothing(Rcode::NoSuchName),
            Some(address) if asked.is_internet() && (asked.kind == A || asked.kind == ANY) => {
                Found::Address(address)
            }
            // The name is there, without such a record: AAAA above all.
            Some(_) => Found::Nothing(Rcode::NoError),
        }
    }
}
