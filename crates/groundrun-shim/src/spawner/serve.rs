//! The spawner's own process: takes launches, forks shims.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags},
};

use super::{DESCRIPTORS_MAX, SpawnerConfig, ready::Ready};
use crate::{
    enter::{Hold, Ids},
    protocol::{Given, Launch, News, VERSION},
    sandbox::Failure,
    sealed::{self, Sealed},
    shim,
    sys::{self, process::Fork},
};

/// Serves until the server is gone. Touches no shim then: they go on alone.
pub(super) fn serve(config: SpawnerConfig, ids: Ids, hold: Option<Hold>, socket: OwnedFd) -> ! {
    sys::signals::for_spawner();
    // None can fail in a way that matters: a forked child leads no group, /dev/null exists, the name is for people.
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"groundrun-spawn");
    let _ = sys::fds::silence_standard();
    // Shims hold what secrets hold: no core of one is to be left anywhere.
    sys::process::leave_no_core();
    // What main() had open by then, such as the server's end of another spawner, is not ours to keep open.
    let mut kept = vec![socket.as_fd()];
    kept.extend(hold.as_ref().map(AsFd::as_fd));
    let _ = sys::fds::close_all_but(&kept);
    let mut ready = Ready::new(config.within(sys::process::may_open_all()), ids, hold);
    loop {
        match take(&socket) {
            Ok(Some(order)) => {
                let is_large = order.launch_bytes > LARGE_BYTES;
                spawn(&mut ready, order);
                if is_large {
                    sys::memory::trim();
                }
            }
            Ok(None) => sys::process::exit(0),
            // One bad packet is no reason to leave the others without a spawner.
            Err(_) => {}
        }
    }
}

/// A launch beyond this leaves memory that is worth giving back; usual ones have a few kilobytes.
const LARGE_BYTES: usize = 64 * 1024;

/// What the server asks for.
struct Order {
    launch: Launch,
    /// How long it was, written down.
    launch_bytes: usize,
    /// What goes with it, unread.
    sealed: Sealed,
    /// The shim's end of its connection to the server.
    server: OwnedFd,
    given: Option<Given>,
}

/// Forks the shim. What cannot be made ready is told as not begun, since nothing was.
fn spawn(ready: &mut Ready, Order { launch, sealed, server, given, .. }: Order) {
    let forked = ready.tools_for(&launch).and_then(|tools| match sys::process::fork() {
        Ok(Fork::Child) => {
            let server = server.try_clone().unwrap_or_else(|_| sys::process::exit(1));
            shim::run(launch, sealed, &tools, server, given)
        }
        Ok(Fork::Parent(_)) => Ok(()),
        Err(err) => Err(Failure::ours(format!("fork a shim: {err}"))),
    });
    if let Err(Failure { why, .. }) = forked {
        say(&server, &News::Hello { version: VERSION });
        say(&server, &News::NotBegun { why });
    }
}

/// The next order; `None` when the server is gone.
fn take(socket: &OwnedFd) -> io::Result<Option<Order>> {
    let mut word = [0; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut slices = [IoSliceMut::new(&mut word)];
        match rustix::net::recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let mut fds = fds.flatten();
    let (Some(file), Some(server)) = (fds.next(), fds.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let given = fds.next().map(|namespace| Given { namespace, sockets: fds.collect() });
    let (launch, launch_bytes, sealed) = sealed::read_launch(file)?;
    Ok(Some(Order { launch, launch_bytes, sealed, server, given }))
}

fn say(server: &OwnedFd, news: &News) {
    if let Ok(packet) = postcard::to_allocvec(news) {
        // A server that does not listen finds out by the attempt's directory.
        let _ = rustix::net::send(server, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}
