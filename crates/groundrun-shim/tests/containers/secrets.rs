//! What secrets hold: there for the program, and nowhere else.

use std::{fs, os::unix::fs::FileExt, path::Path, time::Duration};

use groundrun_shim::{
    log::Source,
    protocol::{
        Cause, End, Exit, Fault, Launch, Mount, Probe, ProbeCheck, SecretFile, Volume, Wish,
    },
};

use crate::{
    Test,
    lab::{Lab, Outcome, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_variable_holds_what_its_secret_holds", variable),
    ("path_and_home_may_come_from_secrets", path_and_home),
    ("what_cannot_be_a_variable_is_told_without_it", unfit),
    ("files_of_secrets_are_there_below_their_mount", files),
    ("files_of_secrets_have_their_modes_and_belong_to_root", modes),
    ("nobody_writes_to_a_volume_of_secrets", read_only),
    ("containers_that_start_later_have_their_secrets_too", later),
    ("neither_the_spawner_nor_the_shim_keeps_what_a_secret_holds", kept_by_nobody),
    ("a_shim_leaves_no_core", no_core),
];

/// One container with a volume of these files at `/secrets`; the first holds what is sealed first.
fn with_files(lab: &Lab, arguments: &[&str], files: &[(&str, u32)]) -> Launch {
    let mut launch = lab.launch(arguments);
    let file = |(sealed, (path, mode)): (usize, &(&str, u32))| SecretFile {
        path: (*path).to_owned(),
        mode: *mode,
        sealed,
    };
    launch.volumes = vec![Volume::Secret { files: files.iter().enumerate().map(file).collect() }];
    launch.containers[0].mounts = vec![mount(0, "/secrets")];
    launch
}

fn mount(volume: usize, path: &str) -> Mount {
    Mount { volume, path: path.into(), read_only: false }
}

fn run(lab: &Lab, launch: &Launch, sealed: &[&[u8]]) -> Outcome {
    lab.start_sealed(launch, sealed).outcome()
}

#[track_caller]
fn said(lab: &Lab, launch: &Launch, sealed: &[&[u8]]) -> String {
    let outcome = run(lab, launch, sealed);
    assert_eq!(outcome.exit(), (Exit::Code(0), Cause::OnItsOwn), "{outcome:?}");
    outcome.text(Source::Stdout)
}

fn refused(lab: &Lab, launch: &Launch, sealed: &[&[u8]]) -> String {
    let outcome = run(lab, launch, sealed);
    assert_eq!(outcome.exit().0, Exit::Code(1), "{outcome:?}");
    outcome.text(Source::Stderr)
}

fn variable(lab: &Lab) {
    let mut launch = lab.launch(&["env"]);
    let process = &mut launch.containers[0].process;
    process.sealed_env = vec![("ONE".into(), 1), ("EMPTY".into(), 0)];
    let env = said(lab, &launch, &[b"", b"two lines\nof it = this"]);
    let expected = "CLOUD_RUN_TASK_INDEX=3\nONE=two lines\nof it = this\nEMPTY=\nHOME=/root\n";
    assert_eq!(env, expected);
}

fn path_and_home(lab: &Lab) {
    let mut launch = lab.launch(&["env"]);
    let process = &mut launch.containers[0].process;
    process.argv[0] = "job".into();
    process.env = vec![];
    process.sealed_env = vec![("PATH".into(), 0), ("HOME".into(), 1)];
    assert_eq!(said(lab, &launch, &[b"/nowhere:/", b"/here"]), "PATH=/nowhere:/\nHOME=/here\n");
}

fn unfit(lab: &Lab) {
    let mut launch = lab.launch(&["env"]);
    launch.containers[0].process.sealed_env = vec![("ONE".into(), 0)];
    match run(lab, &launch, &[b"half\0other"]).record.end {
        End::StartFailed { whose: Fault::Theirs, why } => {
            assert_eq!(why, "set variable \"ONE\" from a secret: it has a NUL in it");
        }
        end => panic!("{end:?}"),
    }
}

fn files(lab: &Lab) {
    let files = [("one", 0o444), ("below/it/two", 0o444), ("below/three", 0o444)];
    let values: [&[u8]; 3] = [b"first\n", b"second\n", b"\xff\0\n"];
    for (path, value) in files.iter().zip(values) {
        let path = format!("/secrets/{}", path.0);
        let launch = with_files(lab, &["cat", &path], &files);
        let outcome = run(lab, &launch, &values);
        let line = value.strip_suffix(b"\n").expect("it is a line");
        assert_eq!(outcome.lines[0].text, line, "{path}");
        // Also of a user that is nobody in particular.
        let mut launch = with_files(lab, &["cat", &path], &files);
        launch.containers[0].process.user = "app".into();
        assert_eq!(run(lab, &launch, &values).lines[0].text, line, "{path}");
    }
    let large = vec![b'x'; 64 * 1024];
    let launch = with_files(lab, &["cat", "/secrets/one"], &[("one", 0o444)]);
    assert_eq!(said(lab, &launch, &[&large]).trim_end().len(), large.len());
    // Two volumes, one below the other.
    let mut launch =
        with_files(lab, &["cat", "/secrets/below/two"], &[("one", 0o444), ("below/x", 0o444)]);
    let two = SecretFile { path: "two".into(), mode: 0o444, sealed: 1 };
    launch.volumes.push(Volume::Secret { files: vec![two] });
    launch.containers[0].mounts.insert(0, mount(1, "/secrets/below"));
    assert_eq!(said(lab, &launch, &[b"1", b"2"]), "2\n");
}

fn modes(lab: &Lab) {
    let files = [("all", 0o444), ("root", 0o400), ("program", 0o555), ("a/b", 0o440), ("none", 0)];
    let values: [&[u8]; 5] = [b"x"; 5];
    let paths = ["", "/all", "/root", "/program", "/a", "/a/b", "/none"];
    let paths: Vec<_> = paths.iter().map(|path| format!("/secrets{path}")).collect();
    let arguments: Vec<_> = ["stat"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let expected = "755 0 0\n444 0 0\n400 0 0\n555 0 0\n755 0 0\n440 0 0\n000 0 0\n";
    assert_eq!(said(lab, &with_files(lab, &arguments, &files), &values), expected);
    let as_user = |path: &str| {
        let mut launch = with_files(lab, &["cat", path], &files);
        launch.containers[0].process.user = "app".into();
        launch
    };
    assert_eq!(said(lab, &as_user("/secrets/all"), &values), "x\n");
    for closed in ["/secrets/root", "/secrets/a/b", "/secrets/none"] {
        assert_eq!(refused(lab, &as_user(closed), &values), "errno 13\n", "{closed}");
    }
    let launch = with_files(lab, &["cat", "/secrets/root"], &files);
    assert_eq!(said(lab, &launch, &values), "x\n");
}

fn read_only(lab: &Lab) {
    for path in ["/secrets/one", "/secrets/new", "/secrets/below/new"] {
        let files = [("one", 0o666), ("below/two", 0o666)];
        let launch = with_files(lab, &["write-file", path, "1"], &files);
        assert_eq!(refused(lab, &launch, &[b"1", b"2"]), "errno 30\n", "{path}");
    }
    let launch = with_files(lab, &["cat", "/proc/self/mountinfo"], &[("one", 0o444)]);
    let mounts = said(lab, &launch, &[b"1"]);
    let line = mounts.lines().find(|line| line.contains(" /secrets ")).expect("it is mounted");
    assert!(line.contains(" ro,nosuid,nodev"), "{line}");
    assert!(line.contains(" tmpfs "), "{line}");
}

fn later(lab: &Lab) {
    let serve: &[&str] = &["serve", "8080", "", "0.2"];
    let mut launch = lab.several(&[("main", &["env"]), ("first", serve)]);
    launch.containers[0].process.sealed_env = vec![("ONE".into(), 0)];
    launch.containers[0].depends_on = vec![1];
    launch.containers[1].process.sealed_env = vec![("TWO".into(), 1)];
    launch.containers[1].startup_probe = Some(Probe {
        check: ProbeCheck::TcpSocket { port: 8080 },
        initial_delay: Duration::ZERO,
        timeout: Duration::from_secs(1),
        period: Duration::from_millis(50),
        failure_threshold: 100,
    });
    let outcome = run(lab, &launch, &[b"one", b"two"]);
    assert_eq!(outcome.end_of().1, Exit::Code(0), "{outcome:?}");
    let said = outcome.said_by(0);
    assert!(said.contains(&"ONE=one".to_owned()), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("TWO")), "{said:?}");
}

/// Made up now, after the spawner was forked: it is nowhere before.
fn canary(what: &str) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is past 1970").as_nanos();
    format!("canary {what} {} {now}", std::process::id())
}

fn kept_by_nobody(lab: &Lab) {
    let (variable, file) = (canary("variable"), canary("file"));
    let mut launch = with_files(lab, &["wait-term", "0"], &[("one", 0o444)]);
    launch.containers[0].process.sealed_env = vec![("ONE".into(), 1)];
    let attempt = lab.start_sealed(&launch, &[file.as_bytes(), variable.as_bytes()]);
    attempt.says("waiting");
    let shim = attempt.shim().as_raw_nonzero().get();
    let spawner = parent_of(shim);
    let program = lab.processes(&launch)[0].parse().expect("a pid");
    // The search finds what is there: the program has its own environment.
    assert!(holds(program, variable.as_bytes()));
    for (who, pid) in [("the shim", shim), ("the spawner", spawner)] {
        for value in [&variable, &file] {
            assert!(!holds(pid, value.as_bytes()), "{who} holds {value}");
        }
        assert!(!opens(pid, "launch"), "{who} has the launch open");
    }
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    attempt.outcome();
    let said = attempt.lines();
    assert!(said.iter().all(|line| !line.text.starts_with(b"canary")), "{said:?}");
    let left = files_below(&launch.attempt_dir, &|bytes| {
        [&variable, &file].iter().any(|value| contains(bytes, value.as_bytes()))
    });
    assert_eq!(left, [""; 0], "files with what a secret holds");
}

fn parent_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let (_, after) = stat.rsplit_once(") ").expect("its name ends");
    after.split(' ').nth(1).and_then(|pid| pid.parse().ok()).expect("a pid")
}

/// Whether the memory of a process has `value` in it.
fn holds(pid: i32, value: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("root may look");
    let readable = maps
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|bits| bits.starts_with('r')));
    let ranges = readable.filter_map(|line| {
        let (begin, end) = line.split(' ').next()?.split_once('-')?;
        Some((u64::from_str_radix(begin, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
    });
    let mut looked_at = 0;
    let found = ranges.into_iter().any(|(begin, end)| {
        let length = usize::try_from(end - begin).expect("it fits");
        let mut bytes = vec![0; length];
        // Some of the kernel's own cannot be read.
        let read = memory.read_at(&mut bytes, begin).unwrap_or(0);
        looked_at += read;
        contains(&bytes[..read], value)
    });
    assert!(looked_at > 0, "nothing of {pid} could be read");
    found
}

fn opens(pid: i32, name: &str) -> bool {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
    let target = |link: fs::DirEntry| fs::read_link(link.path()).unwrap_or_default();
    links.map(target).any(|target| target.to_string_lossy().contains(&format!("memfd:{name}")))
}

fn contains(bytes: &[u8], value: &[u8]) -> bool {
    bytes.windows(value.len()).any(|window| window == value)
}

fn files_below(path: &Path, wanted: &dyn Fn(&[u8]) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            found.extend(files_below(&entry.path(), wanted));
        } else if kind.is_file() && wanted(&fs::read(entry.path()).unwrap_or_default()) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

fn no_core(lab: &Lab) {
    let launch = lab.launch(&["wait-term", "0"]);
    let attempt = lab.start(&launch);
    attempt.says("waiting");
    let shim = attempt.shim().as_raw_nonzero().get();
    until("the limits of the shim can be read", || {
        let limits = fs::read_to_string(format!("/proc/{shim}/limits")).unwrap_or_default();
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        line.is_some_and(|line| {
            line.split_whitespace().skip(4).take(2).all(|limit| limit == "1" || limit == "0")
        })
    });
    attempt.connection().send(Wish::Stop { grace: Duration::ZERO }).expect("the shim hears");
    attempt.outcome();
}
