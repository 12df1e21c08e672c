//! Every field of a record comes back as it was given.

use std::{fmt::Debug, sync::Arc};

use groundrun_api::v1;
use groundrun_core::{
    id::{AttemptId, BootId, ExecutionUid, JobUid},
    record::{
        Attempt, Author, Cause, Completed, Counters, Ending, Execution, ExecutionState, Exit,
        Failure, Fault, ImagesState, Job, JobSnapshot, LatestExecution, Outcome, Readiness,
        ReadinessState, Revision, Scope, Wishes,
    },
};
use jiff::Timestamp;
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use uuid::Uuid;

use crate::support::*;

fn check<T: Debug + Clone>(one: impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = Config { cases: 128, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&one, |one| {
        test(one);
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

#[test]
fn of_a_job() {
    let (_dir, store) = open();
    check(any_job(), |job| {
        let mut written = job.clone();
        let kept = write(&store, at(0), move |tx| {
            tx.insert_job(&mut written, &Labels::new())?;
            Ok(written)
        });
        assert_eq!(kept, Job { revision: kept.revision, written: kept.revision, ..job });
        assert_eq!(read(&store, |view| view.job_by_uid(kept.uid)), Some(kept.clone()));
        assert_eq!(read(&store, |view| view.job(&kept.scope, &kept.name)), Some(kept));
    });
}

#[test]
fn of_an_updated_job() {
    let (_dir, store) = open();
    check((any_job(), any_job()), |(before, after)| {
        let kept = keep_job(&store, before);
        // What an update may not change.
        let mut changed = Job {
            uid: kept.uid,
            scope: kept.scope,
            name: kept.name,
            created: kept.created,
            execution_count: kept.execution_count,
            latest_execution: kept.latest_execution,
            ..after
        };
        let changed = write(&store, at(1), move |tx| {
            tx.update_job(&mut changed, &Labels::new())?;
            Ok(changed)
        });
        assert!(changed.revision > kept.revision);
        assert_eq!(read(&store, |view| view.job_by_uid(changed.uid)), Some(changed));
    });
}

#[test]
fn of_an_execution() {
    let (_dir, store) = open();
    let of = keep_job(&store, job("j", 1));
    check(
        (any_execution(), any_state(), any_wishes(), any_author()),
        |(one, state, wishes, author)| {
            let kept = keep_execution(
                &store,
                Execution { job: JobSnapshot { uid: of.uid, ..one.job.clone() }, ..one },
            );
            let uid = kept.uid;
            let by_uid = || read(&store, |view| view.execution_by_uid(uid));
            assert_eq!(by_uid(), Some(kept.clone()));

            let set = state.clone();
            let revision = write(&store, at(1), move |tx| {
                tx.set_execution_state(uid, &set)?;
                Ok(tx.revision())
            });
            assert_eq!(
                by_uid(),
                Some(Execution { state: state.clone(), revision, ..kept.clone() })
            );

            let mut wished = kept.clone();
            wished.wishes = wishes;
            wished.author = author;
            wished.generation = wished.generation.wrapping_add(1);
            let wished = write(&store, at(2), move |tx| {
                tx.update_wishes(&mut wished, &Labels::new())?;
                Ok(wished)
            });
            let kept = Execution { state, ..wished };
            assert_eq!(by_uid(), Some(kept.clone()));
            let visible = kept.wishes.delete.is_none().then_some(kept.clone());
            assert_eq!(read(&store, |view| view.execution(&kept.scope, &kept.name)), visible);
        },
    );
}

#[test]
fn of_an_attempt() {
    let (_dir, store) = open();
    check((any_attempt(), option::of(any_time()), any_ended()), |(one, started, ended)| {
        let written = one.clone();
        write(&store, at(0), move |tx| tx.insert_attempts([&written]));
        let by_task = || read(&store, |view| view.attempts_of_task(one.id.execution, one.id.task));
        assert_eq!(by_task(), std::slice::from_ref(&one));
        let changed = Attempt { started, ended, ..one.clone() };
        let written = changed.clone();
        write(&store, at(1), move |tx| tx.update_attempts([&written]));
        assert_eq!(by_task(), [changed]);
    });
}

#[test]
fn of_a_time_but_for_what_is_finer_than_a_microsecond() {
    let (_dir, store) = open();
    let mut fine = job("j", 1);
    fine.created = Timestamp::from_nanosecond(1_767_225_600_123_456_789).expect("it is in range");
    keep_job(&store, fine);
    let kept = read(&store, |view| view.job(&scope(), "j")).expect("it is there");
    assert_eq!(kept.created.as_nanosecond(), 1_767_225_600_123_456_000);
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    let (least, most) = (Timestamp::MIN.as_microsecond(), Timestamp::MAX.as_microsecond());
    (least..=most).prop_map(|micros| Timestamp::from_microsecond(micros).expect("it is in range"))
}

fn any_uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn any_map() -> impl Strategy<Value = Labels> {
    btree_map(any::<String>(), any::<String>(), 0..3)
}

fn any_author() -> impl Strategy<Value = Author> {
    any::<[String; 3]>().prop_map(|[creator, last_modifier, operation_id]| Author {
        creator,
        last_modifier,
        operation_id,
    })
}

fn any_failure() -> impl Strategy<Value = Failure> {
    any::<(Option<String>, String)>().prop_map(|(reason, message)| Failure { reason, message })
}

fn any_spec() -> impl Strategy<Value = v1::ExecutionSpec> {
    any::<(Option<i32>, Option<i32>, Option<bool>)>().prop_map(|(count, parallelism, delay)| {
        v1::ExecutionSpec {
            task_count: count,
            parallelism,
            delay_execution: delay,
            ..v1::ExecutionSpec::default()
        }
    })
}

fn any_job_spec() -> impl Strategy<Value = v1::JobSpec> {
    (any::<Option<String>>(), option::of(option::of(any_spec()))).prop_map(|(token, template)| {
        v1::JobSpec {
            run_execution_token: token,
            template: template.map(|spec| v1::ExecutionTemplateSpec { spec, ..Default::default() }),
            ..v1::JobSpec::default()
        }
    })
}

fn any_readiness() -> impl Strategy<Value = Readiness> {
    let state = prop_oneof![
        Just(ReadinessState::Checking),
        Just(ReadinessState::Ready),
        any_failure().prop_map(ReadinessState::Failed),
    ];
    (any::<i32>(), any_time(), state).prop_map(|(generation, since, state)| Readiness {
        generation,
        since,
        state,
    })
}

fn any_latest() -> impl Strategy<Value = LatestExecution> {
    (any_uuid(), any::<String>(), any_time()).prop_map(|(uid, name, created)| LatestExecution {
        uid: ExecutionUid(uid),
        name,
        created,
    })
}

fn any_scope() -> impl Strategy<Value = Scope> {
    any::<(String, String)>().prop_map(|(project, region)| Scope { project, region })
}

fn any_job() -> impl Strategy<Value = Job> {
    let identity = (any_uuid(), any_scope(), any::<String>());
    let maps = (any_map(), any_map(), any_author());
    let times = (any_time(), any_time(), any::<i32>(), any::<i32>());
    (identity, maps, times, any_job_spec(), option::of(any_latest()), any_readiness()).prop_map(
        |(
            (uid, scope, name),
            (labels, annotations, author),
            (created, updated, generation, execution_count),
            spec,
            latest_execution,
            readiness,
        )| Job {
            uid: JobUid(uid),
            scope,
            name,
            generation,
            created,
            updated,
            revision: Revision(0),
            written: Revision(0),
            labels,
            annotations,
            author,
            spec: Arc::new(spec),
            execution_count,
            latest_execution,
            readiness,
        },
    )
}

fn any_execution() -> impl Strategy<Value = Execution> {
    let identity = (any_uuid(), any_scope(), any::<String>());
    let snapshot = (any::<String>(), any::<i32>(), any::<i64>());
    let maps = (any_map(), any_map(), any_author());
    (identity, snapshot, maps, any_time(), any::<i32>(), any_spec(), any_state()).prop_map(
        |(
            (uid, scope, name),
            (job_name, job_generation, job_revision),
            (labels, annotations, author),
            created,
            generation,
            spec,
            state,
        )| Execution {
            uid: ExecutionUid(uid),
            scope,
            name,
            job: JobSnapshot {
                uid: JobUid(Uuid::nil()),
                name: job_name,
                generation: job_generation,
                revision: Revision(job_revision),
            },
            generation,
            created,
            revision: Revision(0),
            labels,
            annotations,
            author,
            spec: Arc::new(spec),
            wishes: Wishes::default(),
            state,
        },
    )
}

fn any_wishes() -> impl Strategy<Value = Wishes> {
    (option::of(any_time()), option::of(any_time()))
        .prop_map(|(cancel, delete)| Wishes { cancel, delete })
}

fn any_state() -> impl Strategy<Value = ExecutionState> {
    let times = vec(option::of(any_time()), 4);
    let said = (any::<i32>(), any::<Option<String>>());
    (times, said, any_images(), option::of(any_completed()), any::<[u32; 5]>()).prop_map(
        |(times, (observed_generation, waiting_for), images, completed, counts)| ExecutionState {
            accepted: times[0],
            observed_generation,
            images,
            waiting_for,
            provisioned: times[1],
            start_time: times[2],
            started: times[3],
            completed,
            counters: Counters {
                running: counts[0],
                succeeded: counts[1],
                failed: counts[2],
                cancelled: counts[3],
                retried: counts[4],
            },
        },
    )
}

fn any_images() -> impl Strategy<Value = ImagesState> {
    prop_oneof![
        Just(ImagesState::Importing),
        (any::<u32>(), any_time(), any::<String>()).prop_map(|(failures, next, message)| {
            ImagesState::Retrying { failures, next, message }
        }),
        (any_time(), vec(any::<String>(), 0..3), any::<Option<String>>())
            .prop_map(|(at, digests, stale)| ImagesState::Imported { at, digests, stale }),
    ]
}

fn any_completed() -> impl Strategy<Value = Completed> {
    let outcome = prop_oneof![
        Just(Outcome::Succeeded),
        Just(Outcome::Cancelled),
        any_failure().prop_map(Outcome::Failed),
    ];
    (any_time(), outcome).prop_map(|(at, outcome)| Completed { at, outcome })
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let id = (any_uuid(), any::<u32>(), any::<u32>());
    (id, any_uuid(), any_time(), option::of(any_time()), any_ended()).prop_map(
        |((execution, task, attempt), boot, intended, started, ended)| Attempt {
            id: AttemptId { execution: ExecutionUid(execution), task, attempt },
            boot: BootId(boot),
            intended,
            started,
            ended,
        },
    )
}

fn any_ended() -> impl Strategy<Value = Option<(Timestamp, Ending)>> {
    let exit = prop_oneof![any::<u8>().prop_map(Exit::Code), any::<i32>().prop_map(Exit::Signal),];
    let cause = prop_oneof![
        Just(Cause::OnItsOwn),
        Just(Cause::Deadline),
        Just(Cause::Asked),
        Just(Cause::OutOfMemory),
    ];
    let fault = prop_oneof![Just(Fault::Theirs), Just(Fault::Ours)];
    let ending = prop_oneof![
        (exit, cause, any::<Option<u64>>(), any::<[Option<String>; 2]>()).prop_map(
            |(exit, cause, memory_peak, [message, container])| Ending::Exited {
                exit,
                cause,
                memory_peak,
                message,
                container,
            }
        ),
        (fault, any::<String>(), any::<Option<String>>())
            .prop_map(|(whose, why, container)| Ending::StartFailed { whose, why, container }),
        any::<[String; 2]>().prop_map(|[container, why]| Ending::ProbeFailed { container, why }),
        any::<String>().prop_map(|why| Ending::Lost { why }),
    ];
    option::of((any_time(), ending))
}
