//! A connection to somebody else that a test can disturb.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What becomes of connections, also of those that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Fair,
    /// What is sent to the other side arrives, and nothing comes back.
    Stalled,
    /// A connection ends after it has brought so many bytes back.
    CutAfter(usize),
}

/// Listens on a loopback port and passes bytes on to one address. Its threads end with the test's process.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    weather: Weather,
    open: Vec<TcpStream>,
    connections: usize,
}

impl Proxy {
    /// In front of `target`, in fair weather.
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Shared { weather: Weather::Fair, open: Vec::new(), connections: 0 };
        let shared = Arc::new(Mutex::new(shared));
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Who cannot be connected is let go: the other side is down.
                let _ = TcpStream::connect(target)
                    .and_then(|server| connect(&client, &server, &of_thread));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another weather from here on; connections that are open end.
    pub fn turn(&self, weather: Weather) {
        let mut shared = lock(&self.shared);
        shared.weather = weather;
        for open in shared.open.drain(..) {
            open.shutdown(Shutdown::Both).ok();
        }
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        lock(&self.shared).connections
    }
}

fn connect(client: &TcpStream, server: &TcpStream, shared: &Arc<Mutex<Shared>>) -> io::Result<()> {
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let mut guard = lock(shared);
    guard.connections += 1;
    guard.open.extend([client.try_clone()?, server.try_clone()?]);
    drop(guard);
    let of_thread = Arc::clone(shared);
    thread::spawn(move || pass(from_client, to_server, |_| true));
    thread::spawn(move || {
        pass(from_server, to_client, |brought| {
            let weather = || lock(&of_thread).weather;
            // Held until the weather turns, which ends the connection.
            while weather() == Weather::Stalled {
                thread::park_timeout(crate::wait::PAUSE);
            }
            match weather() {
                Weather::CutAfter(bytes) => brought <= bytes,
                Weather::Fair | Weather::Stalled => true,
            }
        });
    });
    Ok(())
}

/// Passes bytes on while `may`, which is told how many there will then have been.
fn pass(mut from: TcpStream, mut to: TcpStream, may: impl Fn(usize) -> bool) {
    let mut bytes = [0; 16 << 10];
    let mut brought = 0;
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        brought += length;
        if !may(brought) || to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
