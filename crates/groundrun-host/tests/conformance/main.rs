//! The conformance suite against this machine, for real: as root, each scenario in a process of its own.
//!
//! A process of its own, because a spawner is forked before any thread exists; with a data directory, a parent cgroup and
//! spawners of its own, and with a look at what it left over at the end.

mod here;
mod place;
mod private;

use std::process::{Command, ExitCode};

use groundrun_host::{
    cgroup::Limiting,
    check::{Intent, Network, check},
};
use libtest_mimic::{Arguments, Failed, Trial};
use testkit::conformance::scenarios;

use crate::place::HostPlace;

/// In front of the name of the one scenario that a child process plays.
const PLAY: &str = "--play";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name] = arguments.as_slice()
        && flag == PLAY
    {
        play(name);
        return ExitCode::SUCCESS;
    }
    let trials = all().into_iter().map(|(name, _)| Trial::test(name, move || in_child(name)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn in_child(name: &str) -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let mut command = match is_private(name) {
        // Its network stands for the machine's.
        true => {
            let mut command = Command::new("unshare");
            command.arg("--net").arg(program);
            command
        }
        false => Command::new(program),
    };
    let output = command.args([PLAY, name]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
    .into())
}

fn is_private(name: &str) -> bool {
    private::SCENARIOS.iter().any(|(known, _)| *known == name)
}

/// A name, and what is played under it.
type Played = (&'static str, Box<dyn FnOnce(&mut HostPlace)>);

/// What every backend has to do, and what this one promises beyond that.
fn all() -> Vec<Played> {
    let mut all = Vec::<Played>::new();
    for (name, scenario) in scenarios() {
        all.push((name, Box::new(move |place| scenario(place))));
    }
    // An ordinary user has no network that could stand for the machine's.
    let privates = if rustix::process::geteuid().is_root() { private::SCENARIOS } else { &[] };
    for (name, scenario) in here::SCENARIOS.iter().chain(privates) {
        all.push((name, Box::new(scenario)));
    }
    all
}

fn play(name: &str) {
    let intent = Intent { limiting: Limiting::Required, network: Network::Plain };
    let missing = check(&std::env::temp_dir(), intent);
    assert!(missing.is_empty(), "tasks cannot run here: {missing:?}");
    let (_, scenario) = all()
        .into_iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("no scenario {name:?}"));
    let mut place = HostPlace::new();
    scenario(&mut place);
    place.close();
}
