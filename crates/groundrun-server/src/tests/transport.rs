//! The socket: real connections on loopback.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use groundrun_store::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use super::fixture::{FakeLogs, JOBS, sealer, world};
use crate::{
    call::BODY_MAX,
    config::{PROXY_NAME, ServerConfig},
    serve::{BindError, HEAD_MAX, Server},
};

/// Nothing here takes a second; a minute means that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("an empty directory opens");
        let config = ServerConfig::new(([127, 0, 0, 1], 0).into(), "demo", "us-central1");
        let world = world(&Arc::new(AtomicI64::new(0)));
        let sealer = sealer(dir.path(), &world);
        let server = Server::bind(config, store, Arc::new(FakeLogs::default()), sealer, world);
        let server = server.await.expect("loopback has free ports");
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), served, _dir: dir }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .expect("it stops")
            .expect("it does not panic");
    }
}

/// One exchange on an open connection: the head as text, the body as bytes.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> (String, Vec<u8>) {
    stream.write_all(request).await.expect("the connection is open");
    tokio::time::timeout(PATIENCE, answer(stream)).await.expect("an answer comes")
}

async fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the connection is open"));
    }
    let head = String::from_utf8(head).expect("heads are text").to_ascii_lowercase();
    let mut body = Vec::new();
    if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        body.resize(length.parse().expect("a length"), 0);
        stream.read_exact(&mut body).await.expect("the body follows");
    } else if head.contains("transfer-encoding: chunked") {
        while let Some(chunk) = chunk(stream).await {
            body.extend(chunk);
        }
    }
    (head, body)
}

async fn chunk(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.expect("the connection is open"));
    }
    let length = std::str::from_utf8(&line[..line.len() - 2]).expect("hexadecimal");
    let length = usize::from_str_radix(length, 16).expect("hexadecimal");
    let mut chunk = vec![0; length + 2];
    stream.read_exact(&mut chunk).await.expect("the chunk follows");
    chunk.truncate(length);
    (length > 0).then_some(chunk)
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Running::start().await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        let (head, _) = exchange(&mut stream, &get(JOBS, "")).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_may_use_the_server_as_its_proxy() {
    let server = Running::start().await;
    let mut stream = server.connect().await;
    let name = format!("us-central1-{PROXY_NAME}");
    let request = format!("GET http://{name}{JOBS} HTTP/1.1\r\nHost: {name}\r\n\r\n");
    let (head, body) = exchange(&mut stream, request.as_bytes()).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("JobsList"));

    // The authority of the target counts, whatever Host says (RFC 9112, 3.2.2).
    let request = format!("GET http://evil.example{JOBS} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, _) = exchange(&mut stream, request.as_bytes()).await;
    assert!(head.starts_with("http/1.1 403"), "{head}");

    let (head, _) =
        exchange(&mut stream, b"CONNECT run.googleapis.com:443 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 405"), "{head}");
    server.stop().await;
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_accept_it() {
    let server = Running::start().await;
    let mut stream = server.connect().await;
    let (head, body) =
        exchange(&mut stream, &get(JOBS, "Accept-Encoding: gzip, deflate\r\n")).await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut text = String::new();
    GzDecoder::new(body.as_slice()).read_to_string(&mut text).expect("gzip");
    assert!(text.contains("JobsList"));
    let (head, _) = exchange(&mut stream, &get(JOBS, "")).await;
    assert!(!head.contains("content-encoding"), "{head}");
    server.stop().await;
}

fn post_gzip(body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

#[tokio::test]
async fn compressed_bodies_are_read_and_bombs_are_not() {
    let server = Running::start().await;
    let (head, body) = exchange(&mut server.connect().await, &post_gzip(&gzip(b"{\"x\":1}"))).await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("Unknown name"), "the JSON was understood");

    let bomb = gzip(&vec![b' '; BODY_MAX + 1]);
    assert!(bomb.len() < BODY_MAX / 100);
    let (head, body) = exchange(&mut server.connect().await, &post_gzip(&bomb)).await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("exceeds the limit"));

    let (head, body) = exchange(&mut server.connect().await, &post_gzip(b"no gzip")).await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("could not be read"));
    server.stop().await;
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let server = Running::start().await;
    let mut stream = server.connect().await;
    let long = format!("X-Long: {}\r\n", "x".repeat(4 * HEAD_MAX));
    let (head, _) = exchange(&mut stream, &get(JOBS, &long)).await;
    assert!(head.starts_with("http/1.1 431"), "{head}");
    server.stop().await;
}

#[tokio::test]
async fn a_stop_lets_idle_connections_go_and_accepts_no_more() {
    let server = Running::start().await;
    let mut stream = server.connect().await;
    exchange(&mut stream, &get(JOBS, "")).await;
    let address = server.address;
    server.stop().await;
    assert_eq!(stream.read(&mut [0; 1]).await.expect("it was closed in order"), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_told() {
    let server = Running::start().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bind = |listen| {
        let store = Store::open(dir.path()).expect("an empty directory opens");
        let config = ServerConfig::new(listen, "demo", "us-central1");
        let world = world(&Arc::new(AtomicI64::new(0)));
        let sealer = sealer(dir.path(), &world);
        Server::bind(config, store, Arc::new(FakeLogs::default()), sealer, world)
    };
    let taken = bind(server.address).await.err().expect("the port is taken");
    assert_eq!(taken.to_string(), format!("listen on {}", server.address));
    let open = bind(([0, 0, 0, 0], 0).into()).await.err().expect("there is no token");
    assert!(matches!(open, BindError::Config(_)));
    server.stop().await;
}
