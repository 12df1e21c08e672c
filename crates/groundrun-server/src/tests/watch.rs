//! Watches: what there is, then every change, once, in order; and from where one that broke goes on.

use std::time::Duration;

use axum::http::{StatusCode, header};
use groundrun_core::record::{Completed, Outcome};
use serde_json::Value;

use super::fixture::*;
use crate::app::STREAMS_MAX;

/// The version of a list.
async fn version(fixture: &Fixture, path: &str) -> String {
    let list = fixture.get(path).await.ok();
    list["metadata"]["resourceVersion"].as_str().expect("a list has a version").to_owned()
}

fn escaped(version: &str) -> String {
    version.replace('+', "%2B").replace('/', "%2F")
}

/// A watch of `path` from a version on.
async fn watch_from(fixture: &Fixture, path: &str, version: &str) -> Following {
    let with = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{with}watch=true&resourceVersion={}", escaped(version));
    fixture.watch(&path).await
}

fn over(fixture: &Fixture, name: &str, outcome: Outcome) {
    let at = fixture.now();
    fixture.advance(name, |state| state.completed = Some(Completed { at, outcome }));
}

#[tokio::test]
async fn a_watch_begins_with_what_there_is_and_goes_on_with_every_change() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("a")).await.ok();
    let mut jobs = fixture.watch(&format!("{JOBS}?watch=true")).await;
    let first = jobs.line().await.expect("it is there");
    assert_eq!(first["type"], "ADDED");
    assert_eq!(first["object"], fixture.get(&format!("{JOBS}/a")).await.ok());
    fixture.post(JOBS, job("b")).await.ok();
    assert_eq!(jobs.events(1).await, ["ADDED b"]);
    fixture.check("a", groundrun_core::record::ReadinessState::Ready);
    let changed = jobs.line().await.expect("it changed");
    assert_eq!(changed["type"], "MODIFIED");
    assert_eq!(changed["object"], fixture.get(&format!("{JOBS}/a")).await.ok());
    let uid = changed["object"]["metadata"]["uid"].clone();
    fixture.delete(&format!("{JOBS}/a")).await.ok();
    let gone = jobs.line().await.expect("it is told");
    assert_eq!((&gone["type"], &gone["object"]["metadata"]["uid"]), (&"DELETED".into(), &uid));
    assert_eq!(gone["object"]["metadata"]["labels"]["team"], "x");
    assert_eq!(gone["object"]["spec"], Value::Null, "{gone}");
}

#[tokio::test]
async fn a_watch_from_a_version_loses_nothing_and_repeats_nothing() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("a")).await.ok();
    let listed = version(&fixture, JOBS).await;
    for name in ["b", "c", "d"] {
        fixture.post(JOBS, job(name)).await.ok();
    }
    fixture.delete(&format!("{JOBS}/a")).await.ok();
    let mut whole = watch_from(&fixture, JOBS, &listed).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(whole.event().await);
    }
    let names: Vec<_> = told.iter().map(|(what, name, _)| format!("{what} {name}")).collect();
    assert_eq!(names, ["ADDED b", "ADDED c", "ADDED d", "DELETED a"]);
    for (number, (_, _, version)) in told.iter().enumerate() {
        let mut rest = watch_from(&fixture, JOBS, version).await;
        fixture.check("b", groundrun_core::record::ReadinessState::Ready);
        for (what, name, _) in &told[number + 1..] {
            // `b` changed again meanwhile: it was told before all of these.
            assert_eq!(rest.events(1).await, [format!("{what} {name}")]);
        }
        assert_eq!(rest.events(1).await, ["MODIFIED b"]);
    }
}

#[tokio::test]
async fn what_changes_at_one_revision_is_told_once_also_to_one_that_breaks_off_in_between() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("a")).await.ok();
    let mut names = Vec::new();
    for _ in 0..5 {
        names.push(fixture.run("a").await);
    }
    let listed = version(&fixture, EXECUTIONS).await;
    // One write, one revision, five deletions.
    fixture.delete(&format!("{JOBS}/a")).await.ok();
    let mut from = listed;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let mut one = watch_from(&fixture, EXECUTIONS, &from).await;
        let (what, name, version) = one.event().await;
        assert_eq!(what, "DELETED");
        seen.push(name);
        from = version;
    }
    seen.sort();
    names.sort();
    assert_eq!(seen, names);
    assert_eq!(from.len(), 11, "the last one has the plain version");
    fixture.post(JOBS, job("a")).await.ok();
    let again = fixture.run("a").await;
    let mut rest = watch_from(&fixture, EXECUTIONS, &from).await;
    assert_eq!(rest.events(1).await, [format!("ADDED {again}")]);
}

#[tokio::test]
async fn a_version_of_an_event_is_one_to_replace_with() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.post(JOBS, job(name)).await.ok();
    }
    let listed = version(&fixture, JOBS).await;
    let (first, second) = (fixture.run("a").await, fixture.run("b").await);
    let started = fixture.now();
    let uids = [&first, &second].map(|name| fixture.execution(name));
    // Both jobs change in one write of the engine.
    let done: Result<(), groundrun_store::WriteError<std::convert::Infallible>> =
        fixture.store.write(started, move |tx| {
            for execution in uids {
                let state = groundrun_core::record::ExecutionState {
                    started: Some(started),
                    ..execution.state
                };
                tx.set_execution_state(execution.uid, &state)?;
            }
            Ok(())
        });
    done.expect("the store takes it");
    let mut jobs = watch_from(&fixture, JOBS, &listed).await;
    for _ in 0..2 {
        let event = jobs.line().await.expect("both changed");
        let mut job = event["object"].clone();
        let name = job["metadata"]["name"].as_str().expect("a name").to_owned();
        job["metadata"]["labels"]["team"] = "y".into();
        fixture.put(&format!("{JOBS}/{name}"), job).await.ok();
    }
}

#[tokio::test]
async fn objects_enter_and_leave_the_selection() {
    let fixture = Fixture::new();
    let mut x = fixture.watch(&format!("{JOBS}?watch=true&labelSelector=team%3Dx")).await;
    let mut y = fixture.watch(&format!("{JOBS}?watch=true&labelSelector=team%3Dy")).await;
    let created = fixture.post(JOBS, job("a")).await.ok();
    assert_eq!(x.events(1).await, ["ADDED a"]);
    let mut other = created;
    other["metadata"]["labels"]["team"] = "y".into();
    fixture.put(&format!("{JOBS}/a"), &other).await.ok();
    let left = x.line().await.expect("it left");
    assert_eq!(left["type"], "DELETED");
    assert_eq!(y.events(1).await, ["ADDED a"]);
    fixture.delete(&format!("{JOBS}/a")).await.ok();
    assert_eq!(y.events(1).await, ["DELETED a"]);
    // `x` hears of neither.
    fixture.post(JOBS, job("b")).await.ok();
    assert_eq!(x.events(1).await, ["ADDED b"]);
}

#[tokio::test]
async fn the_serving_state_selects_what_is_watched_too() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("a")).await.ok();
    let selector = "run.googleapis.com%2FservingState%3DActive";
    let path = format!("{EXECUTIONS}?watch=true&labelSelector={selector}");
    let mut active = fixture.watch(&path).await;
    let name = fixture.run("a").await;
    assert_eq!(active.events(1).await, [format!("ADDED {name}")]);
    over(&fixture, &name, Outcome::Succeeded);
    assert_eq!(active.events(1).await, [format!("DELETED {name}")]);
}

#[tokio::test]
async fn one_execution_is_watched_by_its_name() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("a")).await.ok();
    let (mine, other) = (fixture.run("a").await, fixture.run("a").await);
    let path = format!("{EXECUTIONS}?watch=true&fieldSelector=metadata.name%3D{mine}&limit=500");
    let mut watch = fixture.watch(&path).await;
    assert_eq!(watch.events(1).await, [format!("ADDED {mine}")]);
    over(&fixture, &other, Outcome::Succeeded);
    over(&fixture, &mine, Outcome::Succeeded);
    let end = watch.line().await.expect("it is over");
    assert_eq!(end["object"]["metadata"]["name"], mine.as_str());
    assert_eq!(end["object"], fixture.get(&format!("{EXECUTIONS}/{mine}")).await.ok());
    fixture.delete(&format!("{EXECUTIONS}/{mine}")).await.ok();
    assert_eq!(watch.events(1).await, [format!("DELETED {mine}")]);
}

#[tokio::test]
async fn a_task_is_told_when_it_changes_and_only_then() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("a", 3)).await.ok();
    let name = fixture.run("a").await;
    let task = |index: u32| format!("{name}-task{index}");
    let mut watch = fixture.watch(&format!("{TASKS}?watch=true")).await;
    let all = [0, 1, 2].map(|index| format!("ADDED {}", task(index)));
    assert_eq!(watch.events(3).await, all);
    let first = fixture.attempt(&name, 1, 1, None);
    let told = watch.line().await.expect("it started");
    assert_eq!(told["type"], "MODIFIED");
    assert_eq!(told["object"], fixture.get(&format!("{TASKS}/{}", task(1))).await.ok());
    // A change of the execution that is none of its tasks.
    fixture.advance(&name, |state| state.waiting_for = Some("cpu".to_owned()));
    fixture.end(first, 2, exit(0));
    assert_eq!(watch.events(1).await, [format!("MODIFIED {}", task(1))]);
    over(&fixture, &name, Outcome::Cancelled);
    let rest = [0, 2].map(|index| format!("MODIFIED {}", task(index)));
    assert_eq!(watch.events(2).await, rest);
    fixture.delete(&format!("{EXECUTIONS}/{name}")).await.ok();
    let gone = [0, 1, 2].map(|index| format!("DELETED {}", task(index)));
    assert_eq!(watch.events(3).await, gone);
}

#[tokio::test]
async fn tasks_enter_and_leave_a_running_state() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("a", 2)).await.ok();
    let name = fixture.run("a").await;
    let selector = "run.googleapis.com%2FrunningState%3DRunning";
    let path = format!("{TASKS}?labelSelector={selector}");
    let listed = version(&fixture, &path).await;
    let begun = fixture.attempt(&name, 0, 1, None);
    let mut watch = watch_from(&fixture, &path, &listed).await;
    let (what, task, entered) = watch.event().await;
    assert_eq!((what.as_str(), task), ("ADDED", format!("{name}-task0")));
    fixture.end(begun, 2, exit(0));
    assert_eq!(watch.events(1).await, [format!("DELETED {name}-task0")]);
    let mut again = watch_from(&fixture, &path, &entered).await;
    assert_eq!(again.events(1).await, [format!("DELETED {name}-task0")]);
    let other = fixture.attempt(&name, 1, 3, Some((3, exit(0))));
    assert_eq!(other.task, 1);
    // Begun and over in one write: it never ran for this watch.
    let last = fixture.run("a").await;
    fixture.attempt(&last, 1, 4, None);
    assert_eq!(watch.events(1).await, [format!("ADDED {last}-task1")]);
}

#[tokio::test]
async fn one_task_is_watched_by_its_name() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("a", 3)).await.ok();
    let name = fixture.run("a").await;
    let path = format!("{TASKS}?watch=true&fieldSelector=metadata.name%3D{name}-task2");
    let mut watch = fixture.watch(&path).await;
    assert_eq!(watch.events(1).await, [format!("ADDED {name}-task2")]);
    fixture.attempt(&name, 1, 1, None);
    fixture.attempt(&name, 2, 1, None);
    assert_eq!(watch.events(1).await, [format!("MODIFIED {name}-task2")]);
}

#[tokio::test]
async fn of_a_large_execution_the_changed_task_alone_is_read() {
    let fixture = Fixture::new();
    fixture.post(JOBS, tasks("a", 10_000)).await.ok();
    let name = fixture.run("a").await;
    let listed = version(&fixture, &format!("{TASKS}?limit=1")).await;
    fixture.attempt(&name, 7777, 1, None);
    let mut watch = watch_from(&fixture, TASKS, &listed).await;
    assert_eq!(watch.events(1).await, [format!("MODIFIED {name}-task7777")]);
    over(&fixture, &name, Outcome::Cancelled);
    // All others never start; they are told in parts, each once.
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..9_999 {
        let (what, task, _) = watch.event().await;
        assert_eq!(what, "MODIFIED");
        assert!(seen.insert(task.clone()), "{task} is told twice");
    }
    assert!(!seen.contains(&format!("{name}-task7777")));
}

#[tokio::test]
async fn all_pages_of_a_list_have_the_version_of_the_first() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.post(JOBS, job(name)).await.ok();
    }
    let page = fixture.get(&format!("{JOBS}?limit=2")).await.ok();
    fixture.delete(&format!("{JOBS}/c")).await.ok();
    let token = page["metadata"]["continue"].as_str().expect("there is more");
    let rest = fixture.get(&format!("{JOBS}?limit=2&continue={token}")).await.ok();
    assert_eq!(rest["metadata"]["resourceVersion"], page["metadata"]["resourceVersion"]);
    let version = rest["metadata"]["resourceVersion"].as_str().expect("a version");
    assert_eq!(watch_from(&fixture, JOBS, version).await.events(1).await, ["DELETED c"]);
}

#[tokio::test]
async fn a_version_that_is_not_kept_any_more_is_410() {
    let fixture = Fixture::new();
    // A day before this server began.
    let old = groundrun_core::render::resource_version(groundrun_core::record::Revision(7));
    for path in [JOBS, EXECUTIONS, TASKS] {
        let answer = fixture.get(&format!("{path}?watch=true&resourceVersion={old}")).await;
        assert_eq!(answer.status, StatusCode::GONE);
        assert_eq!(answer.json()["error"]["code"], 410);
        assert_eq!(answer.json()["error"]["status"], "FAILED_PRECONDITION");
        assert!(answer.message().contains("List again"), "{answer}");
    }
}

#[tokio::test]
async fn a_watch_that_falls_behind_is_told_so_and_ends() {
    let fixture = Fixture::new();
    let mut watch = fixture.watch(&format!("{JOBS}?watch=true")).await;
    fixture.post(JOBS, job("a")).await.ok();
    assert_eq!(watch.events(1).await, ["ADDED a"]);
    let name = fixture.run("a").await;
    let execution = fixture.execution(&name);
    // Nobody reads meanwhile, and more happens than is kept.
    for _ in 0..5000 {
        let (uid, state) = (execution.uid, execution.state.clone());
        let done = fixture.store.write(fixture.now(), move |tx| {
            let done: Result<(), groundrun_store::WriteError<std::convert::Infallible>> =
                Ok(tx.set_execution_state(uid, &state)?);
            done
        });
        done.expect("the store takes it");
    }
    let last = watch.line().await.expect("it is told");
    assert_eq!(last["type"], "ERROR");
    assert_eq!(
        (&last["object"]["code"], &last["object"]["reason"]),
        (&410.into(), &"Expired".into())
    );
    assert_eq!(last["object"]["kind"], "Status");
    assert_eq!(watch.line().await, None);
}

#[tokio::test]
async fn bookmarks_say_from_where_to_go_on() {
    let fixture = Fixture::new();
    let path = format!("{JOBS}?watch=true&allowWatchBookmarks=true");
    let mut watch = fixture.watch(&path).await;
    let bookmark = watch.line().await.expect("also where there is nothing");
    assert_eq!(
        (&bookmark["type"], &bookmark["object"]["kind"]),
        (&"BOOKMARK".into(), &"Job".into())
    );
    let version = bookmark["object"]["metadata"]["resourceVersion"].as_str().expect("a version");
    fixture.post(JOBS, job("a")).await.ok();
    assert_eq!(watch_from(&fixture, JOBS, version).await.events(1).await, ["ADDED a"]);
    assert_eq!(watch.events(1).await, ["ADDED a"]);
}

#[tokio::test]
async fn a_watch_lasts_as_long_as_it_was_asked_for_and_bookmarks_come_in_between() {
    let fixture = Fixture::with(|config| config.bookmark_every = Duration::from_millis(1));
    let path = format!("{EXECUTIONS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1");
    let begun = tokio::time::Instant::now();
    let mut watch = fixture.watch(&path).await;
    let (_, _, first) = watch.event().await;
    // What is no execution moves the place on without an event.
    fixture.post(JOBS, job("a")).await.ok();
    let (what, _, second) = watch.event().await;
    assert_eq!(what, "BOOKMARK");
    assert!(second != first);
    // Nothing happens any more, and nothing is told.
    assert_eq!(watch.line().await, None);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watches() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("a")).await.ok();
    let mut watch = fixture.watch(&format!("{JOBS}?watch=true")).await;
    assert_eq!(watch.events(1).await, ["ADDED a"]);
    fixture.end_streams();
    assert_eq!(watch.line().await, None);
}

#[tokio::test]
async fn watches_are_bounded_in_number_and_one_that_is_left_makes_room() {
    let fixture = Fixture::new();
    let path = format!("{JOBS}?watch=true");
    let mut watches = Vec::new();
    for _ in 0..STREAMS_MAX {
        watches.push(fixture.watch(&path).await);
    }
    let refused = fixture.get(&path).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.message().contains("watches"), "{refused}");
    drop(watches.pop());
    fixture.watch(&path).await;
}

#[tokio::test]
async fn parameters_of_a_watch_that_make_no_sense_are_refused() {
    let fixture = Fixture::new();
    for (parameters, message) in [
        ("resourceVersion=yesterday", "'yesterday' is not a version"),
        ("fieldSelector=status.phase%3DRunning", "only 'metadata.name=NAME'"),
        ("labelSelector=%3D%3D", "unable to parse label selector"),
        ("timeoutSeconds=-1", "must not be negative"),
        ("allowWatchBookmarks=perhaps", "TYPE_BOOL"),
        ("continue=t", "Unknown name \"continue\""),
        ("prettyPrint=true", "one event a line"),
    ] {
        let answer = fixture.get(&format!("{JOBS}?watch=true&{parameters}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{parameters}: {answer}");
        assert!(answer.message().contains(message), "{parameters}: {answer}");
    }
}

#[tokio::test]
async fn events_are_cut_to_the_fields_asked_for_and_never_compressed() {
    let fixture = Fixture::new();
    fixture.post(JOBS, job("a")).await.ok();
    let path = format!("{JOBS}?watch=true&fields=type,object%2Fmetadata%2Fname");
    let mut packed = request("GET", &path, "");
    let gzip = header::HeaderValue::from_static("gzip");
    packed.headers_mut().insert(header::ACCEPT_ENCODING, gzip);
    let event = fixture.open(packed).await.line().await.expect("it is there");
    assert_eq!(event, serde_json::json!({"type": "ADDED", "object": {"metadata": {"name": "a"}}}));
}
