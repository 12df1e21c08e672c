//! What is written is what is read, and what belongs together changes together.

use std::path::Path;

use groundrun_core::id::ExecutionUid;
use groundrun_core::record::{
    Completed, ExecutionState, Failure, LatestExecution, Outcome, Readiness, ReadinessState,
};
use groundrun_store::{Applied, Policy, Reaped, StoreError, WriteError};
use rusqlite::Connection;

use crate::support::*;

#[test]
fn run_raises_the_count_and_the_latest_of_its_job() {
    let (_dir, store) = open();
    let job = keep_job(&store, job("j", 1));
    let first = keep_execution(&store, execution(&job, "j-a", 2));
    let second = keep_execution(&store, execution(&job, "j-b", 3));
    let after = read(&store, |view| view.job(&scope(), "j")).expect("it is there");
    assert_eq!(after.execution_count, 2);
    assert!(first.revision > job.revision);
    assert_eq!(after.revision, second.revision);
    assert_eq!(
        after.latest_execution,
        Some(LatestExecution { uid: second.uid, name: "j-b".to_owned(), created: second.created })
    );
}

#[test]
fn a_revision_is_now_or_one_more_than_the_last() {
    let (_dir, store) = open();
    let late = write(&store, at(500), |tx| {
        tx.insert_job(&mut job("a", 1), &Labels::new())?;
        Ok(tx.revision())
    });
    assert_eq!(late.0, at(500).as_microsecond());
    let early = write(&store, at(100), |tx| {
        tx.insert_job(&mut job("b", 2), &Labels::new())?;
        Ok(tx.revision())
    });
    assert_eq!(early.0, late.0 + 1);
    assert_eq!(read(&store, |view| view.revision()), early);
    assert_eq!(store.figures().revision, early);
}

#[test]
fn a_refused_write_leaves_nothing() {
    let (_dir, store) = open();
    let refused: Result<(), WriteError<&str>> = store.write(at(0), |tx| {
        tx.insert_job(&mut job("j", 1), &Labels::new())?;
        Err(WriteError::Refused("no"))
    });
    assert!(matches!(refused, Err(WriteError::Refused("no"))));
    assert_eq!(read(&store, |view| view.job_count(&scope())), 0);
    assert_eq!(store.figures().commits, 0, "nothing was synced for it");
}

#[test]
fn a_panicking_write_leaves_nothing_and_the_store_goes_on() {
    let (_dir, store) = open();
    let panicked: Result<(), WriteError<String>> = store.write(at(0), |tx| {
        tx.insert_job(&mut job("j", 1), &Labels::new())?;
        panic!("on purpose");
    });
    assert!(matches!(panicked, Err(WriteError::Panicked)));
    assert_eq!(read(&store, |view| view.job_count(&scope())), 0);
    keep_job(&store, job("j", 1));
}

#[test]
fn a_failed_step_cannot_be_overlooked() {
    let (_dir, store) = open();
    keep_job(&store, job("j", 1));
    let overlooked: Result<(), WriteError<String>> = store.write(at(0), |tx| {
        tx.insert_job(&mut job("other", 2), &Labels::new())?;
        assert!(tx.insert_job(&mut job("j", 3), &Labels::new()).is_err(), "the name is taken");
        Ok(())
    });
    assert!(matches!(overlooked, Err(WriteError::Store(StoreError::Sqlite(_)))));
    assert_eq!(read(&store, |view| view.job_count(&scope())), 1);
}

#[test]
fn an_update_leaves_what_runs_have_written() {
    let (_dir, store) = open();
    let stale = keep_job(&store, job("j", 1));
    keep_execution(&store, execution(&stale, "j-a", 2));
    write(&store, at(9), move |tx| {
        let mut changed = stale;
        changed.generation = 2;
        changed.updated = at(9);
        tx.update_job(&mut changed, &Labels::new())
    });
    let after = read(&store, |view| view.job(&scope(), "j")).expect("it is there");
    assert_eq!((after.generation, after.execution_count), (2, 1));
    assert!(after.latest_execution.is_some());
}

#[test]
fn readiness_of_an_older_generation_is_not_written() {
    let (_dir, store) = open();
    let kept = keep_job(&store, job("j", 1));
    let (uid, ready) =
        (kept.uid, Readiness { generation: 2, since: at(3), state: ReadinessState::Ready });
    let outdated = ready.clone();
    assert_eq!(write(&store, at(1), move |tx| tx.set_readiness(uid, &outdated)), Applied::Outdated);
    assert_eq!(read(&store, |view| view.jobs_to_check()), [uid]);
    let ready = Readiness { generation: 1, ..ready };
    let now = ready.clone();
    assert_eq!(write(&store, at(1), move |tx| tx.set_readiness(uid, &now)), Applied::Yes);
    assert_eq!(read(&store, |view| view.jobs_to_check()), []);
    let after = read(&store, |view| view.job_by_uid(uid)).expect("it is there");
    assert_eq!(after.readiness, ready);
    assert!(after.revision > kept.revision);
}

#[test]
fn a_replaced_job_is_to_be_checked_again() {
    let (_dir, store) = open();
    let mut ready = job("j", 1);
    ready.readiness.state = ReadinessState::Ready;
    let mut kept = keep_job(&store, ready);
    let uid = kept.uid;
    assert_eq!(read(&store, |view| view.jobs_to_check()), []);
    kept.generation = 2;
    write(&store, at(1), move |tx| tx.update_job(&mut kept, &Labels::new()));
    assert_eq!(read(&store, |view| view.jobs_to_check()), [uid]);
}

#[test]
fn a_deleted_execution_is_gone_by_name_at_once_and_by_uid_when_reaped() {
    let (_dir, store) = open();
    let job = keep_job(&store, job("j", 1));
    let old = keep_execution(&store, execution(&job, "j-a", 2));
    write(&store, at(1), move |tx| {
        let attempts: Vec<_> = (0..5).map(|task| attempt(old.uid, task, 0)).collect();
        tx.insert_attempts(&attempts)
    });
    let uid = old.uid;
    assert_eq!(write(&store, at(2), move |tx| tx.delete_execution(uid)), Applied::Yes);
    assert_eq!(write(&store, at(3), move |tx| tx.delete_execution(uid)), Applied::Outdated);
    assert_eq!(read(&store, |view| view.execution(&scope(), "j-a")), None);
    assert_eq!(read(&store, |view| view.execution_count(job.uid)), 0);
    assert_eq!(read(&store, |view| view.running_count(&scope())), 0);
    assert_eq!(read(&store, |view| view.to_delete()), [uid]);
    assert_eq!(read(&store, |view| view.unfinished()), []);
    let wish = read(&store, |view| view.execution_by_uid(uid)).expect("it is there").wishes.delete;
    assert_eq!(wish, Some(at(2)));

    let new = keep_execution(&store, execution(&job, "j-a", 3));
    assert_eq!(
        read(&store, |view| view.execution(&scope(), "j-a")).map(|found| found.uid),
        Some(new.uid)
    );

    assert_eq!(write(&store, at(4), move |tx| tx.reap_execution(uid, 2)), Reaped::More);
    assert_eq!(write(&store, at(4), move |tx| tx.reap_execution(uid, 2)), Reaped::More);
    assert_eq!(write(&store, at(4), move |tx| tx.reap_execution(uid, 2)), Reaped::All);
    assert_eq!(read(&store, |view| view.execution_by_uid(uid)), None);
    assert_eq!(read(&store, |view| view.attempts_of_task(uid, 4)), []);
    assert_eq!(read(&store, |view| view.to_delete()), []);
}

/// The tables that have this identity in a column.
fn tables_with(dir: &Path, uid: ExecutionUid) -> Vec<String> {
    let conn = Connection::open(dir.join("groundrun.db")).expect("it opens");
    let sql = "SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
               WHERE tables.type = 'table' ORDER BY 1, 2";
    let mut statement = conn.prepare(sql).expect("it is SQL");
    let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let has = |table: &str, column: &str| -> bool {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} = ?1)");
        conn.query_one(&sql, [uid.0.as_bytes()], |row| row.get(0)).expect("it can be asked")
    };
    let columns: Vec<(String, String)> = columns.map(|row| row.expect("two names")).collect();
    columns
        .into_iter()
        .filter(|(table, column)| has(table, column))
        .map(|(table, _)| table)
        .collect()
}

#[test]
fn of_what_is_reaped_no_table_has_anything_and_its_neighbour_is_whole() {
    let (dir, store) = open();
    let job = keep_job(&store, job("j", 1));
    let uids = [2, 3].map(|number| {
        let name = format!("j-{number}");
        let mut new = execution(&job, &name, number);
        let labels = Labels::from([("run.googleapis.com/job".to_owned(), "j".to_owned())]);
        write(&store, at(1), move |tx| {
            tx.insert_execution(&mut new, &labels)?;
            tx.insert_attempts(&[attempt(new.uid, 0, 0), attempt(new.uid, 0, 1)])?;
            Ok(new.uid)
        })
    });
    let everywhere = ["attempts", "executions", "labels", "specs"];
    assert_eq!(tables_with(dir.path(), uids[0]), everywhere);
    let [uid, neighbour] = uids;
    let _ = write(&store, at(2), move |tx| tx.delete_execution(uid));
    assert_eq!(write(&store, at(3), move |tx| tx.reap_execution(uid, 100)), Reaped::All);
    assert_eq!(tables_with(dir.path(), uid), [""; 0]);
    // The job's last one is named by the job as well.
    let rest = ["attempts", "executions", "jobs", "labels", "specs"];
    assert_eq!(tables_with(dir.path(), neighbour), rest);
}

#[test]
fn what_is_not_deleted_cannot_be_reaped() {
    let (_dir, store) = open();
    let job = keep_job(&store, job("j", 1));
    let uid = keep_execution(&store, execution(&job, "j-a", 2)).uid;
    let refused: Result<Reaped, WriteError<String>> =
        store.write(at(1), move |tx| Ok(tx.reap_execution(uid, 10)?));
    assert!(matches!(refused, Err(WriteError::Store(StoreError::NotDeleted { .. }))));
}

#[test]
fn a_deleted_job_takes_its_executions_and_its_policy_along() {
    let (_dir, store) = open();
    let kept = keep_job(&store, job("j", 1));
    let uid = kept.uid;
    let running = keep_execution(&store, execution(&kept, "j-a", 2));
    let policy = Policy { json: "{}".to_owned(), etag: "e".to_owned() };
    let set = policy.clone();
    write(&store, at(1), move |tx| tx.set_policy(uid, &set));
    assert_eq!(read(&store, |view| view.policy(uid)), Some(policy));
    assert_eq!(write(&store, at(2), move |tx| tx.delete_job(uid)), Applied::Yes);
    assert_eq!(write(&store, at(3), move |tx| tx.delete_job(uid)), Applied::Outdated);
    assert_eq!(read(&store, |view| view.job(&scope(), "j")), None);
    assert_eq!(read(&store, |view| view.policy(uid)), None);
    assert_eq!(read(&store, |view| view.execution(&scope(), "j-a")), None);
    assert_eq!(read(&store, |view| view.to_delete()), [running.uid]);
    keep_job(&store, job("j", 3));
}

#[test]
fn an_attempt_is_written_once() {
    let (_dir, store) = open();
    let job = keep_job(&store, job("j", 1));
    let uid = keep_execution(&store, execution(&job, "j-a", 2)).uid;
    write(&store, at(1), move |tx| tx.insert_attempts([&attempt(uid, 0, 0)]));
    let again: Result<(), WriteError<String>> =
        store.write(at(2), move |tx| Ok(tx.insert_attempts([&attempt(uid, 0, 0)])?));
    assert!(matches!(again, Err(WriteError::Store(StoreError::Sqlite(_)))));
    let missing: Result<(), WriteError<String>> =
        store.write(at(2), move |tx| Ok(tx.update_attempts([&attempt(uid, 1, 0)])?));
    assert!(matches!(
        missing,
        Err(WriteError::Store(StoreError::NoSuchRow { table: "attempts", .. }))
    ));
}

#[test]
fn attempts_come_by_task_and_number_all_or_the_latest() {
    let (_dir, store) = open();
    let job = keep_job(&store, job("j", 1));
    let uid = keep_execution(&store, execution(&job, "j-a", 2)).uid;
    let numbers = [(0, 0), (0, 1), (2, 0), (3, 0), (3, 1), (3, 2)];
    write(&store, at(1), move |tx| {
        let mut attempts: Vec<_> = numbers.iter().map(|&(t, a)| attempt(uid, t, a)).collect();
        attempts.reverse();
        tx.insert_attempts(&attempts)
    });
    let seen = |latest: Latest, tasks| {
        let mut seen = Vec::new();
        let each = |one: groundrun_core::record::Attempt| seen.push((one.id.task, one.id.attempt));
        read(&store, |view| match latest {
            Latest::No => view.attempts(uid, tasks, each),
            Latest::Only => view.latest_attempts(uid, tasks, each),
        });
        seen
    };
    assert_eq!(seen(Latest::No, 0..u32::MAX), numbers);
    assert_eq!(seen(Latest::No, 2..3), [(2, 0)]);
    assert_eq!(seen(Latest::Only, 0..u32::MAX), [(0, 1), (2, 0), (3, 2)]);
    assert_eq!(seen(Latest::Only, 1..3), [(2, 0)]);
    assert_eq!(read(&store, |view| view.attempts_of_task(uid, 3)).len(), 3);
}

enum Latest {
    No,
    Only,
}

#[test]
fn the_job_moves_with_the_steps_of_its_latest_execution_that_it_shows() {
    let (_dir, store) = open();
    let job = keep_job(&store, job("j", 1));
    let uid = keep_execution(&store, execution(&job, "j-a", 2)).uid;
    let revision = || read(&store, |view| view.job_by_uid(job.uid)).expect("it is there").revision;
    let set = |state: ExecutionState| {
        write(&store, at(1), move |tx| tx.set_execution_state(uid, &state));
    };
    let created = revision();
    let mut state = ExecutionState { accepted: Some(at(1)), ..ExecutionState::default() };
    set(state.clone());
    assert_eq!(revision(), created, "acceptance is not shown");
    state.started = Some(at(2));
    set(state.clone());
    let started = revision();
    assert!(started > created);
    state.counters.succeeded = 1;
    set(state.clone());
    assert_eq!(revision(), started, "counters are not shown");
    state.completed = Some(Completed { at: at(3), outcome: Outcome::Succeeded });
    set(state);
    assert!(revision() > started);
    assert_eq!(read(&store, |view| view.unfinished()), []);
    assert_eq!(read(&store, |view| view.running_count(&scope())), 0);
}

#[test]
fn retention_names_those_that_are_over_for_longest_beyond_what_is_kept() {
    let (_dir, store) = open();
    let job = keep_job(&store, job("j", 1));
    let mut uids = Vec::new();
    // In which order they were over is not the order in which they were made; the third one runs.
    for (number, over) in [5, 6, 0, 7, 8, 4].into_iter().enumerate() {
        let number = number as u128;
        let mut one = execution(&job, &format!("j-{number}"), 10 + number);
        one.created = at(i64::try_from(number).expect("it is small"));
        if number != 2 {
            let failure = Failure { reason: None, message: "m".to_owned() };
            one.state.completed =
                Some(Completed { at: at(over), outcome: Outcome::Failed(failure) });
        }
        uids.push(keep_execution(&store, one).uid);
    }
    let beyond = |keep, limit| read(&store, |view| view.beyond_retention(job.uid, keep, limit));
    assert_eq!(beyond(5, 9), []);
    assert_eq!(beyond(2, 9), [uids[5], uids[0], uids[1]]);
    assert_eq!(beyond(2, 2), [uids[5], uids[0]]);
    assert_eq!(beyond(0, 9).len(), 5);
}

#[test]
fn an_invocation_is_remembered_for_sixty_seconds() {
    let (_dir, store) = open();
    let uid = execution(&job("j", 1), "j-a", 2).uid;
    write(&store, at(0), move |tx| tx.remember_invocation("key", uid));
    let known = |micros| read(&store, |view| view.invocation("key", at(micros)));
    assert_eq!(known(59_999_999), Some(uid));
    assert_eq!(known(60_000_000), None);
    assert_eq!(read(&store, |view| view.invocation("other", at(1))), None);
}
