//! Lets a task's programs listen on the ports of the services: in its namespace, what is sent to the services' address is
//! led to sockets on other ports of the loopback.
//!
//! The rules are the same for each namespace, so that their messages to nf_tables are made once, and no program is run.

use std::{io, net::Ipv4Addr};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt,
};

use super::links::SERVICES;

/// Where what is sent to port 80 of the services arrives: a port that programs do not use.
pub(super) const METADATA_PORT: u16 = 61_680;

/// Where what is sent to port 53 of the services arrives.
pub(super) const DNS_PORT: u16 = 61_653;

/// On which address.
pub(super) const ARRIVES: Ipv4Addr = Ipv4Addr::LOCALHOST;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Protocol, port of the services, port on the loopback.
const LED: [(u8, u16, u16); 3] =
    [(TCP, 80, METADATA_PORT), (UDP, 53, DNS_PORT), (TCP, 53, DNS_PORT)];

const TABLE: &[u8] = b"groundrun\0";
const CHAIN: &[u8] = b"to_services\0";

/// The kernel answers while it is asked; more than this says that something is wrong with it.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Messages that are all carried out or none: a batch of nf_tables.
pub(super) struct Redirect {
    batch: Vec<u8>,
    /// How many of them the kernel answers.
    answered: usize,
}

impl Redirect {
    pub(super) fn new() -> Self {
        let mut batch = Vec::new();
        let mut sequence = 0;
        let mut add = |kind: u16, flags: u16, family: u8, attributes: &[u8]| {
            sequence += 1;
            let length = HEADER + attributes.len();
            // A message is some hundred bytes.
            batch.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
            batch.extend(kind.to_ne_bytes());
            batch.extend((flags | REQUEST).to_ne_bytes());
            batch.extend(u32::to_ne_bytes(sequence));
            batch.extend([0; 4]);
            batch.extend([family, 0]);
            // Of a batch's limits the subsystem it is for; zero in others.
            let subsystem = if family == UNSPECIFIED { NFTABLES } else { 0 };
            batch.extend(subsystem.to_be_bytes());
            batch.extend(attributes);
        };
        add(BATCH_BEGIN, 0, UNSPECIFIED, &[]);
        add(of_nftables(NEW_TABLE), CREATE | ACK, IPV4, &attribute(1, TABLE));
        add(of_nftables(NEW_CHAIN), CREATE | ACK, IPV4, &chain());
        for (protocol, port, to) in LED {
            add(of_nftables(NEW_RULE), CREATE | APPEND | ACK, IPV4, &rule(protocol, port, to));
        }
        add(BATCH_END, 0, UNSPECIFIED, &[]);
        Self { batch, answered: 2 + LED.len() }
    }

    /// In the network namespace of the calling thread, which has no such rules yet.
    pub(super) fn set_up(&self) -> io::Result<()> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_WITHIN))?;
        send(&socket, &self.batch, SendFlags::empty())?;
        let mut heard = 0;
        while heard < self.answered {
            let mut answer = [0; 4096];
            let (length, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
            heard += answers(&answer[..length.min(4096)])?;
        }
        Ok(())
    }
}

/// How many requests were carried out, or why one was refused.
fn answers(mut packet: &[u8]) -> io::Result<usize> {
    let strange = || io::Error::other("the kernel's answer is not one to what was asked");
    let word = |bytes: &[u8], at: usize| -> io::Result<[u8; 4]> {
        bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).ok_or_else(strange)
    };
    let mut heard = 0;
    while !packet.is_empty() {
        let length =
            usize::try_from(u32::from_ne_bytes(word(packet, 0)?)).map_err(|_| strange())?;
        let kind = u16::from_ne_bytes([word(packet, 4)?[0], word(packet, 4)?[1]]);
        if length < 16 || kind != ERROR {
            return Err(strange());
        }
        match i32::from_ne_bytes(word(packet, 16)?) {
            0 => heard += 1,
            errno => return Err(io::Error::from_raw_os_error(errno.saturating_neg())),
        }
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(heard)
}

/// Of a message: netlink's header and nfnetlink's.
const HEADER: usize = 20;

const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const UNSPECIFIED: u8 = 0;
const IPV4: u8 = 2;

const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;

fn of_nftables(kind: u16) -> u16 {
    NFTABLES << 8 | kind
}

/// `type nat hook output priority -100; policy accept;`
fn chain() -> Vec<u8> {
    const LOCAL_OUT: u32 = 3;
    const DESTINATION_NAT: i32 = -100;
    const ACCEPT: u32 = 1;
    let hook =
        [attribute(1, &LOCAL_OUT.to_be_bytes()), attribute(2, &DESTINATION_NAT.to_be_bytes())];
    [
        attribute(1, TABLE),
        attribute(3, CHAIN),
        nested(4, &hook.concat()),
        attribute(5, &ACCEPT.to_be_bytes()),
        attribute(7, b"nat\0"),
    ]
    .concat()
}

/// `ip daddr SERVICES meta l4proto PROTOCOL th dport PORT redirect to :TO`
fn rule(protocol: u8, port: u16, to: u16) -> Vec<u8> {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    const L4_PROTOCOL: u32 = 16;
    let expressions = [
        payload(NETWORK, 16, 4),
        equals(&SERVICES.octets()),
        expression(b"meta\0", &[number(1, REGISTER), number(2, L4_PROTOCOL)].concat()),
        equals(&[protocol]),
        payload(TRANSPORT, 2, 2),
        equals(&port.to_be_bytes()),
        expression(b"immediate\0", &[number(1, REGISTER), value(2, &to.to_be_bytes())].concat()),
        expression(b"redir\0", &number(1, REGISTER)),
    ];
    [attribute(1, TABLE), attribute(2, CHAIN), nested(4, &expressions.concat())].concat()
}

/// The register that all expressions use, one after another.
const REGISTER: u32 = 1;

fn payload(base: u32, offset: u32, length: u32) -> Vec<u8> {
    let data = [number(1, REGISTER), number(2, base), number(3, offset), number(4, length)];
    expression(b"payload\0", &data.concat())
}

fn equals(bytes: &[u8]) -> Vec<u8> {
    const EQUAL: u32 = 0;
    let data = [number(1, REGISTER), number(2, EQUAL), value(3, bytes)];
    expression(b"cmp\0", &data.concat())
}

fn expression(name: &[u8], data: &[u8]) -> Vec<u8> {
    nested(1, &[attribute(1, name), nested(2, data)].concat())
}

fn value(kind: u16, bytes: &[u8]) -> Vec<u8> {
    nested(kind, &attribute(1, bytes))
}

fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

fn nested(kind: u16, inside: &[u8]) -> Vec<u8> {
    const NESTED: u16 = 0x8000;
    attribute(kind | NESTED, inside)
}

fn attribute(kind: u16, bytes: &[u8]) -> Vec<u8> {
    // All are made above, none is near the bound.
    let length = u16::try_from(4 + bytes.len()).unwrap_or(u16::MAX);
    let mut attribute = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    attribute.extend(bytes);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_say_their_own_length() {
        assert_eq!(attribute(7, b"nat\0"), [8, 0, 7, 0, b'n', b'a', b't', 0]);
        assert_eq!(attribute(3, &[6])[..], [5, 0, 3, 0, 6, 0, 0, 0]);
    }

    #[test]
    fn a_refusal_among_answers_is_the_kernels_word() {
        let answer = |errno: i32| {
            let mut bytes = [36_u32.to_ne_bytes(), [2, 0, 0, 0], [0; 4], [0; 4]].concat();
            bytes.extend(errno.to_ne_bytes());
            bytes.resize(36, 0);
            bytes
        };
        assert_eq!(answers(&[answer(0), answer(0)].concat()).expect("carried out"), 2);
        let refused = answers(&[answer(0), answer(-2)].concat()).expect_err("refused");
        assert_eq!(refused.raw_os_error(), Some(2));
        assert!(answers(&[1, 2, 3]).is_err());
    }
}
