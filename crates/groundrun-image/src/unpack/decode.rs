//! The archive inside the transferred bytes: gzip, zstd or plain, hashed and bounded while it is read.

use std::{
    cell::Cell,
    io::{self, BufRead as _, BufReader, Read},
};

use super::UnpackFault;
use crate::{
    digest::{Digest, Hasher},
    settings::Limits,
};

/// zstd's own default: 128 MiB for the window of one frame. Layers use 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Read from disk at once.
const BUFFER_BYTES: usize = 128 << 10;

/// The decompressed archive.
pub(crate) struct Stream<'r> {
    inner: Box<dyn Read + 'r>,
    hasher: Hasher,
    count: u64,
    most: u64,
    overrun: Cell<bool>,
    ratio: u64,
    transferred: u64,
}

impl<'r> Stream<'r> {
    /// Looks at the first bytes of `raw`, which is `transferred` bytes long, rather than at what somebody says it is.
    pub(crate) fn new(raw: impl Read + 'r, transferred: u64, limits: &Limits) -> io::Result<Self> {
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        let head = raw.fill_buf()?;
        let inner: Box<dyn Read + 'r> = if head.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::bufread::MultiGzDecoder::new(raw))
        } else if is_zstd(head) {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(raw)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        } else {
            Box::new(raw)
        };
        Ok(Self::over(inner, transferred, limits))
    }

    /// Takes the bytes as they are.
    pub(crate) fn plain(raw: impl Read + 'r, transferred: u64, limits: &Limits) -> Self {
        Self::over(Box::new(BufReader::with_capacity(BUFFER_BYTES, raw)), transferred, limits)
    }

    fn over(inner: Box<dyn Read + 'r>, transferred: u64, limits: &Limits) -> Self {
        let most = transferred.saturating_mul(limits.ratio).max(limits.ratio_free_bytes);
        let (hasher, overrun) = (Hasher::default(), Cell::new(false));
        Self { inner, hasher, count: 0, most, overrun, ratio: limits.ratio, transferred }
    }

    /// Bytes read so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Reads to the end, past what the archive itself calls its end, and gives the digest of everything.
    pub(crate) fn finish(mut self) -> Result<Digest, UnpackFault> {
        match io::copy(&mut self, &mut io::sink()) {
            Ok(_) => Ok(self.hasher.finish()),
            Err(err) => Err(self.fault(err)),
        }
    }

    /// What a read error of this stream means.
    pub(crate) fn fault(&self, err: io::Error) -> UnpackFault {
        if self.overrun.get() {
            UnpackFault::Ratio { ratio: self.ratio, transferred: self.transferred }
        } else {
            UnpackFault::Archive(err)
        }
    }
}

/// A zstd frame, or a skippable one as `zstd:chunked` and `pzstd` begin with.
fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hasher.update(&into[..read]);
        self.count += read as u64;
        if self.count > self.most {
            self.overrun.set(true);
            return Err(io::Error::other("too much"));
        }
        Ok(read)
    }
}
