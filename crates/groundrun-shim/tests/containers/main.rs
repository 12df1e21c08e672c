//! Real containers: the sample program, started by a real spawner, seen from inside and from outside.
//!
//! Needs root, and runs them all again as an ordinary user. Has a `main` of its own, since the spawner must be forked before any thread exists.

mod confinement;
mod crun;
mod directories;
mod ends;
mod files;
mod lab;
mod leftovers;
mod logs;
mod mounters;
mod nfs;
mod once;
mod probes;
mod relay;
mod secrets;
mod several;
mod starts;
mod user;
mod volumes;

use std::process::ExitCode;

use lab::Lab;
use libtest_mimic::{Arguments, Trial};

type Test = (&'static str, fn(&Lab));

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if !user::is_one() && !rustix::process::geteuid().is_root() {
        eprintln!(
            "these tests make containers: run them as root, such as by `sudo -E cargo test --release -p groundrun-shim`"
        );
        return ExitCode::FAILURE;
    }
    let lab: &Lab = Box::leak(Box::new(Lab::new()));
    let tests = [
        starts::TESTS,
        ends::TESTS,
        logs::TESTS,
        once::TESTS,
        files::TESTS,
        confinement::TESTS,
        leftovers::TESTS,
        several::TESTS,
        probes::TESTS,
        volumes::TESTS,
        relay::TESTS,
        secrets::TESTS,
        directories::TESTS,
        mounters::TESTS,
        nfs::TESTS,
    ];
    let mut tests = tests.concat();
    if user::is_one() {
        tests.retain(|(name, _)| !user::OF_ROOT.contains(name));
    }
    let trials = tests.into_iter().map(|(name, test): Test| {
        Trial::test(name, move || {
            test(lab);
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let as_user = match user::is_one() || conclusion.has_failed() {
        true => ExitCode::SUCCESS,
        false => user::run(&lab.cgroups),
    };
    let left = lab.close();
    if !left.is_empty() {
        eprintln!("left over after the tests: {left:?}");
        return ExitCode::FAILURE;
    }
    if conclusion.has_failed() { conclusion.exit_code() } else { as_user }
}
