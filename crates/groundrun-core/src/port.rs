//! The two seams to the world: what the engine asks for, and the news that comes back.
//!
//! An asker returns at once; what came of it arrives in the inbox. News may be late, repeated, lost or contradicting:
//! `observe` copes, and a periodic resync asks again.

use std::time::Duration;

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::{
    id::{AttemptId, ExecutionUid, JobUid},
    needs::{Connection, Needs, SecretVersion},
    record::Ending,
};

/// Where tasks run: this machine, or Kubernetes. The side that uses it owns it.
pub trait Backend: Send + Sync {
    /// Begins `action` and returns at once; what came of it is told to the inbox.
    fn apply(&self, action: Action);
}

/// Where images come from.
pub trait Images: Send + Sync {
    /// Begins `request` and returns at once; what came of it is told to the inbox.
    fn ask(&self, request: ImageRequest);
}

/// Knows what is there for jobs to stand on, besides images. Answers at once, from what this machine holds.
pub trait Provisions: Send + Sync {
    /// Whether all of it is there.
    ///
    /// # Errors
    /// The first that is not.
    fn check(&self, needs: &Needs) -> Result<(), NeedFault>;
}

/// Knows what versions of secrets hold. Blocks while it reads from the disk: for threads that may.
pub trait Secrets: Send + Sync {
    /// What `version` holds, for tasks that run as `service_account` (empty where the job says nothing).
    ///
    /// # Errors
    /// It cannot be had: why, in Google's words.
    fn access(
        &self,
        version: &SecretVersion,
        service_account: &str,
    ) -> Result<SecretValue, SecretFault>;
}

/// What a version of a secret holds. Wiped when it goes, and never shown: not by `Debug` either.
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Whoever copies them wipes the copy.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

/// Why a version of a secret cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFault {
    /// What kind of fault.
    pub kind: SecretFaultKind,
    /// Google's words, which name the secret or the version by its full name.
    pub message: String,
}

/// What kind of fault a version of a secret has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFaultKind {
    /// There is no such secret, or no such version of it.
    Missing,
    /// The version is there, and disabled or destroyed.
    Disabled,
    /// The secret's policy does not let this service account.
    Denied,
    /// It cannot be read now: the store failed, or the key does not open the value. Trying again may help.
    Unavailable,
}

/// Where news arrives. Implemented by the engine; bounded, and blocks the teller for a moment when full.
pub trait Inbox: Send + Sync {
    /// Hands over one piece of news.
    fn tell(&self, news: News);
}

/// What the engine asks of a backend.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Run it, unless it was ever run; then say what became of it. Repeating is harmless.
    Start(Box<AttemptSpec>),
    /// Say what became of it. Starts nothing.
    Adopt(AttemptId),
    /// SIGTERM to the init of each container, after `grace` SIGKILL to all.
    Stop {
        /// Whom.
        id: AttemptId,
        /// How long it may take over SIGTERM; zero kills at once.
        grace: Duration,
    },
    /// The end is in the journal: drop everything but the log.
    Forget(AttemptId),
    /// The execution is deleted: drop everything of it, logs too. No attempt of it runs any more.
    Discard(ExecutionUid),
}

/// All that a start needs, with nothing left to decide.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptSpec {
    /// Identity.
    pub id: AttemptId,
    /// The host name inside: the execution's name, cut to 63 bytes.
    pub hostname: String,
    /// As whom it asks for secrets; empty where the job says nothing.
    pub service_account: String,
    /// At least one, in the order of the spec.
    pub containers: Vec<ContainerSpec>,
    /// What the containers can mount.
    pub volumes: Vec<VolumeSpec>,
    /// The network besides the default one.
    pub connection: Option<Connection>,
    /// Wall time that the attempt may take, counted by the backend from the start of the process.
    pub timeout: Duration,
    /// Between SIGTERM and SIGKILL at the timeout.
    pub grace: Duration,
}

/// One container of an attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerSpec {
    /// `Container.name`, or the server's name for an unnamed one. No two of an attempt have the same.
    pub name: String,
    /// Digest (`sha256:…`) of the image's manifest, as imported.
    pub image: String,
    /// `Container.command`: replaces the image's entrypoint, and then its cmd is dropped too.
    pub command: Vec<String>,
    /// `Container.args`: replaces the image's cmd.
    pub args: Vec<String>,
    /// Spec environment, then system variables; laid over the image's by name.
    pub env: Vec<(String, EnvValue)>,
    /// `Container.workingDir`.
    pub working_dir: Option<String>,
    /// Limits.
    pub limits: Limits,
    /// Names of containers that must have started, and whose startup probes must have succeeded, before this one starts.
    /// A container that others depend on is a sidecar.
    pub depends_on: Vec<String>,
    /// What tells that it has started; without one it has as soon as its program runs.
    pub startup_probe: Option<Probe>,
    /// Volumes in its file system.
    pub mounts: Vec<MountSpec>,
}

/// What an environment variable is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// This.
    Literal(String),
    /// What the version of the secret holds when the attempt starts.
    Secret(SecretVersion),
    /// The same; not set at all where there is no such secret or version.
    OptionalSecret(SecretVersion),
}

impl From<String> for EnvValue {
    fn from(value: String) -> Self {
        Self::Literal(value)
    }
}

impl From<&str> for EnvValue {
    fn from(value: &str) -> Self {
        Self::Literal(value.to_owned())
    }
}

/// Asks a container again and again whether it has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How it is asked.
    pub check: ProbeCheck,
    /// From the container's start to the first time.
    pub initial_delay: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// From one time to the next.
    pub period: Duration,
    /// After so many failures, one after the other, the attempt has failed.
    pub failure_threshold: u32,
}

/// How a container is asked, from inside the task's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeCheck {
    /// `GET`; an answer from 200 to 399 is success.
    HttpGet {
        /// Path and query.
        path: String,
        /// Port on the loopback.
        port: u16,
        /// Names and values.
        headers: Vec<(String, String)>,
    },
    /// A connection is success.
    TcpSocket {
        /// Port on the loopback.
        port: u16,
    },
    /// `grpc.health.v1.Health/Check`; `SERVING` is success.
    Grpc {
        /// Port on the loopback.
        port: u16,
        /// Of the request; empty asks about the whole server.
        service: String,
    },
}

/// A volume in a container's file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    /// Name of the volume.
    pub volume: String,
    /// Absolute path inside, neither `/` nor below `/dev`, `/proc` or `/sys`.
    pub path: String,
    /// Whether nothing can be written to it there.
    pub read_only: bool,
}

/// Files that the containers of an attempt share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// By which mounts name it.
    pub name: String,
    /// What it is.
    pub kind: VolumeKind,
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// Empty at the start of the attempt, gone with its end.
    EmptyDir {
        /// Where it is kept.
        medium: Medium,
        /// Bytes; without a limit in memory, half of the memory of all containers.
        size_limit: Option<u64>,
    },
    /// Files with what versions of secrets hold when the attempt starts; nothing can be written there.
    Secret(Vec<SecretFile>),
    /// A bucket of Cloud Storage, shared by all tasks.
    Bucket {
        /// Its name.
        bucket: String,
        /// Whether nothing can be written there.
        read_only: bool,
        /// `mountOptions`, split at commas.
        mount_options: Vec<String>,
    },
    /// A directory of an NFS server, shared by all tasks.
    Nfs {
        /// Name or address.
        server: String,
        /// Absolute.
        path: String,
        /// Whether nothing can be written there.
        read_only: bool,
    },
    /// Sockets of Cloud SQL instances (`project:region:instance`), mounted at `/cloudsql` in every container.
    CloudSql(Vec<String>),
}

/// A file of a secret volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// Relative, below the mount.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub version: SecretVersion,
}

/// Where a volume is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// In memory, which is counted against the container that writes.
    Memory,
    /// On the machine's disk.
    Disk,
}

/// CPU and memory of a container or of a sum of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

/// What the engine asks about images.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageRequest {
    /// Can all of these be had? Nothing is downloaded beyond manifests.
    Check {
        /// For which job.
        job: JobUid,
        /// For which generation of it.
        generation: i32,
        /// As written in the job, one per container.
        images: Vec<String>,
        /// What else has to be there.
        needs: Needs,
    },
    /// Resolve tags to digests, download, unpack, and keep until `Release`.
    Import {
        /// For which execution.
        execution: ExecutionUid,
        /// As written, or as digests where an earlier import resolved them; one per container.
        images: Vec<String>,
    },
    /// The execution is over: its images may be collected.
    Release(ExecutionUid),
}

/// What comes back.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Of an attempt.
    Attempt {
        /// Which.
        id: AttemptId,
        /// What was seen.
        seen: Observation,
    },
    /// Answer to `ImageRequest::Check`.
    Checked {
        /// Which job.
        job: JobUid,
        /// Which generation of it.
        generation: i32,
        /// All can be had, or the first that cannot.
        result: Result<(), CheckFault>,
    },
    /// Answer to `ImageRequest::Import`.
    Imported {
        /// Which execution.
        execution: ExecutionUid,
        /// One per container, or the first that failed.
        result: Result<Vec<ImportedImage>, ImageFault>,
    },
}

/// What was seen of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// The program of its first container runs.
    Started {
        /// Since when.
        at: Timestamp,
    },
    /// It is over, and nothing of it is left running. `StartFailed` and `Lost` are said in the ending.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        ending: Ending,
    },
}

/// An image on this machine, ready to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedImage {
    /// Digest of the manifest, `sha256:…`.
    pub digest: String,
    /// The registry could not be asked and an earlier digest of the same tag was used: why.
    pub stale: Option<String>,
}

/// Why a job could not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckFault {
    /// An image cannot be had.
    Image(ImageFault),
    /// Something else is not there.
    Need(NeedFault),
}

/// What a job stands on is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeedFault {
    /// What kind of thing.
    pub kind: NeedKind,
    /// For a person, with what to do.
    pub message: String,
}

/// What kinds of things jobs stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeedKind {
    /// Google's reason `SecretsAccessCheckFailed`.
    Secret,
    /// Our reason `CloudSqlInstanceNotMapped`.
    CloudSqlInstance,
    /// Google's reason `VpcNetworkNotFound`.
    Network,
    /// Google's reason `ContainerImageUnauthorized`.
    Authorization,
    /// Google's reason `ContainerImageAuthorizationCheckFailed`.
    Policy,
    /// Our reason `VolumeNotMapped`.
    Files,
}

/// Why an image cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFault {
    /// What kind of fault.
    pub kind: ImageFaultKind,
    /// The image as written.
    pub image: String,
    /// For a person, in one line, with what to do where that is known.
    pub message: String,
}

/// What kind of fault an image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFaultKind {
    /// Google's reason `ContainerMissing`.
    Missing,
    /// Google's reason `ContainerPermissionDenied`.
    PermissionDenied,
    /// It exists but cannot be used: wrong platform, corrupt, hostile, too large.
    Unusable,
    /// Nobody answered, or the answer was cut off: trying again may help.
    Unreachable,
}
