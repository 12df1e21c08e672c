//! The relay without a shim: its bounds, and how fast it is.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use tokio::task::LocalSet;

use super::{
    Word,
    serve::{CONNECTIONS_MAX, Teller, listen},
};
use crate::{protocol::Address, spawner::packet_pair};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Relays from one socket to the other, in a thread, as long as the tests run; what it tells can be read.
fn relay(from: &Path, to: &Path) -> std::os::fd::OwnedFd {
    let listener = UnixListener::bind(from).expect("a socket");
    listener.set_nonblocking(true).expect("it can be");
    let to = Address::Unix(to.to_owned());
    let (told, teller) = packet_pair().expect("sockets");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        LocalSet::new().block_on(&runtime, async move {
            let listener = tokio::net::UnixListener::from_std(listener).expect("it is a listener");
            listen(listener, "p:r:i".into(), Rc::new(to), Teller::new(teller)).await;
        });
    });
    told
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be");
    stream
}

#[test]
fn an_instance_has_so_many_connections_and_a_further_one_is_closed_and_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let database = UnixListener::bind(&to).expect("a socket");
    thread::spawn(move || {
        for mut client in database.incoming().flatten() {
            // Greets, and ends when its client does.
            thread::spawn(move || client.write_all(b"!").and_then(|()| client.read(&mut [0])));
        }
    });
    let told = relay(&from, &to);
    let mut clients: Vec<UnixStream> = (0..CONNECTIONS_MAX).map(|_| connect(&from)).collect();
    for client in &mut clients {
        client.read_exact(&mut [0]).expect("the database took it");
    }
    let mut further = connect(&from);
    assert_eq!(further.read(&mut [0]).expect("it is closed"), 0);
    let mut packet = [0; 1024];
    let length = rustix::io::read(&told, &mut packet).expect("it is told");
    let note = "Cloud SQL instance p:r:i: there are 100 connections, and no more".to_owned();
    assert_eq!(postcard::from_bytes(&packet[..length]), Ok(Word::Note(note)));
    // One that ends makes room.
    drop(clients.pop());
    let begun = Instant::now();
    while connect(&from).read(&mut [0]).unwrap_or(0) == 0 {
        assert!(begun.elapsed() < PATIENCE, "a connection has ended");
    }
}

/// `cargo test --release -p groundrun-shim --lib how_fast -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_fast_a_relay_is_beside_a_socket() {
    const BYTES: usize = 4 << 30;
    const ASKED: u32 = 50_000;
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let database = UnixListener::bind(&to).expect("a socket");
    thread::spawn(move || {
        for mut client in database.incoming().flatten() {
            thread::spawn(move || {
                let (mut question, part) = ([0], vec![0; 64 << 10]);
                while client.read_exact(&mut question).is_ok() {
                    let sent = match question[0] {
                        b'?' => client.write_all(b"!"),
                        _ => (0..BYTES / part.len()).try_for_each(|_| client.write_all(&part)),
                    };
                    sent.expect("it is heard");
                }
            });
        }
    });
    let _told = relay(&from, &to);
    for (name, path) in [("socket", &to), ("relay", &from), ("socket", &to), ("relay", &from)] {
        let mut client = connect(path);
        let begun = Instant::now();
        for _ in 0..ASKED {
            client.write_all(b"?").expect("it is heard");
            client.read_exact(&mut [0]).expect("it is answered");
        }
        let asked = begun.elapsed() / ASKED;
        let (begun, mut buffer) = (Instant::now(), vec![0; 64 << 10]);
        client.write_all(b"*").expect("it is heard");
        for _ in 0..BYTES / buffer.len() {
            client.read_exact(&mut buffer).expect("it comes");
        }
        let rate = (BYTES >> 20) as f64 / begun.elapsed().as_secs_f64();
        eprintln!("{name}: {rate:.0} MiB/s, {asked:?} from question to answer");
    }
}
