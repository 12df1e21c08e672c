//! Waits on all shims' connections at once, in one thread.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use groundrun_core::id::AttemptId;
use groundrun_shim::Connection;
use rustix::{
    event::{
        EventfdFlags, PollFd, PollFlags, Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
        eventfd, poll,
    },
    io::Errno,
};

/// Connections looked at per turn of the loop; the rest wait for the next turn.
const EVENTS_MAX: usize = 64;

/// The mark of the bell among the connections, which are numbered from 0.
const BELL: u64 = u64::MAX;

/// Rung once, for good; every waiter hears it.
#[derive(Clone, Debug)]
pub(crate) struct Bell(Arc<OwnedFd>);

/// How a wait ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// What was waited for, or the bell.
    Rung,
    TimedOut,
}

/// The connections that are waited on.
#[derive(Debug)]
pub(crate) struct Watch {
    epoll: OwnedFd,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    known: HashMap<u64, Watched>,
}

/// One connection that is waited on.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) id: AttemptId,
    pub(crate) connection: Arc<Connection>,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    pub(crate) fn ring(&self) {
        // It fails only when the count is at its maximum, and then it is heard too.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.wait(Duration::ZERO) == Waited::Rung
    }

    pub(crate) fn wait(&self, bound: Duration) -> Waited {
        wait(&mut [PollFd::new(&*self.0, PollFlags::IN)], bound)
    }
}

/// Waits until there is something to read on `connection`, or the bell rings.
pub(crate) fn wait_readable(connection: &Connection, bell: &Bell, bound: Duration) -> Waited {
    let fds = &mut [PollFd::new(connection, PollFlags::IN), PollFd::new(&*bell.0, PollFlags::IN)];
    wait(fds, bound)
}

fn wait(fds: &mut [PollFd<'_>], bound: Duration) -> Waited {
    let timeout = Timespec::try_from(bound).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    match poll(fds, Some(&timeout)) {
        Ok(0) => Waited::TimedOut,
        // A signal is as good as a look too early.
        Ok(_) | Err(_) => Waited::Rung,
    }
}

impl Watch {
    pub(crate) fn new(bell: &Bell) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*bell.0, EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Self { epoll, connections: Mutex::default() })
    }

    /// Waits on it from now on.
    pub(crate) fn add(&self, watched: Watched) -> io::Result<()> {
        let mut connections = self.connections();
        let token = connections.next;
        connections.next += 1;
        let data = EventData::new_u64(token);
        epoll::add(&self.epoll, &*watched.connection, data, EventFlags::IN)?;
        connections.known.insert(token, watched);
        Ok(())
    }

    /// Waits no longer on it.
    pub(crate) fn remove(&self, token: u64) {
        if let Some(watched) = self.connections().known.remove(&token) {
            // The book may still hold the connection open.
            let _ = epoll::delete(&self.epoll, &*watched.connection);
        }
    }

    /// Waits for connections with something to read; `None` when the bell has rung.
    pub(crate) fn wait(&self) -> io::Result<Option<Vec<(u64, Watched)>>> {
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
        let ready = match epoll::wait(&self.epoll, &mut events, None) {
            Ok((ready, _)) => ready,
            Err(Errno::INTR) => return Ok(Some(Vec::new())),
            Err(err) => return Err(err.into()),
        };
        let tokens: Vec<u64> = ready.iter().map(|event| event.data.u64()).collect();
        if tokens.contains(&BELL) {
            return Ok(None);
        }
        let connections = self.connections();
        let found = |token: u64| Some((token, connections.known.get(&token)?.clone()));
        Ok(Some(tokens.into_iter().filter_map(found).collect()))
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
