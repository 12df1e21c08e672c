//! Finds the bridge of a network of Docker's: by asking `docker`, or by the name that Docker gives to links.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::super::mapped::Ipv4Range;
use crate::program;

/// The program, and the package that brings it.
const DOCKER: (&str, &str) = ("docker", "docker.io");

/// As many digits of a network's id are in the name of its bridge.
const ID_DIGITS: usize = 12;

/// What Docker says of one of its networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DockerNetwork {
    pub(super) bridge: String,
    pub(super) subnet: Option<Ipv4Range>,
    pub(super) gateway: Option<Ipv4Addr>,
}

/// The network of this name or id. Runs `docker`, unless it is not there and an id says enough.
///
/// # Errors
/// Why it is not known, for a person.
pub(super) fn find(network: &str) -> Result<DockerNetwork, String> {
    if program::find(DOCKER.0).is_none() {
        return by_id(network).ok_or_else(|| {
            "the program docker is not there to say which bridge that is: name its bridge, with bridge = \"br-…\"".to_owned()
        });
    }
    let said = program::run(DOCKER, ["network", "inspect", "--", network], "")
        .map_err(|err| err.to_string())?;
    described(&said)
}

/// Docker names the bridge of a network after its id.
fn by_id(network: &str) -> Option<DockerNetwork> {
    let digits = network.get(..ID_DIGITS)?;
    let is_id = network.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| DockerNetwork { bridge: bridge_of(digits), subnet: None, gateway: None })
}

fn bridge_of(digits: &str) -> String {
    format!("br-{digits}")
}

/// Reads what `docker network inspect` prints.
fn described(said: &str) -> Result<DockerNetwork, String> {
    let strange = || "docker network inspect says something that is not understood".to_owned();
    let all: Value = serde_json::from_str(said).map_err(|_| strange())?;
    let network = all.get(0).ok_or_else(strange)?;
    let driver = network["Driver"].as_str().unwrap_or_default();
    if driver != "bridge" {
        return Err(format!("its driver is {driver}, and only networks of driver bridge have one"));
    }
    let named = network["Options"]["com.docker.network.bridge.name"].as_str();
    let by_id = || network["Id"].as_str().and_then(|id| id.get(..ID_DIGITS)).map(bridge_of);
    let bridge = named.map(str::to_owned).or_else(by_id).ok_or_else(strange)?;
    let configs = network["IPAM"]["Config"].as_array().map(Vec::as_slice).unwrap_or_default();
    let config = configs.iter().find_map(|config| {
        let subnet: Ipv4Range = config["Subnet"].as_str()?.parse().ok()?;
        Some((subnet, config["Gateway"].as_str().and_then(|gateway| gateway.parse().ok())))
    });
    let (subnet, gateway) = config.unzip();
    Ok(DockerNetwork { bridge, subnet, gateway: gateway.flatten() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b";

    #[test]
    fn dockers_words_name_the_bridge_its_addresses_and_its_gateway() {
        let said = json!([{
            "Name": "app", "Id": ID, "Driver": "bridge", "Options": {},
            "IPAM": {"Config": [
                {"Subnet": "fd00::/64"},
                {"Subnet": "172.18.0.0/16", "IPRange": "172.18.0.0/17", "Gateway": "172.18.0.1"},
            ]},
        }]);
        let expected = DockerNetwork {
            bridge: "br-4a5e1e4baab8".to_owned(),
            subnet: "172.18.0.0/16".parse().ok(),
            gateway: Some(Ipv4Addr::new(172, 18, 0, 1)),
        };
        assert_eq!(described(&said.to_string()), Ok(expected));
        let mut named = said.clone();
        named[0]["Options"] = json!({"com.docker.network.bridge.name": "docker0"});
        assert_eq!(described(&named.to_string()).map(|it| it.bridge), Ok("docker0".to_owned()));
        let mut other = said;
        other[0]["Driver"] = json!("overlay");
        assert!(described(&other.to_string()).is_err_and(|why| why.contains("overlay")));
        assert!(described("[]").is_err() && described("").is_err());
    }

    #[test]
    fn an_id_names_the_bridge_without_docker() {
        assert_eq!(by_id(ID).map(|it| it.bridge).as_deref(), Some("br-4a5e1e4baab8"));
        assert_eq!(by_id("4a5e1e4baab8").map(|it| it.bridge).as_deref(), Some("br-4a5e1e4baab8"));
        assert_eq!(by_id("app"), None);
        assert_eq!(by_id("my-own-network"), None);
    }
}
