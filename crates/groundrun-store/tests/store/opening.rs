//! A data directory is taken whole or left as it is.

use std::{fs, fs::Permissions, os::unix::fs::PermissionsExt, path::Path, process};

use groundrun_core::record::{Attempt, Cause, Ending, Exit, Revision};
use groundrun_store::{OpenError, Store, StoreError};
use rusqlite::Connection;

use crate::{secrets, support::*};

fn refused(dir: &Path) -> OpenError {
    Store::open(dir).expect_err("it is refused")
}

#[test]
fn an_empty_directory_becomes_a_store_and_opens_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let deep = dir.path().join("a/b");
    let store = Store::open(&deep).expect("it is made");
    let kept = keep_job(&store, job("j", 1));
    drop(store);
    let store = Store::open(&deep).expect("it opens again");
    assert_eq!(read(&store, |view| view.job(&scope(), "j")), Some(kept.clone()));
    assert_eq!(read(&store, |view| view.revision()), kept.revision);
    assert!(keep_job(&store, job("k", 2)).revision > kept.revision);
}

#[test]
fn a_database_is_made_as_the_documentation_says() {
    let (dir, store) = open();
    keep_job(&store, job("j", 1));
    let conn = Connection::open(dir.path().join("groundrun.db")).expect("it opens");
    let text = |pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, String>(0));
    assert_eq!(text("journal_mode").expect("it tells"), "wal");
    assert_eq!(text("integrity_check").expect("it tells"), "ok");
    let version: i64 =
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).expect("it tells");
    assert_eq!(version, 4);
    let loose: i64 = conn
        .query_one(
            "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
             AND name NOT LIKE 'sqlite%' AND NOT strict",
            [],
            |row| row.get(0),
        )
        .expect("it tells");
    assert_eq!(loose, 0, "every table is strict");
}

#[test]
fn nobody_else_reads_what_is_kept_whatever_the_directory_lets() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("it is set");
    let files = ["groundrun.db", "groundrun.db-wal", "groundrun.db-shm"];
    let modes = || files.map(|name| mode(&dir.path().join(name)));
    let store = Store::open(dir.path()).expect("it is made");
    keep_job(&store, job("j", 1));
    assert_eq!(modes(), [0o600; 3]);
    // As an earlier version left them when it was killed.
    let earlier = tempfile::tempdir().expect("a temporary directory");
    for name in files {
        let copy = earlier.path().join(name);
        fs::copy(dir.path().join(name), &copy).expect("it is copied");
        fs::set_permissions(&copy, Permissions::from_mode(0o644)).expect("it is set");
    }
    let store = Store::open(earlier.path()).expect("it opens");
    assert!(read(&store, |view| view.job(&scope(), "j")).is_some());
    assert_eq!(files.map(|name| mode(&earlier.path().join(name))), [0o600; 3]);
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn a_second_server_is_refused_with_the_pid_of_the_first() {
    let (dir, store) = open();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == process::id()));
    let text = error.to_string();
    assert!(text.contains("in use by another server"), "{text}");
    assert!(text.contains(&process::id().to_string()), "{text}");
    drop(store);
    Store::open(dir.path()).expect("it is free again");
}

#[test]
fn garbage_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("groundrun.db");
    fs::write(&path, "by no means a database, and longer than its magic").expect("it is written");
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Unreadable { .. }));
    assert!(error.to_string().contains("restore it"), "{error}");
    let after = fs::read_to_string(&path).expect("it is there");
    assert_eq!(after, "by no means a database, and longer than its magic");
}

#[test]
fn a_damaged_database_is_refused_or_told_and_not_touched() {
    let (dir, store) = open();
    write(&store, at(0), |tx| {
        for number in 0..200 {
            tx.insert_job(&mut job(&format!("j-{number}"), number), &Labels::new())?;
        }
        Ok(())
    });
    drop(store);
    let path = dir.path().join("groundrun.db");
    let mut bytes = fs::read(&path).expect("it is there");
    // All but the first half page: the header is whole, the table of tables is not.
    bytes[2048..].fill(0xa5);
    fs::write(&path, &bytes).expect("it is written");
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Unreadable { .. }), "{error:?}");
    assert_eq!(fs::read(&path).expect("it is there"), bytes);
}

#[test]
fn a_page_damaged_under_way_is_told_as_damage() {
    let (dir, store) = open();
    write(&store, at(0), |tx| {
        for number in 0..2000 {
            tx.insert_job(&mut job(&format!("j-{number}"), number), &Labels::new())?;
        }
        Ok(())
    });
    drop(store);
    let path = dir.path().join("groundrun.db");
    let mut bytes = fs::read(&path).expect("it is there");
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    fs::write(&path, &bytes).expect("it is written");
    let store = Store::open(dir.path()).expect("what it looks at is whole");
    let mut damage = 0;
    for number in 0..2000 {
        match store.read(|view| view.job(&scope(), &format!("j-{number}"))) {
            Ok(_) => {}
            Err(StoreError::Damaged(_)) => damage += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(damage > 0);
}

#[test]
fn a_newer_format_is_refused_and_not_touched() {
    let (dir, store) = open();
    drop(store);
    let path = dir.path().join("groundrun.db");
    let conn = Connection::open(&path).expect("it opens");
    conn.pragma_update(None, "user_version", 99).expect("it is set");
    drop(conn);
    let before = fs::read(&path).expect("it is there");
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Newer { found: 99, known: 4, .. }));
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(fs::read(&path).expect("it is there"), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("groundrun.db");
    let conn = Connection::open(&path).expect("it is made");
    conn.execute_batch("CREATE TABLE cookies (host TEXT)").expect("it is made");
    drop(conn);
    let before = fs::read(&path).expect("it is there");
    assert!(matches!(refused(dir.path()), OpenError::NotOurs { .. }));
    assert_eq!(fs::read(&path).expect("it is there"), before);
}

#[test]
fn a_file_in_the_place_of_the_directory_is_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("file");
    fs::write(&path, "").expect("it is written");
    assert!(matches!(refused(&path), OpenError::Directory { .. }));
}

#[test]
fn a_row_that_cannot_be_read_is_named() {
    let (dir, store) = open();
    let kept = keep_job(&store, job("j", 1));
    let uid = keep_execution(&store, execution(&kept, "e", 2)).uid;
    write(&store, at(0), move |tx| tx.insert_attempts([&attempt(uid, 4, 1)]));
    let conn = Connection::open(dir.path().join("groundrun.db")).expect("it opens");
    conn.execute_batch(
        "UPDATE jobs SET labels = '{';
         UPDATE executions SET images = '{\"unheard\":{}}';
         UPDATE attempts SET ended = 1, ending = 'exited', cause = 'asked'",
    )
    .expect("it is spoilt");
    let told = |result: Result<(), StoreError>| result.expect_err("it cannot be read").to_string();
    let text = told(store.read(|view| view.job(&scope(), "j").map(drop)));
    assert!(text.contains(&format!("row {} of table jobs", kept.uid)), "{text}");
    assert!(text.contains("labels"), "{text}");
    let text = told(store.read(|view| view.execution_by_uid(uid).map(drop)));
    assert!(text.contains(&format!("row {uid} of table executions")), "{text}");
    let text = told(store.read(|view| view.attempts_of_task(uid, 4).map(drop)));
    assert!(text.contains(&format!("row {uid}/4-1 of table attempts")), "{text}");
}

/// As the first version made it, when an attempt had one container.
#[test]
fn a_database_of_the_first_format_is_brought_up_with_all_its_attempts() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let conn = Connection::open(dir.path().join("groundrun.db")).expect("it is made");
    conn.execute_batch(include_str!("../../src/schema/1.sql")).expect("it is as it was");
    conn.pragma_update(None, "application_id", 0x4752_554e).expect("it is set");
    conn.pragma_update(None, "user_version", 1).expect("it is set");
    let uid = execution(&job("j", 1), "e", 2).uid;
    conn.execute(
        "INSERT INTO attempts VALUES (?1, 4, 1, ?1, 10, 20, 30, 'exited', 7, NULL, 'on-its-own', 5, NULL, 'bye')",
        [uid.0.as_bytes()],
    )
    .expect("it is written");
    drop(conn);
    let store = Store::open(dir.path()).expect("it is brought up");
    let attempts = read(&store, |view| view.attempts_of_task(uid, 4));
    let ending = Ending::Exited {
        exit: Exit::Code(7),
        cause: Cause::OnItsOwn,
        memory_peak: Some(5),
        message: Some("bye".to_owned()),
        container: None,
    };
    assert_eq!(attempts[0].ended.as_ref().map(|(_, ended)| ended), Some(&ending));
    let probed = Ending::ProbeFailed { container: "db".to_owned(), why: "refused".to_owned() };
    let later = Attempt { ended: Some((at(0), probed)), ..attempts[0].clone() };
    write(&store, at(0), {
        let later = later.clone();
        move |tx| tx.update_attempts([&later])
    });
    assert_eq!(read(&store, |view| view.attempts_of_task(uid, 4)), [later]);
}

/// What the programs of those formats wrote, row by row.
#[test]
fn what_earlier_versions_wrote_is_all_there_and_can_be_gone_on_with() {
    let schemas = [
        include_str!("../../src/schema/1.sql"),
        include_str!("../../src/schema/2.sql"),
        include_str!("../../src/schema/3.sql"),
    ];
    for (format, rows) in [(2_u8, include_str!("format-2.sql")), (3, include_str!("format-3.sql"))]
    {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let conn = Connection::open(dir.path().join("groundrun.db")).expect("it is made");
        schemas[..format.into()]
            .iter()
            .for_each(|schema| conn.execute_batch(schema).expect("it is made"));
        conn.execute_batch(rows).expect("they are as they were");
        conn.pragma_update(None, "application_id", 0x4752_554e).expect("it is set");
        conn.pragma_update(None, "user_version", format).expect("it is set");
        drop(conn);
        let store = Store::open(dir.path()).expect("it is brought up");
        let one = read(&store, |view| view.job(&scope(), "sieve")).expect("it is there");
        assert_eq!((one.written, one.revision), (one.revision, Revision(at(50).as_microsecond())));
        assert_eq!(one.labels, Labels::from([("team".to_owned(), "x".to_owned())]));
        let latest = one.latest_execution.as_ref().expect("it was run");
        let run = read(&store, |view| view.execution_by_uid(latest.uid)).expect("it is there");
        let spec = serde_json::to_value(&*run.spec).expect("it is JSON");
        let of_job = serde_json::to_value(&*one.spec).expect("it is JSON");
        assert_eq!(spec, of_job["template"]["spec"], "format {format}");
        assert_eq!(spec["template"]["spec"]["containers"][0]["env"][0]["value"], "b");
        assert_eq!((run.state.counters.running, run.state.started), (1, Some(at(20))));
        let attempts = [0, 1].map(|task| read(&store, |view| view.attempts_of_task(run.uid, task)));
        let ended =
            attempts.each_ref().map(|of| of.iter().filter(|one| one.ended.is_some()).count());
        assert_eq!((attempts.map(|of| of.len()), ended), ([1, 2], [1, 1]));
        assert!(read(&store, |view| view.policy(one.uid)).is_some());
        let secret = read(&store, |view| view.secret(&secrets::secret("db-pass", 1).name));
        let held = secret.map(|secret| read(&store, |view| view.sealed_value(secret.uid, 1)));
        assert_eq!(held, (format == 3).then(|| Some(b"sealed".to_vec())));
        assert!(keep_execution(&store, execution(&one, "sieve-later", 7)).revision > one.revision);
    }
}
