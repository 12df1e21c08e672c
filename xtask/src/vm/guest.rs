//! Inside of the guest, as root: does what is planned, and turns the machine off with the results on a disk.

use std::{
    fs,
    io::{self, Read, Write, pipe},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc::sync_channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    plan::{DONE, Done, Step},
    setting::IN,
};
use crate::leftovers::Scene;

/// Everything is slower under emulation: a factor for the bounds that tests have. Measured: up to five.
const PATIENCE: &str = "GROUNDRUN_TEST_PATIENCE=5";

/// How long a background process may hold the output of a command that is over.
const OUTPUT_HELD: Duration = Duration::from_secs(2);

/// What is still there after so long is left for good: nobody else is in the guest.
const STAYS: Duration = Duration::from_secs(10);

/// Makes a Debian without a network card into one that looks connected, with what an ordinary user finds elsewhere.
const FURNISH: &str = "
modprobe -a overlay fuse tun veth bridge nf_tables dummy
chmod 666 /dev/fuse /dev/net/tun
ip link set lo up
ip link add eth0 type dummy
ip address add 192.0.2.2/24 dev eth0
ip link set eth0 up
ip route add default via 192.0.2.1
mkdir -p /out
chmod 1777 /out
";

pub(super) fn main(arguments: &[String]) -> Result<(), String> {
    let [results] = arguments else { return Err("only called in the guest".into()) };
    let done = played().unwrap_or_else(|err| {
        say(&format!("== the guest gives up: {err}"));
        Vec::new()
    });
    let done: Vec<Value> = done.iter().map(Done::json).collect();
    finish(results, &json!(done)).map_err(|e| format!("hand the results over: {e}"))
}

fn played() -> Result<Vec<Done>, String> {
    furnish().map_err(|e| format!("prepare: {e}"))?;
    let text = fs::read_to_string(Path::new(IN).join("plan.json")).map_err(|e| e.to_string())?;
    let plan: Vec<Value> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    plan.iter().enumerate().map(|(number, step)| play(number, &Step::parse(step)?)).collect()
}

fn furnish() -> io::Result<()> {
    let shell = ["sh", "-ec", FURNISH];
    if !Command::new(shell[0]).args(&shell[1..]).status()?.success() {
        return Err(io::Error::other("a command failed"));
    }
    let bin = Path::new(IN).join("bin");
    for program in fs::read_dir(&bin)?.flatten() {
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755))?;
        symlink(program.path(), Path::new("/usr/local/bin").join(program.file_name()))?;
    }
    Ok(())
}

/// One step; its exit code is 124 at its bound.
fn play(number: usize, step: &Step) -> Result<Done, String> {
    let failed = |what: &str, err: io::Error| format!("{}: {what}: {err}", step.name);
    say(&format!("== {} ({}): {}", step.name, step.setting.name(), step.command.join(" ")));
    let begun = Instant::now();
    step.setting.make().map_err(|e| failed("make the setting", e))?;
    let scene = Scene::at(PathBuf::from(format!("/tmp/step-{number}")))?;
    let env = [PATIENCE.to_owned(), format!("TMPDIR={}", scene.dir())];
    let line = step.setting.wrap(&step.command, &env, step.seconds);
    let (code, output) = run(&line).map_err(|e| failed("run", e))?;
    let mut left = scene.left(STAYS);
    if let Err(err) = step.setting.unmake() {
        left.push(format!("the setting {}: {err}", step.setting.name()));
    }
    left.iter().for_each(|name| say(&format!("== left: {name}")));
    say(&format!("== {}: exit {code} after {} s", step.name, begun.elapsed().as_secs()));
    Ok(Done { code, output, left })
}

/// Runs it with its output, both streams as one, passed on.
fn run(line: &[String]) -> io::Result<(i32, String)> {
    let (mut from, to) = pipe()?;
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to);
    let mut child = command.spawn()?;
    // It holds the writing ends.
    drop(command);
    let (ended, end) = sync_channel(1);
    let output = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&output);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let _ = io::stdout().write_all(&buffer[..read]);
            let _ = io::stdout().flush();
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..read]);
        }
        let _ = ended.send(());
    });
    let status = child.wait()?;
    let _ = end.recv_timeout(OUTPUT_HELD);
    let output = output.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((status.code().unwrap_or(-1), String::from_utf8_lossy(&output).into_owned()))
}

fn finish(results: &str, done: &Value) -> io::Result<()> {
    fs::write(Path::new("/out").join(DONE), done.to_string())?;
    let tar = ["tar", "cf", results, "-C", "/out", "."];
    if !Command::new(tar[0]).args(&tar[1..]).status()?.success() {
        return Err(io::Error::other("what is in /out does not fit on the disk for results"));
    }
    Command::new("sync").status()?;
    Command::new("systemctl").args(["poweroff", "--force", "--force"]).status().map(drop)
}

/// To whoever watches the run.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
