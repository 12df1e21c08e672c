//! The same program by crun, given a bundle that says what we do: a second opinion on every right that a program has.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::lab::{Lab, id_base, write};

/// Docker's masked and read-only paths, and what of ours goes beyond.
const MASKED: &str = r#""/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys","/proc/latency_stats",
    "/proc/sched_debug","/proc/scsi","/proc/timer_list","/sys/devices/virtual/powercap","/sys/firmware""#;
const READ_ONLY: &str = r#""/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger""#;

/// Docker's default capabilities.
const CAPABILITIES: &str = r#""CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_SETGID","CAP_SETUID",
    "CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SYS_CHROOT","CAP_MKNOD","CAP_AUDIT_WRITE","CAP_SETFCAP""#;

/// Whom it runs as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum As {
    Root,
    /// 1000:1001 with group 2000: the image's `app`.
    App,
}

/// What the sample program prints under crun.
pub(crate) fn output(lab: &Lab, whom: As, arguments: &[&str]) -> String {
    let bundle = lab.new_directory();
    let rootfs = bundle.join("rootfs");
    // crun goes through these as the container's root, which is nobody here.
    for directory in [lab.path(), &bundle] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
            .expect("a mode can be set");
    }
    for part in ["", "etc", "tmp", "proc", "sys", "dev"] {
        let path = rootfs.join(part);
        fs::create_dir_all(&path).expect("a directory can be made");
        std::os::unix::fs::chown(&path, Some(id_base()), Some(id_base()))
            .expect("an owner can be set");
    }
    write(&rootfs.join("job"), sample_job::PROGRAM, 0o755);
    let arguments: Vec<String> =
        ["/job"].iter().chain(arguments).map(|text| format!("{text:?}")).collect();
    write(&bundle.join("config.json"), config(whom, &arguments.join(",")).as_bytes(), 0o644);

    let id = format!(
        "groundrun-{}-{}",
        std::process::id(),
        bundle.file_name().expect("it has a name").display()
    );
    // crun takes a machine with both versions of cgroups for a mistake; it gets a view without the second.
    let script = r#"
        if umount /sys/fs/cgroup/unified 2>/dev/null; then mount -t tmpfs none /sys/fs/cgroup/unified; fi
        exec crun --root "$1" run --bundle "$2" "$3""#;
    let state = lab.new_directory();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&state).arg(&bundle).arg(&id);
    let output = command.output().expect("unshare and sh are there (util-linux, dash)");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "crun is needed (apt-get install crun): {complaint}");
    String::from_utf8(output.stdout).expect("it prints text")
}

fn config(whom: As, arguments: &str) -> String {
    let (user, own) = match whom {
        As::Root => (r#"{"uid":0,"gid":0,"umask":18,"additionalGids":[0]}"#, CAPABILITIES),
        As::App => (r#"{"uid":1000,"gid":1001,"umask":18,"additionalGids":[1001,2000]}"#, ""),
    };
    let map = format!(r#"[{{"containerID":0,"hostID":{},"size":65536}}]"#, id_base());
    let mount = |at: &str, kind: &str, options: &str| {
        format!(
            r#"{{"destination":"{at}","type":"{kind}","source":"{kind}","options":[{options}]}}"#
        )
    };
    let inert = r#""nosuid","noexec","nodev""#;
    let mounts = [
        mount("/proc", "proc", inert),
        mount("/sys", "sysfs", &format!(r#"{inert},"ro""#)),
        mount("/dev", "tmpfs", r#""nosuid","noexec","mode=755","size=64k""#),
        mount(
            "/dev/pts",
            "devpts",
            r#""nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5""#,
        ),
        mount("/dev/shm", "tmpfs", &format!(r#"{inert},"mode=1777","size=64m""#)),
        mount("/dev/mqueue", "mqueue", inert),
    ];
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"]
        .map(|kind| format!(r#"{{"type":"{kind}"}}"#));
    format!(
        r#"{{
  "ociVersion": "1.0.0",
  "process": {{
    "terminal": false, "user": {user}, "args": [{arguments}], "cwd": "/", "noNewPrivileges": true,
    "env": ["HOME=/"],
    "rlimits": [{{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}}],
    "capabilities": {{"bounding": [{CAPABILITIES}], "effective": [{own}], "permitted": [{own}], "inheritable": [], "ambient": []}}
  }},
  "root": {{"path": "rootfs"}},
  "hostname": "job-abcde",
  "mounts": [{}],
  "linux": {{
    "namespaces": [{}], "uidMappings": {map}, "gidMappings": {map},
    "seccomp": {{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}}]}},
    "maskedPaths": [{MASKED}], "readonlyPaths": [{READ_ONLY}]
  }}
}}"#,
        mounts.join(","),
        namespaces.join(","),
    )
}
