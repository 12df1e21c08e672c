//! Those who listen to a shim: the server that launched it, and servers after that one's death.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags},
};

use super::attempt::Attempt;
use crate::protocol::{News, SOCKETS_MAX, VERSION, Wish};

/// Open connections.
#[derive(Debug)]
pub(super) struct Peers {
    sockets: Vec<OwnedFd>,
    /// What a later one is told, after `Hello`.
    so_far: Vec<News>,
    /// What each is handed with `Hello`.
    handed: Vec<OwnedFd>,
}

/// Connections at once: one server, and a few people with tools. A further one is turned away.
const PEERS_MAX: usize = 16;

impl Peers {
    /// The first is the server that launched.
    pub(super) fn new(server: OwnedFd, handed: Vec<OwnedFd>) -> Self {
        let mut peers = Self { sockets: Vec::new(), so_far: Vec::new(), handed };
        peers.add(server);
        peers
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Tells all, now and later. A peer that does not take it is dropped: it finds out by the directory.
    pub(super) fn tell(&mut self, news: &News) {
        self.sockets.retain(|socket| say(socket, news));
        self.so_far.push(news.clone());
    }

    /// Takes all that wait at `listener`.
    pub(super) fn accept(&mut self, listener: &OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(listener, flags) {
            if self.sockets.len() < PEERS_MAX {
                self.add(socket);
            }
        }
    }

    fn add(&mut self, socket: OwnedFd) {
        let hello = News::Hello { version: VERSION };
        if say_with(&socket, &hello, &self.handed)
            && self.so_far.iter().all(|news| say(&socket, news))
        {
            self.sockets.push(socket);
        }
    }

    /// All that was said by now. Who hung up, or speaks otherwise, is dropped.
    pub(super) fn hear(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        self.sockets.retain(|socket| {
            loop {
                let mut packet = [0; 256];
                match rustix::net::recv(socket, &mut packet, RecvFlags::DONTWAIT) {
                    Ok((1.., length)) => match postcard::from_bytes(&packet[..length.min(256)]) {
                        Ok(wish) => wishes.push(wish),
                        Err(_) => return false,
                    },
                    Err(Errno::AGAIN) => return true,
                    Err(Errno::INTR) => {}
                    Ok((0, _)) | Err(_) => return false,
                }
            }
        });
        wishes
    }
}

/// What is heard while there is no monitor yet.
#[derive(Debug)]
pub(crate) struct Ear<'shim> {
    attempt: &'shim Attempt,
    peers: &'shim mut Peers,
}

impl<'shim> Ear<'shim> {
    pub(super) fn new(attempt: &'shim Attempt, peers: &'shim mut Peers) -> Self {
        Self { attempt, peers }
    }

    /// Readable where there may be something to hear.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.peers.sockets().chain([self.attempt.listener().as_fd()])
    }

    /// Takes in what was said by now.
    pub(crate) fn is_asked_to_stop(&mut self) -> bool {
        self.peers.accept(self.attempt.listener());
        !self.peers.hear().is_empty()
    }
}

fn say(socket: &OwnedFd, news: &News) -> bool {
    say_with(socket, news, &[])
}

fn say_with(socket: &OwnedFd, news: &News, handed: &[OwnedFd]) -> bool {
    let Ok(packet) = postcard::to_allocvec(news) else { return false };
    let handed: Vec<BorrowedFd<'_>> = handed.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !handed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&handed)) {
        return false;
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(socket, &[IoSlice::new(&packet)], &mut control, flags).is_ok()
}
