//! Says when files below an attempt's directory change, by the kernel's word (inotify): no looking, and nothing to do while
//! nothing is written.
//!
//! One instance and one thread for all, made when first asked for: the kernel gives a user few instances, and many watches.

use std::{
    collections::HashMap,
    fmt, io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// What is called when there may be more.
pub type Grown = Arc<dyn Fn() + Send + Sync>;

/// Bytes of events read at once: an event with a name is at most 272.
const EVENTS_BYTES: usize = 4096;

/// Who wants to know what.
#[derive(Default)]
pub(super) struct Growth {
    shared: Mutex<Option<Arc<Shared>>>,
}

struct Shared {
    inotify: OwnedFd,
    listeners: Mutex<Listeners>,
}

/// By the kernel's number of a watch, which is one for a directory however often it is asked for.
#[derive(Default)]
struct Listeners {
    by_watch: HashMap<i32, Vec<(u64, Grown)>>,
    made: u64,
}

/// Ends with its value.
pub struct Listening {
    shared: Arc<Shared>,
    watch: i32,
    number: u64,
}

impl Growth {
    pub(super) fn listen(&self, dir: &Path, grown: Grown) -> io::Result<Listening> {
        let shared = self.shared()?;
        let mut listeners = shared.lock();
        // A log that is made later is a name in the directory; `exit` says that there will be no more.
        let what =
            WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let watch = inotify::add_watch(&shared.inotify, dir, what)?;
        let number = listeners.made;
        listeners.made += 1;
        listeners.by_watch.entry(watch).or_default().push((number, grown));
        drop(listeners);
        Ok(Listening { shared, watch, number })
    }

    fn shared(&self) -> io::Result<Arc<Shared>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = &*shared {
            return Ok(Arc::clone(shared));
        }
        let inotify = inotify::init(CreateFlags::CLOEXEC)?;
        let made = Arc::new(Shared { inotify, listeners: Mutex::default() });
        let heard = Arc::downgrade(&made);
        let reader = rustix::io::fcntl_dupfd_cloexec(&made.inotify, 0)?;
        thread::Builder::new().name("log-growth".to_owned()).spawn(move || hear(reader, &heard))?;
        *shared = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until nobody can ask any more.
fn hear(inotify: OwnedFd, shared: &Weak<Shared>) {
    let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
    let mut events = inotify::Reader::new(inotify, &mut buffer);
    loop {
        let event = match events.next() {
            Ok(event) => (event.wd(), event.events()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => {
                tracing::error!(%error, "logs cannot be followed any more");
                return;
            }
        };
        let Some(shared) = shared.upgrade() else { return };
        let (watch, what) = event;
        let called: Vec<Grown> = {
            let Listeners { by_watch, .. } = &*shared.lock();
            let calls: Vec<&(u64, Grown)> = match what.contains(ReadFlags::QUEUE_OVERFLOW) {
                // More happened than the kernel counted: anything may have grown.
                true => by_watch.values().flatten().collect(),
                false => by_watch.get(&watch).into_iter().flatten().collect(),
            };
            calls.into_iter().map(|(_, call)| Arc::clone(call)).collect()
        };
        drop(shared);
        for call in called {
            call();
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.shared.lock();
        let Some(calls) = listeners.by_watch.get_mut(&self.watch) else { return };
        calls.retain(|(number, _)| *number != self.number);
        if calls.is_empty() {
            listeners.by_watch.remove(&self.watch);
            // Gone already where the directory is.
            let _ = inotify::remove_watch(&self.shared.inotify, self.watch);
        }
    }
}

/// The thread waits in the kernel: the end of a watch is something that it hears.
impl Drop for Shared {
    fn drop(&mut self) {
        if let Ok(watch) = inotify::add_watch(&self.inotify, "/", WatchFlags::DELETE_SELF) {
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }
}

impl fmt::Debug for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growth").finish_non_exhaustive()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("watch", &self.watch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::*;

    /// Nothing here takes a hundredth of it.
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_file_that_is_made_or_grows_is_told_to_all_who_listen_until_they_do_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let growth = Growth::default();
        let listen = || {
            // One word is enough to know that there is more.
            let (heard, news) = mpsc::sync_channel(1);
            let call: Grown = Arc::new(move || heard.try_send(()).unwrap_or_default());
            (growth.listen(dir.path(), call).expect("it can be watched"), news)
        };
        let (first, of_first) = listen();
        let (_second, of_second) = listen();
        fs::write(dir.path().join("log"), "1").expect("it is written");
        of_first.recv_timeout(LONG).expect("it is told");
        of_second.recv_timeout(LONG).expect("it is told");
        drop(first);
        assert!(of_first.try_iter().all(|()| true));
        while of_second.try_recv().is_ok() {}
        fs::write(dir.path().join("log"), "12").expect("it is written");
        of_second.recv_timeout(LONG).expect("it is told");
        assert_eq!(of_first.recv(), Err(mpsc::RecvError), "nobody calls it any more");
    }

    #[test]
    fn the_thread_ends_with_the_last_who_could_listen() {
        let dir = tempfile::tempdir().expect("a directory");
        let growth = Growth::default();
        let listening = growth.listen(dir.path(), Arc::new(|| ())).expect("it can be watched");
        let shared = Arc::downgrade(&listening.shared);
        drop(listening);
        drop(growth);
        // The thread may be looking at just this moment.
        let begun = Instant::now();
        while shared.upgrade().is_some() && begun.elapsed() < LONG {
            thread::yield_now();
        }
        assert!(shared.upgrade().is_none());
    }

    #[test]
    fn what_is_not_there_cannot_be_listened_to() {
        let growth = Growth::default();
        let missing = Path::new("/proc/self/nothing");
        let error = growth.listen(missing, Arc::new(|| ())).expect_err("it is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
