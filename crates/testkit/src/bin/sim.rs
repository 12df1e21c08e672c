//! Lives through the worlds of many seeds: `sim [--seed N] [--seeds M] [--trace]`.
//!
//! Without `--seed` it begins at 0. One seed alone tells what happens with `--trace`.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use testkit::sim::{self, Report, Trace};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match ask(&args) {
        Ok(ask) => live(&ask),
        Err(what) => {
            say(&format!("{what}\nusage: sim [--seed N] [--seeds M] [--trace]"));
            ExitCode::from(2)
        }
    }
}

struct Ask {
    seed: u64,
    seeds: u64,
    trace: Trace,
}

fn ask(args: &[String]) -> Result<Ask, String> {
    let mut ask = Ask { seed: 0, seeds: 0, trace: Trace::Off };
    let mut args = args.iter();
    let mut alone = false;
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
            value.parse::<u64>().map_err(|error| format!("{arg} {value}: {error}"))
        };
        match arg.as_str() {
            "--seed" => (ask.seed, alone) = (number()?, true),
            "--seeds" => ask.seeds = number()?,
            "--trace" => ask.trace = Trace::On,
            other => return Err(format!("{other} is not known")),
        }
    }
    if ask.seeds == 0 {
        ask.seeds = if alone { 1 } else { 10_000 };
    }
    Ok(ask)
}

fn live(ask: &Ask) -> ExitCode {
    let next = AtomicU64::new(ask.seed);
    let end = ask.seed + ask.seeds;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let (mut sum, mut faults) = (Report::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || !faults.is_empty() {
                return (sum, faults);
            }
            match sim::run(seed, ask.trace) {
                Ok(report) => sum += report,
                Err(fault) => faults.push(fault),
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let (mut sum, mut code) = (Report::default(), ExitCode::SUCCESS);
    for (report, faults) in results {
        sum += report;
        for fault in faults {
            say(&fault.to_string());
            code = ExitCode::FAILURE;
        }
    }
    say(&format!("{} seeds: {sum:?}", ask.seeds));
    code
}

#[expect(clippy::print_stderr, reason = "what this program is for")]
fn say(what: &str) {
    eprintln!("{what}");
}
