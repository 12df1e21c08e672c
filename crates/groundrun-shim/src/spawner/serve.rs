//! The spawner's own process: takes launches, forks shims.

use std::{
    fs::File,
    io::{self, IoSliceMut, Read},
    mem::MaybeUninit,
    os::fd::OwnedFd,
};

use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags},
};

use super::SpawnerConfig;
use crate::{
    protocol::{Launch, News, VERSION},
    sys,
};

/// Serves until the server is gone. Touches no shim then: they go on alone.
pub(super) fn serve(_config: SpawnerConfig, socket: OwnedFd) -> ! {
    loop {
        match take(&socket) {
            Ok(Some((launch, shim))) => {
                drop(launch);
                say(&shim, &News::Hello { version: VERSION });
                say(&shim, &News::NotBegun { why: "no shim can be made yet".to_owned() });
            }
            Ok(None) => sys::process::exit(0),
            // One bad packet is no reason to leave the others without a spawner.
            Err(_) => {}
        }
    }
}

/// The next launch and the shim's end of its connection; `None` when the server is gone.
fn take(socket: &OwnedFd) -> io::Result<Option<(Launch, OwnedFd)>> {
    let mut word = [0; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut word)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let mut fds = fds.next().into_iter().flatten();
    let (Some(file), Some(shim)) = (fds.next(), fds.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let launch = read_launch(file)?;
    Ok(Some((launch, shim)))
}

fn read_launch(file: OwnedFd) -> io::Result<Launch> {
    let mut file = File::from(file);
    io::Seek::rewind(&mut file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

fn say(shim: &OwnedFd, news: &News) {
    if let Ok(packet) = postcard::to_allocvec(news) {
        // A server that does not listen finds out by the attempt's directory.
        let _ = rustix::net::send(shim, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}
