//! Writes a log. It takes everything and never fails: what cannot be kept is counted, and said at the end.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{HEADER_BYTES, MAGIC, Source, source_byte};
use crate::protocol::{Exit, LogBounds, UnixNanos};

/// Frames are gathered to about this size before they are written: a few pages, since every shim holds them.
const GATHERED_BYTES: usize = 32 * 1024;

/// The writing end of a log.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    /// Made when there is something to write: a file costs a start more than all that is in it.
    file: Option<File>,
    /// Of the file, up to the last whole frame.
    length: u64,
    bounds: LogBounds,
    /// Frames not yet written.
    gathered: Vec<u8>,
    /// Bytes of lines among `gathered`.
    gathered_text: u64,
    /// Standard output and standard error of each container that has written.
    pending: Vec<[Pending; 2]>,
    /// Bytes of output that no frame holds.
    dropped: u64,
    /// Why the last write failed.
    fault: Option<io::Error>,
}

/// Where output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Place of the container.
    pub(crate) container: usize,
    /// Which of its streams.
    pub(crate) source: Source,
}

/// The beginning of a line whose end was not yet seen.
#[derive(Debug, Default)]
struct Pending {
    since: Option<UnixNanos>,
    text: Vec<u8>,
    /// Bytes of it beyond the bound.
    cut: u64,
}

impl Writer {
    /// A log that will be at `path`.
    pub(crate) fn new(path: PathBuf, bounds: LogBounds) -> Self {
        Self {
            path,
            file: None,
            length: MAGIC.len() as u64,
            bounds,
            gathered: Vec::new(),
            gathered_text: 0,
            pending: Vec::new(),
            dropped: 0,
            fault: None,
        }
    }

    /// Takes what was read from a program's stream at `at`.
    pub(crate) fn feed(&mut self, stream: Stream, at: UnixNanos, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend_line(stream, at, &bytes[..end]);
            self.end_line(stream);
            bytes = &bytes[end + 1..];
        }
        if !bytes.is_empty() {
            self.extend_line(stream, at, bytes);
        }
        self.flush();
    }

    /// Takes a line of the shim's own.
    pub(crate) fn note(&mut self, at: UnixNanos, text: &str) {
        let frame_bytes = (HEADER_BYTES + text.len()) as u64;
        if self.is_full() || self.lacks_room_for(frame_bytes) {
            self.dropped += text.len() as u64 + 1;
            return;
        }
        self.gather(source_byte(Source::Note, 0), at, &[text.as_bytes()]);
        self.gathered_text += text.len() as u64 + 1;
        self.flush();
    }

    /// Takes the end of a container. There are so few of them that they go into a full log, too.
    pub(crate) fn ended(&mut self, container: usize, at: UnixNanos, exit: Exit) {
        let Ok(text) = postcard::to_allocvec(&exit) else { return };
        self.gather(source_byte(Source::Ended, container), at, &[&text]);
        self.flush();
    }

    /// The stream is at its end: its last line may lack a newline.
    pub(crate) fn close(&mut self, stream: Stream) {
        if self.pending(stream).since.is_some() {
            self.end_line(stream);
            self.flush();
        }
    }

    /// No more output: says what was dropped.
    pub(crate) fn finish(&mut self, at: UnixNanos) {
        for container in 0..self.pending.len() {
            self.close(Stream { container, source: Source::Stdout });
            self.close(Stream { container, source: Source::Stderr });
        }
        if self.dropped == 0 {
            return;
        }
        let why = match self.fault.take() {
            Some(err) => format!("the log could not be written ({err})"),
            None => {
                format!("the log of an attempt holds at most {} bytes", self.bounds.total_bytes)
            }
        };
        let note = format!("… {} bytes of output dropped: {why}", self.dropped);
        self.gather(source_byte(Source::Note, 0), at, &[note.as_bytes()]);
        self.flush();
    }

    fn pending(&mut self, Stream { container, source }: Stream) -> &mut Pending {
        if self.pending.len() <= container {
            self.pending.resize_with(container + 1, Default::default);
        }
        let [stdout, stderr] = &mut self.pending[container];
        match source {
            Source::Stderr => stderr,
            Source::Stdout | Source::Note | Source::Ended => stdout,
        }
    }

    fn extend_line(&mut self, stream: Stream, at: UnixNanos, bytes: &[u8]) {
        let bound = self.bounds.line_bytes as usize;
        let pending = self.pending(stream);
        pending.since.get_or_insert(at);
        let room = bound.saturating_sub(pending.text.len()).min(bytes.len());
        pending.text.extend_from_slice(&bytes[..room]);
        pending.cut += (bytes.len() - room) as u64;
    }

    fn end_line(&mut self, stream: Stream) {
        let Pending { since, text, cut } = std::mem::take(self.pending(stream));
        let at = since.unwrap_or(UnixNanos(0));
        let note = match cut {
            0 => String::new(),
            cut => format!(" … {cut} bytes of this line dropped"),
        };
        let line_bytes = (text.len() + 1) as u64;
        let frame_bytes = (HEADER_BYTES + text.len() + note.len()) as u64;
        if self.is_full() || self.lacks_room_for(frame_bytes) {
            self.dropped += line_bytes + cut;
        } else {
            let source = source_byte(stream.source, stream.container);
            self.gather(source, at, &[&text, note.as_bytes()]);
            self.gathered_text += line_bytes;
        }
        // The next line reuses the memory, unless this one was unusually long.
        if text.capacity() <= GATHERED_BYTES {
            let pending = self.pending(stream);
            pending.text = text;
            pending.text.clear();
        }
        if self.gathered.len() >= GATHERED_BYTES {
            self.flush();
        }
    }

    /// Once full it stays full: a short line after a dropped long one would look as if nothing were missing.
    fn is_full(&self) -> bool {
        self.dropped > 0 && self.fault.is_none()
    }

    fn lacks_room_for(&self, frame_bytes: u64) -> bool {
        self.length + self.gathered.len() as u64 + frame_bytes > self.bounds.total_bytes
    }

    fn gather(&mut self, source: u8, at: UnixNanos, text: &[&[u8]]) {
        let length: usize = text.iter().map(|part| part.len()).sum();
        // A line is bounded by a u32, and so is what is said about its cut.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.gathered.extend_from_slice(&length.to_le_bytes());
        self.gathered.extend_from_slice(&at.0.to_le_bytes());
        self.gathered.push(source);
        for part in text {
            self.gathered.extend_from_slice(part);
        }
    }

    /// Writes what was gathered, whole or not at all: a torn frame in the middle would spoil all after it.
    fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        match self.write() {
            Ok(()) => self.length += self.gathered.len() as u64,
            Err(err) => {
                self.dropped += self.gathered_text;
                self.fault = Some(err);
            }
        }
        self.gathered.clear();
        self.gathered_text = 0;
        if self.gathered.capacity() > 2 * GATHERED_BYTES {
            self.gathered = Vec::new();
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            unmade => unmade.insert(create(&self.path)?),
        };
        file.write_all_at(&self.gathered, self.length).inspect_err(|_| {
            // What was written of it lies behind `length`; the next frames go over it. If the file cannot even be
            // shortened, a reader stops before the torn frame or reads what replaces it.
            drop(file.set_len(self.length));
        })
    }
}

fn create(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all_at(&MAGIC, 0)?;
    Ok(file)
}
