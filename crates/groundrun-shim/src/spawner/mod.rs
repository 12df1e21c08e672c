//! The spawner: a small single-threaded process that forks one shim per attempt. This file is the server's side.

mod ready;
mod serve;

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType,
    },
};

use crate::{
    connection::Connection,
    enter::{Entered, Hold, Ids},
    protocol::{Given, Launch, SOCKETS_MAX},
    sealed::{self, WriteError},
    sys,
};

/// What the spawner keeps ready, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnerConfig {
    /// Layers kept ready (two descriptors and one mount each).
    pub layers: NonZeroUsize,
    /// User namespaces kept ready, one per `id_base` (one descriptor each).
    pub id_ranges: NonZeroUsize,
    /// How layers are mounted.
    pub layer_mounts: LayerMounts,
}

/// How the layers of an image are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerMounts {
    /// Kept ready where the kernel can (Linux 6.13 and later, found by trying), else as `EachTime`.
    Ready,
    /// Anew for each start, as kernels from 5.19 on can: here to be seen to work on newer ones too.
    EachTime,
}

impl Default for SpawnerConfig {
    /// 512 layers are those of some fifty images; 64 ranges are as many tasks as most machines run at once.
    fn default() -> Self {
        const LAYERS: NonZeroUsize = NonZeroUsize::new(512).expect("512 is not zero");
        const RANGES: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");
        Self { layers: LAYERS, id_ranges: RANGES, layer_mounts: LayerMounts::Ready }
    }
}

/// Descriptors of the spawner for all else: its socket, what comes with a launch, what a start opens for a moment.
const OTHERS: u64 = 128;

impl SpawnerConfig {
    /// As much of it as fits where so many files may be open (`None`: any number).
    fn within(self, files: Option<u64>) -> Self {
        let Some(files) = files else { return self };
        let ranges = self.id_ranges.get() as u64;
        let room = files.saturating_sub(ranges + OTHERS) / 2;
        let room = usize::try_from(room).ok().and_then(NonZeroUsize::new);
        Self { layers: self.layers.min(room.unwrap_or(NonZeroUsize::MIN)), ..self }
    }
}

/// The spawner, as `main()` makes it.
#[derive(Debug)]
pub struct Spawner;

/// The server's end. Clones speak to the same spawner, from any thread; the last one dropped ends it (shims go on).
#[derive(Clone, Debug)]
pub struct SpawnerHandle {
    socket: Arc<OwnedFd>,
}

/// The spawner could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// A second thread exists: a fork would copy locks that nobody will unlock.
    #[error("fork the spawner: the process has {0} threads, and must have one")]
    Threads(usize),
    /// The kernel refused.
    #[error("{what}")]
    Kernel {
        /// Doing what.
        what: &'static str,
        /// The kernel's word.
        #[source]
        err: io::Error,
    },
}

/// A launch could not be handed to the spawner. Nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The spawner is gone; only a restart of the server makes a new one.
    #[error("the spawner is gone")]
    SpawnerGone,
    /// The launch cannot be written down.
    #[error("encode a launch")]
    Encode(#[source] postcard::Error),
    /// The kernel refused.
    #[error("{what}")]
    Kernel {
        /// Doing what.
        what: &'static str,
        /// The kernel's word.
        #[source]
        err: io::Error,
    },
}

impl Spawner {
    /// Forks the spawner. To be called by `main()` before any thread exists; in the child it never returns.
    ///
    /// # Errors
    /// When a second thread exists, or the kernel refuses.
    pub fn fork(config: SpawnerConfig) -> Result<SpawnerHandle, SpawnerError> {
        Self::fork_with(config, Ids::Machine, None)
    }

    /// As [`Spawner::fork`], in the namespaces that an ordinary user's server has [entered](crate::enter::enter). They are
    /// held as long as the spawner or one of its shims lives.
    ///
    /// # Errors
    /// As [`Spawner::fork`].
    pub fn fork_in(
        entered: &Entered,
        config: SpawnerConfig,
    ) -> Result<SpawnerHandle, SpawnerError> {
        let hold = entered.hold.try_clone();
        let hold = hold.map_err(|err| SpawnerError::Kernel { what: "hold the namespaces", err })?;
        Self::fork_with(config, entered.ids, Some(hold))
    }

    fn fork_with(
        config: SpawnerConfig,
        ids: Ids,
        hold: Option<Hold>,
    ) -> Result<SpawnerHandle, SpawnerError> {
        let kernel = |what| move |err: io::Error| SpawnerError::Kernel { what, err };
        let threads =
            std::fs::read_dir("/proc/self/task").map_err(kernel("count threads"))?.count();
        if threads != 1 {
            return Err(SpawnerError::Threads(threads));
        }
        let (ours, theirs) = packet_pair().map_err(kernel("make the spawner's socket"))?;
        match sys::process::fork().map_err(kernel("fork the spawner"))? {
            sys::process::Fork::Parent(_) => Ok(SpawnerHandle { socket: Arc::new(ours) }),
            sys::process::Fork::Child => {
                drop(ours);
                serve::serve(config, ids, hold, theirs)
            }
        }
    }
}

impl SpawnerHandle {
    /// Whether the spawner still takes launches. Nothing but a restart of the server makes a new one.
    #[must_use]
    pub fn lives(&self) -> bool {
        let mut socket = [PollFd::new(&*self.socket, PollFlags::empty())];
        match poll(&mut socket, Some(&Timespec::default())) {
            Ok(_) => !socket[0].revents().contains(PollFlags::HUP),
            // Nothing was learned.
            Err(_) => true,
        }
    }

    /// Hands a launch over and returns at once. What came of it is heard on the connection: first
    /// [`News::Hello`](crate::protocol::News::Hello). A connection that hangs up before `Ended`, `AlreadyBegun` or
    /// `NotBegun` leaves the attempt's directory to be looked at. `given` is for a launch whose network it is.
    ///
    /// # Errors
    /// Nothing was begun.
    pub fn launch(
        &self,
        launch: &Launch,
        given: Option<&Given>,
    ) -> Result<Connection, LaunchError> {
        self.launch_sealed(launch, &[], given)
    }

    /// As [`launch`](Self::launch), with what secrets hold, by the places that the launch names. Nobody but the shim reads
    /// it.
    ///
    /// # Errors
    /// Nothing was begun.
    pub fn launch_sealed(
        &self,
        launch: &Launch,
        sealed: &[&[u8]],
        given: Option<&Given>,
    ) -> Result<Connection, LaunchError> {
        let kernel = |what| move |err: Errno| LaunchError::Kernel { what, err: err.into() };
        let file = sealed::write_down(launch, sealed).map_err(|err| match err {
            WriteError::Encode(err) => LaunchError::Encode(err),
            WriteError::Kernel(err) => LaunchError::Kernel { what: "write down a launch", err },
        })?;

        let (ours, shims) = packet_pair()
            .map_err(|err| LaunchError::Kernel { what: "make a shim's socket", err })?;
        let mut fds = vec![file.as_fd(), shims.as_fd()];
        if let Some(Given { namespace, sockets }) = given {
            fds.push(namespace.as_fd());
            fds.extend(sockets.iter().map(AsFd::as_fd));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(kernel("hand over so many sockets")(Errno::INVAL));
        }
        loop {
            let packet = [IoSlice::new(b"launch")];
            match rustix::net::sendmsg(&*self.socket, &packet, &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(Connection::over(ours)),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(LaunchError::SpawnerGone),
                Err(err) => return Err(kernel("hand over a launch")(err)),
            }
        }
    }
}

/// With one launch: the launch itself, the shim's socket, a namespace, and sockets of it.
const DESCRIPTORS_MAX: usize = 3 + SOCKETS_MAX;

/// A pair of sockets that keep packets apart and tell when the other is gone.
pub(crate) fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_ready_may_all_be_open() {
        let layers = |files| SpawnerConfig::default().within(files).layers.get();
        assert_eq!(layers(None), 512);
        assert_eq!(layers(Some(1 << 20)), 512);
        // Where root itself permits no more than is usual.
        assert_eq!(layers(Some(1024)), 416);
        assert_eq!(layers(Some(100)), 1);
    }
}
