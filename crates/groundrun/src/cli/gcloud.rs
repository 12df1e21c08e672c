//! `groundrun env` and `groundrun gcloud`: the variables that point gcloud at a server without DNS and without root.
//!
//! gcloud puts the region in front of every host name, so a plain `localhost` override cannot work. It is given a
//! name that exists nowhere and the server as its HTTP proxy: the server then gets absolute-form requests.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    ServerArgs,
    exit::{Exit, Stop},
    output::print,
    streaming,
};
use crate::client::Client;

/// The host name that gcloud is told; the proxy setting sends it to us.
pub(crate) use groundrun_server::PROXY_NAME;

const TOKEN_FILE: &str = "GROUNDRUN_TOKEN_FILE";

#[derive(Args, Debug)]
pub(crate) struct EnvArgs {
    /// Print the lines that take the variables back.
    #[arg(long)]
    unset: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct GcloudArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// What gcloud is given, such as `run jobs list`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

/// The variables, in the order in which they are printed.
fn variables(server: &ServerArgs) -> Result<Vec<(&'static str, String)>, Stop> {
    let wrong = || Stop::bad_input(format!("--url {}: expected http://HOST:PORT", server.url));
    let authority = server.url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let _: u16 = port.parse().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let endpoint = format!("http://{PROXY_NAME}/");
    let mut variables = vec![
        ("CLOUDSDK_PROXY_TYPE", "http".to_owned()),
        ("CLOUDSDK_PROXY_ADDRESS", host.to_owned()),
        ("CLOUDSDK_PROXY_PORT", port.to_owned()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN", endpoint.clone()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING", endpoint.clone()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", endpoint.clone()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE", endpoint.clone()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", endpoint),
        ("CLOUDSDK_CORE_PROJECT", server.project.clone()),
        ("CLOUDSDK_RUN_REGION", server.region.clone()),
        ("CLOUDSDK_CORE_SHOULD_PROMPT_TO_ENABLE_API", "false".to_owned()),
    ];
    variables.push(match &server.token_file {
        Some(file) => ("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", absolute(file)?),
        None => ("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true".to_owned()),
    });
    Ok(variables)
}

/// The same server for our own client verbs, in the variables that stand for their flags.
fn own_variables(server: &ServerArgs) -> Result<Vec<(&'static str, String)>, Stop> {
    let mut variables = vec![
        ("GROUNDRUN_URL", server.url.clone()),
        ("GROUNDRUN_PROJECT", server.project.clone()),
        ("GROUNDRUN_REGION", server.region.clone()),
    ];
    if let Some(file) = &server.token_file {
        variables.push((TOKEN_FILE, absolute(file)?));
    }
    Ok(variables)
}

fn absolute(file: &Path) -> Result<String, Stop> {
    std::path::absolute(file)
        .map(|file| file.display().to_string())
        .map_err(|e| Stop::bad_input(format!("--token-file {}: {e}", file.display())))
}

pub(crate) fn env(args: &EnvArgs) -> Result<Exit, Stop> {
    let mut variables = variables(&args.server)?;
    variables.extend(own_variables(&args.server)?);
    let lines: String = if args.unset {
        let mut names: Vec<&str> = variables.into_iter().map(|(name, _)| name).collect();
        // Whichever of these was set.
        names.retain(|name| !name.starts_with("CLOUDSDK_AUTH_") && *name != TOKEN_FILE);
        names.extend(["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS"]);
        names.push(TOKEN_FILE);
        let unset = names.iter().map(|name| format!("unset {name}\n"));
        unset.chain(streaming::directory().map(|dir| off_path(&dir))).collect()
    } else {
        let export = |(name, value): &(_, String)| format!("export {name}={}\n", quoted(value));
        variables.iter().map(export).chain(streaming().map(|dir| on_path(&dir))).collect()
    };
    print(&lines)?;
    Ok(Exit::Succeeded)
}

/// The directory with gcloud's `log-streaming`, which is this program.
fn streaming() -> Option<PathBuf> {
    let installed = streaming::install();
    installed
        .inspect_err(|error| {
            eprintln!(
                "groundrun: `gcloud beta run jobs logs tail` will not work: make its link: {error}"
            );
        })
        .ok()
}

/// Behind everything else, once.
fn on_path(dir: &Path) -> String {
    let dir = quoted(&dir.display().to_string());
    format!("case \":$PATH:\" in *:{dir}:*) ;; *) export PATH=\"$PATH\":{dir} ;; esac\n")
}

fn off_path(dir: &Path) -> String {
    let dir = quoted(&dir.display().to_string());
    format!(
        "PATH=\"$(printf %s \"$PATH\" | tr : '\\n' | grep -vxF -- {dir} | tr '\\n' : | sed 's/:$//')\"\n"
    )
}

/// Becomes gcloud, once the server is seen: gcloud itself would try for half a minute and then call that a crash.
pub(crate) fn gcloud(args: &GcloudArgs) -> Result<Exit, Stop> {
    let variables = variables(&args.server)?;
    let client = Client::new(&args.server)?;
    crate::runtime()?.block_on(client.answers())?;
    let mut gcloud = std::process::Command::new("gcloud");
    gcloud.args(&args.arguments).envs(variables);
    // It passes them on to its log-streaming.
    gcloud.env("GROUNDRUN_URL", &args.server.url);
    if let Some(dir) = streaming() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = std::env::split_paths(&path).chain([dir]);
        gcloud.env("PATH", std::env::join_paths(all).unwrap_or(path));
    }
    let error = gcloud.exec();
    Err(Stop::failed(format!("run gcloud: {error}; it is part of the Google Cloud SDK")))
}

/// Plain where a shell needs no quotes, else in single quotes.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> ServerArgs {
        ServerArgs {
            url: url.into(),
            project: "demo".into(),
            region: "us-central1".into(),
            token_file: None,
        }
    }

    #[test]
    fn gcloud_is_given_the_server_as_its_proxy() {
        let variables = variables(&server("http://127.0.0.1:8080")).expect("a good address");
        assert!(variables.contains(&("CLOUDSDK_PROXY_ADDRESS", "127.0.0.1".into())));
        assert!(variables.contains(&("CLOUDSDK_PROXY_PORT", "8080".into())));
        assert!(
            variables.contains(&(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN",
                format!("http://{PROXY_NAME}/")
            ))
        );
    }

    #[test]
    fn our_own_verbs_are_given_the_same_server() {
        let variables = own_variables(&server("http://127.0.0.1:9")).expect("a good address");
        assert!(variables.contains(&("GROUNDRUN_URL", "http://127.0.0.1:9".into())));
        assert!(variables.contains(&("GROUNDRUN_PROJECT", "demo".into())));
    }

    #[test]
    fn an_address_that_gcloud_cannot_use_is_refused() {
        assert!(variables(&server("https://127.0.0.1:8080")).is_err());
        assert!(variables(&server("http://127.0.0.1:port")).is_err());
    }

    #[test]
    fn the_path_gets_the_directory_once_and_loses_it_again() {
        let dir = Path::new("/tmp/it's here/bin");
        let script = format!(
            "PATH=/usr/bin:/bin\n{0}{0}echo \"$PATH\"\n{1}echo \"$PATH\"\n",
            on_path(dir),
            off_path(dir)
        );
        let said =
            std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
        let said = String::from_utf8(said.stdout).expect("text");
        assert_eq!(said, format!("/usr/bin:/bin:{}\n/usr/bin:/bin\n", dir.display()));
    }

    #[test]
    fn values_are_quoted_for_a_shell() {
        assert_eq!(quoted("http://a/"), "http://a/");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
