//! Many writes share one commit, and each knows only its own fate.

use std::{
    sync::{Barrier, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

use groundrun_store::{OpenError, Seen, StoreError, WriteError};

use crate::support::*;

/// Far above what the start of a program takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn concurrent_writes_share_commits_and_all_hold() {
    const THREADS: u128 = 16;
    const EACH: u128 = 25;
    let (_dir, store) = open();
    let begin = Barrier::new(16);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, begin) = (&store, &begin);
            scope.spawn(move || {
                begin.wait();
                for number in 0..EACH {
                    let number = thread * EACH + number;
                    keep_job(store, job(&format!("j-{number}"), number));
                }
            });
        }
    });
    assert_eq!(read(&store, |view| view.job_count(&scope())), 400);
    let figures = store.figures();
    assert_eq!(figures.writes, 400);
    assert!(figures.commits < figures.writes, "{figures:?}");
}

#[test]
fn a_refusal_in_a_group_undoes_itself_alone() {
    let (_dir, store) = open();
    let (told, results) = sync_channel(64);
    // The first holds the writer until all others wait, so that these are one group.
    let (let_go, held) = sync_channel::<()>(0);
    let hold = told.clone();
    store.write_then(
        at(0),
        move |_| {
            let _ = held.recv();
            Ok::<_, WriteError<u128>>(0)
        },
        move |result| hold.send(result).expect("the test listens"),
    );
    for number in 1..=40_u128 {
        let told = told.clone();
        store.write_then(
            at(1),
            move |tx| {
                tx.insert_job(&mut job(&format!("j-{number}"), number), &Labels::new())?;
                if number % 2 == 0 { Err(WriteError::Refused(number)) } else { Ok(number) }
            },
            move |result| told.send(result).expect("the test listens"),
        );
    }
    drop(let_go);
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for result in results.iter().take(41) {
        match result {
            Ok(number) => kept.push(number),
            Err(WriteError::Refused(number)) => refused.push(number),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(kept.len(), 21);
    assert_eq!(refused.len(), 20);
    assert_eq!(store.figures().commits, 1);
    for number in 1..=40_u128 {
        let found = read(&store, |view| view.job(&scope(), &format!("j-{number}")));
        assert_eq!(found.is_some(), number % 2 == 1, "{number}");
    }
}

#[test]
fn writes_of_one_group_have_rising_revisions() {
    let (_dir, store) = open();
    let (told, results) = sync_channel(64);
    for number in 1..=30_u128 {
        let told = told.clone();
        store.write_then(
            at(0),
            move |tx| -> Result<_, WriteError<String>> {
                tx.insert_job(&mut job(&format!("j-{number}"), number), &Labels::new())?;
                Ok(tx.revision())
            },
            move |result| told.send(result).expect("the test listens"),
        );
    }
    let revisions: Vec<_> = results.iter().take(30).map(|done| done.expect("it holds")).collect();
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
}

#[test]
fn a_full_queue_says_busy_at_once() {
    let (_dir, store) = open();
    let (let_go, held) = sync_channel::<()>(0);
    let (began, begun) = sync_channel(1);
    store.write_then(
        at(0),
        move |_| {
            began.send(()).expect("the test waits");
            let _ = held.recv();
            Ok::<_, WriteError<String>>(())
        },
        |_| {},
    );
    begun.recv().expect("the writer runs it");
    let (told, results) = sync_channel(2000);
    for _ in 0..1025 {
        let told = told.clone();
        store.write_then(
            at(0),
            |_| Ok::<_, WriteError<String>>(()),
            move |result| told.send(result).expect("there is room"),
        );
    }
    let first = results.try_recv().expect("one was told at once");
    assert!(matches!(first, Err(WriteError::Busy)));
    drop(let_go);
    assert!(results.iter().take(1024).all(|result| result.is_ok()));
}

#[test]
fn what_waits_is_written_before_the_store_closes() {
    let (dir, store) = open();
    for number in 0..100_u128 {
        store.write_then(
            at(0),
            move |tx| -> Result<_, WriteError<String>> {
                Ok(tx.insert_job(&mut job(&format!("j-{number}"), number), &Labels::new())?)
            },
            |_| {},
        );
    }
    drop(store);
    // A process that another test is starting has a copy of every descriptor until it is executed, of the lock's too.
    let begun = Instant::now();
    let store = loop {
        match groundrun_store::Store::open(dir.path()) {
            Err(OpenError::InUse { .. }) if begun.elapsed() < PATIENCE => thread::yield_now(),
            opened => break opened.expect("it opens"),
        }
    };
    assert_eq!(read(&store, |view| view.job_count(&scope())), 100);
    assert_eq!(store.figures().wal_bytes, 0, "the log was brought into the database");
}

#[test]
fn a_snapshot_does_not_see_what_comes_after_it() {
    let (_dir, store) = open();
    let seen: Result<_, StoreError> = store.read(|view| {
        let before = view.job_count(&scope())?;
        keep_job(&store, job("j", 1));
        Ok((before, view.job_count(&scope())?))
    });
    assert_eq!(seen.expect("it reads"), (0, 0));
    assert_eq!(read(&store, |view| view.job_count(&scope())), 1);
}

#[test]
fn a_result_is_told_after_the_commit_and_after_the_watch() {
    let (_dir, store) = open();
    let (told, results) = sync_channel(1);
    let reader = store.clone();
    let mut watcher = store.watch();
    store.write_then(
        at(0),
        |tx| -> Result<_, WriteError<String>> {
            Ok(tx.insert_job(&mut job("j", 1), &Labels::new())?)
        },
        move |_| {
            let seen = read(&reader, |view| view.job_count(&scope()));
            told.send((seen, watcher.poll())).expect("the test listens");
        },
    );
    let (seen, change) = results.recv().expect("it is told");
    assert_eq!(seen, 1, "another connection sees it");
    assert!(matches!(change, Seen::Changes(_)));
}
