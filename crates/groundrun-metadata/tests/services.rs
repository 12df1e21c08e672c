//! Tasks that are attended on sockets handed over, left, and attended again by the next server.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
    time::Duration,
};

use groundrun_core::id::{AttemptId, ExecutionUid};
use groundrun_metadata::{Mint, Services, Settings, Sockets, TaskIdentity, World};
use jiff::Timestamp;

const PATIENCE: Duration = Duration::from_secs(30);

fn runtime() -> tokio::runtime::Handle {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("threads")).handle().clone()
}

fn services(dir: &std::path::Path) -> Services {
    relaying(dir, BTreeSet::new())
}

/// The same, with ports of this machine's loopback that tasks may reach.
fn relaying(dir: &std::path::Path, ports: BTreeSet<u16>) -> Services {
    let now = Timestamp::from_second(1_750_000_000).expect("a time");
    let world = World { clock: Arc::new(move || now), random: Arc::new(|bytes| bytes.fill(9)) };
    let settings = Settings {
        lookup: Arc::new(|execution| {
            Some(TaskIdentity {
                project: format!("p{}", execution.0.as_u128()),
                project_number: 42,
                region: "us-central1".to_owned(),
                service_account: "ada@example.com".to_owned(),
                execution: "j1-abcde".to_owned(),
            })
        }),
        mint: Arc::new(Mint::new(dir.join("keys"), world.clone())),
        world,
        host_credentials: None,
        resolvers: Arc::new(Vec::new),
        host_ports: ports,
    };
    Services::new(settings, runtime())
}

fn id(execution: u128) -> AttemptId {
    AttemptId { execution: ExecutionUid(uuid::Uuid::from_u128(execution)), task: 0, attempt: 0 }
}

/// The sockets of a task, as whoever keeps them over a restart of the server has them.
struct Kept {
    metadata: TcpListener,
    dns_udp: UdpSocket,
    dns_tcp: TcpListener,
    host_ports: Vec<TcpListener>,
}

impl Kept {
    fn new() -> Self {
        let free = "127.0.0.1:0";
        Self {
            metadata: TcpListener::bind(free).expect("loopback has free ports"),
            dns_udp: UdpSocket::bind(free).expect("loopback has free ports"),
            dns_tcp: TcpListener::bind(free).expect("loopback has free ports"),
            host_ports: Vec::new(),
        }
    }

    fn hand_over(&self) -> Sockets {
        Sockets {
            metadata: OwnedFd::from(self.metadata.try_clone().expect("a descriptor")),
            dns_udp: OwnedFd::from(self.dns_udp.try_clone().expect("a descriptor")),
            dns_tcp: OwnedFd::from(self.dns_tcp.try_clone().expect("a descriptor")),
            host_ports: self
                .host_ports
                .iter()
                .map(|listener| OwnedFd::from(listener.try_clone().expect("a descriptor")))
                .collect(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.metadata.local_addr().expect("it is bound")
    }
}

fn send(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

const PROJECT: &str = "/computeMetadata/v1/project/project-id";

#[test]
fn each_task_is_told_about_itself_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let services = services(dir.path());
    let (one, two) = (Kept::new(), Kept::new());
    services.attend(id(1), one.hand_over());
    services.attend(id(2), two.hand_over());
    assert!(answer(send(one.address(), PROJECT)).ends_with("\r\n\r\np1"));
    assert!(answer(send(two.address(), PROJECT)).ends_with("\r\n\r\np2"));
}

#[test]
fn requests_that_waited_for_the_next_server_are_answered_by_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let kept = Kept::new();
    let first = services(dir.path());
    first.attend(id(1), kept.hand_over());
    assert!(answer(send(kept.address(), PROJECT)).starts_with("HTTP/1.1 200 OK\r\n"));
    drop(first);
    let waiting = send(kept.address(), PROJECT);
    let asker = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    asker.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let query = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08metadata\x00\x00\x01\x00\x01";
    asker.send_to(query, kept.dns_udp.local_addr().expect("it is bound")).expect("it is sent");
    let next = services(dir.path());
    next.attend(id(1), kept.hand_over());
    assert!(answer(waiting).ends_with("\r\n\r\np1"));
    let mut heard = [0; 512];
    let length = asker.recv(&mut heard).expect("an answer");
    assert!(heard[..length].ends_with(&[169, 254, 169, 254]));
}

#[test]
fn a_task_that_is_left_is_not_answered_any_more() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let services = services(dir.path());
    let kept = Kept::new();
    services.attend(id(1), kept.hand_over());
    let mut idle = TcpStream::connect(kept.address()).expect("it listens");
    idle.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    assert!(answer(send(kept.address(), PROJECT)).starts_with("HTTP/1.1 200 OK\r\n"));
    services.leave(id(1));
    assert_eq!(idle.read(&mut [0; 1]).expect("it is cut"), 0);
}

#[test]
fn attending_again_serves_on_the_new_sockets() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let services = services(dir.path());
    let kept = Kept::new();
    services.attend(id(1), kept.hand_over());
    services.attend(id(1), kept.hand_over());
    for _ in 0..20 {
        assert!(answer(send(kept.address(), PROJECT)).starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn a_client_that_dawdles_holds_its_place_for_some_seconds_only() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let services = services(dir.path());
    let kept = Kept::new();
    services.attend(id(1), kept.hand_over());
    // More than are served at once; each begins a request and says no more.
    let slow: Vec<TcpStream> = (0..12)
        .map(|_| {
            let mut stream = TcpStream::connect(kept.address()).expect("it listens");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").expect("it is taken");
            stream
        })
        .collect();
    assert!(answer(send(kept.address(), PROJECT)).ends_with("p1"));
    drop(slow);
}

#[test]
fn a_head_without_end_is_cut_off() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let services = services(dir.path());
    let kept = Kept::new();
    services.attend(id(1), kept.hand_over());
    let mut stream = TcpStream::connect(kept.address()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.write_all(b"GET / HTTP/1.1\r\n").expect("it is taken");
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
    // 100 KiB: more than is read of any head. Cut off in the middle, the rest cannot be written.
    let cut = (0..100).any(|_| stream.write_all(line.as_bytes()).is_err());
    let mut said = String::new();
    let refused = stream.read_to_string(&mut said).is_err() || said.starts_with("HTTP/1.1 431 ");
    assert!(cut || refused, "{said}");
}

/// A service on this machine's loopback that says back what it is told, once that has ended.
fn echo() -> u16 {
    let service = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let port = service.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for connection in service.incoming() {
            let mut connection = connection.expect("it is taken");
            let mut told = Vec::new();
            connection.read_to_end(&mut told).expect("it is read");
            connection.write_all(&told).expect("it is taken");
        }
    });
    port
}

/// The socket of a task that stands for that port: the same port at another address.
fn of_the_task(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.2", port)).expect("nobody else is there")
}

fn say(at: u16, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.2", at)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let mut heard = Vec::new();
    let told = stream
        .write_all(words)
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| stream.read_to_end(&mut heard));
    if let Err(error) = told {
        assert!(!matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
    }
    heard
}

#[test]
fn named_ports_are_relayed_to_their_ends_and_others_hang_up() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (named, gone, silent) = (echo(), echo(), of_the_task(0));
    let silent_port = silent.local_addr().expect("it is bound").port();
    let service = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let own = service.local_addr().expect("it is bound").port();
    let services = relaying(dir.path(), BTreeSet::from([named, silent_port, own]));
    let mut kept = Kept::new();
    kept.host_ports = vec![of_the_task(named), of_the_task(gone), silent, of_the_task(own)];
    services.attend(id(1), kept.hand_over());
    // More than all buffers on the way hold, and heard only when it has ended.
    let words: Vec<u8> = (0..=u8::MAX).cycle().take(8_000_000).collect();
    assert!(say(named, &words) == words);
    assert_eq!(say(gone, b"not named by this server"), b"");
    assert_eq!(say(silent_port, b"nobody listens there"), b"");

    let mut open = TcpStream::connect(("127.0.0.2", own)).expect("it listens");
    let (mut served, _) = service.accept().expect("it is relayed");
    open.write_all(b"begun").expect("taken");
    served.read_exact(&mut [0; 5]).expect("it is passed on");
    services.leave(id(1));
    for end in [&mut open, &mut served] {
        end.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        match end.read(&mut [0; 1]) {
            Ok(read) => assert_eq!(read, 0, "it is cut with the task"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}
