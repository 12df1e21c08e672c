//! Which tasks are attended: one place that takes the sockets of each and serves them.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

use groundrun_core::id::AttemptId;
use tokio::{runtime::Handle, task::AbortHandle};

use crate::{
    dns::{Desk, Names, Resolvers, serve_tcp, serve_udp},
    host::HostCredentials,
    http::{self, Front, Shared},
    identity::{Lookup, World},
    relay::{self, Relays},
    token::Mint,
};

/// What all tasks' answers come from.
pub struct Settings {
    /// Who the tasks are.
    pub lookup: Lookup,
    /// Makes their tokens.
    pub mint: Arc<Mint>,
    /// Time and randomness.
    pub world: World,
    /// The user's own credentials, where these are handed out in place of tokens of the tasks' own.
    pub host_credentials: Option<HostCredentials>,
    /// Whom to ask about all other names.
    pub resolvers: Resolvers,
    /// Ports of the machine's loopback that may be relayed to.
    pub host_ports: BTreeSet<u16>,
}

/// Sockets bound in a task's network namespace.
#[derive(Debug)]
pub struct Sockets {
    /// TCP, listening: 169.254.169.254:80.
    pub metadata: OwnedFd,
    /// UDP: 169.254.169.254:53.
    pub dns_udp: OwnedFd,
    /// TCP, listening: 169.254.169.254:53.
    pub dns_tcp: OwnedFd,
    /// TCP, listening: ports of the host's address. Those that may not be relayed any more answer by hanging up.
    pub host_ports: Vec<OwnedFd>,
}

/// Serves tasks.
pub struct Services {
    runtime: Handle,
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    relays: Arc<Relays>,
    tasks: Mutex<HashMap<AttemptId, AbortHandle>>,
}

impl Services {
    /// Serves on `runtime`.
    pub fn new(settings: Settings, runtime: Handle) -> Self {
        let Settings { lookup, mint, world, host_credentials, resolvers, host_ports } = settings;
        Self {
            runtime,
            desk: Arc::new(Desk::new(resolvers, world.clone())),
            relays: Arc::new(Relays::new(host_ports)),
            shared: Arc::new(Shared::new(lookup, mint, world, host_credentials)),
            tasks: Mutex::default(),
        }
    }

    /// What `host.docker.internal` and `host.groundrun.internal` mean, once that is known. Without it there are no such
    /// names.
    pub fn host_is_at(&self, address: Ipv4Addr) {
        self.desk.knows(Names { host: Some(address) });
    }

    /// Serves an attempt on its sockets from now on, and answers what waits in their backlog. In place of the sockets
    /// that it was served on before, if it was.
    pub fn attend(&self, id: AttemptId, sockets: Sockets) {
        let served = match self.serve(id, sockets) {
            Ok(served) => served,
            Err(error) => {
                tracing::error!(%id, %error, "the task's metadata and names cannot be served");
                return;
            }
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = tasks.insert(id, served) {
            before.abort();
        }
    }

    /// The attempt is over: its connections are cut, and its sockets closed.
    pub fn leave(&self, id: AttemptId) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = tasks.remove(&id) {
            served.abort();
        }
    }

    fn serve(&self, id: AttemptId, sockets: Sockets) -> io::Result<AbortHandle> {
        let _on = self.runtime.enter();
        let metadata = listener(sockets.metadata)?;
        let dns_tcp = listener(sockets.dns_tcp)?;
        let dns_udp = UdpSocket::from(sockets.dns_udp);
        dns_udp.set_nonblocking(true)?;
        let dns_udp = tokio::net::UdpSocket::from_std(dns_udp)?;
        let front = Arc::new(Front::new(id, Arc::clone(&self.shared)));
        let desk = Arc::clone(&self.desk);
        let host_ports: Vec<_> =
            sockets.host_ports.into_iter().map(listener).collect::<io::Result<_>>()?;
        let relays = Arc::clone(&self.relays);
        let served = self.runtime.spawn(async move {
            tokio::join!(
                http::serve(metadata, front),
                serve_udp(dns_udp, Arc::clone(&desk)),
                serve_tcp(dns_tcp, desk),
                relay::serve(host_ports, relays),
            );
        });
        Ok(served.abort_handle())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for served in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            served.abort();
        }
    }
}

fn listener(fd: OwnedFd) -> io::Result<tokio::net::TcpListener> {
    let listener = TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
