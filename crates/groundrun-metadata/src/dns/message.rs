//! Of a DNS message (RFC 1035) what is needed here: its header, its first question, and short answers.

use std::net::Ipv4Addr;

/// Bytes of a header.
const HEADER: usize = 12;

/// Of a name, in its wire form.
const NAME_MAX: usize = 255;

pub(super) const A: u16 = 1;
pub(super) const ANY: u16 = 255;
const IN: u16 = 1;

/// Bits of the header's third and fourth byte.
const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
const RECURSION_AVAILABLE: u8 = 0x80;

/// Seconds that our own names may be kept; they hold for the life of a task.
const TTL: u32 = 300;

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Rcode {
    NoError = 0,
    Malformed = 1,
    ServerFailure = 2,
    NoSuchName = 3,
    NotImplemented = 4,
    Refused = 5,
}

/// A query with one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) id: u16,
    /// In lower case, with dots, without the last one.
    pub(super) name: String,
    pub(super) kind: u16,
    pub(super) class: u16,
    /// Where the question ends.
    end: usize,
}

impl Question {
    pub(super) fn is_internet(&self) -> bool {
        self.class == IN || self.class == ANY
    }
}

/// The question of a query, or what to say of it; `None` where it is not even one.
pub(super) fn read(message: &[u8]) -> Option<Result<Question, Rcode>> {
    let header: &[u8; HEADER] = message.first_chunk()?;
    if header[2] & RESPONSE != 0 {
        return None;
    }
    if header[2] & OPCODE != 0 {
        return Some(Err(Rcode::NotImplemented));
    }
    Some(question(message).ok_or(Rcode::Malformed))
}

fn question(message: &[u8]) -> Option<Question> {
    let header: &[u8; HEADER] = message.first_chunk()?;
    if u16::from_be_bytes([header[4], header[5]]) != 1 {
        return None;
    }
    let (name, after) = name(message)?;
    let rest: &[u8; 4] = message.get(after..)?.first_chunk()?;
    Some(Question {
        id: id(message),
        name,
        kind: u16::from_be_bytes([rest[0], rest[1]]),
        class: u16::from_be_bytes([rest[2], rest[3]]),
        end: after + 4,
    })
}

/// The name after the header, and where it ends. A question has nothing before it that it could point to.
fn name(message: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        // Two high bits make a pointer.
        if length > 63 || at + length - HEADER >= NAME_MAX {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        // Bytes that are no ASCII match none of our names; a dot within a label must not look like one between two.
        name.extend(message.get(at..at + length)?.iter().map(|byte| match byte {
            b'.' => '\u{fffd}',
            byte if byte.is_ascii() => char::from(byte.to_ascii_lowercase()),
            _ => '\u{fffd}',
        }));
        at += length;
    }
}

/// The id of a message of two bytes and more.
pub(super) fn id(message: &[u8]) -> u16 {
    message.first_chunk().map_or(0, |id| u16::from_be_bytes(*id))
}

/// The message under another id.
pub(super) fn with_id(message: &[u8], id: u16) -> Vec<u8> {
    let mut message = message.to_vec();
    if let Some(first) = message.first_chunk_mut() {
        *first = id.to_be_bytes();
    }
    message
}

/// Does `response` answer the query `asked`, sent as `id`? Someone who guesses must guess all of it.
pub(super) fn answers(response: &[u8], id: u16, asked: &Question) -> bool {
    let is_response = response.get(2).is_some_and(|flags| flags & RESPONSE != 0);
    if !is_response || self::id(response) != id {
        return false;
    }
    // A server that did not understand may leave the question out.
    let questions = response.get(4..6) == Some(&[0, 0]);
    questions && rcode(response) != Rcode::NoError as u8
        || question(response)
            .is_some_and(|q| (&q.name, q.kind, q.class) == (&asked.name, asked.kind, asked.class))
}

/// How a response ended.
pub(super) fn rcode(response: &[u8]) -> u8 {
    response.get(3).map_or(0, |flags| flags & 0x0f)
}

/// An answer of our own to `query`.
pub(super) fn answer(query: &[u8], asked: &Question, rcode: Rcode, found: &[Ipv4Addr]) -> Vec<u8> {
    let mut answer = header(query, rcode, AUTHORITATIVE);
    answer[5] = 1;
    answer[7] = u8::try_from(found.len()).unwrap_or(0);
    answer.extend_from_slice(query.get(HEADER..asked.end).unwrap_or_default());
    for address in found {
        // The name: a pointer to the question's.
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&A.to_be_bytes());
        answer.extend_from_slice(&IN.to_be_bytes());
        answer.extend_from_slice(&TTL.to_be_bytes());
        answer.extend_from_slice(&4_u16.to_be_bytes());
        answer.extend_from_slice(&address.octets());
    }
    answer
}

/// The header alone, for what went wrong.
pub(super) fn refusal(query: &[u8], rcode: Rcode) -> Vec<u8> {
    header(query, rcode, 0)
}

/// The question, and that its answer is too long for UDP.
pub(super) fn truncated(query: &[u8], asked: &Question) -> Vec<u8> {
    let mut answer = header(query, Rcode::NoError, TRUNCATED);
    answer[5] = 1;
    answer.extend_from_slice(query.get(HEADER..asked.end).unwrap_or_default());
    answer
}

fn header(query: &[u8], rcode: Rcode, flags: u8) -> Vec<u8> {
    let asked = query.get(2).copied().unwrap_or_default() & (OPCODE | RECURSION_DESIRED);
    let mut header = vec![0; HEADER];
    header[..2].copy_from_slice(&id(query).to_be_bytes());
    header[2] = RESPONSE | asked | flags;
    header[3] = RECURSION_AVAILABLE | rcode as u8;
    header
}
