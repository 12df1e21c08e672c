//! Measures: one interleaved run, everything as a ratio to bare `crun run` of the same program. Nothing is asserted.
//!
//! Called by `cargo xtask bench`; needs root and crun.

#![expect(clippy::print_stdout, reason = "its figures are its output")]

use std::time::{Duration, Instant};

use e2e::{Lab, Options};
use serde_json::json;

mod client;
mod crun;
mod figures;
mod memory;
mod seed;

use client::Client;
use crun::Crun;
use figures::Figures;

/// Rounds of the latency part: enough for a p95.
const ROUNDS: usize = 200;

/// Tasks in flight in the throughput part, for both.
const IN_FLIGHT: usize = 8;

/// Between two looks where thousands of tasks share the processors with the looking.
const PAUSE: Duration = Duration::from_millis(10);

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|o| o == part);
    println!("{}", memory::machine());
    if wanted("start") {
        cold_start();
    }
    if wanted("list") {
        list_page();
    }
    if wanted("network") {
        network();
    }
    // The server starts in the machine's own mount namespace; what follows in this process and crun is private.
    let lab = lab_on(PLAIN);
    let crun = Crun::prepare(lab.dir());
    if wanted("latency") {
        latency(&lab, &crun);
    }
    if wanted("throughput") {
        throughput(&lab, &crun);
    }
    if wanted("array") {
        array(&lab);
    }
    if wanted("memory") {
        idle(&lab);
    }
    lab.finish();
}

/// The network of all parts but those that compare networks: the one that asks nothing of the kernel, as figures of earlier
/// versions have it.
const PLAIN: &str = "--network=host";

/// A server that takes all tasks that it is given.
fn lab_on(network: &str) -> Lab {
    let flags = ["--memory-share=10000", "--cpu-overcommit=1000", network];
    Lab::with(Options { flags: flags.map(String::from).to_vec(), ..Options::default() })
}

fn job(name: &str, args: &[&str], tasks: usize, parallelism: usize) -> serde_json::Value {
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"taskCount": tasks, "parallelism": parallelism, "template": {"spec": {
            "containers": [{"image": "builtin.groundrun/job", "args": args}], "maxRetries": 0, "timeoutSeconds": "3600",
        }}}}},
    })
}

/// POST `:run` to Completed as a client sees it, turn about with `crun run`.
fn latency(lab: &Lab, crun: &Crun) {
    lab.create(&job("true", &["true"], 1, 0));
    let mut client = Client::connect(lab.address());
    let (mut ours, mut theirs) = (Figures::new("POST :run to Completed"), Figures::new("crun run"));
    for round in 0..ROUNDS + 5 {
        let crun_ms = crun.once();
        let begun = Instant::now();
        client.run_to_completion("true", Duration::ZERO);
        let our_ms = begun.elapsed().as_secs_f64() * 1e3;
        if round >= 5 {
            ours.add(our_ms);
            theirs.add(crun_ms);
        }
    }
    figures::compare("latency, ms", &ours, &theirs);
}

/// The same path with a private network, the default, and with none, turn about on two servers.
fn network() {
    let of = |name: &str, flag| {
        let lab = lab_on(flag);
        lab.create(&job("true", &["true"], 1, 0));
        let client = Client::connect(lab.address());
        (lab, client, Figures::new(name))
    };
    let mut sides = [of("private", "--network=private"), of("none", "--network=none")];
    for round in 0..ROUNDS + 5 {
        for (_, client, figures) in &mut sides {
            let begun = Instant::now();
            client.run_to_completion("true", Duration::ZERO);
            if round >= 5 {
                figures.add(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let [(private_lab, _, private), (none_lab, _, none)] = sides;
    figures::compare("POST :run to Completed by network, ms", &private, &none);
    private_lab.finish();
    none_lab.finish();
}

/// Tasks per second of 1,000 tasks of `true` against crun under `xargs -P`.
fn throughput(lab: &Lab, crun: &Crun) {
    const TASKS: usize = 1000;
    lab.create(&job("thousand", &["true"], TASKS, IN_FLIGHT));
    let mut client = Client::connect(lab.address());
    let (mut ours, mut theirs) = (Figures::new("groundrun"), Figures::new("crun under xargs -P"));
    for _ in 0..3 {
        theirs.add(TASKS as f64 / crun.many(TASKS, IN_FLIGHT));
        let begun = Instant::now();
        client.run_to_completion("thousand", PAUSE);
        ours.add(TASKS as f64 / begun.elapsed().as_secs_f64());
    }
    figures::compare(
        &format!("tasks per second, {TASKS} tasks, {IN_FLIGHT} in flight"),
        &ours,
        &theirs,
    );
}

/// 10,000 tasks to the end, and what the server holds then.
fn array(lab: &Lab) {
    lab.create(&job("ten-thousand", &["true"], 10_000, 0));
    let mut client = Client::connect(lab.address());
    let begun = Instant::now();
    client.run_to_completion("ten-thousand", PAUSE);
    let seconds = begun.elapsed().as_secs_f64();
    println!("10,000-task execution: {seconds:.1} s, {:.0} tasks/s", 10_000.0 / seconds);
    println!("server with 10,000 tasks recorded: {}", memory::of(lab.pid()));
}

/// 200 idle tasks: the server and one shim.
fn idle(lab: &Lab) {
    lab.create(&job("idle", &["sleep", "3600"], 200, 0));
    let execution = lab.run("idle", &json!({}));
    e2e::wait::until("200 tasks run", || {
        (lab.ok("GET", &format!("executions/{execution}"), None)["status"]["runningCount"] == 200)
            .then_some(())
    });
    println!("server with 200 idle tasks: {}", memory::of(lab.pid()));
    let mut shims = Figures::new("shim");
    for pid in e2e::leftovers::shims_of(&lab.data_dir(), lab.pid()) {
        shims.add(memory::pss_kib(pid.unsigned_abs()) as f64 / 1024.0);
    }
    println!("{}", shims.line("PSS of a shim, MiB"));
    lab.ok("POST", &format!("executions/{execution}:cancel"), Some(&json!({})));
    lab.completed(&execution);
}

/// From exec to the line that says it is ready.
fn cold_start() {
    let (mut private, mut plain) =
        (Figures::new("private network"), Figures::new("host's network"));
    for _ in 0..10 {
        for (flag, figures) in [("--network=private", &mut private), (PLAIN, &mut plain)] {
            let begun = Instant::now();
            let lab = lab_on(flag);
            figures.add(begun.elapsed().as_secs_f64() * 1e3);
            lab.finish();
        }
    }
    figures::compare("cold start to ready, ms", &private, &plain);
}

/// A page of 100 executions out of 100,000.
fn list_page() {
    let mut lab = Lab::start();
    assert_eq!(lab.stop(), Some(0));
    seed::executions(&lab.data_dir(), 100_000);
    lab.launch();
    let mut client = Client::connect(lab.address());
    let mut figures = Figures::new("server");
    for _ in 0..100 {
        let begun = Instant::now();
        let page = client.get(&lab.path("executions?limit=100"));
        figures.add(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!(page["items"].as_array().map(Vec::len), Some(100));
    }
    println!("{}", figures.line("list page of 100 out of 100,000 executions, ms"));
    println!("server with 100,000 executions recorded: {}", memory::of(lab.pid()));
    lab.finish();
}
