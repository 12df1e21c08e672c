//! Networks of this machine that jobs may name, as settings describe them. Values; whether they are there is asked later.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use super::subnet::Range;

/// A network of this machine that tasks are attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedNetwork {
    /// What they are plugged into.
    pub link: MappedLink,
    /// Addresses for tasks, which nobody else gives.
    pub range: Ipv4Range,
    /// All addresses of the network; those of the link where nothing is said.
    pub subnet: Option<Ipv4Range>,
    /// Who leads on from there; where nothing is said, whom the machine asks itself, or the machine.
    pub gateway: Option<Ipv4Addr>,
    /// What is reached by it when not everything is.
    pub private_ranges: Vec<Ipv4Range>,
}

/// What a network of this machine is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappedLink {
    /// A bridge: tasks get a port of it.
    Bridge(String),
    /// Likewise, by the name or the id of Docker's network.
    Docker(String),
    /// An interface: tasks are neighbours of the machine behind it, by macvlan.
    Interface(String),
}

/// A range of IPv4 addresses, such as `10.8.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Range(pub(super) Range);

/// The ranges that Google calls private (fact: semantics 11).
const PRIVATE_RANGES: [&str; 6] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "199.36.153.4/30",
    "199.36.153.8/30",
];

/// `PRIVATE_RANGES` as values.
///
/// # Panics
/// Never: a test reads them.
#[must_use]
pub fn private_ranges() -> Vec<Ipv4Range> {
    PRIVATE_RANGES.iter().map(|text| text.parse().expect("they are ranges")).collect()
}

impl Ipv4Range {
    /// Whether all of `other` is in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(other.0)
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn has(self, address: Ipv4Addr) -> bool {
        self.0.contains(Range { address, prefix: 32 })
    }
}

/// A text is no range of addresses; for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no range of IPv4 addresses such as 10.8.0.0/24, which begins where its prefix does"
)]
pub struct RangeFault(String);

impl FromStr for Ipv4Range {
    type Err = RangeFault;

    fn from_str(text: &str) -> Result<Self, RangeFault> {
        let range = || {
            let (address, prefix) = text.split_once('/')?;
            let range = Range { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            (range.prefix <= 32 && range.first() == range.address.to_bits()).then_some(Self(range))
        };
        range().ok_or_else(|| RangeFault(text.to_owned()))
    }
}

impl fmt::Display for Ipv4Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.address, self.0.prefix)
    }
}

impl fmt::Display for MappedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge(name) => write!(f, "bridge {name}"),
            Self::Docker(name) => write!(f, "Docker's network {name}"),
            Self::Interface(name) => write!(f, "interface {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_where_its_prefix_does() {
        let range: Ipv4Range = "10.8.0.64/26".parse().expect("a range");
        assert_eq!(range.to_string(), "10.8.0.64/26");
        assert!(
            range.has(Ipv4Addr::new(10, 8, 0, 127)) && !range.has(Ipv4Addr::new(10, 8, 0, 128))
        );
        for text in ["10.8.0.64/25", "10.8.0.0", "10.8.0.0/33", "fd00::/8", "x/8", ""] {
            let fault = text.parse::<Ipv4Range>().expect_err("it is none");
            assert!(fault.to_string().contains(text), "{fault}");
        }
    }

    #[test]
    fn private_ranges_are_those_that_google_names() {
        let ranges = private_ranges();
        let is_private = |address: [u8; 4]| ranges.iter().any(|range| range.has(address.into()));
        for address in [
            [10, 1, 2, 3],
            [172, 31, 0, 1],
            [192, 168, 1, 1],
            [100, 127, 0, 1],
            [199, 36, 153, 7],
            [199, 36, 153, 11],
        ] {
            assert!(is_private(address), "{address:?}");
        }
        for address in [[172, 32, 0, 1], [203, 0, 113, 9], [199, 36, 153, 12], [169, 254, 0, 1]] {
            assert!(!is_private(address), "{address:?}");
        }
    }
}
