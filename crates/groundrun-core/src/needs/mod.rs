//! What a job stands on besides its images: secrets, databases, a network, shared files. Read from its spec and its
//! annotations; whether it is there is for [`Provisions`](crate::port::Provisions) to say.

pub(crate) mod authorization;
pub(crate) mod connection;
pub mod files;
pub(crate) mod instances;
pub(crate) mod secrets;

use std::{collections::BTreeMap, fmt};

use crate::record::Job;

/// A version of a secret, as a spec names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretVersion {
    /// Id or number of the project: the job's own, or that of an alias in `run.googleapis.com/secrets`.
    pub project: String,
    /// Name of the secret.
    pub secret: String,
    /// A number, `latest`, or an alias of the secret's.
    pub version: String,
}

/// Its resource name, as Google's texts have it.
impl fmt::Display for SecretVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, secret, version } = self;
        write!(f, "projects/{project}/secrets/{secret}/versions/{version}")
    }
}

/// A use of a secret, and where in the spec it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretNeed {
    /// Path of the field, as Google's texts have it.
    pub field: String,
    /// What is used.
    pub version: SecretVersion,
}

/// A network besides the default one that a task is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// As the job names it: a connector, or the subnetwork and the network of an interface; each short or in full. At least
    /// one, the one that says most first.
    pub names: Vec<String>,
    /// What goes through it.
    pub egress: Egress,
}

impl Connection {
    /// What of `mapped` is meant by it, and by which name: its names in full and then their last parts, in their order.
    #[must_use]
    pub fn among<'a, T>(&self, mapped: &'a BTreeMap<String, T>) -> Option<(&'a str, &'a T)> {
        let last = |name: &'_ String| name.rsplit('/').next().map(str::to_owned);
        let candidates = self.names.iter().flat_map(|name| [Some(name.clone()), last(name)]);
        let mut found = candidates.flatten().filter_map(|name| mapped.get_key_value(&name));
        found.next().map(|(name, mapped)| (name.as_str(), mapped))
    }

    /// As people call it: the last part of its first name.
    #[must_use]
    pub fn short_name(&self) -> &str {
        let first = self.names.first().map(String::as_str).unwrap_or_default();
        first.rsplit('/').next().unwrap_or(first)
    }
}

/// What goes through a connection (fact: semantics 11, `vpc-access-egress`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Egress {
    /// Private ranges; the rest through the default network.
    #[default]
    PrivateRanges,
    /// Everything.
    All,
}

/// By which policies images may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Names of the policies, all of which are to be heeded; at least one.
    pub policies: Vec<String>,
    /// Why they are not to be heeded all the same, as somebody wrote.
    pub breakglass: Option<String>,
    /// As written in the job, one per container.
    pub images: Vec<String>,
}

/// Files that tasks share, kept outside of any task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedFiles {
    /// A bucket of Cloud Storage.
    Bucket {
        /// Its name.
        bucket: String,
        /// How it is to be shown; see [`files`].
        mount_options: Vec<String>,
    },
    /// A directory of an NFS server.
    Nfs {
        /// Name or address.
        server: String,
        /// Absolute.
        path: String,
    },
}

/// All that a job stands on besides its images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// As whom its tasks run; empty where the job says nothing.
    pub service_account: String,
    /// In the order of the spec.
    pub secrets: Vec<SecretNeed>,
    /// Cloud SQL instances, `project:region:instance`.
    pub instances: Vec<String>,
    /// The network besides the default one.
    pub connection: Option<Connection>,
    /// The policies for its images.
    pub authorization: Option<Box<Authorization>>,
    /// In the order of the spec.
    pub files: Vec<SharedFiles>,
}

impl Needs {
    /// What the tasks of `job` stand on.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        let template = job.spec.template.as_ref();
        let none = BTreeMap::new();
        let metadata = template.and_then(|template| template.metadata.as_ref());
        let annotations = metadata.map_or(&none, |metadata| &metadata.annotations);
        let spec = template.and_then(|template| template.spec.as_ref());
        let task = spec.and_then(|spec| spec.template.as_ref()?.spec.as_ref());
        let Some(task) = task else { return Self::default() };
        Self {
            service_account: task.service_account_name.clone().unwrap_or_default(),
            secrets: secrets::needs(&job.scope.project, annotations, task),
            instances: instances::named(annotations),
            connection: connection::connection(annotations),
            files: files::needs(task),
            authorization: authorization::authorization(
                &job.annotations,
                annotations,
                task.containers.iter().map(|one| one.image.clone().unwrap_or_default()),
            )
            .map(Box::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_by_its_names_in_full_or_their_last_parts() {
        let mapped = |names: &[&str]| -> BTreeMap<String, ()> {
            names.iter().map(|&name| (name.to_owned(), ())).collect()
        };
        let of = |names: &[&str]| Connection {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            egress: Egress::default(),
        };
        let full = "projects/p/locations/l/connectors/conn";
        let connector = of(&[full]);
        assert_eq!(connector.short_name(), "conn");
        let found = |connection: &Connection, names: &[&str]| {
            connection.among(&mapped(names)).map(|(name, ())| name.to_owned())
        };
        assert_eq!(found(&connector, &["conn", "other"]).as_deref(), Some("conn"));
        assert_eq!(found(&connector, &["conn", full]).as_deref(), Some(full));
        assert_eq!(found(&of(&["conn"]), &[full]), None, "a short name says of no project");
        let interface = of(&["s", "projects/p/global/networks/n"]);
        assert_eq!(found(&interface, &["n", "s"]).as_deref(), Some("s"));
        assert_eq!(found(&interface, &["n"]).as_deref(), Some("n"));
        assert_eq!(found(&interface, &["p"]), None);
    }
}
