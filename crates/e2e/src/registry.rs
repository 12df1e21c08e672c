//! A real registry of images: Debian's docker-registry, on a loopback port, with its blobs in a temporary directory.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{clients, wait};

/// The registry; it ends with the value.
pub struct Registry {
    child: Child,
    blobs: PathBuf,
    address: SocketAddr,
}

impl Registry {
    /// Starts one whose files are below `dir`.
    pub fn start(dir: &Path) -> Self {
        let address = free_address();
        let blobs = dir.join("registry");
        let config = dir.join("registry.yml");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
                blobs.display()
            ),
        )
        .expect("written");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry starts: cargo xtask needs");
        wait::until("the registry listens", || TcpStream::connect(address).ok());
        Self { child, blobs, address }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pushes an OCI layout as `name:tag`, and gives the reference.
    pub fn push(&self, layout: &Path, name: &str) -> String {
        let reference = format!("{}/{name}", self.address);
        let mut command = Command::new("skopeo");
        command
            .args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:latest", layout.display()))
            .arg(format!("docker://{reference}"));
        clients::run(&mut command).well();
        reference
    }

    /// Removes a repository behind its users' backs.
    pub fn remove(&self, name: &str) {
        let repository = self.blobs.join("docker/registry/v2/repositories").join(name);
        fs::remove_dir_all(repository).expect("it was there");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port")
}
