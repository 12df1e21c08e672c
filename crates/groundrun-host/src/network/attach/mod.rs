//! A task's second interface, in a network of this machine that the job names: a port of a bridge, or a neighbour of the
//! machine behind one of its interfaces.
//!
//! ```text
//!  task's namespace                     the machine's
//!  eth0 192.168.x.y ─────────────────── port gr…-…   note: NAME ADDRESS
//!  eth1 ADDRESS ─────────────────────── port gr…_… of the bridge that is mapped, or macvlan of the interface
//! ```
//!
//! Who has which address there is written on the task's first port, and so goes with its namespace, however that ends: a
//! server that comes later reads it.

mod choice;
mod docker;
mod ground;
mod link;
mod route;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
};

use groundrun_core::needs::Connection;

use self::{choice::Choice, docker::DockerNetwork, ground::Ground};
use super::{links, mapped::MappedNetwork, namespace::Namespace, netlink::Netlink, subnet::Subnet};

/// What keeps all tasks of a server from being attached to any network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// They have the machine's own network.
    OnHost,
    /// They have a loopback alone.
    Alone,
    /// The server is an ordinary user's: its bridge is in a network namespace that the machine's networks do not lead to.
    OfUser,
}

/// The networks of this machine that jobs may name.
#[derive(Debug)]
pub struct Networks {
    mapped: BTreeMap<String, MappedNetwork>,
    apart: Option<Apart>,
    /// What Docker said of its networks.
    docker: Mutex<BTreeMap<String, DockerNetwork>>,
    attaching: Mutex<Attaching>,
}

/// One start at a time: nobody else gives addresses of the ranges.
#[derive(Debug, Default)]
struct Attaching {
    /// To the machine's network namespace; made at the first use.
    netlink: Option<Netlink>,
    choices: BTreeMap<String, Choice>,
}

/// Why tasks of a job have no second interface.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Nothing is said of any of the names.
    #[error("VPC network '{0}' is mapped to no network of this machine")]
    NotMapped(String),
    /// This server attaches nothing.
    #[error("VPC network '{name}' cannot be reached: {}", .apart.why())]
    Apart {
        /// As the job calls it.
        name: String,
        /// Why.
        apart: Apart,
    },
    /// What it is mapped to is not there, or not what it is said to be.
    #[error("VPC network '{name}' is mapped to {link} of this machine: {why}")]
    NotThere {
        /// By which it is mapped.
        name: String,
        /// To what.
        link: String,
        /// For a person.
        why: String,
    },
    /// All addresses are in use.
    #[error("VPC network '{name}': tasks have all addresses of its range {range}")]
    Full {
        /// By which it is mapped.
        name: String,
        /// Of tasks.
        range: String,
    },
    /// The kernel refused.
    #[error("{what}")]
    Kernel {
        /// What was being done.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Apart {
    fn why(self) -> &'static str {
        match self {
            Self::OnHost => {
                "with --network host tasks have the machine's network and no other. Start the server with --network private"
            }
            Self::Alone => {
                "with --network none tasks have no network. Start the server with --network private"
            }
            Self::OfUser => {
                "the server runs as an ordinary user, who may attach nothing to networks of the machine. Run it as root; \
                 what this machine reaches by itself, tasks reach without a connector"
            }
        }
    }
}

impl Networks {
    /// Of these names.
    #[must_use]
    pub fn new(mapped: BTreeMap<String, MappedNetwork>, apart: Option<Apart>) -> Self {
        Self { mapped, apart, docker: Mutex::default(), attaching: Mutex::default() }
    }

    /// Whether tasks with this connection could be attached now. In the machine's network namespace.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, connection: &Connection) -> Result<(), AttachError> {
        let (name, mapped) = self.mapped(connection)?;
        let mut netlink = Netlink::open().map_err(kernel("ask the kernel for links"))?;
        self.ground(&mut netlink, name, mapped).map(drop)
    }

    /// What their ranges are: addresses that this server gives to tasks there.
    pub(super) fn ranges(&self) -> Vec<super::mapped::Ipv4Range> {
        self.mapped.values().map(|network| network.range).collect()
    }

    /// All that is known of the networks' addresses: the server's own network keeps clear of them.
    pub(super) fn subnets(&self) -> Vec<super::subnet::Range> {
        let of = |network: &MappedNetwork| network.subnet.unwrap_or(network.range).0;
        self.mapped.values().map(of).collect()
    }

    /// Gives the namespace its second interface, and the address that it has there. Runs no program, but where Docker has
    /// made a network anew.
    ///
    /// # Errors
    /// What is missing or refused. The namespace is of no use then.
    pub(crate) fn attach(
        &self,
        connection: &Connection,
        namespace: &mut Namespace,
    ) -> Result<Ipv4Addr, AttachError> {
        let (name, mapped) = self.mapped(connection)?;
        let mut attaching = self.attaching.lock().unwrap_or_else(PoisonError::into_inner);
        let Attaching { netlink, choices } = &mut *attaching;
        let netlink = match netlink {
            Some(netlink) => netlink,
            None => {
                let asking = kernel("ask the kernel for links");
                netlink.insert(Netlink::open().map_err(asking)?)
            }
        };
        let ground = self.ground(netlink, name, mapped)?;
        let own = Subnet::of(namespace.address).range();
        if own.meets(ground.subnet) {
            let why = format!(
                "its addresses, {}, are also those that this server's tasks have; they get others when the server is \
                 started while none runs",
                super::mapped::Ipv4Range(ground.subnet)
            );
            return Err(not_there(name, mapped, why));
        }
        let address = choose(netlink, choices, &ground, namespace, name, mapped)?;
        let note = choice::note(name, address);
        links::write_note_of(netlink, &namespace.port, &note)
            .map_err(kernel("write down the address of a task's second interface"))?;
        let attaching = kernel("attach a task to its second network");
        link::add(netlink, &ground, namespace, address).map_err(attaching)?;
        let ways = route::ways(connection.egress, &ground, own);
        link::set_up(&mut namespace.inside, &ground, address, &ways)
            .map_err(kernel("set up a task's second interface"))?;
        Ok(address)
    }

    /// Why tasks without a network of their own cannot be attached.
    pub(crate) fn refusal(&self, connection: &Connection) -> AttachError {
        let name = connection.short_name().to_owned();
        AttachError::Apart { name, apart: self.apart.unwrap_or(Apart::OnHost) }
    }

    fn mapped(&self, connection: &Connection) -> Result<(&str, &MappedNetwork), AttachError> {
        let called = || connection.short_name().to_owned();
        if let Some(apart) = self.apart {
            return Err(AttachError::Apart { name: called(), apart });
        }
        connection.among(&self.mapped).ok_or_else(|| AttachError::NotMapped(called()))
    }

    fn ground(
        &self,
        netlink: &mut Netlink,
        name: &str,
        mapped: &MappedNetwork,
    ) -> Result<Ground, AttachError> {
        let mut docker = self.docker.lock().unwrap_or_else(PoisonError::into_inner);
        ground::find(netlink, &mut docker, mapped).map_err(|why| not_there(name, mapped, why))
    }
}

fn choose(
    netlink: &mut Netlink,
    choices: &mut BTreeMap<String, Choice>,
    ground: &Ground,
    namespace: &Namespace,
    name: &str,
    mapped: &MappedNetwork,
) -> Result<Ipv4Addr, AttachError> {
    let listing = "list the machine's links";
    if !choices.contains_key(name) {
        let links = links::list(netlink).map_err(kernel(listing))?;
        let server = namespace.port.split('-').next().unwrap_or_default();
        choices.insert(name.to_owned(), Choice::resumed(name, server, &links));
    }
    let choice = choices.get_mut(name).expect("it was put there");
    let has =
        |port: &str, address| links::note_of(netlink, port) == Some(choice::note(name, address));
    choice
        .next(mapped.range, &ground.others, &namespace.port, has)
        .ok_or_else(|| AttachError::Full { name: name.to_owned(), range: mapped.range.to_string() })
}

fn not_there(name: &str, mapped: &MappedNetwork, why: String) -> AttachError {
    AttachError::NotThere { name: name.to_owned(), link: mapped.link.to_string(), why }
}

fn kernel(what: &'static str) -> impl FnOnce(io::Error) -> AttachError {
    move |source| AttachError::Kernel { what, source }
}
