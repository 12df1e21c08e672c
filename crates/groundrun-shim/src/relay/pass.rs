//! One connection: two directions, each to its own end, with bounded memory.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::protocol::Address;

/// What is read at once, in each direction; what is not taken is not read.
const BUFFER_BYTES: usize = 32 << 10;

/// How long a database may take to accept; what looks its name up and gets no answer waits as long.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// Passes all that `client` and the database at `address` say, until both have ended. `connected` is called when the
/// database has taken the connection.
///
/// # Errors
/// When the database did not take it.
pub(super) async fn pass(
    client: UnixStream,
    address: &Address,
    connected: impl FnOnce(),
) -> io::Result<()> {
    match address {
        Address::Tcp { host, port } => {
            let database = within(TcpStream::connect((&**host, *port))).await?;
            connected();
            // It is the two ends that decide what goes together, and a database that is gone without a word must be
            // noticed some day.
            let _ = database.set_nodelay(true);
            let _ = rustix::net::sockopt::set_socket_keepalive(&database, true);
            both(client, database).await;
        }
        Address::Unix(path) => {
            let database = within(UnixStream::connect(path)).await?;
            connected();
            both(client, database).await;
        }
    }
    Ok(())
}

async fn within<T>(connection: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECTED_WITHIN, connection)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The end of one direction is passed on, and the other goes on; a connection that breaks is closed on both sides.
async fn both(mut client: impl Stream, mut database: impl Stream) {
    let (one, other) = (&mut client, &mut database);
    // How it ended is seen by both ends themselves.
    let _ = copy_bidirectional_with_sizes(one, other, BUFFER_BYTES, BUFFER_BYTES).await;
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}
