//! Layers, well-formed and hostile: headers are written as told, without the checks of a builder.

use std::io::Write as _;

use groundrun_image::Digest;
use tar::{EntryType, Header};

/// An archive being written.
#[derive(Clone, Default)]
pub(crate) struct Archive(Vec<u8>);

/// An entry with everything but its name, type and content left as it usually is.
#[derive(Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: EntryType,
    pub(crate) target: &'a str,
    pub(crate) content: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) mtime: u64,
    pub(crate) device: (u32, u32),
    pub(crate) records: Vec<(&'a str, Vec<u8>)>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(path: &'a str, kind: EntryType) -> Self {
        Self {
            path,
            kind,
            target: "",
            content: b"",
            mode: if kind == EntryType::Directory { 0o755 } else { 0o644 },
            owner: (0, 0),
            mtime: 1_700_000_000,
            device: (0, 0),
            records: Vec::new(),
        }
    }
}

impl Archive {
    pub(crate) fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(&Entry { content, ..Entry::new(path, EntryType::Regular) })
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(&Entry::new(path, EntryType::Directory))
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(&Entry { target, ..Entry::new(path, EntryType::Symlink) })
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(&Entry { target, ..Entry::new(path, EntryType::Link) })
    }

    pub(crate) fn entry(mut self, entry: &Entry<'_>) -> Self {
        if !entry.records.is_empty() {
            let mut records = Vec::new();
            for (key, value) in &entry.records {
                records.extend(record(key, value));
            }
            let mut header =
                header(&Entry { records: Vec::new(), ..Entry::new("pax", EntryType::XHeader) });
            header.set_size(records.len() as u64);
            header.set_cksum();
            self.block(&header, &records);
        }
        let header = header(entry);
        self.block(&header, entry.content);
        self
    }

    /// Bytes as they are.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn block(&mut self, header: &Header, content: &[u8]) {
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    /// With the two blocks of zeros that end an archive.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// Without an end, and without padding after the last content of `length` bytes.
    pub(crate) fn unterminated(mut self, length: usize) -> Vec<u8> {
        let padding = length.next_multiple_of(512) - length;
        self.0.truncate(self.0.len() - padding);
        self.0
    }
}

fn header(entry: &Entry<'_>) -> Header {
    let mut header = Header::new_ustar();
    let bytes = header.as_mut_bytes();
    bytes[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
    bytes[157..157 + entry.target.len()].copy_from_slice(entry.target.as_bytes());
    header.set_entry_type(entry.kind);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    header.set_mtime(entry.mtime);
    header.set_size(entry.content.len() as u64);
    header.set_device_major(entry.device.0).expect("ustar has devices");
    header.set_device_minor(entry.device.1).expect("ustar has devices");
    header.set_cksum();
    header
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 3).expect("memory")
}

/// A layer: what is transferred, and the digest of what is in it.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) media_type: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) diff_id: String,
}

impl Layer {
    pub(crate) fn plain(archive: Vec<u8>) -> Self {
        Self::of("application/vnd.oci.image.layer.v1.tar", archive.clone(), &archive)
    }

    pub(crate) fn gzip(archive: &[u8]) -> Self {
        Self::of("application/vnd.oci.image.layer.v1.tar+gzip", gzip(archive), archive)
    }

    pub(crate) fn zstd(archive: &[u8]) -> Self {
        Self::of("application/vnd.oci.image.layer.v1.tar+zstd", zstd(archive), archive)
    }

    pub(crate) fn of(media_type: &'static str, bytes: Vec<u8>, archive: &[u8]) -> Self {
        Self { media_type, bytes, diff_id: Digest::of(archive).to_string() }
    }
}
