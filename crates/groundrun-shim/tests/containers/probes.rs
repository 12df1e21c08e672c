//! Startup probes, asked of real servers, and who waits for them.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use groundrun_shim::protocol::{Cause, End, Exit, Launch, Network, Probe, ProbeCheck};

use crate::{Test, lab::Lab};

pub(crate) const TESTS: &[Test] = &[
    ("who_waits_starts_when_a_tcp_probe_succeeds", tcp_success),
    ("a_probe_of_http_succeeds_with_a_status_from_200_to_399", http_success),
    ("a_probe_that_fails_too_often_fails_the_attempt", refused),
    ("a_status_of_500_fails_a_probe", http_failure),
    ("a_server_that_does_not_answer_fails_a_probe_in_time", no_answer),
    ("a_container_alone_is_asked_too", alone),
    ("a_grpc_server_is_asked_by_the_health_checking_protocol", grpc),
];

fn probe(check: ProbeCheck) -> Option<Probe> {
    Some(Probe {
        check,
        initial_delay: Duration::ZERO,
        timeout: Duration::from_secs(1),
        period: Duration::from_millis(100),
        failure_threshold: 100,
    })
}

fn http(path: &str, port: u16) -> ProbeCheck {
    ProbeCheck::HttpGet { path: path.into(), port, headers: vec![("X-Probe".into(), "1".into())] }
}

/// `main` starts when `server` is up.
fn behind(lab: &Lab, server: &[&str], check: ProbeCheck) -> Launch {
    let mut launch = lab.several(&[("main", &["fetch", "8080"]), ("server", server)]);
    launch.containers[0].depends_on = vec![1];
    launch.containers[1].startup_probe = probe(check);
    launch
}

fn tcp_success(lab: &Lab) {
    let serve = ["serve", "8080", "hello\n", "0.5"];
    let outcome = lab.run(&behind(lab, &serve, ProbeCheck::TcpSocket { port: 8080 }));
    assert_eq!(outcome.end_of(), ("main", Exit::Code(0), Cause::OnItsOwn), "{outcome:?}");
    let written = outcome.lines.iter().filter(|line| line.exit().is_none());
    let said: Vec<(usize, &[u8])> = written.map(|line| (line.container, &*line.text)).collect();
    assert_eq!(said, [(1, &b"listening"[..]), (0, b"hello")]);
}

fn http_success(lab: &Lab) {
    for status in ["200 OK", "399 Odd"] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let serve = ["serve", "8080", &answer, "0.2"];
        let outcome = lab.run(&behind(lab, &serve, http("/ready", 8080)));
        assert_eq!(outcome.end_of().1, Exit::Code(0), "{outcome:?}");
    }
}

#[track_caller]
fn fails(lab: &Lab, launch: &Launch, name: &str, word: &str) {
    let outcome = lab.run(launch);
    match &outcome.record.end {
        End::ProbeFailed { container, why } => {
            assert_eq!(container, name);
            assert!(why.contains(word), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

fn few(mut launch: Launch) -> Launch {
    let probe = launch.containers[1].startup_probe.as_mut().expect("it has one");
    probe.failure_threshold = 3;
    launch
}

fn refused(lab: &Lab) {
    let launch = few(behind(lab, &["wait-term", "0"], ProbeCheck::TcpSocket { port: 9 }));
    fails(lab, &launch, "server", "refused");
}

fn http_failure(lab: &Lab) {
    let serve = ["serve", "8080", "HTTP/1.1 500 Oh\r\n\r\n"];
    let launch = few(behind(lab, &serve, http("/", 8080)));
    fails(lab, &launch, "server", "");
    let mut patient = behind(lab, &serve, http("/", 8080));
    patient.containers[1].startup_probe.as_mut().expect("it has one").initial_delay =
        Duration::from_secs(1);
    fails(lab, &few(patient), "server", "HTTP status 500");
}

/// On the machine's network, where this process listens and never answers.
fn no_answer(lab: &Lab) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has one").port();
    let mut launch = few(behind(lab, &["wait-term", "0"], http("/", port)));
    launch.network = Network::Host;
    launch.containers[1].startup_probe.as_mut().expect("it has one").timeout =
        Duration::from_millis(200);
    fails(lab, &launch, "server", "no answer in 200ms");
}

fn alone(lab: &Lab) {
    let mut launch = lab.launch(&["sleep", "60"]);
    launch.containers[0].startup_probe = probe(ProbeCheck::TcpSocket { port: 9 });
    launch.containers[0].startup_probe.as_mut().expect("it has one").failure_threshold = 2;
    launch.grace = Duration::ZERO;
    fails(lab, &launch, "main", "refused");
    // One that ends well before it is asked has ended well.
    let mut launch = lab.launch(&["true"]);
    launch.containers[0].startup_probe = probe(ProbeCheck::TcpSocket { port: 9 });
    assert_eq!(lab.run(&launch).exit(), (Exit::Code(0), Cause::OnItsOwn));
}

/// Google's own server for Python, on the machine's network: `up` serves, `down` does not.
struct Grpc {
    child: Child,
    port: u16,
}

const SERVER: &str = "
import grpc, sys
from concurrent import futures
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(futures.ThreadPoolExecutor())
servicer = health.HealthServicer()
servicer.set('', health_pb2.HealthCheckResponse.SERVING)
servicer.set('up', health_pb2.HealthCheckResponse.SERVING)
servicer.set('down', health_pb2.HealthCheckResponse.NOT_SERVING)
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
print(server.add_insecure_port('127.0.0.1:0'), flush=True)
server.start()
sys.stdin.read()
";

impl Grpc {
    fn new() -> Self {
        let python =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/e2e/python/bin/python");
        let child = Command::new(&python)
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|err| {
            panic!("{}: {err}; `cargo xtask needs` brings it", python.display())
        });
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it tells its port");
        let port = line.trim().parse().expect("grpc_health is there: `cargo xtask needs`");
        Self { child, port }
    }
}

impl Drop for Grpc {
    fn drop(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it is our child");
    }
}

fn grpc(lab: &Lab) {
    let server = Grpc::new();
    let check = |service: &str| {
        let check = ProbeCheck::Grpc { port: server.port, service: service.into() };
        let mut launch = few(behind(lab, &["wait-term", "0"], check));
        launch.network = Network::Host;
        launch.containers[0].process.argv = vec!["/job".into(), "true".into()];
        launch
    };
    for service in ["", "up"] {
        let outcome = lab.run(&check(service));
        assert_eq!(outcome.end_of(), ("main", Exit::Code(0), Cause::OnItsOwn), "{service:?}");
    }
    fails(lab, &check("down"), "server", "NOT_SERVING");
    fails(lab, &check("unheard"), "server", "UNKNOWN");
}
