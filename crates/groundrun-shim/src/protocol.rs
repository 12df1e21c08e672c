//! What the server, the spawner and a shim say to each other, and what a shim leaves in the attempt's directory.
//!
//! ```text
//!  server ──Launch──▶ spawner ──fork──▶ shim ──clone──▶ each container's init
//!     ▲                                  │
//!     └───── Connection: News / Wish ────┘        attempt directory: lock begun control.sock log exit
//! ```
//!
//! Messages are postcard, one to a packet. They are not core types: a shim of an older server may still run, so what it
//! says and is told ([`News`], [`Wish`], [`ExitRecord`]) only ever grows by variants at the end. [`Launch`] and all that is in
//! it may change: spawner and server are of one build.

mod shared;

use std::{fmt, os::fd::OwnedFd, path::PathBuf, time::Duration};

use groundrun_core::record;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use shared::{Directory, Mounter, Nfs};

/// Version of everything in this module. A server talks to shims of its own and of older versions: those of version 1
/// have one container each.
pub const VERSION: u32 = 2;

/// All that a shim needs to run one attempt, with nothing left to decide. What secrets hold is not in it: it is handed over
/// beside it, sealed, and named here by place (see [`SpawnerHandle::launch_sealed`](crate::SpawnerHandle::launch_sealed)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The attempt's directory (see [`crate::dir`]): absolute, made by the server, on a local file system.
    pub attempt_dir: PathBuf,
    /// At least one. The network, the host name and the IPC objects are common to them; all else is each one's own.
    pub containers: Vec<Container>,
    /// What containers can mount, made by the shim.
    pub volumes: Vec<Volume>,
    /// Databases whose sockets containers see.
    pub instances: Vec<Instance>,
    /// First of the 65,536 user and group ids of the host that the containers' 0..65536 are.
    pub id_base: u32,
    /// Host name inside, at most 63 bytes.
    pub hostname: String,
    /// The network.
    pub network: Network,
    /// Files written over the image's before the start, such as `/etc/hosts` and `/etc/resolv.conf`; owner root, 0644.
    pub files: Vec<GivenFile>,
    /// Wall time from the start of the first program until all are told to stop.
    pub timeout: Duration,
    /// Between SIGTERM and SIGKILL, at the timeout and wherever else the shim decides to stop a container.
    pub grace: Duration,
    /// How much of the output of all is kept.
    pub log: LogBounds,
}

/// One container of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// What it is called where an end is told.
    pub name: String,
    /// Made by the shim in this order, removed by it at the end. Their parents exist.
    pub cgroups: Vec<Cgroup>,
    /// Where the kernel counts kills for want of memory: `memory.oom_control` or `memory.events`, key `oom_kill`.
    pub oom_kills: Option<Counter>,
    /// Where the kernel tells the peak of memory use in bytes.
    pub memory_peak: Option<Counter>,
    /// The file system.
    pub root: Root,
    /// The program.
    pub process: Process,
    /// Volumes in its file system.
    pub mounts: Vec<Mount>,
    /// Places among the containers of those that must have started before.
    pub depends_on: Vec<usize>,
    /// What tells that it has started, beyond that its program runs.
    pub startup_probe: Option<Probe>,
    /// Path inside, read at the end: [`TERMINATION_MESSAGE_PATH`] unless the spec says otherwise.
    pub termination_message_path: String,
}

/// Where a program leaves its last words, as in Kubernetes.
pub const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";

/// How many bytes of them are read.
pub const TERMINATION_MESSAGE_BYTES_MAX: usize = 4096;

/// Asks a container whether it has started: first after `initial_delay`, then every `period`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// How it is asked.
    pub check: ProbeCheck,
    /// From the start of the program to the first time.
    pub initial_delay: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// From one time to the next.
    pub period: Duration,
    /// After so many failures, one after the other, the attempt has failed. At least one.
    pub failure_threshold: u32,
}

/// How a container is asked: on the loopback of the attempt's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeCheck {
    /// `GET`; an answer from 200 to 399 is success.
    HttpGet {
        /// Path and query.
        path: String,
        /// Where.
        port: u16,
        /// Names and values.
        headers: Vec<(String, String)>,
    },
    /// A connection is success.
    TcpSocket {
        /// Where.
        port: u16,
    },
    /// `grpc.health.v1.Health/Check`; `SERVING` is success.
    Grpc {
        /// Where.
        port: u16,
        /// Of the request.
        service: String,
    },
}

/// A directory that containers share. But for the last kind it is empty at the start, and gone with the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Volume {
    /// In memory, counted against the cgroup of the container that writes.
    Memory {
        /// Bound of its size in bytes.
        max_bytes: u64,
    },
    /// On the disk.
    Disk {
        /// Empty, made by the server, removed by it.
        directory: PathBuf,
    },
    /// On the disk, bounded: its size is that of a file system of its own.
    Image {
        /// A file with an empty ext4, made by the server, removed by it.
        file: PathBuf,
    },
    /// A directory of the machine's, with all that is in it. It outlives the attempt.
    Directory(Directory),
    /// What a program of the machine's user mounts, for as long as the attempt lasts.
    Mounted(Mounter),
    /// A directory of an NFS server, which the kernel mounts for as long as the attempt lasts.
    Nfs(Nfs),
    /// The sockets of the launch's [`Instance`]s. At most once.
    Sockets,
    /// In memory, made by the shim with these files, which nobody can change.
    Secret {
        /// No two have the same path, and none is below another.
        files: Vec<SecretFile>,
    },
}

/// A Cloud SQL instance whose socket containers see: relayed from the machine's network as long as the attempt lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `project:region:instance`, without a slash; its socket is named after it.
    pub name: String,
    /// Where it leads.
    pub target: Target,
}

/// Where connections to an instance lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// To a database.
    Server {
        /// Whose socket it is.
        kind: Database,
        /// Where it listens.
        address: Address,
    },
    /// To the user's own `cloud-sql-proxy`, this file, which is started for the attempt and makes the sockets.
    Program(PathBuf),
}

/// What kinds of databases have sockets on Cloud Run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Database {
    /// PostgreSQL: `.s.PGSQL.5432` in a directory named after the instance.
    Postgres,
    /// MySQL, MariaDB: a socket named after the instance.
    Mysql,
}

/// Where a database listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// A port of the machine's network.
    Tcp {
        /// Name or address, asked for anew for each connection.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket in the machine's file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A file of a volume of secrets, owned by the container's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFile {
    /// Relative to the volume, without `..`. Directories on the way are made, 0755.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it: place among what is sealed.
    pub sealed: usize,
}

/// A volume in a container's file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Place among the volumes.
    pub volume: usize,
    /// Absolute path inside; made if it is missing.
    pub path: String,
    /// Whether nothing can be written to it there.
    pub read_only: bool,
}

/// One cgroup directory of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Absolute path; its parent exists, itself does not (a leftover empty one is taken over).
    pub path: PathBuf,
    /// File name below `path` and what is written to it, in order. A refused one fails the start.
    pub settings: Vec<(String, String)>,
    /// Of which hierarchy.
    pub kind: CgroupKind,
}

/// Which hierarchy a cgroup directory belongs to: how the container joins it, and where it sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupKind {
    /// Version 1: joined by writing 0 to `tasks`; seen read-only below `/sys/fs/cgroup/{controllers}`.
    V1 {
        /// As in the mount's options: `memory`, `cpu,cpuacct`.
        controllers: String,
    },
    /// Version 2: the container is born in it; seen read-only at `/sys/fs/cgroup`.
    V2,
}

/// A number in a file of the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The file.
    pub path: PathBuf,
    /// The word at the start of its line; empty when the file is just the number.
    pub key: String,
}

/// The container's file system: layers of the image under one writable layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Unpacked layers, absolute, topmost first, at least one; owned by ids 0..65536 as in the image.
    pub layers: Vec<PathBuf>,
    /// Where changes go.
    pub writable: Writable,
}

/// Where a container's changes to its files go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writable {
    /// Into memory, counted against the memory cgroup.
    Memory {
        /// Bound of its size in bytes.
        max_bytes: u64,
    },
    /// Into this directory: empty, made by the server, removed by it. Must be on a file system that overlayfs takes.
    Disk(PathBuf),
}

/// The program and who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments. A program without a slash is looked up in PATH of `env`, else in Docker's default PATH.
    pub argv: Vec<String>,
    /// The whole environment. `HOME` is added from the image's `/etc/passwd` when it is missing.
    pub env: Vec<(String, String)>,
    /// Variables besides: names, and the places of their values among what is sealed.
    pub sealed_env: Vec<(String, usize)>,
    /// Absolute; empty means `/`. Made if it is missing, and then owned by the user.
    pub cwd: String,
    /// As in an image's config: empty, `1000`, `name`, `name:group`, `1000:1000`; names are the image's.
    pub user: String,
    /// Wanted; lowered to what the machine permits.
    pub rlimits: Vec<Rlimit>,
}

/// A wanted resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Of what.
    pub resource: Resource,
    /// `None` is unlimited.
    pub soft: Option<u64>,
    /// `None` is unlimited.
    pub hard: Option<u64>,
}

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// Size of a core file in bytes.
    Core,
    /// Open files.
    NoFile,
    /// Processes of one user.
    NProc,
}

/// The network of an attempt's containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The machine's own.
    Host,
    /// A loopback of its own and nothing else.
    None,
    /// The network namespace that comes with the launch (see [`Given`]).
    Given,
}

/// What comes with a launch whose network is [`Network::Given`]. The containers join the namespace. The sockets, bound in it
/// by the server and for the server, are kept by the shim and handed with [`News::Hello`] to each that connects: a later
/// server answers on them again, and requests wait meanwhile.
#[derive(Debug)]
pub struct Given {
    /// The network namespace.
    pub namespace: OwnedFd,
    /// At most [`SOCKETS_MAX`], whose order and use is the server's matter.
    pub sockets: Vec<OwnedFd>,
}

/// Sockets that may come with a launch: three, and one for each port of the host that is relayed.
pub const SOCKETS_MAX: usize = 19;

/// A file written over the image's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenFile {
    /// Absolute path inside. Whatever is there, a symlink too, is replaced.
    pub path: String,
    /// All of it.
    pub contents: String,
}

/// How much of an attempt's output is kept. What is beyond is read, counted and dropped with a visible note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBounds {
    /// Of one line.
    pub line_bytes: u32,
    /// Of the log file.
    pub total_bytes: u64,
}

/// What a shim says on a connection: first `Hello`, then all that has happened so far in order, then the rest as it
/// happens. After `Ended`, `AlreadyBegun` or `NotBegun` it hangs up.
///
/// A connection that hangs up earlier says nothing about the attempt: look at its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// The first packet of every connection, in every version. Carries the sockets of [`Given`], from version 2 on.
    Hello {
        /// [`VERSION`] of the shim.
        version: u32,
    },
    /// The program runs.
    Started {
        /// Since when.
        at: UnixNanos,
    },
    /// It is over, nothing of it is left running, and `exit` says the same.
    Ended(ExitRecord),
    /// The attempt was begun before, by another shim. Nothing was done; look at its directory.
    AlreadyBegun,
    /// No shim could be made. Nothing was begun: the same launch may be asked again.
    NotBegun {
        /// For a person.
        why: String,
    },
}

/// What a shim is told on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// SIGTERM to the init of each container, after `grace` SIGKILL to all. A second one may only shorten the grace.
    Stop {
        /// Zero kills at once.
        grace: Duration,
    },
}

/// How an attempt ended: the file `exit`, and `News::Ended`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// When the program began to run, if it did.
    pub started: Option<UnixNanos>,
    /// When its end was seen.
    pub ended: UnixNanos,
    /// How.
    pub end: End,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Its main process ended.
    Exited {
        /// The kernel's word.
        exit: Exit,
        /// Why.
        cause: Cause,
        /// How many of its processes the kernel killed for want of memory, whatever became of the main one.
        oom_kills: u64,
        /// Peak of memory use in bytes, where the kernel tells.
        memory_peak: Option<u64>,
        /// Its termination message, if it wrote one; invalid UTF-8 replaced.
        message: Option<String>,
    },
    /// Its program never ran.
    StartFailed {
        /// Whose fault.
        whose: Fault,
        /// Step and error, for a person.
        why: String,
    },
    /// One of the above, of one container among several. From version 2 on.
    Of {
        /// Its name.
        container: String,
        /// What became of it.
        end: Box<End>,
    },
    /// A startup probe failed too often. From version 2 on.
    ProbeFailed {
        /// The container's name.
        container: String,
        /// What came of the last time, for a person.
        why: String,
    },
}

/// A wait status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// `_exit(code)`.
    Code(u8),
    /// Killed by a signal.
    Signal(i32),
}

/// Why a main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// By itself, or by somebody inside.
    OnItsOwn,
    /// The timeout was over and it was told to stop.
    Deadline,
    /// [`Wish::Stop`].
    Asked,
    /// SIGKILL, and the kernel counted a kill for want of memory.
    OutOfMemory,
}

/// Whose fault a failed start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The image's or the spec's.
    Theirs,
    /// The machine's or ours.
    Ours,
}

/// Nanoseconds since 1970, CLOCK_REALTIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnixNanos(pub i64);

impl From<UnixNanos> for Timestamp {
    fn from(nanos: UnixNanos) -> Self {
        // Every i64 of nanoseconds (1677 to 2262) is inside Timestamp's range.
        Self::from_nanosecond(nanos.0.into()).unwrap_or(Self::UNIX_EPOCH)
    }
}

impl From<Exit> for record::Exit {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
        }
    }
}

impl From<End> for record::Ending {
    fn from(end: End) -> Self {
        match end {
            End::Exited { exit, cause, memory_peak, message, oom_kills: _ } => Self::Exited {
                exit: exit.into(),
                cause: match cause {
                    Cause::OnItsOwn => record::Cause::OnItsOwn,
                    Cause::Deadline => record::Cause::Deadline,
                    Cause::Asked => record::Cause::Asked,
                    Cause::OutOfMemory => record::Cause::OutOfMemory,
                },
                memory_peak,
                message,
                container: None,
            },
            End::StartFailed { whose, why } => Self::StartFailed {
                whose: match whose {
                    Fault::Theirs => record::Fault::Theirs,
                    Fault::Ours => record::Fault::Ours,
                },
                why,
                container: None,
            },
            End::Of { container: name, end } => {
                let mut ending = Self::from(*end);
                if let Self::Exited { container, .. } | Self::StartFailed { container, .. } =
                    &mut ending
                {
                    *container = Some(name);
                }
                ending
            }
            End::ProbeFailed { container, why } => Self::ProbeFailed { container, why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shim of version 1 sends, byte for byte; and what it is sent.
    #[test]
    fn a_shim_of_version_1_is_understood() {
        let exited = ExitRecord {
            started: Some(UnixNanos(1)),
            ended: UnixNanos(2),
            end: End::Exited {
                exit: Exit::Code(3),
                cause: Cause::OutOfMemory,
                oom_kills: 4,
                memory_peak: Some(5),
                message: Some("bye".into()),
            },
        };
        let failed = ExitRecord {
            started: None,
            ended: UnixNanos(2),
            end: End::StartFailed { whose: Fault::Ours, why: "no".into() },
        };
        let recorded: [(&[u8], News); 6] = [
            (b"\0\x01", News::Hello { version: 1 }),
            (b"\x01\x02", News::Started { at: UnixNanos(1) }),
            (b"\x02\x01\x02\x04\0\0\x03\x03\x04\x01\x05\x01\x03bye", News::Ended(exited)),
            (b"\x02\0\x04\x01\x01\x02no", News::Ended(failed)),
            (b"\x03", News::AlreadyBegun),
            (b"\x04\x03why", News::NotBegun { why: "why".into() }),
        ];
        for (bytes, news) in recorded {
            assert_eq!(postcard::from_bytes::<News>(bytes), Ok(news.clone()));
            assert_eq!(postcard::to_allocvec(&news).as_deref(), Ok(bytes), "{news:?}");
        }
        let causes = [Cause::OnItsOwn, Cause::Deadline, Cause::Asked, Cause::OutOfMemory].map(Ok);
        assert_eq!([0, 1, 2, 3].map(|code| postcard::from_bytes(&[code])), causes);
        assert_eq!(postcard::from_bytes(&[1, 18]), Ok(Exit::Signal(9)));
        let stop = Wish::Stop { grace: Duration::from_secs(10) };
        assert_eq!(postcard::to_allocvec(&stop).as_deref(), Ok(&[0, 10, 0][..]));
    }
}
