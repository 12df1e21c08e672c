//! One question to a container, whether it has started: a connection of the shim's own, in the network of the attempt, that
//! never waits. What is said on it is [`http`]'s and [`grpc`]'s.
//!
//! The answer comes from a program that may be hostile: at most [`ANSWER_BYTES_MAX`] of it are read, and it is never more than
//! compared with what it should be.

mod grpc;
mod http;

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::PollFlags,
    io::Errno,
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt},
};

use crate::protocol::ProbeCheck;

/// Enough for a status line, and for what a server of HTTP/2 says before it answers.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A question that was asked.
#[derive(Debug)]
pub(super) struct Question {
    socket: OwnedFd,
    phase: Phase,
    talk: Talk,
    received: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Talking,
}

/// What is said after the connection stands.
#[derive(Debug)]
enum Talk {
    /// Nothing: it is the answer.
    Silent,
    Http(http::Get),
    Grpc(grpc::Check),
}

/// What came of a question: that it has started, or why that cannot be said.
pub(super) type Answer = Result<(), String>;

impl Question {
    /// Asks. An error is the answer.
    pub(super) fn ask(check: &ProbeCheck) -> Result<Self, String> {
        let (port, talk) = match check {
            ProbeCheck::TcpSocket { port } => (*port, Talk::Silent),
            ProbeCheck::HttpGet { path, port, headers } => {
                (*port, Talk::Http(http::Get::new(path, *port, headers)))
            }
            ProbeCheck::Grpc { port, service } => {
                (*port, Talk::Grpc(grpc::Check::new(*port, service)))
            }
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .map_err(|err| words("make a socket", err))?;
        match rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(err) => return Err(words("connect", err)),
        }
        Ok(Self { socket, phase: Phase::Connecting, talk, received: 0 })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What to wait for.
    pub(super) fn events(&self) -> PollFlags {
        match self.phase {
            Phase::Connecting => PollFlags::OUT,
            Phase::Talking if self.talk.pending().is_empty() => PollFlags::IN,
            Phase::Talking => PollFlags::IN | PollFlags::OUT,
        }
    }

    /// Goes on, now that something can be done; the answer, once it is known.
    pub(super) fn go_on(&mut self) -> Option<Answer> {
        if self.phase == Phase::Connecting {
            match sockopt::socket_error(&self.socket) {
                Ok(Ok(())) => self.phase = Phase::Talking,
                Ok(Err(err)) | Err(err) => return Some(Err(words("connect", err))),
            }
        }
        if matches!(self.talk, Talk::Silent) {
            return Some(Ok(()));
        }
        if let Err(err) = self.send() {
            return Some(Err(words("send", err)));
        }
        match self.receive() {
            Some(answer) => Some(answer),
            // What there is to say to what came, such as that settings are taken.
            None => self.send().err().map(|err| Err(words("send", err))),
        }
    }

    fn send(&mut self) -> rustix::io::Result<()> {
        while !self.talk.pending().is_empty() {
            match rustix::net::send(&self.socket, self.talk.pending(), SendFlags::NOSIGNAL) {
                Ok(sent) => self.talk.was_sent(sent),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Option<Answer> {
        let mut bytes = [0; 4096];
        loop {
            match rustix::io::read(&self.socket, &mut bytes) {
                Ok(0) => {
                    return Some(Err("the connection was closed without an answer".to_owned()));
                }
                Ok(length) => {
                    self.received += length;
                    if let Some(answer) = self.talk.hear(&bytes[..length]) {
                        return Some(answer);
                    }
                    if self.received > ANSWER_BYTES_MAX {
                        return Some(Err("the answer is too long".to_owned()));
                    }
                }
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Err(err) => return Some(Err(words("receive", err))),
            }
        }
    }
}

impl Talk {
    fn pending(&self) -> &[u8] {
        match self {
            Self::Silent => &[],
            Self::Http(get) => get.pending(),
            Self::Grpc(check) => check.pending(),
        }
    }

    fn was_sent(&mut self, bytes: usize) {
        match self {
            Self::Silent => {}
            Self::Http(get) => get.was_sent(bytes),
            Self::Grpc(check) => check.was_sent(bytes),
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Option<Answer> {
        match self {
            Self::Silent => None,
            Self::Http(get) => get.hear(bytes),
            Self::Grpc(check) => check.hear(bytes),
        }
    }
}

fn words(step: &str, err: Errno) -> String {
    let text = std::io::Error::from(err).to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    format!("{step}: {text}")
}
