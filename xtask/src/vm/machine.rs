//! Boots the guest once, with files put in and a plan of commands; brings their output, their codes and files back.
//!
//! Nothing leaves the guest: it has no network card. Its own console goes to a file, the commands' output to ours.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    plan::{DONE, Done, Step},
    recipe,
};
use crate::sh;

/// From qemu's start to the first command: 15 seconds; eight times that for a machine that builds meanwhile.
const BOOT: Duration = Duration::from_secs(120);

/// Room for what comes back.
const RESULTS: u64 = 32 << 20;

/// A file or directory that is put in, and the name that it has below `/in`.
pub(super) struct Put {
    pub(super) from: PathBuf,
    pub(super) name: String,
}

/// Boots, runs the plan, and takes the guest's `/out` to `out`. Answers what became of the
/// steps; fewer where the guest gave up.
pub(super) fn run(puts: &[Put], steps: &[Step], out: &Path) -> Result<Vec<Done>, String> {
    let guest = recipe::guest()?;
    let dir = recipe::cache().join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|e| format!("make {}: {e}", dir.display()))?;
    let ran = boot(&guest, &dir, puts, steps, out);
    let console = fs::read_to_string(dir.join("console")).unwrap_or_default();
    let _ = fs::remove_dir_all(&dir);
    ran.map_err(|err| format!("{err}\nthe guest's console:\n{}", tail(&console)))
}

fn boot(
    guest: &recipe::Guest,
    dir: &Path,
    puts: &[Put],
    steps: &[Step],
    out: &Path,
) -> Result<Vec<Done>, String> {
    let payload = pack(dir, puts, steps)?;
    let results = dir.join("results");
    fs::File::create(&results)
        .and_then(|file| file.set_len(RESULTS))
        .map_err(|e| format!("make {}: {e}", results.display()))?;
    let bound = BOOT + steps.iter().map(|step| Duration::from_secs(step.seconds + 15)).sum();
    let end = (1..BOOTS_MAX)
        .find_map(|_| qemu(guest, dir, &payload, &results, bound).transpose())
        .unwrap_or_else(|| {
            let last = qemu(guest, dir, &payload, &results, bound)?;
            Ok(last.unwrap_or_else(|| "said nothing while it booted".to_owned()))
        })?;
    let _ = fs::remove_dir_all(out);
    fs::create_dir_all(out).map_err(|e| format!("make {}: {e}", out.display()))?;
    let (archive, to) = (results.display().to_string(), out.display().to_string());
    sh::output(&["tar", "xf", &archive, "-C", &to, "--no-same-owner"])?;
    let done = fs::read_to_string(out.join(DONE))
        .map_err(|_| format!("the guest did not do all that was planned; qemu {end}"))?;
    let done: Vec<Value> =
        serde_json::from_str(&done).map_err(|e| format!("read what was done: {e}"))?;
    done.iter().map(Done::parse).collect::<Option<_>>().ok_or_else(|| format!("not done: {done:?}"))
}

/// A tar of the files, of this program and of the plan: the guest reads it from a disk as it is.
fn pack(dir: &Path, puts: &[Put], steps: &[Step]) -> Result<PathBuf, String> {
    let stage = dir.join("in");
    let bin = stage.join("bin");
    fs::create_dir_all(&bin).map_err(|e| format!("make {}: {e}", bin.display()))?;
    // By its process: a build of the whole workspace in between may have put another file in its place.
    let this = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    let this = Put { from: this, name: "xtask".to_owned() };
    for put in puts.iter().chain([&this]) {
        let (from, to) = (put.from.display().to_string(), stage.join(&put.name));
        let shown = to.display().to_string();
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|e| format!("make {}: {e}", parent.display()))?;
        }
        if is_program(&put.from) {
            // What a debugger would need is nine tenths of it.
            sh::output(&["strip", "-o", &shown, &from])?;
        } else {
            sh::output(&["cp", "-rL", &from, &shown])?;
        }
    }
    let plan = serde_json::to_string(&steps.iter().map(Step::json).collect::<Vec<_>>())
        .map_err(|e| format!("write the plan: {e}"))?;
    fs::write(stage.join("plan.json"), plan).map_err(|e| format!("write the plan: {e}"))?;
    let payload = dir.join("payload");
    let (archive, stage) = (payload.display().to_string(), stage.display().to_string());
    sh::output(&["tar", "cf", &archive, "--owner=0", "--group=0", "-C", &stage, "."])?;
    Ok(payload)
}

fn is_program(file: &Path) -> bool {
    let mut magic = [0; 4];
    let read = fs::File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    file.is_file() && read.is_ok() && &magic == b"\x7fELF"
}

/// An emulated machine may hang before its first word: seen once in some twenty boots.
const BOOTS_MAX: u32 = 3;

/// Runs the machine; answers how it ended, or nothing when it said no word within [`BOOT`].
fn qemu(
    guest: &recipe::Guest,
    dir: &Path,
    payload: &Path,
    results: &Path,
    bound: Duration,
) -> Result<Option<String>, String> {
    let disk = |id: &str, file: &Path, more: &str| {
        format!("if=none,id={id},file={},format=raw,{more}", file.display())
    };
    let mut line = vec!["qemu-system-x86_64".to_owned()];
    let mut add = |words: &[&str]| line.extend(words.iter().map(|&word| word.to_owned()));
    // Software emulation also where KVM seems to be there: virtual machines that offer it may hang in it.
    add(&["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off,cx16=off"]);
    add(&["-smp", "2", "-m", "2G", "-nodefaults", "-no-user-config", "-display", "none"]);
    add(&["-serial", &format!("file:{}", dir.join("console").display()), "-serial", "stdio"]);
    add(&["-no-reboot"]);
    add(&["-kernel", &guest.kernel.display().to_string(), "-append", KERNEL]);
    add(&["-drive", &disk("root", &guest.root, "snapshot=on,cache=unsafe")]);
    add(&["-device", "nvme,drive=root,serial=root"]);
    add(&["-drive", &disk("payload", payload, "readonly=on")]);
    add(&["-device", "nvme,drive=payload,serial=payload"]);
    add(&["-drive", &disk("results", results, "cache=unsafe")]);
    add(&["-device", "nvme,drive=results,serial=results"]);
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let mut child = sh::command(&words)
        // Where the snapshot's changes go.
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("start qemu-system-x86_64: {e}"))?;
    let spoke = Arc::new(AtomicBool::new(false));
    if let Some(mut words) = child.stdout.take() {
        let spoke = Arc::clone(&spoke);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = words.read(&mut buffer) {
                spoke.store(true, Ordering::Relaxed);
                let _ = io::stdout().write_all(&buffer[..read]);
                let _ = io::stdout().flush();
            }
        });
    }
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(|e| format!("wait for qemu: {e}"))? {
            Some(status) => return Ok(Some(format!("ended with {status}"))),
            None if begun.elapsed() > BOOT && !spoke.load(Ordering::Relaxed) => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(None);
            }
            None if begun.elapsed() < bound => sh::pause(),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(Some(format!("was killed after {} s", bound.as_secs())));
            }
        }
    }
}

const KERNEL: &str = "console=ttyS0 root=/dev/nvme0n1 rootfstype=ext4 rw panic=-1 mitigations=off nokaslr \
    tsc=reliable no_timer_check quiet systemd.show_status=0 systemd.unified_cgroup_hierarchy=1";

/// The last lines: what went wrong stands there.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
