//! Tells systemd how the service is (sd_notify): one datagram to the socket that it names. Elsewhere nobody is told.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use tracing::warn;

/// What systemd is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Requests are answered.
    Ready,
    /// The server is about to end.
    Stopping,
}

/// Tells systemd, if it started this. A service of type `notify` that is not heard of is ended, so a failure is said.
pub(crate) fn tell(state: State) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(err) = send(&name.to_string_lossy(), state)
    {
        warn!(%err, ?state, "systemd was not told");
    }
}

fn send(name: &str, state: State) -> io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let message: &[u8] = match state {
        State::Ready => b"READY=1",
        State::Stopping => b"STOPPING=1",
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listener: UnixDatagram, name: &str) {
        for (state, expected) in [(State::Ready, "READY=1"), (State::Stopping, "STOPPING=1")] {
            send(name, state).expect("somebody listens");
            let mut packet = [0; 64];
            let length = listener.recv(&mut packet).expect("it was sent");
            assert_eq!(&packet[..length], expected.as_bytes());
        }
    }

    #[test]
    fn systemd_is_told_where_it_listens() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        check(UnixDatagram::bind(&path).expect("bound"), &path.display().to_string());
        let name = format!("groundrun-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("it is short");
        check(UnixDatagram::bind_addr(&address).expect("bound"), &format!("@{name}"));
        assert!(send("/nowhere/notify", State::Ready).is_err());
    }
}
