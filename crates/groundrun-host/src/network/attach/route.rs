//! Which way a task's packets go when it has a second interface. Pure (fact: semantics 11, `vpc-access-egress`).

use std::net::Ipv4Addr;

use groundrun_core::needs::Egress;

use super::{super::subnet::Range, ground::Ground};

/// Where clouds tell a machine what it is and who: the table of nftables keeps tasks from there by their first interface, and
/// these ways by their second.
const OF_CLOUDS: [Range; 3] = [
    Range { address: Ipv4Addr::new(169, 254, 0, 0), prefix: 16 },
    Range { address: Ipv4Addr::new(100, 100, 100, 200), prefix: 32 },
    Range { address: Ipv4Addr::new(168, 63, 129, 16), prefix: 32 },
];

const EVERYWHERE: Range = Range { address: Ipv4Addr::UNSPECIFIED, prefix: 0 };

/// One way of a task's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) to: Range,
    pub(super) by: By,
}

/// Where a way leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Nowhere: the kernel says at once that it is not reached.
    Nobody,
    /// Out of the second interface, to this neighbour.
    Gateway(Ipv4Addr),
    /// Out of the second interface, to whoever says that he has the address.
    Neighbours,
}

/// All ways besides those that addresses of the interfaces make. `own` is the range of the first interface, which goes on
/// being reached by that.
pub(super) fn ways(egress: Egress, ground: &Ground, own: Range) -> Vec<Way> {
    let by = ground.gateway.map_or(By::Neighbours, By::Gateway);
    let led = match egress {
        Egress::All => vec![EVERYWHERE],
        Egress::PrivateRanges => {
            let is_made = |range: &Range| ground.subnet.contains(*range) || own.contains(*range);
            ground.private_ranges.iter().copied().filter(|range| !is_made(range)).collect()
        }
    };
    let nobody = OF_CLOUDS.map(|to| Way { to, by: By::Nobody });
    nobody.into_iter().chain(led.into_iter().map(|to| Way { to, by })).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::ground::Kind, *};
    use crate::network::private_ranges;

    fn range(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Range {
        Range { address: Ipv4Addr::new(a, b, c, d), prefix }
    }

    fn ground(gateway: Option<Ipv4Addr>) -> Ground {
        Ground {
            kind: Kind::Bridge,
            index: 7,
            mtu: 1500,
            subnet: range(10, 8, 0, 0, 24),
            gateway,
            others: vec![],
            private_ranges: private_ranges().into_iter().map(|range| range.0).collect(),
        }
    }

    const OWN: Range = Range { address: Ipv4Addr::new(192, 168, 128, 0), prefix: 22 };

    fn led(egress: Egress, ground: &Ground) -> Vec<Way> {
        let ways = ways(egress, ground, OWN);
        ways.into_iter().filter(|way| way.by != By::Nobody).collect()
    }

    #[test]
    fn private_ranges_go_by_the_second_interface_and_the_rest_as_before() {
        let gateway = Ipv4Addr::new(10, 8, 0, 1);
        let ways = led(Egress::PrivateRanges, &ground(Some(gateway)));
        assert_eq!(ways.len(), 6);
        assert!(ways.iter().all(|way| way.by == By::Gateway(gateway)), "{ways:?}");
        assert!(ways.iter().all(|way| way.to != EVERYWHERE), "{ways:?}");
        assert!(ways.iter().any(|way| way.to == range(100, 64, 0, 0, 10)), "{ways:?}");
    }

    #[test]
    fn all_traffic_goes_by_the_second_interface() {
        let by = By::Neighbours;
        assert_eq!(led(Egress::All, &ground(None)), [Way { to: EVERYWHERE, by }]);
    }

    #[test]
    fn what_the_interfaces_themselves_reach_stays_theirs() {
        let mut ground = ground(None);
        ground.private_ranges =
            vec![range(10, 8, 0, 0, 24), range(192, 168, 129, 0, 24), range(10, 9, 0, 0, 16)];
        let by = By::Neighbours;
        assert_eq!(led(Egress::PrivateRanges, &ground), [Way { to: range(10, 9, 0, 0, 16), by }]);
    }

    #[test]
    fn no_cloud_tells_a_task_who_the_machine_is_by_this_way_either() {
        for egress in [Egress::PrivateRanges, Egress::All] {
            let ways = ways(egress, &ground(None), OWN);
            for to in OF_CLOUDS {
                assert!(ways.contains(&Way { to, by: By::Nobody }), "{to:?}");
            }
        }
    }
}
