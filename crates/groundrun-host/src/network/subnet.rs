//! Which addresses tasks get: one range of 1,024 per server, free of what the machine has and knows a way to. Pure.

use std::{fmt, net::Ipv4Addr};

/// Bits of the network's part.
pub(super) const PREFIX: u8 = 22;

/// Addresses in one.
const SIZE: u32 = 1 << (32 - PREFIX);

/// Tasks at once: a bridge has 1,023 ports at most, and three addresses besides the broadcast are not a task's.
pub(super) const TASKS_MAX: u32 = SIZE - 4;

/// A range of addresses that a server gives to tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet(u32);

/// Any range of addresses: what the machine has, or knows a way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) address: Ipv4Addr,
    pub(super) prefix: u8,
}

/// Where they are looked for, in this order. The upper part of 192.168/16 first: homes and offices use its first few
/// networks, and virtual networks of clouds (10/8, 172.16/12, 100.64/10), which a machine may have a way to one day,
/// rarely any of it.
const CANDIDATES: [Range; 3] = [
    Range { address: Ipv4Addr::new(192, 168, 128, 0), prefix: 17 },
    Range { address: Ipv4Addr::new(172, 24, 0, 0), prefix: 13 },
    Range { address: Ipv4Addr::new(10, 192, 0, 0), prefix: 10 },
];

/// Wider ranges are default routes, also in the halves that VPN programs make of them.
const BROADEST_PREFIX: u8 = 8;

impl Subnet {
    /// The one that holds this address.
    pub(super) fn of(address: Ipv4Addr) -> Self {
        Self(address.to_bits() & !(SIZE - 1))
    }

    /// A free one, the same on every start as long as nothing changes: where to look first follows from `seed`.
    pub(super) fn choose(seed: u64, used: &[Range]) -> Option<Self> {
        let used: Vec<&Range> =
            used.iter().filter(|range| range.prefix >= BROADEST_PREFIX).collect();
        CANDIDATES.into_iter().find_map(|candidates| {
            let count = candidates.size() / SIZE;
            let first = u32::try_from(seed % u64::from(count)).unwrap_or_default();
            (0..count)
                .map(|step| Self(candidates.first() + (first + step) % count * SIZE))
                .find(|subnet| !used.iter().any(|range| range.meets(subnet.range())))
        })
    }

    /// The bridge's own address: where tasks send what is for outside.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0 + 1)
    }

    /// What stands for the host's loopback.
    pub(super) fn host(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0 + 2)
    }

    /// That of one of [`TASKS_MAX`] tasks.
    pub(super) fn task(self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0 + 3 + index % TASKS_MAX)
    }

    pub(super) fn range(self) -> Range {
        Range { address: Ipv4Addr::from_bits(self.0), prefix: PREFIX }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{PREFIX}", Ipv4Addr::from_bits(self.0))
    }
}

impl Range {
    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }

    /// Its first address.
    pub(super) fn first(self) -> u32 {
        self.address.to_bits() & self.mask()
    }

    /// How many addresses it has, of all there are but one.
    pub(super) fn size(self) -> u32 {
        (!self.mask()).saturating_add(1)
    }

    /// The same, by its first address.
    pub(super) fn whole(self) -> Self {
        Self { address: Ipv4Addr::from_bits(self.first()), ..self }
    }

    /// Whether all of `other` is in it.
    pub(super) fn contains(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.meets(other)
    }

    /// Whether they have an address in common.
    pub(super) fn meets(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.address.to_bits() & mask == other.address.to_bits() & mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        let (address, prefix) = text.split_once('/').expect("a range");
        let address = address.parse().expect("an address");
        Range { address, prefix: prefix.parse().expect("a number") }
    }

    fn chosen(seed: u64, used: &[&str]) -> String {
        let used: Vec<Range> = used.iter().map(|text| range(text)).collect();
        Subnet::choose(seed, &used).map_or_else(|| "none".to_owned(), |subnet| subnet.to_string())
    }

    #[test]
    fn the_same_server_chooses_the_same_addresses() {
        assert_eq!(chosen(0, &[]), "192.168.128.0/22");
        assert_eq!(chosen(3, &[]), "192.168.140.0/22");
        assert_eq!(chosen(32, &[]), "192.168.128.0/22");
    }

    #[test]
    fn what_the_machine_uses_is_passed_over() {
        assert_eq!(chosen(0, &["192.168.129.7/32"]), "192.168.132.0/22");
        assert_eq!(chosen(31, &["192.168.254.0/24"]), "192.168.128.0/22");
        assert_eq!(chosen(0, &["192.168.0.0/16"]), "172.24.0.0/22");
        assert_eq!(chosen(0, &["192.168.0.0/16", "172.16.0.0/12"]), "10.192.0.0/22");
        assert_eq!(chosen(0, &["192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8"]), "none");
    }

    #[test]
    fn a_default_route_and_its_halves_take_nothing() {
        assert_eq!(chosen(0, &["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"]), "192.168.128.0/22");
    }

    #[test]
    fn every_task_has_an_address_of_its_own_inside() {
        let subnet = Subnet::choose(0, &[]).expect("one is free");
        let all: std::collections::BTreeSet<Ipv4Addr> =
            (0..TASKS_MAX).map(|index| subnet.task(index)).collect();
        assert_eq!(all.len(), 1020);
        assert_eq!(all.first(), Some(&Ipv4Addr::new(192, 168, 128, 3)));
        assert_eq!(all.last(), Some(&Ipv4Addr::new(192, 168, 131, 254)));
        assert!(![subnet.gateway(), subnet.host()].iter().any(|address| all.contains(address)));
        assert!(all.iter().all(|address| Subnet::of(*address) == subnet));
    }
}
