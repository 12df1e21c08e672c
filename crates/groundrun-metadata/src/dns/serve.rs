//! The sockets of one task's name server, bounded in queries, connections, size and time.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

use super::{
    Names, Resolvers,
    forward::{Way, forward, read_message, write_message},
    message::{self, Rcode},
    names::Found,
};
use crate::{connections, identity::World};

/// Queries under way per task, each a descriptor of the server. A program that resolves more at once waits its turn:
/// what comes beyond is left in the socket, and asked again by its client.
const QUERIES_MAX: usize = 16;

/// Queries under way of all tasks together: well under the usual limit of 1,024 descriptors.
const ALL_QUERIES_MAX: usize = 256;

/// TCP connections per task; more wait in the kernel's backlog. A client uses one for the rare long answer.
const CONNECTIONS_MAX: usize = 4;

/// Of a query. Real ones have a name of at most 255 bytes and some options.
const QUERY_MAX: usize = 4096;

/// How long a TCP connection may take for its next query (RFC 7766 asks for seconds), and for taking an answer.
const NEXT_WITHIN: Duration = Duration::from_secs(5);

/// How long to wait after the kernel refused a datagram for want of memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Where all tasks' queries are answered.
pub(crate) struct Desk {
    names: OnceLock<Names>,
    resolvers: Resolvers,
    world: World,
    all: Arc<Semaphore>,
}

impl Desk {
    /// Knows no address of the host yet.
    pub(crate) fn new(resolvers: Resolvers, world: World) -> Self {
        let all = Arc::new(Semaphore::new(ALL_QUERIES_MAX));
        Self { names: OnceLock::new(), resolvers, world, all }
    }

    pub(crate) fn knows(&self, names: Names) {
        // Whoever said it first has decided.
        let _ = self.names.set(names);
    }

    /// The answer to a query; `None` to what is not one.
    async fn answer(&self, query: &[u8], way: Way) -> Option<Vec<u8>> {
        let asked = match message::read(query)? {
            Ok(asked) => asked,
            Err(rcode) => return Some(message::refusal(query, rcode)),
        };
        Some(match self.names.get().copied().unwrap_or_default().find(&asked) {
            Found::Address(address) => message::answer(query, &asked, Rcode::NoError, &[address]),
            Found::Nothing(rcode) => message::answer(query, &asked, rcode, &[]),
            Found::Elsewhere => {
                // Never closed.
                let _slot = self.all.acquire().await;
                let id = || {
                    let mut bytes = [0; 2];
                    (self.world.random)(&mut bytes);
                    u16::from_ne_bytes(bytes)
                };
                forward(query, &asked, way, &(self.resolvers)(), id).await
            }
        })
    }
}

/// Serves until it is dropped, and its queries with it.
pub(crate) async fn serve_udp(socket: UdpSocket, desk: Arc<Desk>) {
    let (socket, slots) = (Arc::new(socket), Arc::new(Semaphore::new(QUERIES_MAX)));
    let mut queries = JoinSet::new();
    let mut buffer = vec![0; QUERY_MAX + 1];
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while queries.try_join_next().is_some() {}
        match socket.recv_from(&mut buffer).await {
            Ok((length, _)) if length > QUERY_MAX => {}
            Ok((length, asker)) => {
                let query = buffer[..length].to_vec();
                let (socket, desk) = (Arc::clone(&socket), Arc::clone(&desk));
                queries.spawn(reply(socket, desk, query, asker, slot));
            }
            Err(error) => {
                tracing::debug!(%error, "a task's query could not be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn reply(
    socket: Arc<UdpSocket>,
    desk: Arc<Desk>,
    query: Vec<u8>,
    asker: SocketAddr,
    _slot: OwnedSemaphorePermit,
) {
    if let Some(answer) = desk.answer(&query, Way::Udp).await
        && let Err(error) = socket.send_to(&answer, asker).await
    {
        tracing::debug!(%error, "a task's query could not be answered");
    }
}

/// The same over TCP.
pub(crate) async fn serve_tcp(listener: TcpListener, desk: Arc<Desk>) {
    let converse = |stream| converse(stream, Arc::clone(&desk));
    connections::serve(listener, CONNECTIONS_MAX, converse).await;
}

/// One query after the other, until the client leaves or dawdles.
async fn converse(mut stream: TcpStream, desk: Arc<Desk>) {
    while let Ok(Ok(query)) = timeout(NEXT_WITHIN, read_message(&mut stream, QUERY_MAX)).await {
        let Some(answer) = desk.answer(&query, Way::Tcp).await else { return };
        if !matches!(timeout(NEXT_WITHIN, write_message(&mut stream, &answer)).await, Ok(Ok(()))) {
            return;
        }
    }
}
