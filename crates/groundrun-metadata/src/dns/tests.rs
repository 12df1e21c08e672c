//! A task's queries against resolvers of the test, and against bytes at random.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use super::{Desk, Names, message, serve_tcp, serve_udp};
use crate::fixture;

const PATIENCE: Duration = Duration::from_secs(20);
const AAAA: u16 = 28;

/// A query for `name`, recursion desired.
fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query[..2].copy_from_slice(&id.to_be_bytes());
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).expect("a short label"));
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

/// The query with an EDNS record that asks for 1,232 bytes and has an option that nobody knows.
fn with_edns(mut query: Vec<u8>) -> Vec<u8> {
    query[11] = 1;
    query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0xfe, 0xfe, 0, 2, 7, 9]);
    query
}

/// A response to `query` with so many bytes behind the question.
fn response(query: &[u8], rcode: u8, behind: &[u8]) -> Vec<u8> {
    let mut response = query.to_vec();
    response[2] |= 0x80;
    response[3] = 0x80 | rcode;
    response.extend_from_slice(behind);
    response
}

/// A name server of a task, on loopback.
struct Server {
    udp: SocketAddr,
    tcp: SocketAddr,
}

async fn server(names: Names, resolvers: Vec<SocketAddr>) -> Server {
    let (world, _) = fixture::world();
    let desk = Arc::new(Desk::new(Arc::new(move || resolvers.clone()), world));
    desk.knows(names);
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let server = Server {
        udp: socket.local_addr().expect("it is bound"),
        tcp: listener.local_addr().expect("it is bound"),
    };
    tokio::spawn(serve_udp(socket, Arc::clone(&desk)));
    tokio::spawn(serve_tcp(listener, desk));
    server
}

async fn ask(server: &Server, query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback has free ports");
    socket.send_to(query, server.udp).await.expect("it is sent");
    let mut buffer = vec![0; 65536];
    let heard = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer");
    buffer.truncate(heard.expect("an answer"));
    buffer
}

async fn ask_over_tcp(server: &Server, query: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.tcp).await.expect("it listens");
    let length = u16::try_from(query.len()).expect("a short query");
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await.expect("it is read");
    let length = timeout(PATIENCE, stream.read_u16()).await.expect("an answer").expect("an answer");
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.expect("all of it");
    answer
}

/// A resolver that answers each query by `answer`: several messages, or none.
async fn resolver(
    answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, tokio::sync::mpsc::Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = socket.local_addr().expect("it is bound");
    let (tell, heard) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for answer in answer(&buffer[..length]) {
                let _ = socket.send_to(&answer, from).await;
            }
            let _ = tell.send(buffer[..length].to_vec()).await;
        }
    });
    (address, heard)
}

const HOST: Names = Names { host: Some(Ipv4Addr::new(10, 0, 0, 1)) };
const NO_HOST: Names = Names { host: None };

#[tokio::test]
async fn names_of_ours_are_answered_without_a_resolver() {
    let server = server(HOST, vec![]).await;
    for (name, address) in [
        ("metadata.google.internal", [169, 254, 169, 254]),
        ("METADATA.Google.internal", [169, 254, 169, 254]),
        ("metadata", [169, 254, 169, 254]),
        ("host.docker.internal", [10, 0, 0, 1]),
        ("host.groundrun.internal", [10, 0, 0, 1]),
    ] {
        let asked = query(7, name, message::A);
        let answer = ask(&server, &asked).await;
        assert_eq!(answer[..4], [0, 7, 0x85, 0x80], "{name}: an answer, authoritative, no error");
        assert_eq!(answer[4..8], [0, 1, 0, 1], "{name}: one question, one record");
        assert_eq!(answer[12..asked.len()], asked[12..], "{name}: the question as it was asked");
        assert!(answer.ends_with(&address), "{name}: {answer:?}");
        assert_eq!(ask_over_tcp(&server, &asked).await, answer, "{name}: the same over TCP");
        let none = ask(&server, &query(8, name, AAAA)).await;
        assert_eq!(none[..8], [0, 8, 0x85, 0x80, 0, 1, 0, 0], "{name}: no IPv6, no error");
    }
}

#[tokio::test]
async fn without_host_access_the_host_has_no_name() {
    let server = server(NO_HOST, vec![]).await;
    let answer = ask(&server, &query(7, "host.docker.internal", message::A)).await;
    assert_eq!(answer[3], 0x83, "no such name");
}

#[tokio::test]
async fn every_other_query_goes_on_as_it_came_under_an_id_of_its_own() {
    let records = [0xc0, 12, 0, 99, 0, 1, 0, 0, 0, 9, 0, 1, 42];
    let (address, mut heard) = resolver(move |query| vec![response(query, 0, &records)]).await;
    let server = server(HOST, vec![address]).await;
    let asked = with_edns(query(7, "www.example.com", 99));
    let answer = ask(&server, &asked).await;
    let sent = heard.recv().await.expect("the query");
    assert_ne!(sent[..2], asked[..2], "another id");
    assert_eq!(sent[2..], asked[2..], "and nothing else is changed");
    assert_eq!(answer, response(&asked, 0, &records));
}

#[tokio::test]
async fn what_answers_another_query_is_not_taken() {
    let forged = |query: &[u8]| {
        let other_id = message::with_id(&response(query, 0, b"forged"), message::id(query) ^ 1);
        let other_name =
            response(&self::query(message::id(query), "evil.example.com", 1), 0, b"forged");
        let no_response = query.to_vec();
        let right = response(query, 0, b"right");
        vec![other_id, other_name, no_response, vec![], vec![0; 3], right]
    };
    let (address, _heard) = resolver(forged).await;
    let server = server(HOST, vec![address]).await;
    let answer = ask(&server, &query(7, "www.example.com", message::A)).await;
    assert!(answer.ends_with(b"right"), "{answer:?}");
}

#[tokio::test]
async fn the_next_resolver_is_asked_when_one_fails_or_is_silent() {
    let (failing, _f) = resolver(|query| vec![response(query, 2, b"")]).await;
    let (silent, _s) = resolver(|_| vec![]).await;
    let closed = SocketAddr::from(([127, 0, 0, 1], 1));
    let (good, _g) = resolver(|query| vec![response(query, 3, b"")]).await;
    let asked = query(7, "www.example.com", message::A);
    let names = server(HOST, vec![failing, silent, good]).await;
    assert_eq!(ask(&names, &asked).await[3], 0x83, "the last one knows that there is no such name");
    let names = server(HOST, vec![closed, good]).await;
    assert_eq!(ask(&names, &asked).await[3], 0x83);
    let names = server(HOST, vec![closed]).await;
    assert_eq!(ask(&names, &asked).await[..4], [0, 7, 0x81, 0x82], "nobody answers");
}

#[tokio::test]
async fn a_long_answer_is_truncated_over_udp_and_whole_over_tcp() {
    let (udp, _heard) = resolver(|query| {
        let mut cut = response(query, 0, b"");
        cut[2] |= 2;
        vec![cut]
    })
    .await;
    // TCP on the same port.
    let listener = TcpListener::bind(udp).await.expect("the port is free for TCP");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = stream.read_u16().await.expect("a query");
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await.expect("a query");
            let answer = response(&query, 0, &vec![5; 40_000]);
            let length = u16::try_from(answer.len()).expect("under 64 KiB");
            stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).await.expect("read");
        }
    });
    let server = server(HOST, vec![udp]).await;
    let asked = query(7, "www.example.com", 16);
    assert_eq!(ask(&server, &asked).await[2] & 2, 2, "truncated");
    assert_eq!(ask_over_tcp(&server, &asked).await.len(), asked.len() + 40_000);
}

#[tokio::test]
async fn what_is_no_query_gets_no_answer_and_a_bad_one_a_refusal() {
    let server = server(HOST, vec![]).await;
    let mut update = query(1, "metadata", 1);
    update[2] = 0x28;
    assert_eq!(ask(&server, &update).await[..4], [0, 1, 0xa8, 0x84], "not implemented");
    let mut two = query(2, "metadata", 1);
    two[5] = 2;
    assert_eq!(ask(&server, &two).await[..4], [0, 2, 0x81, 0x81], "malformed");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let answer_of_an_answer = response(&query(3, "metadata", 1), 0, b"");
    for nothing in [&b""[..], b"x", &answer_of_an_answer, &vec![0; 5000]] {
        socket.send_to(nothing, server.udp).await.expect("it is sent");
    }
    socket.send_to(&query(4, "metadata", 1), server.udp).await.expect("it is sent");
    let mut buffer = [0; 512];
    timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer").expect("an answer");
    assert_eq!(buffer[1], 4, "the first answer is to the first query");
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_no_place_for_long() {
    let server = server(HOST, vec![]).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(server.tcp).await.expect("it listens");
        stream.write_all(&[0]).await.expect("half a length");
        idle.push(stream);
    }
    // A fifth waits in the backlog until the others have been cut off.
    let answer = timeout(PATIENCE, ask_over_tcp(&server, &query(9, "metadata", 1))).await;
    assert_eq!(answer.expect("an answer")[1], 9);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Some(Ok(asked)) = message::read(&bytes) {
            let answer = message::answer(&bytes, &asked, message::Rcode::NoError, &[Ipv4Addr::LOCALHOST]);
            prop_assert!(message::answers(&answer, asked.id, &asked));
            prop_assert!(answer.len() <= 12 + 255 + 4 + 16);
        }
        let _ = message::refusal(&bytes, message::Rcode::Refused);
    }

    #[test]
    fn a_query_that_looks_right_is_read_as_it_was_written(
        id: u16,
        labels in prop::collection::vec("[a-z0-9-]{1,20}", 1..8),
        kind: u16,
        tail in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let name = labels.join(".");
        let bytes = [query(id, &name, kind), tail].concat();
        let asked = message::read(&bytes).expect("a query").expect("a good one");
        prop_assert_eq!((asked.id, asked.name.as_str(), asked.kind), (id, name.as_str(), kind));
    }
}
