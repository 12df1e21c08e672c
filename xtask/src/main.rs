//! Developer tasks: `cargo xtask test`, `tidy`, `needs`, `bench`, `tables`, `compat`, `vm`.

use std::process::ExitCode;

mod bench;
mod canary;
mod compat;
mod leftovers;
mod needs;
mod sh;
mod tables;
mod test;
mod tidy;
mod vm;

const USAGE: &str = "\
cargo xtask <task>

  test     bring what the tests need, then everything that `.ci/run` asks: format, lints, tidy, docs, all tests
  needs    only bring what the tests need (as root on Debian), or list what is missing
  bench    [start|list|network|latency|throughput|array|memory]: figures beside crun (as root)
  vm       build|run: a machine with pure cgroup v2 and systemd, for tests and for trying things out (as root)
  tidy     house rules that no compiler knows
  compat   [--check|--discovery]: make docs/compatibility.md, compare it with the sources, or with Google's document
  tables   [--check] --discovery FILE: make the table of v1 messages, or compare it
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => test::main(),
        Some("needs") => needs::main(),
        Some("vm") => {
            return vm::main(&arguments[1..]).unwrap_or_else(|message| {
                eprintln!("{message}");
                ExitCode::FAILURE
            });
        }
        Some("bench") => bench::main(&arguments[1..]),
        Some("tidy") => tidy::main(),
        Some("compat") => compat::main(&arguments[1..]),
        Some("tables") => tables::main(&arguments[1..]),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
