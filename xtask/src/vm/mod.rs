//! `cargo xtask vm`: a machine with pure cgroup v2 and systemd, for tests and for trying things out.
//!
//! Debian's kernel and packages under software emulation: no installed kernel, no KVM, no network card, nothing that
//! stays. One boot takes about 20 seconds, making the guest another 30 once.

mod guest;
mod machine;
mod plan;
mod recipe;
mod scenarios;
mod setting;

pub(crate) use scenarios::main as test;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use machine::Put;
use plan::Step;
use setting::Setting;

use crate::sh;

const USAGE: &str = "\
cargo xtask vm build
    make the guest, once (kept in target/vm, or in $GROUNDRUN_VM_CACHE)

cargo xtask vm run [--as SETTING] [--put FILE[=NAME]]… [--test CRATE/NAME]… [--seconds N] [--out DIR] -- COMMAND…
    boot, run the command in /in as the user of the setting, bring /out back, exit with its code

cargo xtask vm test [SETTING|STEP…]
    what has to hold on every kind of host, as `cargo xtask test` asks it: all steps, or those of the settings and names that
    are given, such as nfs

  SETTING    root           in a service with Delegate=yes (the default)
             root-login     as somebody who logged in
             tester         ordinary user with subordinate ids, logged in, his systemd runs
             delegated      the same user without his systemd, in a cgroup given by chown
             single         ordinary user without subordinate ids, logged in
             refused-clone  tester, kernel.unprivileged_userns_clone=0
             refused-count  tester, user.max_user_namespaces=0
  --put      a file or directory, to /in/NAME; NAME is the file's own unless said; what is in /in/bin is on the PATH
  --test     the test program NAME of CRATE, built now, to /in/bin/NAME
  --seconds  how long it may take (300)
  --out      where the guest's /out comes to (target/vm/out)
target/release/groundrun (as it was built last), examples/ and contrib/ are always put in.
";

/// Runs `arguments`; answers what to exit with.
pub(crate) fn main(arguments: &[String]) -> Result<ExitCode, String> {
    match arguments.first().map(String::as_str) {
        Some("build") => recipe::guest().map(|guest| {
            eprintln!("{}", guest.root.display());
            ExitCode::SUCCESS
        }),
        Some("run") => Asked::parse(&arguments[1..])?.run(),
        Some("test") => scenarios::main(&arguments[1..]).map(|()| ExitCode::SUCCESS),
        Some("guest") => guest::main(&arguments[1..]).map(|()| ExitCode::SUCCESS),
        _ => Err(USAGE.to_owned()),
    }
}

/// What `vm run` was asked for.
struct Asked {
    setting: Setting,
    puts: Vec<Put>,
    seconds: u64,
    out: PathBuf,
    command: Vec<String>,
}

impl Asked {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut asked = Self {
            setting: Setting::Root,
            puts: always(),
            seconds: 300,
            out: recipe::cache().join("out"),
            command: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            if flag == "--" {
                asked.command = rest.cloned().collect();
                break;
            }
            let value = rest.next().ok_or(format!("{flag} wants a value\n\n{USAGE}"))?;
            match flag.as_str() {
                "--as" => asked.setting = Setting::named(value)?,
                "--put" => asked.puts.push(put(value)?),
                "--test" => asked.puts.push(test_program(value)?),
                "--seconds" => {
                    asked.seconds = value.parse().map_err(|e| format!("{value}: {e}"))?
                }
                "--out" => asked.out = PathBuf::from(value),
                _ => return Err(format!("no flag {flag}\n\n{USAGE}")),
            }
        }
        if asked.command.is_empty() { Err(USAGE.to_owned()) } else { Ok(asked) }
    }

    fn run(self) -> Result<ExitCode, String> {
        let name = self.command[0].clone();
        let Self { setting, command, seconds, .. } = self;
        let step = Step { name, setting, command, seconds };
        let done = machine::run(&self.puts, &[step], &self.out)?;
        let code = done.first().ok_or("the guest gave up")?.code;
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }
}

/// What every run wants.
fn always() -> Vec<Put> {
    let files = [
        ("target/release/groundrun", "bin/groundrun"),
        ("examples", "examples"),
        ("contrib", "contrib"),
        ("xtask/src/vm/service.sh", "service.sh"),
        ("xtask/src/vm/nfs.sh", "nfs.sh"),
    ];
    files.map(|(from, name)| Put { from: sh::root().join(from), name: name.to_owned() }).into()
}

/// `FILE` or `FILE=NAME`.
fn put(text: &str) -> Result<Put, String> {
    let (from, name) = text.split_once('=').unwrap_or((text, ""));
    let own = Path::new(from).file_name().and_then(|name| name.to_str());
    let name = if name.is_empty() { own.ok_or(format!("{from} has no name"))? } else { name };
    Ok(Put { from: PathBuf::from(from), name: name.to_owned() })
}

/// `CRATE/NAME`: built, and found where cargo says.
fn test_program(text: &str) -> Result<Put, String> {
    let (package, name) = text.split_once('/').ok_or(format!("{text}: say CRATE/NAME"))?;
    let build = ["cargo", "test", "--release", "--no-run", "--message-format=json"];
    let messages = sh::output(&[&build[..], &["-p", package, "--test", name]].concat())?;
    let program = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    let from = program.ok_or(format!("cargo names no program for {text}"))?;
    Ok(Put { from, name: format!("bin/{name}") })
}
