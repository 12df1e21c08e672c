//! One call of `grpc.health.v1.Health/Check` over HTTP/2 with prior knowledge: the frames of the request are fixed but for
//! names, and of the answer only data, settings and pings matter. Pure.
//!
//! Nothing of an answer's headers is decoded: `SERVING` is in its message, and an answer without a message is none. (RFC 9113
//! for frames, RFC 7541 for the request's headers, the gRPC and health checking protocols for what is in them.)

use super::Answer;

/// A call and what has come of its answer.
#[derive(Debug)]
pub(super) struct Check {
    to_send: Vec<u8>,
    sent: usize,
    /// Of frames that are not whole yet.
    heard: Vec<u8>,
    /// The answer's message, with gRPC's five bytes before it.
    message: Vec<u8>,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
/// What a peer may send as long as nothing else was agreed upon.
const FRAME_BYTES_MAX: usize = 16_384;
/// That of the only call.
const STREAM: u32 = 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// `HealthCheckResponse.status` of a server that is ready.
const SERVING: u64 = 1;

impl Check {
    pub(super) fn new(port: u16, service: &str) -> Self {
        let mut headers = Vec::new();
        // Static names by their number in RFC 7541, appendix A; literal values, nothing remembered.
        headers.extend([0x83, 0x86]); // :method POST, :scheme http
        indexed(&mut headers, 4, "/grpc.health.v1.Health/Check"); // :path
        indexed(&mut headers, 1, &format!("localhost:{port}")); // :authority
        literal(&mut headers, "content-type", "application/grpc");
        literal(&mut headers, "te", "trailers");
        literal(&mut headers, "user-agent", "kube-probe/groundrun");
        let mut to_send = PREFACE.to_vec();
        frame(&mut to_send, SETTINGS, 0, 0, &[]);
        frame(&mut to_send, HEADERS, END_HEADERS, STREAM, &headers);
        frame(&mut to_send, DATA, END_STREAM, STREAM, &request(service));
        Self { to_send, sent: 0, heard: Vec::new(), message: Vec::new() }
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.to_send.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn was_sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= self.to_send.len() {
            (self.sent, self.to_send) = (0, Vec::new());
        }
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) -> Option<Answer> {
        self.heard.extend_from_slice(bytes);
        loop {
            let (length, kind, flags, stream) = header(&self.heard)?;
            if length > FRAME_BYTES_MAX {
                return Some(Err("the answer is not HTTP/2".to_owned()));
            }
            let whole = FRAME_HEADER_BYTES + length;
            let payload = self.heard.get(FRAME_HEADER_BYTES..whole)?.to_vec();
            self.heard.drain(..whole);
            if let Some(answer) = self.take(kind, flags, stream, &payload) {
                return Some(answer);
            }
        }
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<Answer> {
        match (kind, stream) {
            (SETTINGS, 0) if flags & ACK == 0 => frame(&mut self.to_send, SETTINGS, ACK, 0, &[]),
            (PING, 0) if flags & ACK == 0 => frame(&mut self.to_send, PING, ACK, 0, payload),
            (GOAWAY, 0) => return Some(Err("the server refused the connection".to_owned())),
            (RST_STREAM, STREAM) => return Some(Err("the server refused the call".to_owned())),
            (DATA, STREAM) => {
                self.message.extend_from_slice(unpadded(flags, payload));
                if let Some(answer) = judge(&self.message) {
                    return Some(answer);
                }
            }
            _ => {}
        }
        if matches!((kind, stream), (DATA | HEADERS, STREAM)) && flags & END_STREAM != 0 {
            let why = "the call was answered with an error: does the server have the service, and the health checking protocol?";
            return Some(Err(why.to_owned()));
        }
        None
    }
}

/// Length, type, flags and stream of the frame at the beginning.
fn header(bytes: &[u8]) -> Option<(usize, u8, u8, u32)> {
    let [a, b, c, kind, flags, stream @ ..] = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    let length = u32::from_be_bytes([0, *a, *b, *c]);
    let stream = u32::from_be_bytes(*stream.first_chunk()?) & 0x7fff_ffff;
    Some((usize::try_from(length).ok()?, *kind, *flags, stream))
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    // Names have at most some hundred bytes; a longer one is cut off by the peer.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    to.extend_from_slice(&length[1..]);
    to.extend([kind, flags]);
    to.extend(stream.to_be_bytes());
    to.extend_from_slice(payload);
}

fn unpadded(flags: u8, payload: &[u8]) -> &[u8] {
    match payload.split_first() {
        Some((padding, rest)) if flags & PADDED != 0 => {
            rest.len().checked_sub(usize::from(*padding)).map_or(&[], |end| &rest[..end])
        }
        _ => payload,
    }
}

/// A header whose name is in the static table, not indexed itself.
fn indexed(to: &mut Vec<u8>, name: u8, value: &str) {
    to.push(name);
    text(to, value);
}

/// A header whose name is not in the static table, not indexed itself.
fn literal(to: &mut Vec<u8>, name: &str, value: &str) {
    to.push(0);
    text(to, name);
    text(to, value);
}

/// Without Huffman's code.
fn text(to: &mut Vec<u8>, text: &str) {
    // An integer with a prefix of seven bits; the names here have fewer than 127 bytes.
    debug_assert!(text.len() < 127);
    to.push(u8::try_from(text.len()).unwrap_or_default());
    to.extend_from_slice(text.as_bytes());
}

/// `HealthCheckRequest { service = 1 }` behind gRPC's prefix.
fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, &message].concat()
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

/// What a message says, once it is whole.
fn judge(message: &[u8]) -> Option<Answer> {
    let (prefix, rest) = message.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    let body = rest.get(..usize::try_from(length).ok()?)?;
    Some(match (prefix[0], status(body)) {
        (0, Some(SERVING)) => Ok(()),
        (0, Some(0)) => Err("the server says UNKNOWN".to_owned()),
        (0, Some(2)) => Err("the server says NOT_SERVING".to_owned()),
        (0, Some(3)) => Err("the server says SERVICE_UNKNOWN".to_owned()),
        _ => Err("the server's answer is not understood".to_owned()),
    })
}

/// `HealthCheckResponse { status = 1 }`: a number, 0 when it is not there.
fn status(mut body: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !body.is_empty() {
        let key = read_varint(&mut body)?;
        match key & 7 {
            0 => {
                let value = read_varint(&mut body)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            2 => {
                let length = usize::try_from(read_varint(&mut body)?).ok()?;
                body = body.get(length..)?;
            }
            _ => return None,
        }
    }
    Some(status)
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place).min(63);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(frames: &[(u8, u8, u32, &[u8])]) -> Option<Answer> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|(kind, flags, stream, payload)| {
            frame(&mut bytes, *kind, *flags, *stream, payload);
        });
        let mut check = Check::new(80, "");
        // However it arrives.
        let one_by_one = bytes.iter().find_map(|byte| check.hear(&[*byte]));
        assert_eq!(Check::new(80, "").hear(&bytes), one_by_one);
        one_by_one
    }

    fn message(status: u8) -> Vec<u8> {
        vec![0, 0, 0, 0, 2, 8, status]
    }

    #[test]
    fn a_server_that_serves_has_started() {
        let serving = message(1);
        let whole = [
            (SETTINGS, 0, 0, &[0; 6][..]),
            (SETTINGS, ACK, 0, &[]),
            (HEADERS, END_HEADERS, 1, &[0x88]),
            (DATA, 0, 1, &serving),
        ];
        assert_eq!(answer(&whole), Some(Ok(())));
        assert_eq!(answer(&whole[..3]), None);
        let padded = [&[2][..], &serving, &[0, 0]].concat();
        assert_eq!(answer(&[(DATA, PADDED, 1, &padded)]), Some(Ok(())));
        let parts = [(DATA, 0, 1, &serving[..3]), (DATA, 0, 1, &serving[3..])];
        assert_eq!(answer(&parts), Some(Ok(())));
    }

    #[test]
    fn anything_else_has_not() {
        let told = |frames: &[(u8, u8, u32, &[u8])]| match answer(frames) {
            Some(Err(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(told(&[(DATA, 0, 1, &message(2))]).contains("NOT_SERVING"));
        assert!(told(&[(DATA, 0, 1, &[0, 0, 0, 0, 0])]).contains("UNKNOWN"));
        assert!(told(&[(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88])]).contains("error"));
        assert!(told(&[(DATA, 0, 1, &[1, 0, 0, 0, 0])]).contains("not understood"));
        assert!(told(&[(GOAWAY, 0, 0, &[0; 8])]).contains("connection"));
        assert!(told(&[(RST_STREAM, 0, 1, &[0; 4])]).contains("call"));
        let http1 = Check::new(80, "").hear(b"HTTP/1.1 400 Bad Request\r\n");
        assert_eq!(http1, Some(Err("the answer is not HTTP/2".to_owned())));
        assert_eq!(Check::new(80, "").hear(&[0xff; 64]), http1);
    }

    #[test]
    fn settings_and_pings_are_answered() {
        let mut check = Check::new(80, "");
        check.was_sent(check.pending().len());
        let mut bytes = Vec::new();
        frame(&mut bytes, SETTINGS, 0, 0, &[]);
        frame(&mut bytes, PING, 0, 0, b"12345678");
        assert_eq!(check.hear(&bytes), None);
        let mut want = Vec::new();
        frame(&mut want, SETTINGS, ACK, 0, &[]);
        frame(&mut want, PING, ACK, 0, b"12345678");
        assert_eq!(check.pending(), want);
    }

    #[test]
    fn the_service_is_asked_for_by_name() {
        let long = "x".repeat(200);
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("db"), [0, 0, 0, 0, 4, 10, 2, b'd', b'b']);
        assert_eq!(request(&long)[..8], [0, 0, 0, 0, 203, 10, 200, 1]);
    }
}
