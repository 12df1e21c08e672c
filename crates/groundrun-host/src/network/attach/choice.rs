//! Which address of a range a task gets. An address comes round as late as it can; who has one is written on ports, and
//! asked of the kernel before it is given again.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::super::{links::Link, mapped::Ipv4Range};

/// What is written on a task's first port.
pub(super) fn note(network: &str, address: Ipv4Addr) -> String {
    format!("{network} {address}")
}

/// Addresses of one network.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The port of whoever was last given an address.
    given: BTreeMap<Ipv4Addr, String>,
    /// The last that was given.
    last: Option<Ipv4Addr>,
}

impl Choice {
    /// With what earlier servers gave, as ports say whose names begin with `server`.
    pub(super) fn resumed(network: &str, server: &str, links: &[Link]) -> Self {
        let given = links.iter().filter(|link| link.name.starts_with(&format!("{server}-")));
        let given = given.filter_map(|link| {
            let (of, address) = link.note.rsplit_once(' ')?;
            (of == network).then_some((address.parse().ok()?, link.name.clone()))
        });
        Self { given: given.collect(), last: None }
    }

    /// An address of `range` for the task with `port`, that is none of `others` and nobody has; whether a port still has one
    /// is for `has` to say. None where all are in use.
    pub(super) fn next(
        &mut self,
        range: Ipv4Range,
        others: &[Ipv4Addr],
        port: &str,
        mut has: impl FnMut(&str, Ipv4Addr) -> bool,
    ) -> Option<Ipv4Addr> {
        let size = range.0.size();
        let first = range.0.first();
        let begin = self.last.map_or(0, |last| last.to_bits().wrapping_sub(first).wrapping_add(1));
        let found = (0..size).map(|step| {
            let offset = begin.wrapping_add(step) % size;
            Ipv4Addr::from_bits(first.wrapping_add(offset))
        });
        let address =
            found.filter(|address| !others.contains(address)).find(|address| {
                match self.given.get(address) {
                    Some(port) => !has(port, *address),
                    None => true,
                }
            })?;
        self.last = Some(address);
        self.given.insert(address, port.to_owned());
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range() -> Ipv4Range {
        "10.8.0.64/30".parse().expect("a range")
    }

    fn address(last: u8) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::new(10, 8, 0, last))
    }

    #[test]
    fn an_address_comes_round_as_late_as_it_can() {
        let mut choice = Choice::default();
        let mut next = |others: &[Ipv4Addr]| choice.next(range(), others, "gr1-000", |_, _| false);
        assert_eq!([next(&[]), next(&[]), next(&[])], [address(64), address(65), address(66)]);
        let gateway = Ipv4Addr::new(10, 8, 0, 67);
        assert_eq!([next(&[gateway]), next(&[gateway])], [address(64), address(65)]);
    }

    #[test]
    fn no_address_is_given_twice_while_somebody_has_it() {
        let mut choice = Choice::default();
        let mut all: Vec<_> =
            (0..5).map(|_| choice.next(range(), &[], "gr1-000", |_, _| true)).collect();
        assert_eq!(all.pop(), Some(None), "all four are in use");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4);
        let given_back =
            choice.next(range(), &[], "gr1-001", |_, address| address.octets()[3] != 66);
        assert_eq!(given_back, address(66));
    }

    #[test]
    fn a_later_server_reads_who_has_which() {
        let link = |name: &str, note: &str| Link {
            name: name.to_owned(),
            note: note.to_owned(),
            ..Link::default()
        };
        let links = [
            link("gr1-000", &note("blue", Ipv4Addr::new(10, 8, 0, 64))),
            link("gr1-001", &note("red", Ipv4Addr::new(10, 8, 0, 65))),
            link("gr2-002", &note("blue", Ipv4Addr::new(10, 8, 0, 66))),
            link("gr1", "groundrun"),
        ];
        let mut choice = Choice::resumed("blue", "gr1", &links);
        let mut asked = Vec::new();
        let has = |port: &str, _| {
            asked.push(port.to_owned());
            true
        };
        assert_eq!(choice.next(range(), &[], "gr1-003", has), address(65));
        assert_eq!(asked, ["gr1-000"]);
    }
}
