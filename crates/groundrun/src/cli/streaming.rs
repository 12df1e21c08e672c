//! The program `log-streaming`, which `gcloud beta run jobs logs tail` runs: this program under that name.
//!
//! gcloud looks for it among its own components and then on the PATH, and gives it
//! `-projectId P -filter F -format run [-token T]`; where the server is, the variables of `groundrun env` say, which gcloud
//! passes on. The link is made where those are printed, and put behind everything else on the PATH: a component of Google's
//! own comes first.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    ServerArgs,
    exit::{Exit, Stop},
    gcloud::PROXY_NAME,
    output::{print, seconds, text},
};
use crate::{
    client::{Client, Tail},
    config::DEFAULT_REGION,
    world,
};

/// The name under which this program is that one.
pub(crate) const NAME: &str = "log-streaming";

/// Whether we were called by that name.
pub(crate) fn is_meant() -> bool {
    let name = env::args_os().next();
    name.is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == NAME))
}

/// What gcloud asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    project: String,
    filter: String,
    token: Option<String>,
}

/// Streams until the execution of the filter is over, or for ever.
pub(crate) fn main() -> Result<Exit, Stop> {
    let asked = read(env::args().skip(1))?;
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let server = ServerArgs {
        url: url(variable)?,
        project: asked.project,
        region: DEFAULT_REGION.to_owned(),
        token_file: variable("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE").map(PathBuf::from),
    };
    let client = Client::new(&server)?;
    let client = match asked.token {
        Some(token) => client.with_token(token),
        None => client,
    };
    // From now on, and from the same moment after a restart of the server.
    let now = world::now();
    let filter = format!("{} timestamp>=\"{now:.6}\"", asked.filter);
    crate::runtime()?.block_on(async {
        let mut tail = Tail::new(&client, filter);
        while let Some(entries) = tail.next().await? {
            print(&entries.iter().filter_map(line).collect::<String>())?;
        }
        Ok(Exit::Succeeded)
    })
}

/// Flags as Go's: one hyphen or two, the value behind it or after `=`.
fn read(mut arguments: impl Iterator<Item = String>) -> Result<Asked, Stop> {
    let mut asked = Asked::default();
    while let Some(argument) = arguments.next() {
        let flag = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
        let flag = flag.ok_or_else(|| Stop::bad_input(format!("{NAME}: what is {argument}?")))?;
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, arguments.next()),
        };
        let value =
            value.ok_or_else(|| Stop::bad_input(format!("{NAME}: -{name} needs a value")))?;
        match name {
            "projectId" => asked.project = value,
            "filter" => asked.filter = value,
            "token" => asked.token = Some(value),
            "format" if value == "run" => {}
            "format" => {
                return Err(Stop::bad_input(format!(
                    "{NAME}: the only format here is run, not {value}"
                )));
            }
            _ => return Err(Stop::bad_input(format!("{NAME}: there is no flag -{name}"))),
        }
    }
    if asked.project.is_empty() {
        return Err(Stop::bad_input(format!("{NAME}: -projectId is missing")));
    }
    Ok(asked)
}

/// Where the server is: as for our own verbs, or as gcloud was told.
fn url(variable: impl Fn(&str) -> Option<String>) -> Result<String, Stop> {
    if let Some(url) = variable("GROUNDRUN_URL") {
        return Ok(url);
    }
    let told = variable("CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING");
    let proxied = told.as_ref().is_some_and(|url| url.contains(PROXY_NAME));
    let host = variable("CLOUDSDK_PROXY_ADDRESS").zip(variable("CLOUDSDK_PROXY_PORT"));
    match (told, host) {
        (_, Some((host, port))) if proxied => Ok(if host.contains(':') {
            format!("http://[{host}]:{port}")
        } else {
            format!("http://{host}:{port}")
        }),
        (Some(url), _) if !proxied => Ok(url),
        _ => {
            let mut stop =
                Stop::bad_input(format!("this {NAME} is groundrun's, and no server is named"));
            stop.lines.push("set the variables of `groundrun env`; for Google's, `gcloud components install log-streaming`".to_owned());
            Err(stop)
        }
    }
}

/// As `gcloud run jobs logs read` shows a line; what the service says is left out there, too.
fn line(entry: &Value) -> Option<String> {
    let (_, log) = text(entry, &["logName"]).split_once("%2F")?;
    matches!(log, "stdout" | "stderr").then(|| {
        format!("{} {}\n", seconds(text(entry, &["timestamp"])), text(entry, &["textPayload"]))
    })
}

/// The directory of the link, below the user's own data.
pub(crate) fn directory() -> Option<PathBuf> {
    let named = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = named("XDG_DATA_HOME").or_else(|| Some(named("HOME")?.join(".local/share")))?;
    Some(data.join("groundrun/bin"))
}

/// Makes the link lead to this program; gives its directory, for the PATH.
pub(crate) fn install() -> io::Result<PathBuf> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "no home directory is known");
    let directory = directory().ok_or_else(missing)?;
    link(&directory, &env::current_exe()?)?;
    Ok(directory)
}

fn link(directory: &Path, program: &Path) -> io::Result<()> {
    let link = directory.join(NAME);
    if fs::read_link(&link).is_ok_and(|to| to == program) {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    // Beside it and then over it: one that is in use is never missing.
    let made = directory.join(format!(".{NAME}.{}", std::process::id()));
    symlink(program, &made)?;
    fs::rename(&made, &link).inspect_err(|_| drop(fs::remove_file(&made)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(arguments: &[&str]) -> Result<Asked, Stop> {
        read(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn the_flags_of_gcloud_are_read() {
        let wanted = Asked { project: "demo".into(), filter: "a b".into(), token: None };
        let given = ["-projectId", "demo", "-filter", "a b", "-format", "run"];
        assert_eq!(asked(&given).expect("they are good"), wanted);
        let wanted = Asked { token: Some("t".into()), ..wanted };
        let given = ["--projectId=demo", "-filter=a b", "-token", "t"];
        assert_eq!(asked(&given).expect("they are good"), wanted);
        for bad in [&["demo"][..], &["-projectId"], &["-format", "json"], &["-x", "1"], &[]] {
            assert_eq!(asked(bad).expect_err("it is refused").exit, Exit::BadInput, "{bad:?}");
        }
    }

    #[test]
    fn the_server_is_the_one_of_the_variables() {
        let with = |set: &[(&str, &str)]| {
            url(|name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let logging = "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING";
        let ours = format!("http://{PROXY_NAME}/");
        let proxy = [("CLOUDSDK_PROXY_ADDRESS", "127.0.0.1"), ("CLOUDSDK_PROXY_PORT", "8080")];
        let gcloud = [proxy[0], proxy[1], (logging, ours.as_str())];
        assert_eq!(with(&gcloud).expect("it is named"), "http://127.0.0.1:8080");
        assert_eq!(with(&[("GROUNDRUN_URL", "http://x:1")]).expect("it is named"), "http://x:1");
        assert_eq!(with(&[(logging, "http://y:2/")]).expect("it is named"), "http://y:2/");
        assert!(with(&[]).expect_err("nobody is named").lines[0].contains("no server is named"));
        assert!(with(&[(logging, ours.as_str())]).is_err());
    }

    #[test]
    fn what_tasks_wrote_is_shown_as_gcloud_shows_it() {
        let entry = |log: &str| {
            json!({"logName": format!("projects/p/logs/run.googleapis.com%2F{log}"),
                "timestamp": "2026-11-24T08:00:01.5Z", "textPayload": "hello"})
        };
        assert_eq!(line(&entry("stderr")).as_deref(), Some("2026-11-24 08:00:01 hello\n"));
        assert_eq!(line(&entry("varlog%2Fsystem")), None);
    }

    #[test]
    fn the_link_leads_to_the_program_that_made_it_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let bin = dir.path().join("bin");
        for program in ["/usr/bin/old", "/usr/bin/new", "/usr/bin/new"] {
            link(&bin, Path::new(program)).expect("it is made");
            let to = fs::read_link(bin.join(NAME)).expect("it is there");
            assert_eq!(to, Path::new(program));
        }
        assert_eq!(fs::read_dir(&bin).expect("it is there").count(), 1);
    }
}
