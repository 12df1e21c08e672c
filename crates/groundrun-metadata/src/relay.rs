//! The relay of one task's connections to named ports of the machine's loopback, bounded in number and memory.
//!
//! There is no limit of time while both sides are open, as there is none on a loopback: a pool of a database's connections
//! idles for hours, and who ends closes its sockets.

use std::{
    collections::BTreeSet,
    io,
    net::Ipv4Addr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

/// Connections at once per task; one more on each port waits, the rest in the kernel's backlog. Pools of clients have ten to
/// thirty.
const OF_A_TASK_MAX: usize = 64;

/// Connections at once of all tasks; more are hung up on. Each is two descriptors and two buffers: 32 MiB together.
const IN_ALL_MAX: usize = 1024;

/// What is read at once, in each direction; what is not taken is not read.
const BUFFER: usize = 16 << 10;

/// How long the service may take to accept, with its backlog full.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// How long nothing may move when one side has ended: a client that was killed looks like one that has asked and waits.
const HALF_CLOSED_IDLE: Duration = Duration::from_secs(600);

/// How long to wait after the kernel refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the relays of all tasks share.
#[derive(Debug)]
pub(crate) struct Relays {
    /// A task that an earlier server started may have sockets of others.
    ports: BTreeSet<u16>,
    slots: Semaphore,
}

impl Relays {
    pub(crate) fn new(ports: BTreeSet<u16>) -> Self {
        Self { ports, slots: Semaphore::new(IN_ALL_MAX) }
    }
}

/// Relays from the listeners of one task until it is dropped, and its connections with it.
pub(crate) async fn serve(listeners: Vec<TcpListener>, relays: Arc<Relays>) {
    let slots = Arc::new(Semaphore::new(OF_A_TASK_MAX));
    let mut all = JoinSet::new();
    for listener in listeners {
        all.spawn(listen(listener, Arc::clone(&slots), Arc::clone(&relays)));
    }
    while all.join_next().await.is_some() {}
}

async fn listen(listener: TcpListener, slots: Arc<Semaphore>, relays: Arc<Relays>) {
    let Ok(port) = listener.local_addr().map(|address| address.port()) else { return };
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        // After that: a port that nobody asks for takes no slot. Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((task, _)) => {
                connections.spawn(relay(task, port, slot, Arc::clone(&relays)));
            }
            Err(error) => {
                tracing::debug!(%error, "a task's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn relay(mut task: TcpStream, port: u16, _slot: OwnedSemaphorePermit, relays: Arc<Relays>) {
    if !relays.ports.contains(&port) {
        tracing::debug!(port, "a task asked for a port that is not named any more");
        return;
    }
    let Ok(_in_all) = relays.slots.try_acquire() else {
        tracing::warn!(port, "{IN_ALL_MAX} connections to this machine are relayed, and no more");
        return;
    };
    let service = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let relayed = match timeout(CONNECTED_WITHIN, service).await {
        Ok(Ok(mut service)) => both(&mut task, &mut service).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = relayed {
        tracing::debug!(port, %error, "a relayed connection ended early");
    }
}

/// Until both sides have ended, each in its time.
async fn both(task: &mut TcpStream, service: &mut TcpStream) -> io::Result<()> {
    // It is the two ends that decide what goes together.
    task.set_nodelay(true)?;
    service.set_nodelay(true)?;
    let moved = AtomicU64::new(0);
    let ((task_says, task_hears), (service_says, service_hears)) = (task.split(), service.split());
    let mut up = pin!(pass(task_says, service_hears, &moved));
    let mut down = pin!(pass(service_says, task_hears, &moved));
    let rest = tokio::select! {
        ended = &mut up => { ended?; down }
        ended = &mut down => { ended?; up }
    };
    finish(rest, &moved, HALF_CLOSED_IDLE).await
}

/// One direction, to its end, which is passed on too.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, moved: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            length => to.write_all(&buffer[..length]).await?,
        }
        moved.fetch_add(1, Ordering::Relaxed);
    }
}

/// The other direction, as long as something moves.
async fn finish(
    mut rest: impl Future<Output = io::Result<()>> + Unpin,
    moved: &AtomicU64,
    idle: Duration,
) -> io::Result<()> {
    loop {
        let before = moved.load(Ordering::Relaxed);
        match timeout(idle, &mut rest).await {
            Ok(ended) => return ended,
            Err(_) if moved.load(Ordering::Relaxed) == before => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        task::Poll,
    };

    use super::*;

    const IDLE: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_connection_half_of_which_has_ended_goes_on_as_long_as_something_moves() {
        let moved = AtomicU64::new(0);
        // Polled when it begins, and each time that the limit is reached.
        let lively = poll_fn(|_| match moved.fetch_add(1, Ordering::Relaxed) {
            0..9 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        });
        assert!(finish(lively, &moved, IDLE).await.is_ok());
        let ended = finish(pending(), &moved, IDLE).await.expect_err("nobody says anything");
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }
}
