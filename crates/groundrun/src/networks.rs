//! Settings of the networks of this machine that jobs may name: `[networks.NAME]`, and `--vpc-network`.

use std::{collections::BTreeMap, net::Ipv4Addr};

use groundrun_host::network::{Ipv4Range, MappedLink, MappedNetwork, private_ranges};
use serde::Deserialize;

use crate::cli::exit::Stop;

/// `[networks.NAME]`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkFile {
    bridge: Option<String>,
    docker: Option<String>,
    interface: Option<String>,
    range: Option<String>,
    subnet: Option<String>,
    gateway: Option<Ipv4Addr>,
    private_ranges: Option<Vec<String>>,
}

/// A value of `--vpc-network`: `NAME=bridge:br0,range:10.8.0.64/26`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkFlag {
    name: String,
    network: NetworkFile,
}

/// Reads a value of the flag.
pub(crate) fn flag(text: &str) -> Result<NetworkFlag, String> {
    let wrong = || {
        format!(
            "{text:?} is not NAME=bridge:LINK,range:A.B.C.D/N (or docker:, interface:; with subnet:, gateway:)"
        )
    };
    let (name, parts) = text.split_once('=').ok_or_else(wrong)?;
    let mut network = NetworkFile::default();
    for part in parts.split(',') {
        let (key, value) = part.split_once(':').ok_or_else(wrong)?;
        let place = match key {
            "bridge" => &mut network.bridge,
            "docker" => &mut network.docker,
            "interface" => &mut network.interface,
            "range" => &mut network.range,
            "subnet" => &mut network.subnet,
            "gateway" => {
                network.gateway = Some(value.parse().map_err(|_| wrong())?);
                continue;
            }
            _ => return Err(wrong()),
        };
        *place = Some(value.to_owned());
    }
    network.read(name)?;
    Ok(NetworkFlag { name: name.to_owned(), network })
}

/// All that are mapped: flags, over those of the file.
pub(crate) fn mapped(
    file: &BTreeMap<String, NetworkFile>,
    flags: &[NetworkFlag],
) -> Result<BTreeMap<String, MappedNetwork>, Stop> {
    let named = flags.iter().map(|flag| (&flag.name, &flag.network));
    let mut mapped = BTreeMap::new();
    for (name, network) in file.iter().chain(named) {
        mapped.insert(name.clone(), network.read(name).map_err(Stop::bad_input)?);
    }
    Ok(mapped)
}

impl NetworkFile {
    /// What it says of the network `name`.
    fn read(&self, name: &str) -> Result<MappedNetwork, String> {
        let of = |what: &str| format!("networks.{name}: {what}");
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(of("this is no name of a network, a subnetwork or a connector"));
        }
        let range = |key: &str, text: &str| {
            text.parse::<Ipv4Range>().map_err(|fault| of(&format!("{key}: {fault}")))
        };
        let link = match (&self.bridge, &self.docker, &self.interface) {
            (Some(bridge), None, None) => MappedLink::Bridge(bridge.clone()),
            (None, Some(network), None) => MappedLink::Docker(network.clone()),
            (None, None, Some(interface)) => MappedLink::Interface(interface.clone()),
            _ => return Err(of("say one of bridge, docker and interface")),
        };
        let given = self.range.as_deref().ok_or_else(|| {
            of("say which addresses tasks get there, that nobody else gives: range = \"10.8.0.64/26\"")
        })?;
        let tasks = range("range", given)?;
        let subnet = self.subnet.as_deref().map(|text| range("subnet", text)).transpose()?;
        if let Some(subnet) = subnet
            && !subnet.contains(tasks)
        {
            return Err(of(&format!("the range {tasks} is not in the subnet {subnet}")));
        }
        if let (Some(subnet), Some(gateway)) = (subnet, self.gateway)
            && !subnet.has(gateway)
        {
            return Err(of(&format!("the gateway {gateway} is not in the subnet {subnet}")));
        }
        let private_ranges = match &self.private_ranges {
            None => private_ranges(),
            Some(texts) => {
                let each = texts.iter().map(|text| range("private_ranges", text));
                each.collect::<Result<_, _>>()?
            }
        };
        Ok(MappedNetwork { link, range: tasks, subnet, gateway: self.gateway, private_ranges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<BTreeMap<String, MappedNetwork>, String> {
        let file = toml::from_str(text).map_err(|err| err.to_string())?;
        mapped(&file, &[]).map_err(|stop| stop.lines.join(" "))
    }

    #[test]
    fn a_network_is_a_bridge_one_of_dockers_or_an_interface() {
        let networks = file(
            "[default]\nbridge = \"br0\"\nrange = \"10.8.0.64/26\"\ngateway = \"10.8.0.1\"\nsubnet = \"10.8.0.0/24\"\n\
             [\"projects/p/locations/l/connectors/c\"]\ndocker = \"app\"\nrange = \"172.18.255.0/24\"\nprivate_ranges = [\"172.18.0.0/16\"]\n\
             [vpn]\ninterface = \"eth1\"\nrange = \"10.9.0.0/28\"\n",
        )
        .expect("they are good");
        let links: Vec<_> = networks.values().map(|network| network.link.to_string()).collect();
        assert_eq!(links, ["bridge br0", "Docker's network app", "interface eth1"]);
        assert_eq!(networks["default"].gateway, Some(Ipv4Addr::new(10, 8, 0, 1)));
        assert_eq!(networks["default"].private_ranges.len(), 6);
        assert_eq!(networks["projects/p/locations/l/connectors/c"].private_ranges.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_told_by_its_name() {
        for (text, why) in [
            (
                "[n]\nrange = \"10.8.0.64/26\"",
                "networks.n: say one of bridge, docker and interface",
            ),
            ("[n]\nbridge = \"a\"\ninterface = \"b\"", "say one of bridge"),
            ("[n]\nbridge = \"a\"", "range = \"10.8.0.64/26\""),
            (
                "[n]\nbridge = \"a\"\nrange = \"10.8.0.65/26\"",
                "range: \"10.8.0.65/26\" is no range",
            ),
            (
                "[n]\nbridge = \"a\"\nrange = \"10.8.0.0/26\"\nsubnet = \"10.9.0.0/24\"",
                "is not in the subnet 10.9.0.0/24",
            ),
            (
                "[n]\nbridge = \"a\"\nrange = \"10.8.0.0/26\"\nsubnet = \"10.8.0.0/24\"\ngateway = \"10.9.0.1\"",
                "the gateway 10.9.0.1 is not",
            ),
            (
                "[n]\nbridge = \"a\"\nrange = \"10.8.0.0/26\"\nprivate_ranges = [\"x\"]",
                "private_ranges: \"x\"",
            ),
            ("[\"a b\"]\nbridge = \"a\"\nrange = \"10.8.0.0/26\"", "no name of a network"),
            ("[n]\nbridg = \"a\"", "bridg"),
        ] {
            let said = file(text).expect_err("it makes no sense");
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn a_flag_says_the_same_and_wins() {
        let given = flag("blue=bridge:br0,range:10.8.0.64/26,gateway:10.8.0.1,subnet:10.8.0.0/24");
        let given = given.expect("it is good");
        let text = "[blue]\nbridge = \"br9\"\nrange = \"10.8.0.0/26\"\n[red]\nbridge = \"br1\"\nrange = \"10.7.0.0/26\"";
        let file = toml::from_str(text).expect("it is good");
        let networks = mapped(&file, &[given]).map_err(|stop| stop.lines).expect("they are good");
        assert_eq!(networks["blue"].link, MappedLink::Bridge("br0".to_owned()));
        assert_eq!(networks["blue"].range.to_string(), "10.8.0.64/26");
        assert_eq!(networks["red"].link, MappedLink::Bridge("br1".to_owned()));
        for text in [
            "blue",
            "blue=br0",
            "blue=bridge:br0",
            "blue=bridge:br0,range:10.8.0.64/26,mtu:9000",
            "=bridge:a,range:10.8.0.64/26",
        ] {
            assert!(flag(text).is_err(), "{text}");
        }
    }
}
