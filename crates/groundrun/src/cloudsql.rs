//! What Cloud SQL instances are mapped to: `[cloudsql."project:region:instance"]` of the settings file, and `--cloudsql`.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use groundrun_core::admit::is_cloud_sql_instance;
use groundrun_host::instances::{Address, Database, Target};
use serde::Deserialize;

/// The user's program, found on the PATH.
const PROGRAM: &str = "cloud-sql-proxy";

/// `[cloudsql."project:region:instance"]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    /// `postgres://host:port`, `mysql://host:port`, `unix:/path` or `cloud-sql-proxy`.
    target: String,
    /// What listens at a `unix:/path` whose name does not say it.
    kind: Option<Kind>,
}

/// As it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Postgres,
    Mysql,
}

/// `project:region:instance=TARGET`, and `,kind=postgres` or `,kind=mysql` after a `unix:/path` whose name does not say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    instance: String,
    mapping: Mapping,
}

impl FromStr for Flag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (instance, target) = text.split_once('=').ok_or(
            "expected project:region:instance=TARGET, such as p:r:db=postgres://127.0.0.1:5432",
        )?;
        let (target, kind) = match target.rsplit_once(",kind=") {
            None => (target, None),
            Some((target, "postgres")) => (target, Some(Kind::Postgres)),
            Some((target, "mysql")) => (target, Some(Kind::Mysql)),
            Some((_, kind)) => return Err(format!("kind {kind:?} is neither postgres nor mysql")),
        };
        let mapping = Mapping { target: target.to_owned(), kind };
        let flag = Self { instance: instance.to_owned(), mapping };
        check(&flag.instance, &flag.mapping)?;
        Ok(flag)
    }
}

/// All that is mapped, flags over the file. `find` looks a program up on the PATH.
///
/// # Errors
/// What of it makes no sense, for a person.
pub(crate) fn targets(
    file: &BTreeMap<String, Mapping>,
    flags: &[Flag],
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Result<BTreeMap<String, Target>, String> {
    let mut mapped = file.clone();
    mapped.extend(flags.iter().map(|flag| (flag.instance.clone(), flag.mapping.clone())));
    let target = |(instance, mapping): (String, Mapping)| {
        let target = match check(&instance, &mapping)? {
            Written::Server(kind, address) => Target::Server { kind, address },
            Written::Program => Target::Program(find(PROGRAM).ok_or_else(|| {
                format!("cloudsql {instance:?}: there is no {PROGRAM} on the PATH: install it, or name another target")
            })?),
        };
        Ok((instance, target))
    };
    mapped.into_iter().map(target).collect()
}

/// What a mapping says.
enum Written {
    Server(Database, Address),
    Program,
}

fn check(instance: &str, Mapping { target, kind }: &Mapping) -> Result<Written, String> {
    let wrong = |what: &str| format!("cloudsql {instance:?}: {what}");
    if !is_cloud_sql_instance(instance) {
        return Err(wrong("an instance is named project:region:instance"));
    }
    let schemes = [
        ("postgres://", Database::Postgres, 5432),
        ("postgresql://", Database::Postgres, 5432),
        ("mysql://", Database::Mysql, 3306),
    ];
    let url = schemes.into_iter().find_map(|(scheme, database, port)| {
        target.strip_prefix(scheme).map(|rest| (rest, database, port))
    });
    let written = match (url, target.strip_prefix("unix:")) {
        (Some((rest, database, port)), _) => {
            Written::Server(database, tcp(rest, port).map_err(|what| wrong(&what))?)
        }
        (None, Some(path)) => {
            if !path.starts_with('/') {
                return Err(wrong(&format!("{target:?}: the path is to be absolute")));
            }
            let database = kind.map(database).or_else(|| named(path)).ok_or_else(|| {
                wrong(&format!(
                    "{path} may be of PostgreSQL or of MySQL: say it by kind = \"postgres\" or \"mysql\" (after the flag's \
                     target: ,kind=mysql)"
                ))
            })?;
            return Ok(Written::Server(database, Address::Unix(path.into())));
        }
        (None, None) if target == PROGRAM => Written::Program,
        (None, None) => {
            return Err(wrong(&format!(
                "{target:?} is none of postgres://HOST:PORT, mysql://HOST:PORT, unix:/PATH and {PROGRAM}"
            )));
        }
    };
    match kind {
        None => Ok(written),
        Some(_) => Err(wrong("a kind belongs to a unix:/PATH alone")),
    }
}

fn database(kind: Kind) -> Database {
    match kind {
        Kind::Postgres => Database::Postgres,
        Kind::Mysql => Database::Mysql,
    }
}

/// What a socket is usually called.
fn named(path: &str) -> Option<Database> {
    let name = path.rsplit('/').next()?;
    match name {
        name if name.starts_with(".s.PGSQL.") => Some(Database::Postgres),
        name if name.contains("mysql") || name.contains("maria") => Some(Database::Mysql),
        _ => None,
    }
}

fn tcp(rest: &str, default_port: u16) -> Result<Address, String> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['@', '/', '?', '#']) {
        return Err(
            "a target is a host and a port: users, passwords and databases are the program's to name".to_owned(),
        );
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| format!("no ] in {rest:?}"))?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| format!("{host:?} is no IPv6 address"))?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or_else(|| format!("{port:?} is no port"))?),
            };
            (host, port)
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".:-_".contains(c);
    if host.is_empty() || !host.chars().all(is_part) {
        return Err(format!("{host:?} is no host"));
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(port @ 1..) => port,
            _ => return Err(format!("{port:?} is no port")),
        },
    };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Target, String> {
        let flag: Flag = format!("p:r:i={text}").parse()?;
        let found = |name: &str| Some(PathBuf::from("/bin").join(name));
        Ok(targets(&BTreeMap::new(), &[flag], found)?.remove("p:r:i").expect("it is mapped"))
    }

    #[track_caller]
    fn leads(text: &str, kind: Database, to: &str) {
        match of(text) {
            Ok(Target::Server { kind: found, address }) => {
                assert_eq!((found, address.to_string().as_str()), (kind, to), "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_target_is_a_host_a_socket_or_the_users_program() {
        leads("postgres://127.0.0.1:5433", Database::Postgres, "127.0.0.1:5433");
        leads("postgresql://db.lan/", Database::Postgres, "db.lan:5432");
        leads("mysql://localhost", Database::Mysql, "localhost:3306");
        leads("mysql://[::1]:3307", Database::Mysql, "[::1]:3307");
        leads(
            "unix:/run/postgresql/.s.PGSQL.5432",
            Database::Postgres,
            "/run/postgresql/.s.PGSQL.5432",
        );
        leads("unix:/run/mysqld/mysqld.sock", Database::Mysql, "/run/mysqld/mysqld.sock");
        leads("unix:/x/s,kind=mysql", Database::Mysql, "/x/s");
        leads("unix:/run/mysqld/odd,kind=postgres", Database::Postgres, "/run/mysqld/odd");
        assert_eq!(of(PROGRAM), Ok(Target::Program("/bin/cloud-sql-proxy".into())));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_what_would() {
        for (text, told) in [
            ("sqlserver://h", "is none of postgres://HOST:PORT, mysql://HOST:PORT, unix:/PATH"),
            ("", "is none of"),
            ("postgres://me:secret@h", "users, passwords and databases are the program's"),
            ("postgres://h/app", "users, passwords and databases are the program's"),
            ("postgres://:1", "is no host"),
            ("postgres://h:0", "\"0\" is no port"),
            ("postgres://h:70000", "is no port"),
            ("mysql://[::1", "no ]"),
            ("mysql://[x]", "is no IPv6 address"),
            ("unix:relative", "absolute"),
            ("unix:/tmp/db.sock", "say it by kind = \"postgres\" or \"mysql\""),
            ("unix:/x,kind=oracle", "neither postgres nor mysql"),
            ("mysql://h,kind=mysql", "belongs to a unix:/PATH alone"),
        ] {
            let fault = of(text).expect_err(text);
            assert!(fault.contains(told), "{text}: {fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
        assert!(
            "p:i=mysql://h".parse::<Flag>().is_err_and(|e| e.contains("project:region:instance"))
        );
        assert!(
            "p:r:i".parse::<Flag>().is_err_and(|e| e.contains("project:region:instance=TARGET"))
        );
        let program: Flag = format!("p:r:i={PROGRAM}").parse().expect("a flag");
        let fault = targets(&BTreeMap::new(), &[program], |_| None).expect_err("there is none");
        assert!(fault.contains("no cloud-sql-proxy on the PATH"), "{fault}");
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let text = "[\"p:r:a\"]\ntarget = \"mysql://a\"\n[\"p:r:b\"]\ntarget = \"unix:/s\"\nkind = \"mysql\"\n";
        let file: BTreeMap<String, Mapping> = toml::from_str(text).expect("a good file");
        let flag = "p:r:a=mysql://b".parse().expect("a flag");
        let targets = targets(&file, &[flag], |_| None).expect("good");
        let address = |instance: &str| match &targets[instance] {
            Target::Server { address, .. } => address.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!((address("p:r:a").as_str(), address("p:r:b").as_str()), ("b:3306", "/s"));
        assert!(
            toml::from_str::<BTreeMap<String, Mapping>>("[\"p:r:a\"]\ntaget = \"x\"\n").is_err()
        );
    }
}
