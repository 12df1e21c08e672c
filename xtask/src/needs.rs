//! What the tests need besides the Rust toolchain and a C compiler: brought where that can be done, listed where not.

use std::path::{Path, PathBuf};

use crate::sh;

/// A program that a test runs, and the Debian package that has it.
struct Program {
    name: &'static str,
    package: &'static str,
    why: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program { name: "gcloud", package: "google-cloud-cli", why: "the real client of the API" },
    Program { name: "crun", package: "crun", why: "confinement is compared with it, and speed" },
    Program { name: "umoci", package: "umoci", why: "unpacked layers are compared with it" },
    Program { name: "skopeo", package: "skopeo", why: "copies images into the registry" },
    Program {
        name: "docker-registry",
        package: "docker-registry",
        why: "a real registry of images",
    },
    Program {
        name: "busybox",
        package: "busybox-static",
        why: "the small test image is made of it",
    },
    Program {
        name: "python3",
        package: "python3-minimal",
        why: "an image with Python, and Google's Python client",
    },
    Program { name: "node", package: "nodejs", why: "Google's typed client for Node" },
    Program { name: "npm", package: "npm", why: "brings that client" },
    Program {
        name: "qemu-system-x86_64",
        package: "qemu-system-x86",
        why: "a machine with pure cgroup v2 and systemd",
    },
    Program { name: "mmdebstrap", package: "mmdebstrap", why: "makes that machine's root" },
    Program { name: "mkfs.ext4", package: "e2fsprogs", why: "and its file system" },
    Program { name: "bindfs", package: "bindfs", why: "stands for gcsfuse" },
    Program { name: "strip", package: "binutils", why: "makes what is put in there small" },
    Program { name: "newuidmap", package: "uidmap", why: "gives ordinary users their ids" },
    Program { name: "ip", package: "iproute2", why: "makes networks for the tests" },
    Program { name: "git", package: "git", why: "tidy asks it for the project's files" },
];

/// Where Python and Node packages for the tests are put.
pub(crate) fn cache() -> PathBuf {
    sh::root().join("target/e2e")
}

pub(crate) fn main() -> Result<(), String> {
    programs()?;
    account()?;
    python()?;
    node()
}

fn programs() -> Result<(), String> {
    let missing: Vec<&Program> = PROGRAMS.iter().filter(|p| !sh::on_path(p.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list: String = missing
        .iter()
        .map(|p| format!("  {} (Debian package {}): {}\n", p.name, p.package, p.why))
        .collect();
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if !root || !sh::on_path("apt-get") {
        return Err(format!(
            "the tests need programs that are not here:\n{list}install them, or run this as root on Debian"
        ));
    }
    eprintln!("installing what the tests need:\n{list}");
    let env = [("DEBIAN_FRONTEND", "noninteractive")];
    sh::run_with(&["apt-get", "update", "-qq"], &env)?;
    let mut line = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    line.extend(missing.iter().map(|p| p.package));
    sh::run_with(&line, &env)?;
    match PROGRAMS.iter().find(|p| !sh::on_path(p.name)) {
        None => Ok(()),
        Some(p) => {
            Err(format!("{} is still not on the PATH after installing {}", p.name, p.package))
        }
    }
}

/// The ordinary user as whom tests run too, with ids for containers that no usual machine gives to anybody.
const ACCOUNT: &str = "groundrun-test";

fn account() -> Result<(), String> {
    let has = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix(ACCOUNT).is_some_and(|l| l.starts_with(':')))
    };
    if !has("/etc/passwd") {
        let shell = "/usr/sbin/nologin";
        sh::run(&["useradd", "--system", "--no-create-home", "--shell", shell, ACCOUNT])?;
    }
    for (file, flag) in [("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")] {
        if !has(file) {
            sh::run(&["usermod", flag, "600100000-600165535", ACCOUNT])?;
        }
    }
    Ok(())
}

/// Google's discovery client, its typed client of Secret Manager and its auth library, what the latter checks tokens against
/// a JSON web key set with, and gRPC's own server, whose health service startup probes ask.
const PYTHON: &[&str] = &[
    "google-api-python-client",
    "google-cloud-secret-manager",
    "google-auth[requests]",
    "pyjwt",
    "grpcio",
    "grpcio-health-checking",
];

/// A virtual environment with those.
fn python() -> Result<(), String> {
    let venv = cache().join("python");
    if imports(&venv) {
        return Ok(());
    }
    let at = venv.display().to_string();
    let made = sh::run(&["python3", "-m", "venv", "--clear", &at]);
    if made.is_err() {
        sh::run_with(
            &["apt-get", "install", "-y", "-qq", "python3-venv"],
            &[("DEBIAN_FRONTEND", "noninteractive")],
        )?;
        sh::run(&["python3", "-m", "venv", "--clear", &at])?;
    }
    let pip = venv.join("bin/pip").display().to_string();
    sh::run(&[&[&*pip, "install", "-q", "--disable-pip-version-check"], PYTHON].concat())?;
    if imports(&venv) {
        Ok(())
    } else {
        Err("Google's Python clients do not import after their installation".into())
    }
}

/// Where the packages of that environment are.
pub(crate) fn python_packages() -> Result<PathBuf, String> {
    let python = cache().join("python/bin/python").display().to_string();
    let code = "import sysconfig; print(sysconfig.get_path('purelib'))";
    sh::output(&[&python, "-c", code]).map(|path| path.trim().into())
}

fn imports(venv: &Path) -> bool {
    let python = venv.join("bin/python");
    python.is_file()
        && sh::command(&[
            &python.display().to_string(),
            "-c",
            "import googleapiclient.discovery, google.cloud.secretmanager_v1, requests, jwt, grpc_health.v1.health",
        ])
        .status()
        .is_ok_and(|s| s.success())
}

/// Google's typed client for Node.
fn node() -> Result<(), String> {
    let dir = cache().join("node");
    if dir.join("node_modules/googleapis/package.json").is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(&dir).map_err(|e| format!("make {}: {e}", dir.display()))?;
    let at = dir.display().to_string();
    sh::run(&[
        "npm",
        "install",
        "--silent",
        "--no-fund",
        "--no-audit",
        "--prefix",
        &at,
        "googleapis",
    ])
}
