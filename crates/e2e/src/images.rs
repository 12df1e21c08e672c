//! Images for the tests, made of Debian's packages: nothing is downloaded from a registry of images.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clients::{self, run};

/// An OCI layout with busybox and links for the programs that the tests use. Gives the layout's directory.
pub fn busybox(dir: &Path) -> PathBuf {
    busybox_as(dir, json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"]}))
}

/// The same with a configuration of one's own.
pub fn busybox_as(dir: &Path, config: Value) -> PathBuf {
    let root = dir.join("busybox-root");
    for folder in ["tmp", "etc", "root", "dev", "proc", "sys"] {
        fs::create_dir_all(root.join(folder)).expect("a directory");
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/tmp:/bin/sh\n",
    )
    .expect("written");
    fs::write(root.join("etc/group"), "root:x:0:\nada:x:1000:\nwheel:x:10:ada\n").expect("written");
    let applets = [
        "sh", "true", "false", "sleep", "cat", "echo", "ls", "env", "id", "kill", "grep", "head",
        "mount", "mknod", "hostname", "dd", "yes", "ps", "mkdir", "wc", "wget", "touch", "ln",
        "cp",
    ];
    with_busybox(&root, &applets);
    layout(dir.join("busybox"), &root, config)
}

/// Puts busybox and links for these of its programs into `bin`.
fn with_busybox(root: &Path, applets: &[&str]) {
    let bin = root.join("bin");
    fs::create_dir_all(&bin).expect("a directory");
    fs::copy(which("busybox"), bin.join("busybox")).expect("busybox is copied");
    for applet in applets {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("a link");
    }
}

/// Python and its standard library.
const PYTHON: &[&str] = &[
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "zlib1g",
    "libexpat1",
    "libssl3",
    "libffi8",
    "libbz2-1.0",
    "liblzma5",
    "libsqlite3-0",
    "libgcc-s1",
];

/// Its driver for PostgreSQL, and what libpq can speak.
const PYTHON_POSTGRES: &[&str] = &[
    "python3-psycopg2",
    "libpq5",
    "libgssapi-krb5-2",
    "libkrb5-3",
    "libk5crypto3",
    "libkrb5support0",
    "libcom-err2",
    "libkeyutils1",
    "libldap-2.5-0",
    "libsasl2-2",
    "libgnutls30",
    "libp11-kit0",
    "libidn2-0",
    "libunistring2",
    "libtasn1-6",
    "libnettle8",
    "libhogweed6",
    "libgmp10",
];

/// An OCI layout with Python and its standard library, from Debian's packages.
pub fn python(dir: &Path) -> PathBuf {
    let root = packages(dir, "python", PYTHON);
    let config = json!({"Entrypoint": ["/usr/bin/python3.11"], "Env": ["PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"]});
    layout(dir.join("python"), &root, config)
}

/// The same with Debian's driver for PostgreSQL, and in `/site` Google's auth library as `cargo xtask needs` brought it.
pub fn python_with_google(dir: &Path) -> PathBuf {
    let root = packages(dir, "python-google", &[PYTHON, PYTHON_POSTGRES].concat());
    let (from, to) = (clients::python_packages(), root.join("site"));
    fs::create_dir_all(&to).expect("a directory");
    // Without the API clients, which are a hundred megabytes.
    for entry in fs::read_dir(from).expect("packages").flatten() {
        if entry.file_name() != "googleapiclient" && entry.file_name() != "pip" {
            run(Command::new("cp").arg("-a").arg(entry.path()).arg(&to)).well();
        }
    }
    let config = json!({
        "Entrypoint": ["/usr/bin/python3.11"],
        "Env": [
            "PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1",
            "PYTHONPATH=/site:/usr/lib/python3/dist-packages",
        ],
    });
    layout(dir.join("python-google"), &root, config)
}

/// An OCI layout with this machine's Node and the libraries it needs, and in `/node_modules` Google's auth library as
/// `cargo xtask needs` brought it.
pub fn node_with_google(dir: &Path) -> PathBuf {
    let root = dir.join("node-root");
    let node = fs::canonicalize(which("node")).expect("node is there");
    let needed = run(Command::new("ldd").arg(&node)).well().out;
    let files = needed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for file in files.chain([node.clone()]) {
        let to = root.join(file.strip_prefix("/").expect("an absolute path"));
        fs::create_dir_all(to.parent().expect("it is in a folder")).expect("a directory");
        fs::copy(&file, to).expect("copied");
    }
    let to = root.join("node_modules");
    fs::create_dir_all(&to).expect("a directory");
    for entry in fs::read_dir(clients::node_modules()).expect("packages").flatten() {
        // The API clients are two hundred megabytes.
        if entry.file_name() != "googleapis" {
            run(Command::new("cp").arg("-a").arg(entry.path()).arg(&to)).well();
        }
    }
    layout(dir.join("node"), &root, json!({"Entrypoint": [node]}))
}

/// An OCI layout with the server and the client of PostgreSQL, and a shell, from Debian's packages. It runs as an
/// ordinary user, which is what PostgreSQL demands, and can write to volumes alone.
pub fn postgres(dir: &Path) -> PathBuf {
    let wanted = [
        "postgresql-15",
        "postgresql-client-15",
        "libpq5",
        "libc6",
        "libgcc-s1",
        "libstdc++6",
        "libssl3",
        "zlib1g",
        "liblz4-1",
        "libzstd1",
        "liblzma5",
        "libicu72",
        "libxml2",
        "libuuid1",
        "libreadline8",
        "libtinfo6",
        // What libpq and the server can speak: Kerberos, LDAP, PAM, systemd.
        "libgssapi-krb5-2",
        "libkrb5-3",
        "libk5crypto3",
        "libkrb5support0",
        "libkeyutils1",
        "libcom-err2",
        "libldap-2.5-0",
        "libsasl2-2",
        "libgnutls30",
        "libgmp10",
        "libhogweed6",
        "libnettle8",
        "libidn2-0",
        "libp11-kit0",
        "libffi8",
        "libtasn1-6",
        "libunistring2",
        "libpam0g",
        "libaudit1",
        "libcap-ng0",
        "libsystemd0",
        "libcap2",
        "libgcrypt20",
        "libgpg-error0",
        "libselinux1",
        "libpcre2-8-0",
    ];
    let root = packages(dir, "postgres", &wanted);
    for unused in
        ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/lib/postgresql/15/lib/bitcode"]
    {
        match fs::remove_dir_all(root.join(unused)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("{unused}: {error}")
            }
            _ => {}
        }
    }
    with_busybox(&root, &["sh"]);
    fs::create_dir_all(root.join("etc")).expect("a directory");
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/:/bin/sh\npostgres:x:101:101::/tmp:/bin/sh\n",
    )
    .expect("written");
    let config = json!({
        "User": "101:101", "Cmd": ["postgres"],
        "Env": ["PATH=/usr/lib/postgresql/15/bin:/bin"],
    });
    layout(dir.join("postgres"), &root, config)
}

/// An OCI layout with the server and the client of MariaDB, and a shell, from Debian's packages. It runs as an ordinary
/// user.
pub fn mariadb(dir: &Path) -> PathBuf {
    let wanted = [
        "mariadb-server-core",
        "mariadb-client-core",
        "libc6",
        "libgcc-s1",
        "libstdc++6",
        "libssl3",
        "zlib1g",
        "liblz4-1",
        "libzstd1",
        "liblzma5",
        "libcrypt1",
        "libpcre2-8-0",
        "libaio1",
        "liburing2",
        "libnuma1",
        // What the server says to systemd, and how the client edits a line.
        "libsystemd0",
        "libcap2",
        "libgcrypt20",
        "libgpg-error0",
        "libedit2",
        "libbsd0",
        "libmd0",
        "libncurses6",
        "libtinfo6",
    ];
    let root = packages(dir, "mariadb", &wanted);
    with_busybox(&root, &["sh"]);
    fs::create_dir_all(root.join("etc")).expect("a directory");
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/:/bin/sh\nmysql:x:102:102::/tmp:/bin/sh\n",
    )
    .expect("written");
    let config = json!({
        "User": "102:102", "Cmd": ["mariadb"], "Env": ["PATH=/usr/sbin:/usr/bin:/bin"],
    });
    layout(dir.join("mariadb"), &root, config)
}

/// An OCI layout with nginx and a shell, from Debian's packages.
pub fn nginx(dir: &Path) -> PathBuf {
    let wanted =
        ["nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"];
    let root = packages(dir, "nginx", &wanted);
    with_busybox(&root, &["sh", "cat"]);
    // As whom it serves.
    let nobody = "nobody:x:65534:65534::/:/bin/false\n";
    fs::write(root.join("etc/passwd"), nobody).expect("written");
    fs::write(root.join("etc/group"), "nogroup:x:65534:\n").expect("written");
    layout(dir.join("nginx"), &root, json!({"Cmd": ["nginx"], "Env": ["PATH=/usr/sbin:/bin"]}))
}

/// A root directory `{name}-root` with what is in Debian's packages.
fn packages(dir: &Path, name: &str, wanted: &[&str]) -> PathBuf {
    let root = dir.join(format!("{name}-root"));
    let packages = dir.join(format!("{name}-packages"));
    for folder in [&root.join("tmp"), &packages] {
        fs::create_dir_all(folder).expect("a directory");
    }
    run(Command::new("apt-get").arg("download").arg("-qq").args(wanted).current_dir(&packages))
        .well();
    for entry in fs::read_dir(&packages).expect("the packages are there").flatten() {
        run(Command::new("dpkg").arg("-x").arg(entry.path()).arg(&root)).well();
    }
    // The loader's place, where the packages of this release have it under usr alone.
    if !root.join("lib64").exists() {
        std::os::unix::fs::symlink("usr/lib64", root.join("lib64")).expect("a link");
    }
    root
}

/// Writes an OCI image layout with one gzip layer that holds `root`.
pub fn layout(at: PathBuf, root: &Path, config: Value) -> PathBuf {
    let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    layout_for(own, at, root, config)
}

/// The same for machines of an architecture, as Go names it.
pub fn layout_for(architecture: &str, at: PathBuf, root: &Path, config: Value) -> PathBuf {
    let blobs = at.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a directory");
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.mode(tar::HeaderMode::Deterministic);
    archive.append_dir_all(".", root).expect("the layer is written");
    let plain = archive.into_inner().expect("the layer is complete");
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&plain).expect("the layer is compressed");
    let layer = gz.finish().expect("the layer is compressed");
    let config = json!({
        "architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(&plain)]},
    });
    let config =
        put(&blobs, config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let layer = put(&blobs, &layer, "application/vnd.oci.image.layer.v1.tar+gzip");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest =
        put(&blobs, manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(at.join("index.json"), index.to_string()).expect("written");
    fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
    at
}

fn put(blobs: &Path, bytes: &[u8], media_type: &str) -> Value {
    let digest = digest(bytes);
    fs::write(blobs.join(&digest["sha256:".len()..]), bytes).expect("a blob is written");
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

/// Where a program is.
pub fn which(program: &str) -> PathBuf {
    std::env::var_os("PATH")
        .and_then(|path| {
            std::env::split_paths(&path).map(|d| d.join(program)).find(|p| p.is_file())
        })
        .unwrap_or_else(|| panic!("{program} is not on the PATH: cargo xtask needs"))
}
