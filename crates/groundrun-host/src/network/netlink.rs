//! Speaks rtnetlink to the kernel, in the network namespace that the socket was made in. One packet, one answer.
//!
//! After an answer that was not waited for to its end, what is left of it is in the socket: it is told by its number from
//! answers to later questions, and passed over.

use std::{io, os::fd::OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
        sockopt,
    },
};

/// One answer of a dump has at most 32 KiB, whatever the machine's page size (the kernel's NLMSG_GOODSIZE is less).
const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// The kernel answers while it is asked; more than this says that something is wrong with it.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// A socket to the kernel.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One change that is asked for.
pub(super) struct Change {
    pub(super) message: RouteNetlinkMessage,
    /// `NLM_F_CREATE` and others, beyond those that every request has.
    pub(super) flags: u16,
}

/// Which of several changes the kernel refused first, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) at: usize,
    pub(super) why: io::Error,
}

impl Netlink {
    /// In the network namespace of the calling thread, where it stays.
    pub(super) fn open() -> io::Result<Self> {
        // Protocol 0 is NETLINK_ROUTE.
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_WITHIN))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; ANSWER_BYTES_MAX] })
    }

    /// Makes all changes, in order; later ones are tried also when an earlier one was refused.
    pub(super) fn change(&mut self, changes: Vec<Change>) -> Result<(), Refused> {
        let fault = |why| Refused { at: 0, why };
        let count = changes.len();
        let first = self.sequence.wrapping_add(1);
        let mut packet = Vec::new();
        for Change { message, flags } in changes {
            self.append(&mut packet, message, flags | NLM_F_ACK);
        }
        self.send(&packet).map_err(fault)?;
        let mut refused: Option<Refused> = None;
        let mut heard = 0;
        while heard < count {
            let length = self.receive().map_err(fault)?;
            let answer = parse(&self.buffer[..length]).map_err(fault)?;
            let at = answer.header.sequence_number.wrapping_sub(first);
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            if at >= count {
                continue;
            }
            let NetlinkPayload::Error(answer_of) = answer.payload else {
                return Err(fault(unexpected()));
            };
            if answer_of.code.is_some() && refused.is_none() {
                refused = Some(Refused { at, why: answer_of.to_io() });
            }
            heard += 1;
        }
        refused.map_or(Ok(()), Err)
    }

    /// One change alone.
    pub(super) fn change_one(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<()> {
        self.change(vec![Change { message, flags }]).map_err(|refused| refused.why)
    }

    /// What there is exactly one of. An error where there is none.
    pub(super) fn ask(&mut self, message: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        let mut packet = Vec::new();
        self.append(&mut packet, message, 0);
        self.send(&packet)?;
        loop {
            let length = self.receive()?;
            let answer = parse(&self.buffer[..length])?;
            return match answer.payload {
                _ if answer.header.sequence_number != self.sequence => continue,
                NetlinkPayload::InnerMessage(found) => Ok(found),
                NetlinkPayload::Error(error) => Err(error.to_io()),
                _ => Err(unexpected()),
            };
        }
    }

    /// All of a kind.
    pub(super) fn list(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut packet = Vec::new();
        self.append(&mut packet, message, NLM_F_DUMP);
        self.send(&packet)?;
        let mut found = Vec::new();
        loop {
            let length = self.receive()?;
            let mut rest = &self.buffer[..length];
            while !rest.is_empty() {
                let answer = parse(rest)?;
                match answer.payload {
                    _ if answer.header.sequence_number != self.sequence => {}
                    NetlinkPayload::InnerMessage(one) => found.push(one),
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => return Err(unexpected()),
                }
                let taken = usize::try_from(answer.header.length).unwrap_or(rest.len());
                rest = rest.get(taken.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    fn append(&mut self, packet: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags | NLM_F_REQUEST;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let start = packet.len();
        packet.resize((start + message.buffer_len()).next_multiple_of(4), 0);
        message.serialize(&mut packet[start..]);
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        loop {
            match send(&self.socket, packet, SendFlags::empty()) {
                Err(Errno::INTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        loop {
            match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((length, _)) => return Ok(length.min(ANSWER_BYTES_MAX)),
                Err(err) => return Err(err.into()),
            }
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<NetlinkMessage<RouteNetlinkMessage>> {
    NetlinkMessage::deserialize(bytes).map_err(io::Error::other)
}

fn unexpected() -> io::Error {
    io::Error::other("the kernel's answer is not one to what was asked")
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};

    use super::*;

    fn named(name: &str) -> RouteNetlinkMessage {
        let mut wanted = LinkMessage::default();
        wanted.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        RouteNetlinkMessage::GetLink(wanted)
    }

    /// A socket in which an answer is left: that there is a loopback.
    fn left_in_the_middle() -> Netlink {
        let mut netlink = Netlink::open().expect("a socket");
        let mut packet = Vec::new();
        netlink.append(&mut packet, named("lo"), 0);
        netlink.send(&packet).expect("it is asked");
        netlink
    }

    #[test]
    fn what_is_left_of_an_earlier_answer_is_none_to_a_later_question() {
        let err = left_in_the_middle().ask(named("none-such")).expect_err("there is none");
        assert_eq!(Errno::from_io_error(&err), Some(Errno::NODEV));
        let err = left_in_the_middle()
            .change_one(RouteNetlinkMessage::DelLink(LinkMessage::default()), 0)
            .expect_err("there is none, or no right");
        assert!(err.raw_os_error().is_some(), "{err}");
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let listed = left_in_the_middle().list(all.clone()).expect("they are listed").len();
        assert_eq!(listed, Netlink::open().and_then(|mut n| n.list(all)).expect("again").len());
    }
}
