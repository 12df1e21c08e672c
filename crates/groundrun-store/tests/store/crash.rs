//! What was acknowledged is there after `kill -9`, and what is there is whole.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write, stdout},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use groundrun_core::id::ExecutionUid;
use groundrun_store::Store;
use rusqlite::Connection;
use uuid::Uuid;

use crate::{secrets, support::*};

/// Where the child writes: set for it alone.
const DIR: &str = "GROUNDRUN_STORE_CRASH_DIR";

/// Which round of the child it is.
const ROUND: &str = "GROUNDRUN_STORE_CRASH_ROUND";

/// Attempts that each write of the child brings along.
const ATTEMPTS: u32 = 3;

/// What each version of a secret holds: more than a page.
const HELD: &[u8] = &[0xa5; 6000];

#[test]
fn acknowledged_writes_survive_kill_9() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut acknowledged = BTreeSet::new();
    for round in 1..=8_u32 {
        // Killed after another number of writes in each round, wherever it then is.
        let lines = 40 * round as usize + 7;
        let child = "crash::child";
        acknowledged.extend(write_until_killed(child, dir.path().to_owned(), round, lines));
        check(dir.path(), &acknowledged);
    }
    assert!(acknowledged.len() > 8 * 40);
}

#[test]
fn acknowledged_versions_of_secrets_survive_kill_9_with_what_they_hold() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut acknowledged = 0;
    for round in 1..=4_u32 {
        let child = "crash::child_of_secrets";
        let lines = 25 * round as usize + 3;
        let kept = write_until_killed(child, dir.path().to_owned(), round, lines);
        acknowledged = kept.into_iter().max().expect("some were acknowledged");
        let store = Store::open(dir.path()).expect("it opens");
        let secret = read(&store, |view| view.secret(&secrets::secret("s", 1).name));
        let secret = secret.expect("it was acknowledged before its versions");
        assert!(u128::try_from(secret.newest).expect("a count") >= acknowledged);
        for number in 1..=secret.newest {
            let (version, held) = read(&store, |view| {
                Ok((
                    view.secret_version(secret.uid, number)?,
                    view.sealed_value(secret.uid, number)?,
                ))
            });
            assert!(version.is_some(), "{number} of {acknowledged}");
            assert_eq!(held.as_deref(), Some(HELD), "{number} of {acknowledged}");
        }
    }
    assert!(acknowledged > 4 * 25);
}

/// Runs the child, kills it after `lines` acknowledgements, and returns all that it gave.
fn write_until_killed(child: &str, dir: PathBuf, round: u32, lines: usize) -> Vec<u128> {
    let mut child = Command::new(env::current_exe().expect("it runs"))
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut acknowledged = Vec::new();
    for line in out.lines() {
        let line = line.expect("it reads");
        // The last line may be cut off: without its end it does not count.
        if let Some(number) = line.strip_prefix("kept ").and_then(|rest| rest.strip_suffix('.')) {
            acknowledged.push(number.parse().expect("a number"));
        }
        if acknowledged.len() == lines {
            child.kill().expect("it is killed");
        }
    }
    let status = child.wait().expect("it ends");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    acknowledged
}

fn check(dir: &std::path::Path, acknowledged: &BTreeSet<u128>) {
    let store = Store::open(dir).expect("it opens");
    for number in acknowledged {
        let uid = ExecutionUid(Uuid::from_u128(*number));
        let found = read(&store, |view| view.execution_by_uid(uid));
        assert!(found.is_some(), "{number} was acknowledged and is lost");
    }
    drop(store);
    let conn = Connection::open(dir.join("groundrun.db")).expect("it opens");
    let one = |sql: &str| conn.query_one(sql, [], |row| row.get::<_, i64>(0)).expect("it counts");
    assert_eq!(
        one("SELECT count(*) FROM (SELECT 1 FROM executions JOIN attempts ON execution = uid
             GROUP BY uid HAVING count(*) = 3)"),
        one("SELECT count(*) FROM executions"),
        "a write is there whole or not at all"
    );
    assert_eq!(
        one("SELECT sum(execution_count) FROM jobs"),
        one("SELECT count(*) FROM executions")
    );
    let health: String =
        conn.pragma_query_value(None, "integrity_check", |row| row.get(0)).expect("it tells");
    assert_eq!(health, "ok");
}

#[test]
#[ignore = "run by acknowledged_writes_survive_kill_9 in a process of its own"]
fn child() {
    let dir = PathBuf::from(env::var_os(DIR).expect("the parent sets it"));
    let round: u128 = env::var(ROUND).ok().and_then(|text| text.parse().ok()).expect("a number");
    let store = Store::open(&dir).expect("it opens");
    thread::scope(|scope| {
        for thread in 1..=4_u128 {
            let store = &store;
            scope.spawn(move || write_for_ever(store, round << 40 | thread << 32));
        }
    });
}

fn write_for_ever(store: &Store, first: u128) {
    let of = keep_job(store, job(&format!("j-{first}"), first));
    for number in first + 1.. {
        let mut one = execution(&of, &format!("e-{number}"), number);
        write(store, at(0), move |tx| {
            tx.insert_execution(&mut one, &Labels::new())?;
            let attempts: Vec<_> = (0..ATTEMPTS).map(|task| attempt(one.uid, task, 0)).collect();
            tx.insert_attempts(&attempts)
        });
        let mut out = stdout().lock();
        writeln!(out, "kept {number}.").and_then(|()| out.flush()).expect("the parent reads");
    }
}

#[test]
#[ignore = "run by acknowledged_versions_of_secrets_survive_kill_9_with_what_they_hold in a process of its own"]
fn child_of_secrets() {
    let dir = PathBuf::from(env::var_os(DIR).expect("the parent sets it"));
    let store = Store::open(&dir).expect("it opens");
    let wanted = secrets::secret("s", 1);
    let kept = read(&store, |view| view.secret(&wanted.name));
    let kept = kept.unwrap_or_else(|| secrets::keep(&store, wanted));
    for number in kept.newest + 1.. {
        secrets::add(&store, secrets::version(kept.uid, number), HELD);
        let mut out = stdout().lock();
        writeln!(out, "kept {number}.").and_then(|()| out.flush()).expect("the parent reads");
    }
}
