//! Reads a log, also while it is being written.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use super::{HEADER_BYTES, Line, MAGIC, Source, TEXT_BYTES_MAX, of_source_byte};
use crate::protocol::UnixNanos;

/// Yields the lines of one log.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<File>,
    offset: u64,
}

/// A log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The kernel refused.
    #[error("read a log")]
    Io(#[from] io::Error),
    /// It is no log, or was damaged, at this offset.
    #[error("garbled log at byte {0}")]
    Garbled(u64),
}

impl Reader {
    /// Opens the log at `path` to read on from `offset`: 0, or what [`Reader::offset`] said earlier.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, offset: u64) -> Result<Self, LogError> {
        // Small: an attempt's log is mostly a few lines, and a listing opens many.
        let mut file = BufReader::with_capacity(16 * 1024, File::open(path)?);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, offset })
    }

    /// Where to read on.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line; `None` at the end of what is whole by now. Asking again later goes on from there.
    ///
    /// # Errors
    /// When reading fails, or the file is damaged.
    pub fn next_line(&mut self) -> Result<Option<Line>, LogError> {
        if self.offset == 0 {
            let mut magic = [0; MAGIC.len()];
            if !self.fill(&mut magic)? {
                return Ok(None);
            }
            if magic != MAGIC {
                return Err(LogError::Garbled(0));
            }
            self.offset = MAGIC.len() as u64;
        }
        let mut header = [0; HEADER_BYTES];
        if !self.fill(&mut header)? {
            return Ok(None);
        }
        let (length, at, (source, container)) =
            parse(header).ok_or(LogError::Garbled(self.offset))?;
        let mut text = vec![0; length as usize];
        if !self.fill(&mut text)? {
            return Ok(None);
        }
        self.offset += HEADER_BYTES as u64 + u64::from(length);
        Ok(Some(Line { at, source, container, text }))
    }

    /// Fills `bytes`, or goes back to the start of the frame and says false.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        match self.file.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => {
                self.file.seek(SeekFrom::Start(self.offset))?;
                Ok(false)
            }
            Err(err) => Err(err),
        }
    }
}

fn parse(header: [u8; HEADER_BYTES]) -> Option<(u32, UnixNanos, (Source, usize))> {
    let (length, rest) = header.split_first_chunk::<4>()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length);
    let source = of_source_byte(*rest.first()?)?;
    (length <= TEXT_BYTES_MAX).then_some((length, UnixNanos(i64::from_le_bytes(*at)), source))
}
