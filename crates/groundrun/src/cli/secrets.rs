//! `groundrun secrets`, and `--secret` of `groundrun run`.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use groundrun_secrets::{names::is_secret_id, rules::PAYLOAD_MAX};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    OutputArgs, ServerArgs,
    exit::{Exit, Stop},
    output::{none_here, print, print_json, seconds, table, text},
};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsVerb {
    /// Keep what a file holds as a new version of a secret, which is made if it is not there.
    Set {
        /// Name of the secret.
        secret: String,
        /// What it is to hold, as it is, with a newline at its end if there is one; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        from_file: PathBuf,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the secrets of a project; what they hold is not shown.
    List {
        /// The most rows to show.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the versions of a secret; what they hold is not shown.
    Versions {
        /// Name of the secret.
        secret: String,
        /// The most rows to show.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Delete a secret with all its versions, for ever.
    Delete {
        /// Name of the secret.
        secret: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `NAME=@FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FromFile {
    pub(crate) secret: String,
    pub(crate) file: PathBuf,
}

/// A value on the command line is refused: every user of the machine can read it there.
pub(crate) fn from_file(text: &str) -> Result<FromFile, String> {
    let (secret, value) = text.split_once('=').ok_or("expected NAME=@FILE")?;
    if !is_secret_id(secret) {
        return Err("the name of a secret has letters, digits, '-' and '_' alone".to_owned());
    }
    match value.strip_prefix('@') {
        Some(file) if !file.is_empty() => {
            Ok(FromFile { secret: secret.to_owned(), file: file.into() })
        }
        _ => Err("expected NAME=@FILE: a value on the command line could be read by everybody on this machine".to_owned()),
    }
}

/// What a file holds, within the bound of a secret.
pub(crate) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let wrong = |what: &dyn std::fmt::Display| {
        Stop::bad_input(format!("secret from {}: {what}", file.display()))
    };
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|e| wrong(&e))?)
    };
    // Room for all of it: what a growing buffer leaves behind would not be wiped.
    let mut payload = Zeroizing::new(Vec::with_capacity(PAYLOAD_MAX + 1));
    source.take(PAYLOAD_MAX as u64 + 1).read_to_end(&mut payload).map_err(|e| wrong(&e))?;
    match payload.len() {
        0 => Err(wrong(&"it is empty")),
        length if length > PAYLOAD_MAX => {
            Err(wrong(&format!("larger than the {PAYLOAD_MAX} bytes that a secret holds")))
        }
        _ => Ok(payload),
    }
}

pub(crate) async fn main(verb: SecretsVerb) -> Result<Exit, Stop> {
    match verb {
        SecretsVerb::Set { secret, from_file, server } => {
            let payload = read(&from_file)?;
            let version = Client::new(&server)?.set_secret(&secret, &payload).await?;
            print(&format!("version {} of secret {secret} added\n", last(&version)))?;
        }
        SecretsVerb::List { limit, server, output } => {
            let rows = Client::new(&server)?.secrets(limit).await?;
            show(output, rows, list, || none_here("secrets", &server))?;
        }
        SecretsVerb::Versions { secret, limit, server, output } => {
            let rows = Client::new(&server)?.secret_versions(&secret, limit).await?;
            let none = || none_here(&format!("versions of secret {secret}"), &server);
            show(output, rows, versions, none)?;
        }
        SecretsVerb::Delete { secret, server } => {
            Client::new(&server)?.delete_secret(&secret).await?;
            print(&format!("secret {secret} deleted\n"))?;
        }
    }
    Ok(Exit::Succeeded)
}

fn show(
    output: OutputArgs,
    rows: Vec<Value>,
    text: impl FnOnce(&[Value]) -> String,
    none: impl FnOnce(),
) -> Result<(), Stop> {
    if output.json {
        return print_json(&Value::Array(rows));
    }
    if rows.is_empty() {
        none();
    }
    print(&text(&rows))
}

/// The last part of a row's name.
fn last(row: &Value) -> &str {
    text(row, &["name"]).rsplit('/').next().unwrap_or_default()
}

fn list(rows: &[Value]) -> String {
    table(
        ["NAME", "CREATED", "LABELS", "ALIASES"],
        rows.iter().map(|row| {
            [
                last(row).to_owned(),
                seconds(text(row, &["createTime"])),
                pairs(&row["labels"]),
                pairs(&row["versionAliases"]),
            ]
        }),
    )
}

fn versions(rows: &[Value]) -> String {
    table(
        ["VERSION", "STATE", "CREATED", "DESTROYED"],
        rows.iter().map(|row| {
            [
                last(row).to_owned(),
                text(row, &["state"]).to_lowercase(),
                seconds(text(row, &["createTime"])),
                seconds(text(row, &["destroyTime"])),
            ]
        }),
    )
}

/// `a=b,c=d`.
fn pairs(map: &Value) -> String {
    let pairs = map.as_object().into_iter().flatten();
    let pairs = pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_a_run_comes_from_a_file() {
        let wanted = FromFile { secret: "db-pass".into(), file: "/tmp/x=@y".into() };
        assert_eq!(from_file("db-pass=@/tmp/x=@y"), Ok(wanted));
        for (text, why) in [
            ("db-pass", "NAME=@FILE"),
            ("db-pass=@", "NAME=@FILE"),
            ("db-pass=hunter2", "could be read by everybody"),
            ("a.b=@x", "the name of a secret"),
        ] {
            let said = from_file(text).expect_err(text);
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("f");
        let said = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("it is written");
            read(&file).map(|payload| payload.len()).map_err(|stop| stop.lines.join(" "))
        };
        assert_eq!(said(b"x\n"), Ok(2));
        assert_eq!(said(&[b'x'; PAYLOAD_MAX]), Ok(PAYLOAD_MAX));
        assert!(said(&[b'x'; PAYLOAD_MAX + 1]).is_err_and(|said| said.contains("larger")));
        assert!(said(b"").is_err_and(|said| said.contains("empty")));
    }
}
