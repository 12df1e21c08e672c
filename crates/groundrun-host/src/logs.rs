//! Reads what attempts wrote, while they run and after, and says when there is more.

mod growth;

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use growth::Growth;
pub use growth::{Grown, Listening};

use groundrun_core::{
    id::AttemptId,
    log::{LogLine, LogPosition, Stream},
};
use groundrun_shim::{
    dir,
    log::{LogError, Reader, Source},
};

/// Text read at once: a reader holds no more than this and one line, whatever it asks for.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// The logs of all attempts below one data directory.
#[derive(Clone, Debug)]
pub struct HostLogs {
    attempts: PathBuf,
    growth: Arc<Growth>,
}

/// A log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read the log of attempt {id}")]
pub struct LogsError {
    /// Whose.
    pub id: AttemptId,
    /// Why.
    #[source]
    pub err: LogError,
}

impl HostLogs {
    /// Of the server whose data is in `data_dir`.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { attempts: data_dir.join("attempts"), growth: Arc::default() }
    }

    /// Calls `grown` whenever the attempt's log has grown, or may have, until what is given is dropped. It is called on a
    /// thread of its own, and should wake somebody and return. Read after this: what was there before is not told.
    ///
    /// # Errors
    /// When the kernel has no more such watches for this user (`fs.inotify.*`), or the attempt has no directory.
    pub fn listen(&self, id: AttemptId, grown: Grown) -> io::Result<Listening> {
        self.growth.listen(&self.attempts.join(id.to_string()), grown)
    }

    /// At most `most` lines after `from`, in order, and where to read on. Fewer when the log ends, for now, or the lines
    /// are long; an attempt without a log has no lines.
    ///
    /// # Errors
    /// When the log is there but cannot be read.
    pub fn read(
        &self,
        id: AttemptId,
        from: LogPosition,
        most: NonZeroUsize,
    ) -> Result<(Vec<LogLine>, LogPosition), LogsError> {
        let file = self.attempts.join(id.to_string()).join(dir::LOG);
        match read(&file, from, most) {
            Err(LogError::Io(err)) if err.kind() == io::ErrorKind::NotFound => {
                Ok((Vec::new(), from))
            }
            done => done.map_err(|err| LogsError { id, err }),
        }
    }
}

fn read(
    file: &Path,
    from: LogPosition,
    most: NonZeroUsize,
) -> Result<(Vec<LogLine>, LogPosition), LogError> {
    let mut reader = Reader::open(file, from.offset)?;
    let (mut lines, mut bytes, mut next) = (Vec::new(), 0, from);
    while lines.len() < most.get() && bytes < BATCH_BYTES_MAX {
        let Some(line) = reader.next_line()? else { break };
        bytes += line.text.len();
        let (stream, text) = match (line.source, line.exit()) {
            (Source::Stdout, _) => (Stream::Stdout, line.text),
            (Source::Stderr, _) => (Stream::Stderr, line.text),
            (Source::Ended, Some(exit)) => (Stream::Ended(exit.into()), Vec::new()),
            (Source::Note | Source::Ended, _) => (Stream::Note, line.text),
        };
        let text = String::from_utf8(text)
            .unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned());
        lines.push(LogLine {
            at: line.at.into(),
            stream,
            container: line.container,
            text,
            sequence: next.line,
        });
        next = LogPosition { offset: reader.offset(), line: next.line + 1 };
    }
    Ok((lines, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_without_a_log_has_no_lines() {
        let data = tempfile::tempdir().expect("a directory");
        let id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/0-0".parse().expect("it is an id");
        let logs = HostLogs::new(data.path());
        let read = logs.read(id, LogPosition::default(), NonZeroUsize::MIN).expect("it is read");
        assert_eq!(read, (Vec::new(), LogPosition::default()));
    }

    #[test]
    fn a_file_that_is_no_log_is_an_error() {
        let data = tempfile::tempdir().expect("a directory");
        let id: AttemptId =
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/0-0".parse().expect("it is an id");
        let dir = data.path().join("attempts").join(id.to_string());
        std::fs::create_dir_all(&dir).expect("it is made");
        std::fs::write(dir.join(dir::LOG), "no log, but long enough").expect("it is written");
        let logs = HostLogs::new(data.path());
        assert!(logs.read(id, LogPosition::default(), NonZeroUsize::MIN).is_err());
    }
}
