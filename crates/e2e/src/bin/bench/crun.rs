//! The peer: bare `crun run` of the same program, from a plain root directory, without a network of its own or seccomp.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use rustix::{mount, thread};
use serde_json::{Value, json};

/// A bundle, and a mount namespace in which crun works on a hybrid cgroup layout.
pub(crate) struct Crun {
    bundle: PathBuf,
    next: AtomicU64,
}

impl Crun {
    /// Writes the bundle. Makes this process's mounts private: crun 1.8 refuses a machine with `unified`.
    pub(crate) fn prepare(dir: &Path) -> Self {
        let bundle = dir.join("crun");
        fs::create_dir_all(bundle.join("rootfs")).expect("a directory");
        let program = bundle.join("rootfs/job");
        fs::write(&program, sample_job::PROGRAM).expect("written");
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("set");
        let made = Command::new("crun")
            .arg("spec")
            .current_dir(&bundle)
            .status()
            .expect("crun: cargo xtask needs");
        assert!(made.success());
        let config = bundle.join("config.json");
        let mut spec: Value =
            serde_json::from_slice(&fs::read(&config).expect("read")).expect("JSON");
        spec["process"]["args"] = json!(["/job", "true"]);
        spec["process"]["terminal"] = json!(false);
        fs::write(&config, spec.to_string()).expect("written");
        unshare_mounts();
        Self { bundle, next: AtomicU64::new(0) }
    }

    fn command(&self) -> Command {
        let name = format!(
            "groundrun-bench-{}-{}",
            std::process::id(),
            self.next.fetch_add(1, Ordering::Relaxed)
        );
        let mut command = Command::new("crun");
        command.args(["run", "--bundle"]).arg(&self.bundle).arg(name);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// One container from start to end, in ms.
    pub(crate) fn once(&self) -> f64 {
        let begun = Instant::now();
        let status = self.command().status().expect("crun runs");
        assert!(status.success(), "crun: {status}");
        begun.elapsed().as_secs_f64() * 1e3
    }

    /// `count` containers under `xargs -P`, in seconds.
    pub(crate) fn many(&self, count: usize, in_flight: usize) -> f64 {
        let prefix = format!(
            "groundrun-bench-{}-{}",
            std::process::id(),
            self.next.fetch_add(1, Ordering::Relaxed)
        );
        let line = format!(
            "seq {count} | xargs -P {in_flight} -I N crun run --bundle {} {prefix}-N",
            self.bundle.display()
        );
        let begun = Instant::now();
        let status =
            Command::new("sh").args(["-c", &line]).stdout(Stdio::null()).status().expect("sh runs");
        assert!(status.success(), "crun under xargs: {status}");
        begun.elapsed().as_secs_f64()
    }
}

fn unshare_mounts() {
    let unified = Path::new("/sys/fs/cgroup/unified");
    if !unified.is_dir() {
        return;
    }
    let status = Command::new("mountpoint").args(["-q"]).arg(unified).status();
    if !status.is_ok_and(|s| s.success()) {
        return;
    }
    unshare();
    mount::mount_change(
        "/",
        mount::MountPropagationFlags::PRIVATE | mount::MountPropagationFlags::REC,
    )
    .expect("private mounts");
    mount::unmount(unified, mount::UnmountFlags::DETACH).expect("unified is unmounted here");
    // What crun 1.8 makes and leaves here goes with this namespace.
    mount::mount("none", unified, "tmpfs", mount::MountFlags::empty(), None)
        .expect("an empty place");
}

#[expect(
    unsafe_code,
    reason = "rustix marks unshare unsafe for flags that part descriptors or memory; NEWNS does not"
)]
fn unshare() {
    // SAFETY: one thread, and a new mount namespace changes nothing that Rust relies on.
    unsafe { thread::unshare_unsafe(thread::UnshareFlags::NEWNS) }
        .expect("a mount namespace: needs root");
}
