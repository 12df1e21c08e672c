//! The listening socket and its connections: HTTP/1.1 with keep-alive, bounded in number, size and time.

use std::{
    convert::Infallible, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use groundrun_api::{ApiError, Code};
use groundrun_secrets::Sealer;
use groundrun_store::Store;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt;

use crate::{
    app::{App, World},
    call,
    config::{ConfigError, ServerConfig},
    error::Outcome,
    guard,
    keys::PublicKeys,
    logs::Logs,
    router,
};

/// Connections at once; more wait in the kernel's backlog. A descriptor each, well under the usual limit of 1,024.
const CONNECTIONS_MAX: usize = 256;

/// How long a request's head may take, counted from the end of the one before: also how long a connection idles.
const HEAD_WITHIN: Duration = Duration::from_secs(60);

/// A head is cut off somewhere between this and its double: clients turn to a form above 2 KiB of URL, a token is some KiB.
pub(crate) const HEAD_MAX: usize = 64 << 10;

/// How long connections may take to finish their request after the stop was asked for. Handlers take milliseconds.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A client that takes nothing of its answer for so long is cut off.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);

/// How long to wait after the kernel refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The HTTP front.
pub struct Server;

/// The HTTP front with its socket bound: connections wait in the backlog until [`BoundServer::serve`].
pub struct BoundServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    front: Front,
}

/// Why the front cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// It must not.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be had.
    #[error("listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

impl Server {
    /// Binds the socket. `world` gives time and randomness; `logs` reads what tasks wrote; `sealer` has the
    /// key of secrets.
    pub async fn bind(
        config: ServerConfig,
        store: Store,
        logs: Arc<dyn Logs>,
        sealer: Arc<Sealer>,
        world: World,
    ) -> Result<BoundServer, BindError> {
        config.check()?;
        let address = config.listen;
        let failed = |source| BindError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        // From here on the port is known, also where 0 was asked for.
        let config = ServerConfig { listen: local_addr, ..config };
        Ok(BoundServer {
            listener,
            local_addr,
            front: Front::new(App::new(config, store, logs, sealer, world)),
        })
    }
}

impl BoundServer {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Publishes the keys of tasks' tokens, once it serves.
    pub fn publish(&self, keys: Arc<dyn PublicKeys>) {
        self.front.publish(keys);
    }

    /// Serves until `stop` resolves; then accepts no more, lets requests under way finish, and returns.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            // Both arms may be dropped and begun again: nothing is lost between a free slot and an accepted stream.
            let next = tokio::select! {
                () = &mut stop => break,
                next = accept(&self.listener, &slots) => next,
            };
            if let Some((stream, slot)) = next {
                connect(stream, slot, self.front.clone(), &graceful);
            }
        }
        drop(self.listener);
        self.front.end_streams();
        if tokio::time::timeout(STOP_WITHIN, graceful.shutdown()).await.is_err() {
            tracing::warn!(within_s = STOP_WITHIN.as_secs(), "requests were cut off at the stop");
        }
    }
}

/// A connection and its slot; None where the kernel gave none.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn connect(
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    front: Front,
    graceful: &GracefulShutdown,
) {
    if let Err(error) = configure(&stream) {
        tracing::debug!(%error, "a connection could not be configured");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request.map(Body::new)).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        let _slot = slot;
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}

/// Answers are one write each: waiting for more of them would only delay the last. The kernel finds out who takes nothing
/// any more, or is gone without a word: whoever follows is answered for hours, and may be silent for as long.
fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_tcp_user_timeout(stream, millis(TAKEN_WITHIN))?;
    sockopt::set_tcp_keepidle(stream, TAKEN_WITHIN)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// From a request's head to the route that answers it.
#[derive(Clone)]
pub(crate) struct Front {
    app: Arc<App>,
    routes: Router,
}

impl Front {
    pub(crate) fn new(app: App) -> Self {
        let app = Arc::new(app);
        Self { routes: router::routes(Arc::clone(&app)), app }
    }

    pub(crate) fn publish(&self, keys: Arc<dyn PublicKeys>) {
        // Whoever was first has decided.
        let _ = self.app.keys.set(keys);
    }

    /// Ends the answers that have no end of their own.
    pub(crate) fn end_streams(&self) {
        self.app.stopping.send_replace(true);
    }

    /// Always an answer, and in Google's shape; also when a handler panics.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response {
        if request.method() == Method::CONNECT {
            return no_tunnel();
        }
        match AssertUnwindSafe(self.route(request)).catch_unwind().await {
            Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
            Err(_) => {
                tracing::error!("a handler panicked");
                crate::error::Refusal(ApiError::internal("the handler of the request failed"))
                    .into_response()
            }
        }
    }

    async fn route(&self, request: Request<Body>) -> Outcome {
        let (mut head, mut body) = request.into_parts();
        let path = head.uri.path();
        if !router::HEALTH.contains(&path) && !router::KEYS.contains(&path) {
            guard::check(&self.app.config, &head)?;
            check_encoding(&head.headers)?;
        }
        if guard::is_get_in_disguise(&head.method, &head.headers)? {
            let (form, _) = call::read(&self.app, std::mem::take(&mut body)).await?;
            head.uri = with_query(&head.uri, &form)?;
            head.method = Method::GET;
            head.headers.remove(header::CONTENT_TYPE);
        }
        if let Some(target) = router::of_v1(&head.uri) {
            head.uri = retargeted(&head.uri, &target)?;
        }
        let answered = self.routes.clone().oneshot(Request::from_parts(head, body)).await;
        Ok(answered.unwrap_or_else(|never| match never {}))
    }
}

/// gzip or nothing.
fn check_encoding(headers: &axum::http::HeaderMap) -> Outcome<()> {
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"gzip" | b"identity" | b"") => Ok(()),
        Some(other) => Err(crate::error::Refusal::invalid(format!(
            "the Content-Encoding '{}' is not supported: only gzip",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// `uri` with the form as its query.
fn with_query(uri: &Uri, form: &[u8]) -> Outcome<Uri> {
    let refused =
        || ApiError::new(Code::InvalidArgument, "the form of the overridden method is not a query");
    let query = std::str::from_utf8(form).map_err(|_| refused())?;
    retargeted(uri, &format!("{}?{}", uri.path(), query.trim())).or(Err(refused().into()))
}

/// `uri` with another path and query.
fn retargeted(uri: &Uri, target: &str) -> Outcome<Uri> {
    let refused = || ApiError::new(Code::InvalidArgument, "the path of the request is none");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().map_err(|_| refused())?);
    Ok(Uri::from_parts(parts).map_err(|_| refused())?)
}

/// The answer to a client that takes us for a proxy of TLS: at once, so that it does not wait.
fn no_tunnel() -> Response {
    let text = "this is not a proxy for https: use an http:// endpoint\n";
    let mut response = (StatusCode::METHOD_NOT_ALLOWED, text).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
