//! Where a request points: its region (from the host name alone) and its project (an id or a number).

use std::collections::BTreeMap;

use crate::config::PROXY_NAME;

/// Which regions a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Regions {
    /// The host has no region prefix: lists cover every region, names are looked up in this default one.
    All {
        /// The default region.
        default: String,
    },
    /// The host's prefix.
    One(String),
}

impl Regions {
    /// The region in which a name is looked up or created.
    pub(crate) fn one(&self) -> &str {
        match self {
            Self::All { default } => default,
            Self::One(region) => region,
        }
    }

    /// The region that a list is narrowed to.
    pub(crate) fn only(&self) -> Option<&str> {
        match self {
            Self::All { .. } => None,
            Self::One(region) => Some(region),
        }
    }
}

/// Splits `us-central1-run.example` into its region and the rest (fact: gcloud-wire A.1,
/// `^([a-z]+-[a-z0-9]+\d)-`). None where the host has no such prefix.
pub(crate) fn split_region(host: &str) -> Option<(&str, &str)> {
    let first = host.find('-')?;
    if first == 0 || !host[..first].bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let second = first + 1 + host[first + 1..].find('-')?;
    let place = &host[first + 1..second];
    let well_formed = place.len() >= 2
        && place.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && place.ends_with(|last: char| last.is_ascii_digit());
    (well_formed && second + 1 < host.len()).then(|| (&host[..second], &host[second + 1..]))
}

/// Is it a region's name, such as `europe-west12`?
pub(crate) fn is_region(text: &str) -> bool {
    split_region(&format!("{text}-x")).is_some_and(|(region, rest)| region == text && rest == "x")
}

/// The host of an authority without its port, in lower case: `[::1]:8080` gives `::1`.
pub(crate) fn host_of(authority: &str) -> String {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// May this server be called by that name? `base` has no region prefix any more.
///
/// The names here are those that no other site's DNS can point at us: loopback names and addresses, the proxy name, and
/// what the operator vouches for.
pub(crate) fn is_our_name<'a>(base: &str, public: impl IntoIterator<Item = &'a String>) -> bool {
    let loopback = base.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback
        || base == "localhost"
        || base.ends_with(".localhost")
        || base.ends_with("-localhost")
        || base == PROXY_NAME
        || public.into_iter().any(|name| name.eq_ignore_ascii_case(base))
}

/// Project ids and their numbers.
#[derive(Clone, Debug)]
pub struct Projects {
    default: String,
    numbers: BTreeMap<String, u64>,
}

impl Projects {
    /// `default` is the project of this server; `numbers` fixes the numbers of some ids. Any other well-formed id is
    /// served too, with a number derived from it.
    pub fn new(default: &str, numbers: BTreeMap<String, u64>) -> Self {
        Self { default: default.to_owned(), numbers }
    }

    /// The project of this server.
    pub fn default_id(&self) -> &str {
        &self.default
    }

    /// The project's number: the configured one, else 12 digits that depend on the id alone.
    pub fn number(&self, id: &str) -> u64 {
        self.numbers.get(id).copied().unwrap_or_else(|| derived_number(id))
    }

    /// The id that a namespace means: an id means itself, a number the project that has it. A number is known when
    /// it is the default project's, a configured one's, or one of `seen`, the ids that have records.
    pub fn id_of(&self, namespace: &str, seen: impl FnOnce() -> Vec<String>) -> Option<String> {
        let Ok(number) = namespace.parse::<u64>() else {
            return is_project_id(namespace).then(|| namespace.to_owned());
        };
        let known = std::iter::once(&self.default).chain(self.numbers.keys());
        known.cloned().chain(seen()).find(|id| self.number(id) == number)
    }
}

/// Letters, digits and hyphens, 1 to 63, beginning with a letter: wider than Google's 6 to 30, so that `demo` works.
/// A domain-scoped id (`example.com:app`) is not served.
fn is_project_id(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// FNV-1a over the id, folded into 12 digits: stable over versions and machines, which the default hasher is not.
fn derived_number(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    100_000_000_000 + hash % 900_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_the_prefix_of_the_host() {
        for (host, expected) in [
            ("us-central1-localhost", Some(("us-central1", "localhost"))),
            ("europe-west12-run.groundrun.test", Some(("europe-west12", "run.groundrun.test"))),
            ("us-central1-127.0.0.1", Some(("us-central1", "127.0.0.1"))),
            ("localhost", None),
            ("my-localhost", None),
            ("us-central-localhost", None),
            ("us-central1-", None),
            ("us-central1", None),
            ("Us-central1-x", None),
            ("-central1-x", None),
        ] {
            assert_eq!(split_region(host), expected, "{host}");
        }
        assert!(is_region("us-central1"));
        assert!(!is_region("us-central1-x1"));
        assert!(!is_region("central"));
    }

    #[test]
    fn a_port_and_a_final_dot_are_not_part_of_the_host() {
        for (authority, host) in [
            ("LocalHost:8080", "localhost"),
            ("[::1]:8080", "::1"),
            ("[::1]", "::1"),
            ("127.0.0.1", "127.0.0.1"),
            ("localhost.", "localhost"),
        ] {
            assert_eq!(host_of(authority), host);
        }
    }

    #[test]
    fn only_names_that_no_site_can_point_at_us_are_ours() {
        let public = ["jobs.example.org".to_owned()];
        for ours in [
            "localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "run.localhost",
            "x-localhost",
            PROXY_NAME,
            "jobs.example.org",
        ] {
            assert!(is_our_name(ours, &public), "{ours}");
        }
        for foreign in ["example.org", "localhost.example.org", "notlocalhost", "10.0.0.1", ""] {
            assert!(!is_our_name(foreign, &public), "{foreign}");
        }
    }

    #[test]
    fn a_namespace_is_an_id_or_a_known_number() {
        let projects = Projects::new("demo", BTreeMap::from([("other".to_owned(), 42)]));
        let none = Vec::new;
        assert_eq!(projects.id_of("demo", none).as_deref(), Some("demo"));
        assert_eq!(projects.id_of("42", none).as_deref(), Some("other"));
        let number = projects.number("demo").to_string();
        assert_eq!(number.len(), 12);
        assert_eq!(projects.id_of(&number, none).as_deref(), Some("demo"));
        let third = projects.number("third").to_string();
        assert_eq!(projects.id_of(&third, none), None);
        assert_eq!(projects.id_of(&third, || vec!["third".into()]).as_deref(), Some("third"));
        for bad in ["", "Demo", "a_b", "a-", "example.com:app"] {
            assert_eq!(projects.id_of(bad, none), None, "{bad:?}");
        }
    }
}
