//! One connection: two directions, each to its own end, with bounded memory.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::protocol::Address;

/// What is read at once, in each direction; what is not taken is not read.
const BUFFER_BYTES: usize = 32 << 10;

/// How long a database may take to accept, with the look-up of its name.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// How long a client that is turned away may take to notice.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);

/// What is heard of such a client.
const TURNED_AWAY_BYTES_MAX: u64 = 64 << 10;

/// A connection to a database.
pub(super) enum Database {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Database {
    pub(super) async fn connect(address: &Address) -> io::Result<Self> {
        let connected = async {
            match address {
                Address::Tcp { host, port } => {
                    let stream = TcpStream::connect((&**host, *port)).await?;
                    // It is the two ends that decide what goes together, and a database that is gone without a word must
                    // be noticed some day.
                    stream.set_nodelay(true)?;
                    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
                    Ok(Self::Tcp(stream))
                }
                Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            }
        };
        let connected = timeout(CONNECTED_WITHIN, connected).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Passes all that both say, until both have ended.
pub(super) async fn pass(client: UnixStream, database: Database) {
    match database {
        Database::Tcp(database) => both(client, database).await,
        Database::Unix(database) => both(client, database).await,
    }
}

/// The end of one direction is passed on, and the other goes on; a connection that breaks is closed on both sides.
async fn both(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut database: impl AsyncRead + AsyncWrite + Unpin,
) {
    let (one, other) = (&mut client, &mut database);
    // How it ended is seen by both ends themselves.
    let _ = copy_bidirectional_with_sizes(one, other, BUFFER_BYTES, BUFFER_BYTES).await;
}

/// Closes a connection that leads nowhere. What its client has said is read, or the kernel would tell it of a reset.
pub(super) async fn turn_away(mut client: UnixStream) {
    let _ = client.shutdown().await;
    let mut said = client.take(TURNED_AWAY_BYTES_MAX);
    let _ = timeout(TURNED_AWAY_WITHIN, tokio::io::copy(&mut said, &mut tokio::io::sink())).await;
}
