//! Changes are told in order, after they are durable; who is too slow is told so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use groundrun_store::{Changed, Seen, Subject, WriteError};

use crate::support::*;

/// Nothing here takes a hundredth of it.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_watcher_sees_what_a_write_changed_once() {
    let (_dir, store) = open();
    let before = keep_job(&store, job("before", 9));
    let mut watcher = store.watch();
    assert_eq!(watcher.poll(), Seen::Nothing);
    assert_eq!(watcher.wait(Duration::ZERO), Seen::Nothing);
    let kept = keep_execution(&store, execution(&before, "e", 2));
    let changed = |subject| Changed { revision: kept.revision, subject };
    assert_eq!(
        watcher.poll(),
        Seen::Changes(vec![
            changed(Subject::Job(before.uid)),
            changed(Subject::Execution(kept.uid))
        ])
    );
    assert_eq!(watcher.poll(), Seen::Nothing);
}

#[test]
fn a_refused_write_is_not_told() {
    let (_dir, store) = open();
    let mut watcher = store.watch();
    let refused: Result<(), _> = store.write(at(0), |tx| {
        tx.insert_job(&mut job("j", 1), &Labels::new())?;
        Err(WriteError::Refused("no"))
    });
    assert!(refused.is_err());
    assert_eq!(watcher.poll(), Seen::Nothing);
}

#[test]
fn a_waiting_watcher_wakes_and_what_it_is_told_is_readable() {
    let (_dir, store) = open();
    let mut watcher = store.watch();
    let reader = store.clone();
    let waiting = thread::spawn(move || {
        let Seen::Changes(changes) = watcher.wait(LONG) else { panic!("nothing came") };
        let Subject::Job(uid) = changes[0].subject else { panic!("not a job") };
        read(&reader, |view| view.job_by_uid(uid)).map(|job| job.name)
    });
    keep_job(&store, job("j", 1));
    assert_eq!(waiting.join().expect("it ends").as_deref(), Some("j"));
}

#[test]
fn who_is_too_slow_is_told_missed_and_goes_on_from_now() {
    let (_dir, store) = open();
    let mut watcher = store.watch();
    let mut fast = store.watch();
    for batch in 0..5_u128 {
        write(&store, at(0), move |tx| {
            for number in batch * 1000..(batch + 1) * 1000 {
                tx.insert_job(&mut job(&format!("j-{number}"), number), &Labels::new())?;
            }
            Ok(())
        });
        assert!(matches!(fast.poll(), Seen::Changes(changes) if changes.len() == 1000));
    }
    assert_eq!(watcher.poll(), Seen::Missed);
    assert_eq!(watcher.poll(), Seen::Nothing);
    keep_job(&store, job("one", 9999));
    assert!(matches!(watcher.poll(), Seen::Changes(changes) if changes.len() == 1));
}

#[test]
fn a_callback_wakes_after_each_commit_until_its_watcher_is_gone() {
    let (_dir, store) = open();
    let mut watcher = store.watch();
    let called = Arc::new(AtomicU32::new(0));
    let count = called.clone();
    watcher.on_change(|| panic!("on purpose: it is replaced"));
    watcher.on_change(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    keep_job(&store, job("a", 1));
    assert_eq!(called.load(Ordering::SeqCst), 1);
    drop(watcher);
    keep_job(&store, job("b", 2));
    assert_eq!(called.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panicking_callback_does_not_end_the_store() {
    let (_dir, store) = open();
    let mut watcher = store.watch();
    watcher.on_change(|| panic!("on purpose"));
    keep_job(&store, job("a", 1));
    keep_job(&store, job("b", 2));
    assert!(matches!(watcher.poll(), Seen::Changes(changes) if changes.len() == 2));
}

#[test]
fn a_closed_store_ends_the_watch() {
    let (_dir, store) = open();
    let mut watcher = store.watch();
    keep_job(&store, job("a", 1));
    drop(store);
    assert!(matches!(watcher.wait(LONG), Seen::Changes(_)));
    assert_eq!(watcher.wait(LONG), Seen::Closed);
}
