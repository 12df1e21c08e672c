//! The one nftables table of a server: what its tasks may reach. Pure; loading it is one call of `nft`.

use std::net::Ipv4Addr;

use super::{mapped::Ipv4Range, subnet::Subnet};

/// Where clouds tell a machine what it is and who: nearly all of them on a link-local address, Alibaba on one of
/// 100.64.0.0/10, Azure's agent on one of Microsoft's own.
const OF_CLOUDS: &str = "169.254.0.0/16, 100.100.100.200, 168.63.129.16";

/// What the table depends on.
#[derive(Clone, Debug)]
pub(super) struct Rules<'network> {
    /// Name of the table.
    pub(super) table: &'network str,
    /// Name of the bridge.
    pub(super) bridge: &'network str,
    pub(super) subnet: Subnet,
    /// How the host's loopback is reached by the address that stands for it.
    pub(super) to_host: ToHost,
    /// Addresses of a host that is outside: its services are no task's matter, but by the name.
    pub(super) of_host: &'network [Ipv4Addr],
    /// Port of this server's API: no task of any server gets there by way of the loopback.
    pub(super) api_port: Option<u16>,
    /// Addresses that this server's tasks have in other networks of this machine.
    pub(super) attached: &'network [Ipv4Range],
    /// Links between which nothing was forwarded before a server switched forwarding on, and nothing is now.
    pub(super) apart: &'network [String],
}

/// The way to services on the host's loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToHost {
    /// None.
    No,
    /// It is this machine's.
    Loopback,
    /// It is what pasta makes of this address, beyond the router of an ordinary user.
    Beyond(Ipv4Addr),
    /// None that the table knows: sockets in each task's own namespace, relayed by the server.
    Relayed,
}

impl Rules<'_> {
    /// The whole table, in place of an earlier one of that name, at once or not at all.
    ///
    /// An `accept` here is no more than this table's: a firewall of the machine's is asked as well.
    pub(super) fn script(&self) -> String {
        let Self { table, bridge, subnet, .. } = self;
        let (gateway, host) = (subnet.gateway(), subnet.host());
        let to_host = self.to_host();
        let translated = match self.to_host {
            ToHost::Loopback => "    ct status dnat ip daddr 127.0.0.1 accept\n",
            ToHost::No | ToHost::Beyond(_) | ToHost::Relayed => "",
        };
        let beyond = self.beyond();
        let own_api = self.api_port.map_or_else(String::new, |port| {
            format!(
                "    iifname \"gr*\" ip daddr 127.0.0.0/8 tcp dport {port} reject with tcp reset\n{}",
                self.not_from_attached(port)
            )
        });
        let apart = self.stay_apart();
        format!(
            r#"add table inet {table}
delete table inet {table}
table inet {table} {{
  # The address that the kernel may take from the bridge into 127/8 is the one that is translated below, no other.
  chain unwanted {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{bridge}" meta nfproto ipv6 drop
    iifname "{bridge}" ip saddr != {subnet} drop
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
{to_host}  chain to_outside {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} oifname != "{bridge}" masquerade
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
{own_api}    iifname "{bridge}" jump from_tasks
  }}
  chain from_tasks {{
    ct state established,related accept
{translated}    ip daddr {{ {gateway}, {host} }} icmp type echo-request accept
    meta l4proto tcp reject with tcp reset
    reject
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{bridge}" oifname "{bridge}" reject
    # Metadata and keys of the machine that this one may be on a cloud.
    iifname "{bridge}" ip daddr {{ {OF_CLOUDS} }} reject
{beyond}    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" drop
{apart}  }}
}}
"#
        )
    }

    /// A service on the loopback sees a client on the loopback: what asks for one there (a database's list of those who
    /// may) takes it for that.
    fn to_host(&self) -> String {
        let target = match self.to_host {
            ToHost::No | ToHost::Relayed => return String::new(),
            ToHost::Loopback => Ipv4Addr::LOCALHOST,
            ToHost::Beyond(address) => address,
        };
        let (bridge, host) = (self.bridge, self.subnet.host());
        let own_api = self.api_port.map_or_else(String::new, |port| {
            format!("    iifname \"{bridge}\" ip daddr {host} tcp dport {port} return\n")
        });
        let as_from_loopback = match self.to_host {
            ToHost::Loopback => format!(
                r#"  chain as_from_loopback {{
    type nat hook input priority 100; policy accept;
    iifname "{bridge}" ct status dnat ip daddr 127.0.0.1 snat ip to 127.0.0.1
  }}
"#
            ),
            ToHost::No | ToHost::Beyond(_) | ToHost::Relayed => String::new(),
        };
        format!(
            r#"  chain to_host {{
    type nat hook prerouting priority dstnat; policy accept;
{own_api}    iifname "{bridge}" ip daddr {host} meta l4proto {{ tcp, udp }} dnat ip to {target}
  }}
{as_from_loopback}"#
        )
    }

    /// Nor by way of another network that the machine is in.
    fn not_from_attached(&self, port: u16) -> String {
        let refuse = |range: &Ipv4Range| {
            format!("    ip saddr {range} tcp dport {port} reject with tcp reset\n")
        };
        self.attached.iter().map(refuse).collect()
    }

    /// Where the host is outside, only what was translated reaches it.
    fn beyond(&self) -> String {
        let bridge = self.bridge;
        let refuse = |address: &Ipv4Addr| {
            format!("    iifname \"{bridge}\" ip daddr {address} ct status ! dnat reject\n")
        };
        self.of_host.iter().map(refuse).collect()
    }

    fn stay_apart(&self) -> String {
        if self.apart.is_empty() {
            return String::new();
        }
        let links: Vec<String> = self.apart.iter().map(|link| format!("\"{link}\"")).collect();
        let links = links.join(", ");
        format!("    iifname {{ {links} }} oifname {{ {links} }} drop\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules<'static> {
        Rules {
            table: "groundrun-1",
            bridge: "gr1",
            subnet: Subnet::of(Ipv4Addr::new(192, 168, 128, 1)),
            to_host: ToHost::Loopback,
            of_host: &[],
            api_port: Some(8080),
            attached: &[],
            apart: &[],
        }
    }

    #[test]
    fn without_host_access_nothing_leads_to_the_loopback() {
        assert!(rules().script().contains("dnat ip to 127.0.0.1"));
        let script = Rules { to_host: ToHost::No, ..rules() }.script();
        assert!(!script.contains("dnat ip"), "{script}");
        assert!(!script.contains("127.0.0.1"), "{script}");
    }

    #[test]
    fn the_api_is_passed_over_before_the_loopback_is_reached() {
        let script = rules().script();
        let (api, translated) = (script.find("dport 8080 return"), script.find("dnat ip to"));
        assert!(api.is_some() && api < translated, "{script}");
    }

    #[test]
    fn the_api_is_out_of_reach_by_other_networks_too() {
        let attached = ["10.8.0.64/26".parse().expect("a range")];
        let script = Rules { attached: &attached, ..rules() }.script();
        assert!(script.contains("ip saddr 10.8.0.64/26 tcp dport 8080 reject"), "{script}");
    }

    #[test]
    fn a_host_beyond_the_router_is_reached_by_its_name_alone() {
        let gateway = Ipv4Addr::new(192, 0, 2, 1);
        let of_host = [gateway, Ipv4Addr::new(198, 51, 100, 7)];
        let rules = Rules { to_host: ToHost::Beyond(gateway), of_host: &of_host, ..rules() };
        let script = rules.script();
        assert!(script.contains("dnat ip to 192.0.2.1"), "{script}");
        assert!(!script.contains("snat ip"), "{script}");
        for address in of_host {
            assert!(script.contains(&format!("ip daddr {address} ct status ! dnat reject")));
        }
    }

    #[test]
    fn no_cloud_tells_a_task_who_the_machine_is() {
        let script = rules().script();
        for address in ["169.254.0.0/16", "100.100.100.200", "168.63.129.16"] {
            let refused = script.lines().any(|line| {
                line.contains("iifname \"gr1\" ip daddr {")
                    && line.contains(address)
                    && line.ends_with("} reject")
            });
            assert!(refused, "{address}: {script}");
        }
    }

    #[test]
    fn what_was_apart_stays_apart() {
        assert!(!rules().script().contains("oifname {"));
        let apart = ["eth0".to_owned(), "wlan0".to_owned()];
        let script = Rules { apart: &apart, ..rules() }.script();
        assert!(script.contains(r#"iifname { "eth0", "wlan0" } oifname { "eth0", "wlan0" } drop"#));
    }
}
