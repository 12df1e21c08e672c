//! Values that nobody may see: what secrets hold.
//!
//! They are no part of a [`Launch`], which names them by their places. They stand behind it in the same file in memory,
//! from the server's hands into the shim's: the spawner, whose memory every shim gets a copy of, passes the file on without
//! reading that far. What a shim reads of it is wiped when it was used, and the file is let go of when all containers have
//! begun.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
};

use rustix::fs::MemfdFlags;
use zeroize::Zeroizing;

use crate::protocol::Launch;

/// At the start of the file: how long the launch is, written down.
const HEAD_BYTES: usize = 8;

/// The values behind a launch, unread.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    file: Option<File>,
    /// Of each, where it begins and how long it is.
    places: Vec<(u64, u64)>,
}

impl Sealed {
    /// What is at `place`.
    pub(crate) fn read(&self, place: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        self.read_behind(b"", place, b"")
    }

    /// What is at `place` between `before` and `after`, in memory of just that size: where it grew, it would leave a copy.
    pub(crate) fn read_behind(
        &self,
        before: &[u8],
        place: usize,
        after: &[u8],
    ) -> io::Result<Zeroizing<Vec<u8>>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "nothing is sealed there");
        let (file, (begin, length)) =
            self.file.as_ref().zip(self.places.get(place)).ok_or_else(missing)?;
        let length = usize::try_from(*length).map_err(io::Error::other)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(before.len() + length + after.len()));
        bytes.extend_from_slice(before);
        bytes.resize(before.len() + length, 0);
        file.read_exact_at(&mut bytes[before.len()..], *begin)?;
        bytes.extend_from_slice(after);
        Ok(bytes)
    }

    /// How long what is at `place` is.
    pub(crate) fn length(&self, place: usize) -> u64 {
        self.places.get(place).map_or(0, |(_, length)| *length)
    }

    /// What must stay open for it.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }
}

/// A file with `launch` and the values behind it.
pub(crate) fn write_down(launch: &Launch, values: &[&[u8]]) -> Result<File, WriteError> {
    let lengths: Vec<u64> = values.iter().map(|value| value.len() as u64).collect();
    let written = postcard::to_allocvec(&(launch, lengths)).map_err(WriteError::Encode)?;
    // A file, since argv and environment together can have two megabytes and a packet cannot.
    let file = rustix::fs::memfd_create(c"launch", MemfdFlags::CLOEXEC);
    let mut file = File::from(file.map_err(|err| WriteError::Kernel(err.into()))?);
    let head = (written.len() as u64).to_le_bytes();
    [&head, &*written]
        .into_iter()
        .chain(values.iter().copied())
        .try_for_each(|part| file.write_all(part))
        .map_err(WriteError::Kernel)?;
    Ok(file)
}

/// Why a launch could not be written down.
#[derive(Debug)]
pub(crate) enum WriteError {
    Encode(postcard::Error),
    Kernel(io::Error),
}

/// The launch in `file`, how long it was, and what is behind it. Reads no further than the launch.
pub(crate) fn read_launch(file: OwnedFd) -> io::Result<(Launch, usize, Sealed)> {
    let file = File::from(file);
    let total = file.metadata()?.len();
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0)?;
    let length = u64::from_le_bytes(head);
    let mut begin = length.saturating_add(HEAD_BYTES as u64);
    if begin > total {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, HEAD_BYTES as u64)?;
    let (launch, lengths): (Launch, Vec<u64>) =
        postcard::from_bytes(&bytes).map_err(io::Error::other)?;
    let mut places = Vec::with_capacity(lengths.len());
    for length in lengths {
        places.push((begin, length));
        begin = begin.saturating_add(length);
    }
    if begin != total {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let file = (!places.is_empty()).then_some(file);
    Ok((launch, bytes.len(), Sealed { file, places }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::{LogBounds, Network};

    fn launch() -> Launch {
        Launch {
            attempt_dir: "/a".into(),
            containers: vec![],
            volumes: vec![],
            instances: vec![],
            id_base: 1,
            hostname: "h".to_owned(),
            network: Network::None,
            files: vec![],
            timeout: Duration::from_secs(1),
            grace: Duration::from_secs(1),
            log: LogBounds { line_bytes: 1, total_bytes: 1 },
        }
    }

    #[test]
    fn values_follow_their_launch_and_are_found_by_their_places() {
        let file = write_down(&launch(), &[b"one", b"", b"three\0"]).expect("it is written");
        let (read, _, sealed) = read_launch(file.into()).expect("it is whole");
        assert_eq!(read, launch());
        let values = [0, 1, 2].map(|place| sealed.read(place).expect("it is there").to_vec());
        assert_eq!(values, [b"one".to_vec(), b"".to_vec(), b"three\0".to_vec()]);
        assert_eq!(*sealed.read_behind(b"A=", 0, b"!").expect("it is there"), *b"A=one!");
        assert!(sealed.read(3).is_err());
        assert_eq!((sealed.length(0), sealed.length(3)), (3, 0));
    }

    #[test]
    fn nothing_is_kept_open_where_nothing_is_sealed() {
        let file = write_down(&launch(), &[]).expect("it is written");
        let (_, _, sealed) = read_launch(file.into()).expect("it is whole");
        assert!(sealed.descriptor().is_none());
    }

    #[test]
    fn a_file_that_was_cut_is_refused() {
        let file = write_down(&launch(), &[b"one"]).expect("it is written");
        let length = file.metadata().expect("it is there").len();
        for length in [length - 1, length - 4, 9, 7, 0] {
            file.set_len(length).expect("it is cut");
            let copy = file.try_clone().expect("it can be shared");
            assert!(read_launch(copy.into()).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_sealed_shows_in_no_debug_output() {
        let file = write_down(&launch(), &[b"canary"]).expect("it is written");
        let (_, _, sealed) = read_launch(file.into()).expect("it is whole");
        assert!(!format!("{sealed:?}").contains("canary"));
    }
}
