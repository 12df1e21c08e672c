//! Annotations that have a grammar of their own: networks, keys. Their form is checked; which are refused
//! whatever their form is in [`super::FIELDS`] (fact: semantics 2.4, 11).

use std::collections::BTreeMap;

use super::faults::Faults;
use crate::needs::connection::{self, Annotations};

const FIELD: &str = "spec.template.metadata.annotations";

type Map = BTreeMap<String, String>;

/// Checks the annotations of a template.
pub(super) fn check(annotations: &Map, faults: &mut Faults) {
    let value = |name: &str| annotations.get(&format!("run.googleapis.com/{name}"));
    let value = |name: &str| value(name).map(String::as_str).filter(|text| !text.is_empty());
    if let Some(key) = value("encryption-key") {
        encryption_key(key, faults);
    }
    network(Annotations::of(annotations), faults);
}

fn encryption_key(key: &str, faults: &mut Faults) {
    if !is_resource(key, &["projects", "locations", "keyRings", "cryptoKeys"]) {
        faults.add(
            FIELD,
            "encryption_key: must conform to \
             projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}",
        );
    }
}

/// `a/x/b/y` for the collections `a` and `b`.
fn is_resource(text: &str, collections: &[&str]) -> bool {
    let parts: Vec<_> = text.split('/').collect();
    let pairs = parts.chunks(2);
    parts.len() == 2 * collections.len()
        && pairs.zip(collections).all(|(pair, name)| pair[0] == *name && !pair[1].is_empty())
}

fn network(given: Annotations<'_>, faults: &mut Faults) {
    let Annotations { connector, interfaces, egress } = given;
    if connector.is_some() && interfaces.is_some() {
        faults.add(
            FIELD,
            "vpc_access: one and only one of connector and network_interfaces must be set",
        );
    }
    if let Some(connector) = connector
        && connector.contains('/')
        && !is_resource(connector, &["projects", "locations", "connectors"])
    {
        faults.add(
            FIELD,
            "connector: must be in form projects/{project}/locations/{location}/connectors/{connector}",
        );
    }
    if let Some(text) = interfaces {
        interface(text, faults);
    }
    let Some(egress) = egress else { return };
    if connector.is_none() && interfaces.is_none() {
        faults.add(FIELD, "vpc-access-egress needs a vpc-access-connector or network-interfaces");
    }
    if connection::egress(egress).is_none() {
        faults.add(
            FIELD,
            format!("vpc-access-egress '{egress}': must be private-ranges-only or all-traffic"),
        );
    }
}

fn interface(text: &str, faults: &mut Faults) {
    let Some(list) = connection::interfaces(text) else {
        faults.add(FIELD, "network-interfaces: must be a JSON list of {network, subnetwork, tags}");
        return;
    };
    if list.len() != 1 {
        faults.add(FIELD, "network_interfaces: only 1 network interface is allowed");
    }
    if list.iter().any(|one| one.network.is_empty() && one.subnetwork.is_empty()) {
        faults.add(
            FIELD,
            "network_interfaces: at least one of network or subnetwork should not be empty",
        );
    }
}
