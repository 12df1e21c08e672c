//! The relay's own process: one thread, and another only while a name is looked up.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rustix::{
    net::SendFlags,
    process::{DumpableBehavior, Signal},
};
use tokio::{
    net::{UnixDatagram, UnixListener},
    sync::Semaphore,
    task::{JoinSet, LocalSet},
};

use super::{
    Word,
    notes::Notes,
    pass::{Database, pass, turn_away},
    program::Program,
    sockets::Sockets,
};
use crate::{
    protocol::{Address, Instance, Target},
    sandbox::words,
    sys,
};

/// Connections of a task to one instance. Cloud Run has the same bound (fact: its page about Cloud SQL).
pub(super) const CONNECTIONS_MAX: usize = 100;

/// Threads that look names up: a resolver that is silent must not hold up more than those who ask it.
const LOOKUPS_MAX: usize = 4;

/// How long to wait after the kernel refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells the shim. What it does not take at once is not told: a task's log is no reason to wait.
#[derive(Clone)]
pub(super) struct Teller {
    socket: Rc<OwnedFd>,
    notes: Rc<RefCell<Notes>>,
}

impl Teller {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket: Rc::new(socket), notes: Rc::default() }
    }

    pub(super) fn fault(&self, instance: &str, why: &str) {
        let line = self.notes.borrow_mut().fault(instance, why);
        line.into_iter().for_each(|line| self.say(&Word::Note(line)));
    }

    fn works(&self, instance: &str) {
        self.notes.borrow_mut().works(instance);
    }

    /// Says so, and waits for the shim to hang up.
    async fn failed(&self, why: &str) {
        self.say(&Word::Failed(why.to_owned()));
        std::future::pending().await
    }

    fn say(&self, word: &Word) {
        let Ok(packet) = postcard::to_allocvec(word) else { return };
        let _ = rustix::net::send(&self.socket, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}

/// Serves until the shim hangs up, and ends the process.
pub(super) fn live(instances: &[Instance], sockets: Sockets, socket: OwnedFd) -> ! {
    // Whoever died before this has hung up, which is seen below.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = rustix::thread::set_name(c"groundrun-relay");
    // The launch is in its memory, and with it what the task's variables hold.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let mut kept = vec![socket.as_fd(), sockets.mount.as_fd()];
    kept.extend(sockets.listeners.iter().flatten().map(AsFd::as_fd));
    let _ = sys::fds::close_all_but(&kept);
    let _ = sys::fds::silence_standard();
    let teller = Teller::new(socket);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUPS_MAX)
        .build();
    match runtime {
        Ok(runtime) => {
            LocalSet::new().block_on(&runtime, until_hung_up(instances, sockets, teller))
        }
        Err(err) => teller.say(&Word::Failed(format!("begin the relay to databases: {err}"))),
    }
    sys::process::exit(0)
}

async fn until_hung_up(instances: &[Instance], sockets: Sockets, teller: Teller) {
    let Sockets { mount, listeners } = sockets;
    let programs = programs(instances, &Rc::new(mount), &teller);
    let mut served = pin!(serve(instances, listeners, &programs, &teller));
    tokio::select! {
        () = hung_up(&teller.socket) => {}
        () = &mut served => {}
    }
    // Before what is served is let go, which only kills each program's first process.
    programs.iter().for_each(Program::end);
}

/// The shim says nothing: what can be received is its end.
async fn hung_up(socket: &OwnedFd) {
    let receive = async {
        let socket = std::os::unix::net::UnixDatagram::from(socket.try_clone()?);
        socket.set_nonblocking(true)?;
        UnixDatagram::from_std(socket)?.recv(&mut [0]).await
    };
    // Nothing else is heard from it, and what cannot hear of its end must not outlive it.
    let _ = receive.await;
}

/// Never returns.
async fn serve(
    instances: &[Instance],
    listeners: Vec<Option<OwnedFd>>,
    programs: &[Program],
    teller: &Teller,
) {
    let mut all = JoinSet::new();
    for (instance, listener) in instances.iter().zip(listeners) {
        let (Target::Server { address, .. }, Some(listener)) = (&instance.target, listener) else {
            continue;
        };
        match UnixListener::from_std(listener.into()) {
            Ok(listener) => {
                let (name, address) = (instance.name.clone(), address.clone());
                all.spawn_local(listen(listener, name.into(), address.into(), teller.clone()));
            }
            Err(err) => {
                return teller.failed(&format!("listen for {}: {err}", instance.name)).await;
            }
        }
    }
    let mut running = Vec::new();
    for program in programs {
        match program.start().await {
            Ok(started) => running.push(started),
            Err(why) => return teller.failed(&why).await,
        }
    }
    teller.say(&Word::Ready);
    let kept = programs.iter().zip(running).map(|(program, running)| program.keep(running));
    futures_util::future::join_all(kept).await;
    std::future::pending().await
}

/// One process for all instances of one program.
fn programs(instances: &[Instance], mount: &Rc<OwnedFd>, teller: &Teller) -> Vec<Program> {
    let mut programs: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
    for Instance { name, target } in instances {
        if let Target::Program(file) = target {
            programs.entry(file).or_default().push(name.clone());
        }
    }
    let program = |(file, instances): (&Path, Vec<String>)| {
        Program::new(file.to_owned(), instances, Rc::clone(mount), teller.clone())
    };
    programs.into_iter().map(program).collect()
}

pub(super) async fn listen(
    listener: UnixListener,
    name: Rc<str>,
    address: Rc<Address>,
    teller: Teller,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(err) => {
                teller.fault(&name, &format!("accept a connection: {}", words(&err)));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            teller.fault(&name, &format!("there are {CONNECTIONS_MAX} connections, and no more"));
            continue;
        };
        let (name, address, teller) = (Rc::clone(&name), Rc::clone(&address), teller.clone());
        tokio::task::spawn_local(async move {
            let _slot = slot;
            match Database::connect(&address).await {
                Ok(database) => {
                    teller.works(&name);
                    pass(client, database).await;
                }
                Err(err) => {
                    teller.fault(&name, &format!("connect to {address}: {}", words(&err)));
                    turn_away(client).await;
                }
            }
        });
    }
}
