//! A registry behind TLS: what comes in is passed on in plain. The key protects nothing; its authority's is thrown away.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Who vouches for the certificate, which is for 0.0.0.0.
pub(crate) const AUTHORITY: &[u8] = include_bytes!("tls/ca.pem");

/// The front; connections end with it.
pub(crate) struct Front {
    pub(crate) port: u16,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    pub(crate) fn before(registry: &str) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = {
            let (config, stopped, registry) =
                (Arc::new(config), Arc::clone(&stopped), registry.to_owned());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                    // A client that does not trust us hangs up: that is its test.
                    let _ = pass(StreamOwned::new(connection, stream), &registry);
                }
            })
        };
        Self { port, stopped, thread: Some(thread) }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request without a body, and its answer.
fn pass(
    mut client: StreamOwned<ServerConnection, TcpStream>,
    registry: &str,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let mut upstream = TcpStream::connect(registry)?;
    upstream.write_all(&request)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}
