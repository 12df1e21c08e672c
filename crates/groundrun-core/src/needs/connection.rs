//! The network besides the default one that tasks are in, as annotations of a template name it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Connection, Egress};

/// Of everything that this module reads.
const PREFIX: &str = "run.googleapis.com/";

/// An item of `run.googleapis.com/network-interfaces`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interface {
    /// Short or in full; empty where only the subnetwork is named.
    #[serde(default)]
    pub(crate) network: String,
    /// Short or in full; empty where only the network is named.
    #[serde(default)]
    pub(crate) subnetwork: String,
    /// Firewall rules go by them, which there are none of here.
    #[serde(default, rename = "tags")]
    _tags: Vec<String>,
}

/// The three annotations, empty ones left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Annotations<'a> {
    pub(crate) connector: Option<&'a str>,
    pub(crate) interfaces: Option<&'a str>,
    pub(crate) egress: Option<&'a str>,
}

impl<'a> Annotations<'a> {
    pub(crate) fn of(annotations: &'a BTreeMap<String, String>) -> Self {
        let value = |name: &str| {
            let value = annotations.get(&format!("{PREFIX}{name}"));
            value.map(String::as_str).filter(|text| !text.is_empty())
        };
        Self {
            connector: value("vpc-access-connector"),
            interfaces: value("network-interfaces"),
            egress: value("vpc-access-egress"),
        }
    }
}

/// The list that `network-interfaces` holds; none where it is no such list.
pub(crate) fn interfaces(text: &str) -> Option<Vec<Interface>> {
    serde_json::from_str(text).ok()
}

/// What a value of `vpc-access-egress` says; none where it is no such value (fact: semantics 11).
pub(crate) fn egress(text: &str) -> Option<Egress> {
    match text {
        "private-ranges-only" => Some(Egress::PrivateRanges),
        "all-traffic" | "all" => Some(Egress::All),
        _ => None,
    }
}

/// The connection that the annotations ask for. Admission has checked them; what it would have refused asks for as much as
/// can be read.
pub(crate) fn connection(annotations: &BTreeMap<String, String>) -> Option<Connection> {
    let given = Annotations::of(annotations);
    let names = match (given.connector, given.interfaces) {
        (Some(connector), _) => vec![connector.to_owned()],
        (None, Some(text)) => {
            let first = interfaces(text)?.into_iter().next()?;
            let named = [first.subnetwork, first.network].into_iter();
            named.filter(|name| !name.is_empty()).collect()
        }
        (None, None) => return None,
    };
    Some(Connection { names, egress: given.egress.and_then(egress).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(annotations: &[(&str, &str)]) -> Option<Connection> {
        let named = |(name, value): &(&str, &str)| (format!("{PREFIX}{name}"), (*value).to_owned());
        connection(&annotations.iter().map(named).collect())
    }

    #[test]
    fn a_connection_is_a_connector_or_an_interface_and_what_goes_through_it() {
        let connection = |names: &[&str], egress| {
            Some(Connection { names: names.iter().map(|&n| n.to_owned()).collect(), egress })
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("vpc-access-connector", "")]), None);
        assert_eq!(
            of(&[("vpc-access-connector", "conn")]),
            connection(&["conn"], Egress::PrivateRanges)
        );
        let both = r#"[{"network": "n", "subnetwork": "s", "tags": ["t"]}]"#;
        for (text, egress) in [
            ("private-ranges-only", Egress::PrivateRanges),
            ("all-traffic", Egress::All),
            ("all", Egress::All),
        ] {
            let asked = of(&[("network-interfaces", both), ("vpc-access-egress", text)]);
            assert_eq!(asked, connection(&["s", "n"], egress), "{text}");
        }
        let network = of(&[("network-interfaces", r#"[{"network": "n"}]"#)]);
        assert_eq!(network, connection(&["n"], Egress::PrivateRanges));
    }
}
