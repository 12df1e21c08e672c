//! The entries of a tar archive, one after the other.
//!
//! The fields of a header are decoded by the `tar` crate; the walk is ours, for three reasons. Its records of extended
//! headers end at the first newline, and a file capability is binary. It reads long names and extended headers of any
//! size into memory. And it refuses archives that end without padding, which every other tool takes (digest and length
//! are verified elsewhere, so such an end hides nothing).

use std::{
    io::{self, Read},
    ops::Range,
};

use tar::{EntryType, Header};

use super::{UnpackFault, decode::Stream, shown};
use crate::settings::Limits;

const BLOCK: u64 = 512;

/// Where the numbers of a header are.
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;

/// What an entry says about itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// Where a link points to.
    pub(crate) target: Vec<u8>,
    /// Bytes of content that follow.
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Time,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Seconds and nanoseconds since 1970; the nanoseconds count forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    Device { class: &'static str, major: u32, minor: u32 },
}

/// Walks an archive.
pub(crate) struct Entries<'r> {
    stream: Stream<'r>,
    limits: &'r Limits,
    /// Content of the current entry that was not read yet, and the padding after it.
    content: u64,
    padding: u64,
}

impl<'r> Entries<'r> {
    pub(crate) fn new(stream: Stream<'r>, limits: &'r Limits) -> Self {
        Self { stream, limits, content: 0, padding: 0 }
    }

    /// Where in the archive the content of the current entry begins, while none of it was read.
    pub(crate) fn position(&self) -> u64 {
        self.stream.count()
    }

    /// What follows the end of the archive proper.
    pub(crate) fn into_stream(self) -> Stream<'r> {
        self.stream
    }

    /// The next entry; `None` at the end. Content of the one before that was not read is passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Head>, UnpackFault> {
        self.pass_over()?;
        let mut extended = Extended::default();
        loop {
            let Some(header) = self.header()? else {
                return if extended.bytes == 0 {
                    Ok(None)
                } else {
                    Err(UnpackFault::CutOff { path: shown("an extended header") })
                };
            };
            let size = number_field(&header, SIZE, Header::entry_size)?;
            match header.entry_type() {
                EntryType::XHeader => {
                    let records = self.small(size, &mut extended.bytes)?;
                    extended.records(&records)?;
                }
                EntryType::XGlobalHeader => drop(self.small(size, &mut extended.bytes)?),
                EntryType::GNULongName => {
                    extended.path = Some(until_nul(self.small(size, &mut extended.bytes)?));
                }
                EntryType::GNULongLink => {
                    extended.target = Some(until_nul(self.small(size, &mut extended.bytes)?));
                }
                _ => {
                    let head = head(&header, extended)?;
                    self.content = head.size;
                    self.padding = padding(head.size);
                    return Ok(Some(head));
                }
            }
        }
    }

    /// Up to `into.len()` bytes of the current entry's content.
    pub(crate) fn read(&mut self, into: &mut [u8], path: &[u8]) -> Result<usize, UnpackFault> {
        let most = into.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = retrying(&mut self.stream, &mut into[..most])?;
        if read == 0 {
            return Err(UnpackFault::CutOff { path: shown(path) });
        }
        self.content -= read as u64;
        Ok(read)
    }

    fn pass_over(&mut self) -> Result<(), UnpackFault> {
        let (content, padding) = (self.content, self.padding);
        (self.content, self.padding) = (0, 0);
        let mut rest = (&mut self.stream).take(content.saturating_add(padding));
        let passed = match io::copy(&mut rest, &mut io::sink()) {
            Ok(passed) => passed,
            Err(err) => return Err(self.stream.fault(err)),
        };
        if passed < content {
            return Err(UnpackFault::CutOff { path: shown("the content of an entry") });
        }
        Ok(())
    }

    /// The next header block; `None` at a block of zeros and at the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, UnpackFault> {
        let mut header = Header::new_old();
        let filled = self.fill(header.as_mut_bytes())?;
        if filled == 0 || header.as_bytes().iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if filled < header.as_bytes().len() {
            return Err(UnpackFault::CutOff { path: shown("a header") });
        }
        let sum: u32 = header
            .as_bytes()
            .iter()
            .enumerate()
            .map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte }))
            .sum();
        if field(header.cksum())? != sum {
            return Err(malformed("the checksum of a header is wrong"));
        }
        Ok(Some(header))
    }

    /// The content of an extended header, held in memory.
    fn small(&mut self, size: u64, sum: &mut u64) -> Result<Vec<u8>, UnpackFault> {
        *sum = sum.saturating_add(size.saturating_add(BLOCK));
        if *sum > self.limits.entry_header_bytes {
            return Err(UnpackFault::Header(self.limits.entry_header_bytes));
        }
        let size =
            usize::try_from(size).map_err(|_| malformed("an extended header is too long"))?;
        let mut bytes = vec![0; size];
        if self.fill(&mut bytes)? < size {
            return Err(UnpackFault::CutOff { path: shown("an extended header") });
        }
        self.padding = padding(size as u64);
        self.pass_over()?;
        Ok(bytes)
    }

    /// Fills `into` as far as the stream goes.
    fn fill(&mut self, into: &mut [u8]) -> Result<usize, UnpackFault> {
        let mut filled = 0;
        while filled < into.len() {
            match retrying(&mut self.stream, &mut into[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }
}

fn retrying(stream: &mut Stream<'_>, into: &mut [u8]) -> Result<usize, UnpackFault> {
    loop {
        match stream.read(into) {
            Ok(read) => return Ok(read),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(stream.fault(err)),
        }
    }
}

/// What extended headers say about the entry that follows them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<Time>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: bool,
    bytes: u64,
}

impl Extended {
    /// Reads `LENGTH KEY=VALUE\n` records; a value may hold anything, newlines too.
    fn records(&mut self, mut rest: &[u8]) -> Result<(), UnpackFault> {
        while !rest.is_empty() {
            let (record, after) = record(rest).ok_or_else(|| malformed("an extended header"))?;
            rest = after;
            let equals = record.iter().position(|&byte| byte == b'=');
            let (key, value) = record.split_at(equals.ok_or_else(|| malformed("a record"))?);
            self.record(key, &value[1..])?;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), UnpackFault> {
        // An empty value takes the record back.
        let given = (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = given,
            b"linkpath" => self.target = given,
            b"size" => self.size = number(value)?,
            b"uid" => self.uid = number(value)?,
            b"gid" => self.gid = number(value)?,
            b"mtime" => self.modified = if value.is_empty() { None } else { Some(time(value)?) },
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn record(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = rest.iter().position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
    let record = rest.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &rest[length..]))
}

fn number(value: &[u8]) -> Result<Option<u64>, UnpackFault> {
    if value.is_empty() {
        return Ok(None);
    }
    let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| malformed("a number in an extended header"))
}

/// Decimal seconds, possibly negative, with any number of digits after the point.
fn time(value: &[u8]) -> Result<Time, UnpackFault> {
    let parse = || {
        let text = std::str::from_utf8(value).ok()?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = whole.parse().ok()?;
        if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        let nanoseconds: u32 = digits.parse().ok()?;
        Some(if whole.starts_with('-') && nanoseconds > 0 {
            Time { seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
        } else {
            Time { seconds, nanoseconds }
        })
    };
    parse().ok_or_else(|| malformed("a time in an extended header"))
}

fn head(header: &Header, extended: Extended) -> Result<Head, UnpackFault> {
    let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
    let kind = kind(header, &path, extended.sparse)?;
    let target = match kind {
        Kind::Symlink | Kind::HardLink => extended
            .target
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    // As Go reads it: only files have content, whatever the size field of the others says.
    let size = match (kind, extended.size) {
        (Kind::File, Some(size)) => size,
        (Kind::File, None) => number_field(header, SIZE, Header::entry_size)?,
        _ => 0,
    };
    let owner = |given: Option<u64>, field: u64| {
        u32::try_from(given.unwrap_or(field)).map_err(|_| malformed("an owner is out of range"))
    };
    let modified = match extended.modified {
        Some(modified) => modified,
        None => Time {
            seconds: number_field(header, MTIME, Header::mtime)?.cast_signed(),
            nanoseconds: 0,
        },
    };
    Ok(Head {
        kind,
        target,
        size,
        mode: number_field(header, MODE, Header::mode)? & 0o7777,
        uid: owner(extended.uid, number_field(header, UID, Header::uid)?)?,
        gid: owner(extended.gid, number_field(header, GID, Header::gid)?)?,
        modified,
        xattrs: extended.xattrs,
        path,
    })
}

fn kind(header: &Header, path: &[u8], sparse: bool) -> Result<Kind, UnpackFault> {
    let unsupported = |what: String| Err(UnpackFault::Unsupported { path: shown(path), what });
    if sparse {
        return unsupported("a sparse file".to_owned());
    }
    let device = |class| {
        let major = field(header.device_major())?.unwrap_or_default();
        let minor = field(header.device_minor())?.unwrap_or_default();
        Ok(Kind::Device { class, major, minor })
    };
    let class = header.as_bytes()[156];
    match header.entry_type() {
        // Before POSIX a directory was a file whose name ends so.
        EntryType::Regular if class == 0 && path.ends_with(b"/") => Ok(Kind::Directory),
        EntryType::Regular | EntryType::Continuous => Ok(Kind::File),
        EntryType::Directory => Ok(Kind::Directory),
        EntryType::Symlink => Ok(Kind::Symlink),
        EntryType::Link => Ok(Kind::HardLink),
        EntryType::Fifo => Ok(Kind::Fifo),
        EntryType::Char => device("character"),
        EntryType::Block => device("block"),
        EntryType::GNUSparse => unsupported("a sparse file".to_owned()),
        _ => unsupported(format!("an entry of type {:?}", char::from(class))),
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}

/// A number of a header. Left blank it is zero, as Go reads it.
fn number_field<T: Default>(
    header: &Header,
    at: Range<usize>,
    decode: impl FnOnce(&Header) -> io::Result<T>,
) -> Result<T, UnpackFault> {
    if header.as_bytes()[at].iter().all(|&byte| byte == 0 || byte == b' ') {
        return Ok(T::default());
    }
    field(decode(header))
}

fn field<T>(decoded: io::Result<T>) -> Result<T, UnpackFault> {
    decoded.map_err(UnpackFault::Archive)
}

fn malformed(what: &str) -> UnpackFault {
    UnpackFault::Archive(io::Error::other(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<Time> {
        time(text.as_bytes()).ok()
    }

    #[test]
    fn times_are_read_to_the_nanosecond() {
        assert_eq!(at("12.5"), Some(Time { seconds: 12, nanoseconds: 500_000_000 }));
        assert_eq!(at("12"), Some(Time { seconds: 12, nanoseconds: 0 }));
        assert_eq!(at("1.0000000019"), Some(Time { seconds: 1, nanoseconds: 1 }));
        assert_eq!(at("-0.25"), Some(Time { seconds: -1, nanoseconds: 750_000_000 }));
        assert_eq!(at("-3.0"), Some(Time { seconds: -3, nanoseconds: 0 }));
        assert_eq!(at("x"), None);
        assert_eq!(at("1.-5"), None);
    }

    #[test]
    fn a_record_may_hold_newlines_and_equal_signs() {
        let mut extended = Extended::default();
        extended.records(b"30 SCHILY.xattr.user.x=a\n=b\nc\n11 path=ab\n").expect("reads");
        assert_eq!(extended.xattrs, [(b"user.x".to_vec(), b"a\n=b\nc".to_vec())]);
        assert_eq!(extended.path, Some(b"ab".to_vec()));
        for wrong in [&b"99 path=a\n"[..], b"x", b"0 ", b"10 path=abc", b"6 abc\n", b"2 a=b\n"] {
            assert!(Extended::default().records(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn padding_fills_a_block() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
