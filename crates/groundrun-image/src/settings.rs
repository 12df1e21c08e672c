//! What the binary decides about images: where they may come from, how large they may be, how long one waits.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf, time::Duration};

use groundrun_core::process::ImageConfig;

/// Everything that is decided outside. `Default` is what a user gets who decides nothing.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Images that the program brings along.
    pub built_ins: Vec<BuiltIn>,
    /// Reference → the reference to use instead, applied once. At most [`Settings::ALIASES_MAX`].
    pub aliases: BTreeMap<String, String>,
    /// Registries (host and port as in the reference) that are asked in plain HTTP. Loopback hosts always are.
    pub insecure: Vec<String>,
    /// Certificate authorities trusted beside the machine's own: PEM, each possibly several certificates.
    pub extra_roots: Vec<Vec<u8>>,
    /// Who asks.
    pub credentials: Credentials,
    /// How large an image may be.
    pub limits: Limits,
    /// How long one waits.
    pub timeouts: Timeouts,
    /// Unpacked bytes kept on disk; above it, what was not used for longest goes when an execution ends.
    pub keep_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            built_ins: Vec::new(),
            aliases: BTreeMap::new(),
            insecure: Vec::new(),
            extra_roots: Vec::new(),
            credentials: Credentials::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            // Some dozens of ordinary images, on disks of a hundred gigabytes and more.
            keep_bytes: 20 << 30,
        }
    }
}

impl Settings {
    /// Aliases are written by hand; a thousand is a mistake in a generated file.
    pub const ALIASES_MAX: usize = 1024;
}

/// Where credentials for registries come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody: only what is public.
    #[default]
    Anonymous,
    /// Docker's `config.json` in this directory (`DOCKER_CONFIG`, else `~/.docker`) and the helpers that it names.
    Docker(PathBuf),
}

/// An image that the program brings along.
#[derive(Clone, Debug)]
pub struct BuiltIn {
    /// What it is called, such as `builtin.groundrun/job`.
    pub reference: String,
    /// Its files, all owned by root. Parent directories are made, mode 0755.
    pub files: Vec<BuiltInFile>,
    /// What runs.
    pub config: ImageConfig,
}

/// A file of a built-in image.
#[derive(Clone, Debug)]
pub struct BuiltInFile {
    /// Where, without a leading slash: `bin/job`.
    pub path: String,
    /// What is in it.
    pub bytes: Cow<'static, [u8]>,
    /// Permission bits.
    pub mode: u32,
}

/// How large an image may be. What is larger is refused before it fills the disk or the memory.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A manifest, an index or a configuration, in bytes. They are held in memory; registries refuse above 4 MiB.
    pub document_bytes: u64,
    /// All layers of an image as transferred, in bytes.
    pub image_bytes: u64,
    /// One layer unpacked, in bytes of file content. Model weights of tens of gigabytes are in use.
    pub layer_bytes: u64,
    /// Files, directories and links of one layer. A full distribution with several toolchains has under a million.
    pub layer_inodes: u64,
    /// Unpacked to transferred. gzip cannot exceed 1,032; real layers stay under 20, sparse databases under 100.
    pub ratio: u64,
    /// A layer may be this large whatever its ratio: small layers of zeros are harmless.
    pub ratio_free_bytes: u64,
    /// Longest path of an entry in bytes. The kernel takes 4,096 with the NUL.
    pub path_bytes: usize,
    /// What stands before one entry (extended headers: long names, xattrs), in bytes. Held in memory.
    pub entry_header_bytes: u64,
    /// Layers of an image: an overlay mount takes 500.
    pub layers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 4 << 20,
            image_bytes: 64 << 30,
            layer_bytes: 128 << 30,
            layer_inodes: 2_000_000,
            ratio: 200,
            ratio_free_bytes: 1 << 30,
            path_bytes: 4095,
            entry_header_bytes: 1 << 20,
            layers: 500,
        }
    }
}

/// How long one waits for a registry.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// For name look-up, TCP and TLS. A host that drops packets would hold for two minutes.
    pub connect: Duration,
    /// For the head of an answer. Registries that build manifests on demand take some seconds.
    pub answer: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
    /// For everything of one image: also a registry that trickles comes to an end.
    pub whole: Duration,
    /// For a credential helper: some ask a cloud, some ask the user.
    pub helper: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            whole: Duration::from_secs(60 * 60),
            helper: Duration::from_secs(20),
        }
    }
}
