//! The connections of one task's metadata server, bounded in number, size and time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::Front;
use crate::connections;

/// Connections at once per task; more wait in the kernel's backlog. Each is a descriptor of the server, of which a
/// thousand tasks must have enough; a client keeps one or two.
const CONNECTIONS_MAX: usize = 8;

/// How long a request's head may take, counted from the end of the one before: also how long a connection idles.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A whole connection: a client that reads nothing holds its place no longer. It is made again when needed.
const CONNECTION_WITHIN: Duration = Duration::from_secs(300);

/// Of a request's head. The longest real ones have an audience of some hundred bytes.
const HEAD_MAX: usize = 16 << 10;

/// Serves until it is dropped, and its connections with it.
pub(crate) async fn serve(listener: TcpListener, front: Arc<Front>) {
    let connect = |stream| connect(stream, Arc::clone(&front));
    connections::serve(listener, CONNECTIONS_MAX, connect).await;
}

async fn connect(stream: TcpStream, front: Arc<Front>) {
    // Answers are one write each: waiting for more of them would only delay the last.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let front = Arc::clone(&front);
        async move {
            let (head, _body) = request.into_parts();
            Ok::<_, Infallible>(front.answer(&head.method, &head.uri, &head.headers).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_WITHIN, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a task's connection ended early"),
        Err(_) => tracing::debug!("a task's connection was cut off"),
    }
}
