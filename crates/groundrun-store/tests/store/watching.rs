//! Changes are told in order, after they are durable; who is too slow is told so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use groundrun_core::record::{Completed, ExecutionState, Outcome, Revision};
use groundrun_store::{
    Applied, Attempts, Changed, Fate, Forgotten, Gone, Reaped, Seen, Steps, Store, Subject, Trace,
    WriteError,
};

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
    let changed = |subject, fate| {
        let trace = Trace { fate, ..Trace::default() };
        Changed { revision: kept.revision, subject, trace }
    };
    assert_eq!(
        watcher.poll(),
        Seen::Changes(vec![
            changed(Subject::Job(before.uid), Fate::Kept),
            changed(Subject::Execution(kept.uid), Fate::Made)
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

/// All that changed after a revision.
fn recall(store: &Store, since: Revision) -> Result<Vec<Changed>, Forgotten> {
    let mut changes = Vec::new();
    store.recall(since, None, |changed| changes.push(changed.clone()))?;
    Ok(changes)
}

#[test]
fn changes_are_recalled_from_any_revision_that_is_kept() {
    let (dir, store) = open();
    let start = store.figures().revision;
    let first = keep_job(&store, job("a", 1));
    let second = keep_job(&store, job("b", 2));
    let revisions = |since| {
        recall(&store, since).map(|changes| changes.iter().map(|c| c.revision).collect::<Vec<_>>())
    };
    assert_eq!(revisions(start), Ok(vec![first.revision, second.revision]));
    assert_eq!(revisions(first.revision), Ok(vec![second.revision]));
    assert_eq!(revisions(second.revision), Ok(vec![]));
    assert_eq!(revisions(Revision(second.revision.0 + 1)), Err(Forgotten), "not there yet");
    assert_eq!(store.recall(start, Some(first.revision), |_| ()), Ok(first.revision));
    drop(store);
    let store = Store::open(dir.path()).expect("it opens again");
    assert_eq!(recall(&store, first.revision), Err(Forgotten), "before this store was opened");
    assert_eq!(recall(&store, second.revision), Ok(vec![]));
}

#[test]
fn what_the_ring_has_no_room_for_is_forgotten() {
    let (_dir, store) = open();
    let start = store.figures().revision;
    let first = keep_job(&store, job("first", 1));
    for batch in 1..6_u128 {
        write(&store, at(0), move |tx| {
            for number in batch * 1000..(batch + 1) * 1000 {
                tx.insert_job(&mut job(&format!("j-{number}"), number), &Labels::new())?;
            }
            Ok(())
        });
    }
    assert_eq!(recall(&store, start), Err(Forgotten));
    assert_eq!(recall(&store, first.revision), Err(Forgotten));
    assert_eq!(recall(&store, store.figures().revision), Ok(vec![]));
}

#[test]
fn a_change_tells_what_no_record_tells_any_more() {
    let (_dir, store) = open();
    let labels = |team: &str| Labels::from([("team".to_owned(), team.to_owned())]);
    let mut of = job("j", 1);
    let of = write(&store, at(0), move |tx| {
        tx.insert_job(&mut of, &Labels::from([("team".to_owned(), "x".to_owned())]))?;
        Ok(of)
    });
    let one = keep_execution(&store, execution(&of, "e", 2));
    let start = store.figures().revision;
    let (mut relabelled, mut cancelled) = (of.clone(), one.clone());
    write(&store, at(1), move |tx| tx.update_job(&mut relabelled, &labels("y")));
    write(&store, at(2), move |tx| {
        tx.insert_attempts([&attempt(one.uid, 3, 0), &attempt(one.uid, 4, 1)])?;
        tx.update_attempts([])?;
        cancelled.wishes.cancel = Some(at(2));
        tx.update_wishes(&mut cancelled, &Labels::new())
    });
    let over = Completed { at: at(3), outcome: Outcome::Cancelled };
    let over = ExecutionState { completed: Some(over), ..ExecutionState::default() };
    write(&store, at(3), move |tx| tx.set_execution_state(one.uid, &over));
    let changes = recall(&store, start).expect("it is kept");
    let [first, second, third, touched] = changes.as_slice() else { panic!("{changes:?}") };
    let before = first.trace.labels.as_deref().expect("they are others now");
    assert_eq!(before.get("team").map(String::as_str), Some("x"));
    assert_eq!(second.trace.steps, Steps { stopped: true, completed: false });
    let tasks: Vec<_> = second.trace.tasks.iter().map(|(task, what)| (*task, *what)).collect();
    assert_eq!(tasks, [(3, Attempts::First), (4, Attempts::Later)]);
    assert_eq!(
        (third.subject, touched.subject),
        (Subject::Job(of.uid), Subject::Execution(one.uid))
    );
    assert_eq!(touched.trace.steps, Steps { stopped: false, completed: true });
    let row = read(&store, |view| view.execution_by_uid(one.uid)).expect("it is there");
    assert_eq!(row.revision, touched.revision);

    let start = store.figures().revision;
    let gone = write(&store, at(4), move |tx| tx.delete_job(of.uid));
    assert_eq!(gone, Applied::Yes);
    assert_eq!(write(&store, at(5), move |tx| tx.reap_execution(one.uid, 10)), Reaped::All);
    let changes = recall(&store, start).expect("it is kept");
    let names: Vec<_> = changes
        .iter()
        .map(|changed| match &changed.trace.fate {
            Fate::Gone(gone) => match &**gone {
                Gone::Job(job) => job.name.clone(),
                Gone::Execution(execution) => execution.name.clone(),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["j", "e"]);
}

#[test]
fn a_change_of_an_attempt_alone_is_one_of_its_execution() {
    let (_dir, store) = open();
    let of = keep_job(&store, job("j", 1));
    let one = keep_execution(&store, execution(&of, "e", 2));
    let begun = attempt(one.uid, 0, 0);
    let attempt = begun.clone();
    write(&store, at(9), move |tx| tx.insert_attempts([&attempt]));
    let changed = |revision: Revision| {
        let changes = recall(&store, revision).expect("it is kept");
        let row = read(&store, |view| view.execution_by_uid(one.uid)).expect("it is there");
        assert_eq!(changes.last().map(|changed| changed.revision), Some(row.revision));
        row.revision
    };
    let revision = changed(one.revision);
    write(&store, at(10), move |tx| tx.update_attempts([&begun]));
    assert!(changed(revision) > revision);
}
