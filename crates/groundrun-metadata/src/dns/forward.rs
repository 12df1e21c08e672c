//! Asks the machine's resolvers in a task's place.
//!
//! Each query goes out from a port of its own, chosen by the kernel, under an id of its own, and only what comes from
//! the resolver asked, with that id and that question, is its answer: no task can answer another's query, or its own.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::message::{self, Question, Rcode};

/// How long one resolver may take. Three of them in a row are done before a C library's five seconds are over.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);

/// Of an answer over UDP. What a client of today asks for is 4,096 at most.
const DATAGRAM_MAX: usize = 16 << 10;

/// By which way a query came, and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Udp,
    Tcp,
}

/// The answer of the first resolver that has one.
pub(super) async fn forward(
    query: &[u8],
    asked: &Question,
    way: Way,
    resolvers: &[SocketAddr],
    random_id: impl Fn() -> u16,
) -> Vec<u8> {
    let mut failed = None;
    for resolver in resolvers {
        let id = random_id();
        let sent = message::with_id(query, id);
        let exchange = async {
            match way {
                Way::Udp => over_udp(&sent, id, asked, *resolver).await,
                Way::Tcp => over_tcp(&sent, id, asked, *resolver).await,
            }
        };
        match timeout(ANSWER_WITHIN, exchange).await {
            Ok(Ok(Heard::Answer(answer))) => {
                let answer = message::with_id(&answer, asked.id);
                // As the C library does: another resolver may know what this one fails at, or keeps to itself.
                let rcode = message::rcode(&answer);
                if rcode != Rcode::ServerFailure as u8 && rcode != Rcode::Refused as u8 {
                    return answer;
                }
                failed = Some(answer);
            }
            Ok(Ok(Heard::TooLong)) => return message::truncated(query, asked),
            // Names are not logged: they are the task's.
            Ok(Err(error)) => tracing::debug!(%resolver, %error, "a resolver cannot be asked"),
            Err(_) => tracing::debug!(%resolver, "a resolver does not answer"),
        }
    }
    failed.unwrap_or_else(|| message::refusal(query, Rcode::ServerFailure))
}

enum Heard {
    Answer(Vec<u8>),
    /// For UDP.
    TooLong,
}

async fn over_udp(
    sent: &[u8],
    id: u16,
    asked: &Question,
    resolver: SocketAddr,
) -> io::Result<Heard> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // From here on the kernel drops what comes from elsewhere.
    socket.connect(resolver).await?;
    socket.send(sent).await?;
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length == DATAGRAM_MAX {
            return Ok(Heard::TooLong);
        }
        if message::answers(&buffer[..length], id, asked) {
            buffer.truncate(length);
            return Ok(Heard::Answer(buffer));
        }
    }
}

async fn over_tcp(
    sent: &[u8],
    id: u16,
    asked: &Question,
    resolver: SocketAddr,
) -> io::Result<Heard> {
    let mut stream = TcpStream::connect(resolver).await?;
    write_message(&mut stream, sent).await?;
    let answer = read_message(&mut stream, usize::from(u16::MAX)).await?;
    if !message::answers(&answer, id, asked) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is to another query"));
    }
    Ok(Heard::Answer(answer))
}

/// A message and its length before it.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a message over 64 KiB"))?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// One message of at most `most` bytes.
pub(super) async fn read_message(stream: &mut TcpStream, most: usize) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message longer than any query"));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
