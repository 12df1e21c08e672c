//! The server's end of a conversation with one shim.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, SendFlags,
        SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg, send, socket_with,
    },
};

use crate::{
    dir,
    protocol::{News, SOCKETS_MAX, Wish},
};

/// Longest packet: an exit record with its message (4 KiB, three bytes for each invalid one) and an error text.
pub(crate) const PACKET_BYTES_MAX: usize = 32 * 1024;

/// A conversation with one shim. Dropping it tells the shim nothing: it goes on.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
}

/// What a look at a connection gave.
#[must_use]
#[derive(Debug)]
pub enum Received {
    /// The shim's greeting, with the sockets that it keeps for the server (see
    /// [`Given`](crate::protocol::Given)), in their order.
    Hello {
        /// [`VERSION`](crate::protocol::VERSION) of the shim.
        version: u32,
        /// None from a shim that keeps none.
        sockets: Vec<OwnedFd>,
    },
    /// Any other piece of news.
    News(News),
    /// None yet.
    Nothing,
    /// The shim hung up; there will be none.
    Closed,
}

/// A conversation failed. It says nothing about the attempt: look at its directory.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Nobody listens: the shim ended, or is not yet there.
    #[error("connect to the shim of {dir}")]
    Open {
        /// The attempt's directory.
        dir: PathBuf,
        /// The kernel's word.
        #[source]
        err: io::Error,
    },
    /// The socket failed.
    #[error("talk to a shim")]
    Socket(#[source] io::Error),
    /// What came is not of this protocol.
    #[error("understand a shim")]
    Garbled(#[source] postcard::Error),
}

impl Connection {
    /// Connects to the living shim of the attempt whose directory is `dir`.
    ///
    /// # Errors
    /// [`ConnectionError::Open`] when nobody listens there.
    pub fn open(dir: &Path) -> Result<Self, ConnectionError> {
        connect_in(dir)
            .map(Self::over)
            .map_err(|err| ConnectionError::Open { dir: dir.to_owned(), err: err.into() })
    }

    pub(crate) fn over(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Waits for the next piece of news; `None` when the shim has hung up. Sockets that come with it are let go.
    ///
    /// # Errors
    /// When the socket fails or what came is not of this protocol.
    pub fn receive(&self) -> Result<Option<News>, ConnectionError> {
        match self.receive_with(RecvFlags::empty())? {
            Received::News(news) => Ok(Some(news)),
            Received::Hello { version, sockets: _ } => Ok(Some(News::Hello { version })),
            Received::Closed | Received::Nothing => Ok(None),
        }
    }

    /// The next piece of news if it is there. Poll the connection's descriptor for readability to know when.
    ///
    /// # Errors
    /// When the socket fails or what came is not of this protocol.
    pub fn try_receive(&self) -> Result<Received, ConnectionError> {
        self.receive_with(RecvFlags::DONTWAIT)
    }

    fn receive_with(&self, flags: RecvFlags) -> Result<Received, ConnectionError> {
        let mut packet = vec![0; PACKET_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let slices = &mut [IoSliceMut::new(&mut packet)];
            let flags = flags | RecvFlags::CMSG_CLOEXEC;
            return match recvmsg(&self.socket, slices, &mut control, flags) {
                Ok(RecvMsg { bytes: 0, .. }) | Err(Errno::CONNRESET) => Ok(Received::Closed),
                Ok(RecvMsg { bytes, .. }) => {
                    match postcard::from_bytes(&packet[..bytes.min(PACKET_BYTES_MAX)]) {
                        Ok(News::Hello { version }) => {
                            Ok(Received::Hello { version, sockets: sockets(&mut control) })
                        }
                        Ok(news) => Ok(Received::News(news)),
                        Err(err) => Err(ConnectionError::Garbled(err)),
                    }
                }
                Err(Errno::AGAIN) => Ok(Received::Nothing),
                Err(Errno::INTR) => continue,
                Err(err) => Err(ConnectionError::Socket(err.into())),
            };
        }
    }

    /// Tells the shim. That it was done is seen in the news.
    ///
    /// # Errors
    /// When the shim is gone.
    pub fn send(&self, wish: Wish) -> Result<(), ConnectionError> {
        let packet = postcard::to_allocvec(&wish).map_err(ConnectionError::Garbled)?;
        send(&self.socket, &packet, SendFlags::NOSIGNAL)
            .map(drop)
            .map_err(|err| ConnectionError::Socket(err.into()))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn sockets(control: &mut RecvAncillaryBuffer<'_>) -> Vec<OwnedFd> {
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    rights.flatten().collect()
}

/// By way of the directory's descriptor: a unix socket's path holds at most 107 bytes.
fn connect_in(dir: &Path) -> rustix::io::Result<OwnedFd> {
    let dir =
        rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(control_path(dir.as_fd()))?)?;
    Ok(socket)
}

/// A short path of the control socket in the directory that is open as `dir`.
pub(crate) fn control_path(dir: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), dir::CONTROL)
}
