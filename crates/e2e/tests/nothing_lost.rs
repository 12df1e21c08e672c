//! `kill -9` of the server in a loop, at any moment, with a witness that the tasks themselves write.
//!
//! Each task tells its execution, index and attempt to a witness outside; what the API says at the end is compared with
//! what was heard: each attempt ran at most once, nothing acknowledged was lost, counts are exact.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    net::UdpSocket,
    path::{Path, PathBuf},
};

use e2e::{Lab, Options, lab, wait};
use serde_json::{Value, json};

/// Kills in one run of the gate; more by hand: `GROUNDRUN_KILLS=2000`.
const KILLS: usize = 200;

/// Tasks of each execution.
const TASKS: u64 = 6;

fn job(name: &str, args: &[&str]) -> Value {
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"taskCount": TASKS, "parallelism": 3, "template": {"spec": {
            "containers": [{"image": "builtin.groundrun/job", "args": args}], "maxRetries": 0, "timeoutSeconds": "60",
        }}}}},
    })
}

/// A small generator of pauses: the same for the same seed, printed when the test fails.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn killing_the_server_loses_nothing_and_runs_nothing_twice() {
    let kills = std::env::var("GROUNDRUN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let seed = std::env::var("GROUNDRUN_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0x9e37_79b9_7f4a_7c15);
    eprintln!("GROUNDRUN_KILLS={kills} GROUNDRUN_SEED={seed}");
    let mut dice = Dice(seed);
    // Whoever started tells the witness, by the machine's loopback.
    let flags = vec!["--network=host".to_owned()];
    let mut lab = Lab::with(Options { flags, ..Options::default() });
    let witness = Witness::listen(lab.dir());
    lab.create(&job("short", &["tell", &witness.port.to_string()]));
    lab.create(&job("longer", &["sleep", "0.05"]));
    let mut acknowledged: Vec<String> = Vec::new();
    for kill in 0..kills {
        let name = if kill % 2 == 0 { "short" } else { "longer" };
        // Asked in a thread, so that the kill can hit before, within and after the request.
        let target = lab.path(&format!("jobs/{name}:run"));
        let address = lab.address();
        let request = std::thread::spawn(move || {
            let host = format!("Host: {}-localhost:{}", lab::REGION, address.port());
            e2e::http::send(
                address,
                "POST",
                &target,
                &[&host, "Content-Type: application/json"],
                b"{}",
            )
        });
        busy(dice.roll(25_000));
        lab.kill();
        if let Ok(Ok(reply)) = request.join()
            && reply.status == 200
        {
            acknowledged
                .push(reply.json()["metadata"]["name"].as_str().expect("a name").to_owned());
        }
        lab.launch();
    }
    assert!(
        acknowledged.len() > kills / 8,
        "only {} of {kills} requests came through",
        acknowledged.len()
    );
    for name in &acknowledged {
        let execution = lab.completed(name);
        let status = &execution["status"];
        let settled = ["succeededCount", "failedCount", "cancelledCount"]
            .iter()
            .filter_map(|k| status[*k].as_u64())
            .sum::<u64>();
        assert_eq!(settled, TASKS, "{name}: {status}");
        assert_eq!(
            status["succeededCount"],
            TASKS,
            "{name}: a task was lost: {}",
            tasks(&lab, name)
        );
    }
    lab.all_completed();
    let heard = witness.heard();
    for (attempt, times) in &heard {
        assert_eq!(*times, 1, "{attempt:?} ran {times} times");
    }
    for name in acknowledged.iter().filter(|name| name.starts_with("short-")) {
        for task in 0..TASKS {
            assert!(heard.contains_key(&(name.clone(), task, 0)), "{name} task {task} never ran");
        }
    }
    lab.finish();
}

/// Hears the datagrams that tasks send, and writes them to a file: a witness that neither server nor shim can make up.
struct Witness {
    port: u16,
    file: PathBuf,
}

impl Witness {
    fn listen(dir: &Path) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20)
            .expect("room for a burst");
        let port = socket.local_addr().expect("bound").port();
        let file = dir.join("witness");
        let mut out = File::create(&file).expect("the witness file");
        std::thread::spawn(move || {
            let mut word = [0u8; 256];
            while let Ok(length) = socket.recv(&mut word) {
                out.write_all(&word[..length])
                    .and_then(|()| out.write_all(b"\n"))
                    .expect("written");
            }
        });
        Self { port, file }
    }

    /// How often each attempt of each task of each execution said its word.
    fn heard(&self) -> BTreeMap<(String, u64, u64), u32> {
        let mut heard = BTreeMap::new();
        for line in fs::read_to_string(&self.file).expect("the witness file").lines() {
            let mut words = line.split_whitespace();
            let execution = words.next().expect("an execution").to_owned();
            let mut number = || words.next().and_then(|w| w.parse().ok()).expect("a number");
            *heard.entry((execution, number(), number())).or_default() += 1;
        }
        heard
    }
}

/// What became of the tasks of an execution, for the message of a failure.
fn tasks(lab: &Lab, execution: &str) -> String {
    lab.groundrun(&["tasks", "list", execution]).out + &lab.groundrun(&["logs", execution]).out
}

/// Lets some microseconds pass: the moment of the kill is the test's input, not a wait for a condition.
fn busy(micros: u64) {
    let until = std::time::Duration::from_micros(micros);
    let begun = std::time::Instant::now();
    while begun.elapsed() < until {
        std::hint::spin_loop();
    }
}

#[test]
fn killing_a_shim_kills_its_container_and_the_attempt_is_lost() {
    let lab = Lab::start();
    let mut document = job("orphan", &["sleep", "60"]);
    document["spec"]["template"]["spec"]["taskCount"] = json!(1);
    lab.create(&document);
    let execution = lab.run("orphan", &json!({}));
    wait::until("it runs", || {
        (lab.ok("GET", &format!("executions/{execution}"), None)["status"]["runningCount"] == 1)
            .then_some(())
    });
    let shims = e2e::leftovers::shims_of(&lab.data_dir(), lab.pid());
    assert_eq!(shims.len(), 1, "{shims:?}");
    for pid in shims {
        let pid = rustix::process::Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    }
    let ended = lab.completed(&execution);
    assert_eq!(
        lab::condition(&ended, "Completed")["message"],
        format!(
            "Task {execution}-task0 failed with exit code: 0 and message: Internal error running task."
        )
    );
    lab.finish();
}
